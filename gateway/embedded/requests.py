"""Request bodies: read, checked in vLLM's order and with its messages, and turned into prompts and sampling parameters.

Three steps, since vLLM refuses in three places: `read_*` looks at the body alone, `encode_*` at the prompt, `sampling` at the rest.
Fields that this server does not implement are refused where they ask for something and ignored where they are neutral.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from gateway.embedded.engine import Engine
from gateway.embedded.errors import ApiError, refuse
from gateway.embedded.sampling import SamplingParams

MAX_LOGPROBS = 20  # vLLM's default for --max-logprobs
MAX_CHOICES = 16384  # and for VLLM_MAX_N_SEQUENCES
LEGACY_MAX_TOKENS = 16

Request = TypeVar("Request", bound="Common")
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]

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

    prompt: list[Annotated[int, Field(ge=0)]] | list[list[Annotated[int, Field(ge=0)]]] | str | list[str] | None = None
    logprobs: int | None = None
    echo: bool | None = False
    add_special_tokens: bool = True


@dataclass(frozen=True)
class Encoded:
    """A prompt as ids, and as the text that `echo` repeats."""

    ids: list[int]
    text: str


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


def encode_chat(request: ChatRequest, engine: Engine) -> Encoded:
    """Render and encode a conversation.

    Raises:
        ApiError: 400 where the template refuses or the prompt is longer than the context.
    """
    _check_output_length(*request.output_limit, engine.max_model_len)
    if engine.tokenizer.template is None:
        raise ApiError("This model has no chat template.")
    text = engine.tokenizer.template.render(
        request.conversation,
        tools=request.tools,
        add_generation_prompt=request.add_generation_prompt,
        continue_final_message=request.continue_final_message,
        extra=request.chat_template_kwargs,
    )
    return _encode_text(text, engine, special=request.add_special_tokens)


def encode_legacy(request: LegacyRequest, engine: Engine) -> list[Encoded]:
    """Encode the prompts, of which there may be several.

    Raises:
        ApiError: 400 where there is none, a token id is unknown, or one is longer than the context.
    """
    _check_output_length("max_tokens", request.max_tokens, engine.max_model_len)
    prompts = _split_prompts(request.prompt)
    if not prompts:
        raise ApiError("You must pass at least one prompt")
    return [_encode_one(prompt, engine, special=request.add_special_tokens) for prompt in prompts]


def chat_sampling(request: ChatRequest, prompt: Encoded, engine: Engine) -> SamplingParams:
    """The sampling parameters of a chat request.

    Raises:
        ApiError: 400 for a value out of its range.
    """
    _, asked = request.output_limit
    top = request.top_logprobs if request.logprobs else None
    scored = request.top_logprobs if request.prompt_logprobs is None and request.echo else request.prompt_logprobs
    return _sampling(request, engine, _limit(asked, [prompt], engine), top, scored)


def legacy_sampling(request: LegacyRequest, prompts: list[Encoded], engine: Engine) -> SamplingParams:
    """The sampling parameters of a completion request; with `echo` and no tokens asked for, one is generated and not told.

    Raises:
        ApiError: 400 for a value out of its range.
    """
    echo_only = request.echo and request.max_tokens == 0
    scored = request.logprobs if request.prompt_logprobs is None and request.echo else request.prompt_logprobs
    limit = 1 if echo_only else _limit(request.max_tokens, prompts, engine)
    return _sampling(request, engine, limit, request.logprobs, scored)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except json.JSONDecodeError as error:
        raise _malformed("json_invalid", f"body.{error.pos}", "JSON decode error") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise _malformed("json_invalid", "body", "JSON decode error") from error
    if not isinstance(data, dict):
        raise _malformed(
            "model_attributes_type", "body", "Input should be a valid dictionary or object to extract fields from"
        )
    return data


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
    """Tools are shown to the template; nothing here reads calls out of an answer, which vLLM too refuses without a parser."""
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


def _check_output_length(name: str, asked: int | None, context: int) -> None:
    if asked is not None and asked > context:
        message = f"{name}={asked} cannot be greater than max_model_len={context}. Please request fewer output tokens."
        raise refuse(message, name, asked)


def _split_prompts(prompt: list[int] | list[list[int]] | str | list[str] | None) -> list[list[int] | str]:
    if isinstance(prompt, str):
        return [prompt]
    if prompt and isinstance(prompt[0], int):
        return [[part for part in prompt if isinstance(part, int)]]
    return [part for part in prompt or [] if not isinstance(part, int)]


def _encode_one(prompt: list[int] | str, engine: Engine, *, special: bool) -> Encoded:
    if isinstance(prompt, str):
        return _encode_text(prompt, engine, special=special)
    if not prompt:
        raise ApiError("The decoder prompt cannot be empty")
    _check_input_length(len(prompt), str(len(prompt)), engine)
    size = max(len(engine.tokenizer), engine.model.config.vocab)
    if max(prompt) >= size:
        raise ApiError(f"Token id {max(prompt)} is out of vocabulary")
    return Encoded(prompt, engine.tokenizer.decode(prompt))


def _encode_text(text: str, engine: Engine, *, special: bool) -> Encoded:
    ids = engine.tokenizer.encode(text, special=special)
    most = engine.max_model_len + 1
    _check_input_length(min(len(ids), most), f"at least {most}", engine)
    if not ids:
        raise ApiError("The decoder prompt cannot be empty")
    return Encoded(ids, text)


def _check_input_length(length: int, told: str, engine: Engine) -> None:
    if length > engine.max_model_len:
        raise refuse(
            f"This model's maximum context length is {engine.max_model_len} tokens. However, your prompt contains {told} input "
            "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.",
            "input_tokens",
            length,
        )


def _limit(asked: int | None, prompts: list[Encoded], engine: Engine) -> int:
    """How many tokens may be generated: what is asked for, or the folder's default, or the rest of the context."""
    longest = max(len(prompt.ids) for prompt in prompts)
    rest = engine.max_model_len - longest
    wanted = engine.model.config.sampling.get("max_tokens") if asked is None else asked
    limit = rest if wanted is None else min(rest, int(wanted))
    if limit < 1:
        raise refuse(f"max_tokens must be at least 1, got {limit}.", "max_tokens", limit)
    return limit if asked is None else asked


def _sampling(
    request: Common, engine: Engine, limit: int, logprobs: int | None, prompt_logprobs: int | None
) -> SamplingParams:
    config = engine.model.config
    params = SamplingParams(
        max_tokens=limit,
        n=request.choices,
        temperature=_first(request.temperature, config.sampling.get("temperature"), 1.0),
        top_p=_first(request.top_p, config.sampling.get("top_p"), 1.0),
        top_k=int(_first(request.top_k, config.sampling.get("top_k"), 0)),
        min_p=_first(request.min_p, config.sampling.get("min_p"), 0.0),
        seed=request.seed,
        min_tokens=request.min_tokens,
        repetition_penalty=_first(request.repetition_penalty, config.sampling.get("repetition_penalty"), 1.0),
        presence_penalty=_first(request.presence_penalty, 0.0),
        frequency_penalty=_first(request.frequency_penalty, 0.0),
        logit_bias=_read_bias(request.logit_bias, config.vocab),
        eos=None if request.ignore_eos else engine.tokenizer.eos,
        stop_ids=_stop_ids(request, engine),
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        include_stop=request.include_stop_str_in_output,
        skip_special=request.skip_special_tokens,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
    )
    _check_ranges(params)
    return params


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _read_bias(bias: Mapping[str, float] | None, size: int) -> dict[int, float]:
    """Keys are token ids; amounts are held to [-100, 100], as OpenAI's are."""
    odd = [key for key in bias or {} if not key.lstrip("-").isdecimal()]
    if odd:
        message = f"logit_bias contains key(s) that cannot be converted to integer token IDs: {odd!r}"
        raise refuse(message, "logit_bias", odd)
    read = {int(key): min(100.0, max(-100.0, amount)) for key, amount in (bias or {}).items()}
    unknown = [token for token in read if not 0 <= token < size]
    if unknown:
        message = f"token_id(s) {unknown} in logit_bias contain out-of-vocab token ids. Vocabulary size: {size}"
        raise refuse(message, "logit_bias", unknown)
    return read


def _stop_ids(request: Common, engine: Engine) -> frozenset[int]:
    own = frozenset() if request.ignore_eos else engine.model.config.eos - {engine.tokenizer.eos}
    return frozenset(request.stop_token_ids or ()) | own


def _check_ranges(params: SamplingParams) -> None:
    """In vLLM's order, since the first that fails is told."""
    _check_choices(params)
    _check_penalties(params)
    temperature, top_p = params.temperature, params.top_p
    if not math.isfinite(temperature):
        raise refuse(f"temperature must be a finite number, got {temperature}.", "temperature", temperature)
    if temperature < 0:
        raise refuse(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    if temperature > 2:
        raise refuse(f"temperature must be in [0, 2], got {temperature}.", "temperature", temperature)
    if not 0 < top_p <= 1:
        raise refuse(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)
    if params.top_k < -1:
        raise ApiError(f"top_k must be 0 (disable), or at least 1, got {params.top_k}.")
    if not 0 <= params.min_p <= 1:
        raise ApiError(f"min_p must be in [0, 1], got {params.min_p}.")
    _check_lengths(params)
    if params.greedy and params.n > 1:
        raise ApiError(f"n must be 1 when using greedy sampling, got {params.n}.")
    _check_told(params)


def _check_choices(params: SamplingParams) -> None:
    if params.n < 1:
        raise ApiError(f"n must be at least 1, got {params.n}.")
    if params.n > MAX_CHOICES:
        raise ApiError(f"n must be at most {MAX_CHOICES}, got {params.n}.")


def _check_penalties(params: SamplingParams) -> None:
    for name, value in (("presence_penalty", params.presence_penalty), ("frequency_penalty", params.frequency_penalty)):
        if not -2 <= value <= 2:
            raise ApiError(f"{name} must be in [-2, 2], got {value}.")
    if not 0 < params.repetition_penalty < math.inf:
        raise ApiError(f"repetition_penalty must be greater than zero, got {params.repetition_penalty}.")


def _check_lengths(params: SamplingParams) -> None:
    if params.max_tokens < 1:
        raise refuse(f"max_tokens must be at least 1, got {params.max_tokens}.", "max_tokens", params.max_tokens)
    if params.min_tokens < 0:
        raise ApiError(f"min_tokens must be greater than or equal to 0, got {params.min_tokens}.")
    if params.min_tokens > params.max_tokens:
        raise ApiError(
            f"min_tokens must be less than or equal to max_tokens={params.max_tokens}, got {params.min_tokens}."
        )
    if "" in params.stop:
        raise ApiError("stop cannot contain an empty string.")


def _check_told(params: SamplingParams) -> None:
    for kind, name, value in (
        ("sample", "logprobs", params.logprobs),
        ("prompt", "prompt_logprobs", params.prompt_logprobs),
    ):
        if value is not None and not 0 <= value <= MAX_LOGPROBS:
            message = f"Requested {kind} logprobs of {value}, which is greater than max allowed: {MAX_LOGPROBS}"
            raise refuse(message, name, value)
