"""What a request asks of the engine: its prompts as token ids, and its sampling parameters, checked against the model.

The order of the checks and their words are vLLM's, since the first that fails is what a client reads.
"""

import math
import re
from collections.abc import Mapping, Sequence

from gateway.embedded.engine import Encoded, Engine
from gateway.embedded.errors import ApiError, refuse
from gateway.embedded.requests import ChatRequest, Common, LegacyRequest
from gateway.embedded.sampling import SamplingParams

MAX_LOGPROBS = 20  # vLLM's default for --max-logprobs
MAX_CHOICES = 16384  # and for VLLM_MAX_N_SEQUENCES
BIAS_LIMIT = 100.0  # OpenAI's

_INTEGER = re.compile(r"-?[0-9]+")


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


def legacy_sampling(request: LegacyRequest, prompts: Sequence[Encoded], engine: Engine) -> SamplingParams:
    """The sampling parameters of a completion request.

    With `echo` and no tokens asked for, one is generated and not told.

    Raises:
        ApiError: 400 for a value out of its range.
    """
    echo_only = request.echo and request.max_tokens == 0
    scored = request.logprobs if request.prompt_logprobs is None and request.echo else request.prompt_logprobs
    limit = 1 if echo_only else _limit(request.max_tokens, prompts, engine)
    return _sampling(request, engine, limit, request.logprobs, scored)


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
    if max(prompt) >= engine.model.config.vocab:
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
            f"This model's maximum context length is {engine.max_model_len} tokens. However, your prompt contains "
            f"{told} input tokens, which exceeds this limit even without any output tokens. Please reduce the length "
            "of the input prompt.",
            "input_tokens",
            length,
        )


def _limit(asked: int | None, prompts: Sequence[Encoded], engine: Engine) -> int:
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
        logprobs=config.vocab if logprobs == -1 else logprobs,
        prompt_logprobs=config.vocab if prompt_logprobs == -1 else prompt_logprobs,
    )
    _check_ranges(params)
    return params


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _read_bias(bias: Mapping[str, float] | None, size: int) -> dict[int, float]:
    """Keys are token ids; amounts are held to the limit on both sides."""
    odd = [key for key in bias or {} if not _INTEGER.fullmatch(key)]
    if odd:
        message = f"logit_bias contains key(s) that cannot be converted to integer token IDs: {odd!r}"
        raise refuse(message, "logit_bias", odd)
    read = {int(key): min(BIAS_LIMIT, max(-BIAS_LIMIT, amount)) for key, amount in (bias or {}).items()}
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
        if value is not None and value > MAX_LOGPROBS:
            message = f"Requested {kind} logprobs of {value}, which is greater than max allowed: {MAX_LOGPROBS}"
            raise refuse(message, name, value)
