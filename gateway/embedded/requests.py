"""Request bodies: their fields, and the checks that need nothing but the body, in vLLM's order and with its messages.

Fields that this server does not implement are refused where they ask for something and ignored where they are neutral.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from gateway.embedded.errors import ApiError, refuse

LEGACY_MAX_TOKENS = 16

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

Request = TypeVar("Request", bound="Common")
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
TokenId = Annotated[int, Field(ge=0)]

# What may stand in a field that is not implemented, beside null.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "use_beam_search": (False,),
    "best_of": (1,),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "structured_outputs": (),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "logprob_token_ids": ([],),
    "truncate_prompt_tokens": (),
    "prompt_embeds": (),
    "thinking_token_budget": (-1,),
    "kv_transfer_params": ({},),
    "ec_transfer_params": ({},),
    "chat_template": (),
    "documents": ([],),
    "function_call": ("none",),
    "functions": ([],),
}


class StreamOptions(BaseModel):
    """How usage is told in a stream."""

    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class Common(BaseModel):
    """The fields that both endpoints share."""

    model: str | None = None
    n: int | None = 1
    seed: Int64 | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    prompt_logprobs: int | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    max_tokens: int | None = None

    @property
    def choices(self) -> int:
        """How many answers are asked for, per prompt."""
        return 1 if self.n is None else self.n

    @property
    def usage_frames(self) -> tuple[bool, bool]:
        """Whether usage comes at the stream's end, and in each frame."""
        options = self.stream_options
        at_end = bool(options and options.include_usage)
        return at_end, at_end and bool(options and options.continuous_usage_stats)


class Message(BaseModel, extra="allow"):
    """One message; what else it holds is the template's affair."""

    role: str
    content: str | list[dict[str, Any] | str] | None = None

    def as_mapping(self) -> dict[str, Any]:
        """The message as the template takes it."""
        return self.model_dump(exclude_unset=True)


class ChatRequest(Common):
    """The body of POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    echo: bool = False
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    return_prompt_text: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def conversation(self) -> list[dict[str, Any]]:
        """The messages as the template takes them."""
        return [message.as_mapping() for message in self.messages]

    @property
    def role(self) -> str:
        """Whose words the answer is: the assistant's, unless the last message is continued or repeated."""
        return "assistant" if self.add_generation_prompt else self.messages[-1].role

    @property
    def output_limit(self) -> tuple[str, int | None]:
        """Which of the two limits counts, and its value."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens


class LegacyRequest(Common):
    """The body of POST /v1/completions."""

    prompt: list[TokenId] | list[list[TokenId]] | str | list[str] | None = None
    logprobs: int | None = None
    echo: bool | None = False
    add_special_tokens: bool = True


def read_chat(body: bytes) -> ChatRequest:
    """Check a chat request's body.

    Raises:
        ApiError: 400, as vLLM words it; a wrong type is named by its path, `body.temperature`.
    """
    data = _read_object(body)
    _check_stream_options(data)
    _check_scores(data, "top_logprobs")
    if _number(data, "top_logprobs") not in (None, 0) and not data.get("logprobs"):
        raise refuse("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    _check_tools(data)
    if data.get("continue_final_message") and data.get("add_generation_prompt"):
        raise ApiError("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    return _validate(ChatRequest, data)


def read_legacy(body: bytes) -> LegacyRequest:
    """Check a completion request's body.

    Raises:
        ApiError: 400, as vLLM words it.
    """
    data = _read_object(body)
    _check_scores(data, "logprobs")
    _check_stream_options(data)
    if data.get("prompt") is None or data["prompt"] == "":
        raise refuse("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if data.get("max_tokens") is None:
        data["max_tokens"] = LEGACY_MAX_TOKENS
    return _validate(LegacyRequest, data)


def read_tokenize(body: bytes) -> ChatRequest | LegacyRequest:
    """Check the body of POST /tokenize: of a chat if it has messages, else of a completion with one prompt.

    Raises:
        ApiError: 400, as vLLM words it.
    """
    data = _read_object(body)
    if data.get("continue_final_message") and data.get("add_generation_prompt"):
        raise ApiError("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    if "messages" in data:
        return _validate(ChatRequest, data)
    if not isinstance(data.get("prompt"), str):
        raise _malformed("string_type", "body.prompt", "Input should be a valid string")
    return _validate(LegacyRequest, data)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except json.JSONDecodeError as error:
        raise _malformed("json_invalid", f"body.{error.pos}", "JSON decode error") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of thousands of digits, nested without end
        raise _malformed("json_invalid", "body", "JSON decode error") from error
    if not isinstance(data, dict):
        raise _malformed(
            "model_attributes_type", "body", "Input should be a valid dictionary or object to extract fields from"
        )
    if _ESCAPED_SURROGATE.search(body):
        _check_unicode(data)
    return data


def _check_unicode(data: Mapping[str, Any]) -> None:
    """JSON can escape half a surrogate pair, which is no text."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _malformed("string_unicode", "body", "Input should be a valid string") from error


def _malformed(kind: str, where: str, message: str, count: int = 1) -> ApiError:
    label = "error" if count == 1 else "errors"
    text = f"{count} validation {label}:\n  {{'type': '{kind}', 'loc': '{where}', 'msg': '{message}'}}"
    return ApiError(text, kind="Bad Request", param=where)


def _validate(kind: type[Request], data: dict[str, Any]) -> Request:
    for name, neutral in _NEUTRAL.items():
        if data.get(name) is not None and data[name] not in neutral:
            raise refuse(f"`{name}` is not supported by the embedded upstream.", name)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["body", *(str(part) for part in first["loc"] if _is_public(part))])
        raise _malformed(first["type"], place, first["msg"], error.error_count()) from error


def _is_public(part: int | str) -> bool:
    """pydantic puts the names of union branches between the field names; they mean nothing outside."""
    return isinstance(part, int) or not (set("[]{}()") & set(part) or part in {"str", "int", "float", "bool", "none"})


def _number(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is not None and not isinstance(value, int | float):
        raise refuse(f"`{name}` must be an integer.", name, value)
    return value


def _check_scores(data: Mapping[str, Any], answer_field: str) -> None:
    prompt, answer = _number(data, "prompt_logprobs"), _number(data, answer_field)
    if prompt is not None and data.get("stream") and (prompt > 0 or prompt == -1):
        raise refuse("`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs")
    for name, value in (("prompt_logprobs", prompt), (answer_field, answer)):
        if value is not None and value < 0 and value != -1:
            raise refuse(f"`{name}` must be a positive value or -1.", name, value)


def _check_stream_options(data: Mapping[str, Any]) -> None:
    if data.get("stream_options") and not data.get("stream"):
        raise refuse("Stream options can only be defined when `stream=True`.", "stream_options")


def _check_tools(data: Mapping[str, Any]) -> None:
    """Tools are shown to the template; nothing reads calls out of an answer, and vLLM refuses too without a parser."""
    tools, choice = data.get("tools"), data.get("tool_choice")
    if tools == []:
        raise refuse(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.", "tools"
        )
    if choice is None and tools and "tool_choice" not in data:
        choice = "auto"
    if choice in (None, "none"):
        return
    if not tools:
        raise refuse("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice == "auto":
        raise ApiError('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    raise refuse("`tool_choice` other than none is not supported by the embedded upstream.", "tool_choice")
