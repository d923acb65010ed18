"""The shapes of vLLM 0.32's answers: which field stands where, which is null and which is absent.

Everything here is a function of the request and the engine's outputs; tests/vectors/vllm_frames holds what vLLM itself answered.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from gateway.embedded.engine import Output, Prompt
from gateway.embedded.requests import ChatRequest, Common, Encoded, LegacyRequest
from gateway.embedded.sampling import Position
from gateway.embedded.tokenizer import TextTokenizer

WIRE_VERSION = "0.32.0"  # the vLLM release whose shapes these are

Json = dict[str, Any]


@dataclass
class Told:
    """Names the tokens of one choice, or of one prompt, as its log-probabilities do: each with the ids before it."""

    tokenizer: TextTokenizer
    as_ids: bool = False
    context: list[int] = field(default_factory=list)

    def names(self, position: Position) -> dict[int, str]:
        """The text of each candidate at the next position, whose own token is the first."""
        named = {token: self.tokenizer.token_text(token, self.context) for token in position}
        self.context = [*self.context[-8:], next(iter(position))]
        return named


@dataclass(frozen=True)
class Head:
    """What every frame of one answer begins with."""

    id: str
    model: str
    fingerprint: str
    created: int = field(default_factory=lambda: int(time.time()))

    @staticmethod
    def new(prefix: str, model: str, fingerprint: str) -> "Head":
        """A head with an id of its own."""
        return Head(f"{prefix}-{secrets.token_hex(8)}", model, fingerprint)

    def frame(self, kind: str, choices: list[Json]) -> Json:
        """The beginning of a frame or answer."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


class ChatFrames:
    """The frames and the whole answer of one chat request."""

    def __init__(self, request: ChatRequest, head: Head, prompt: Prompt, tokenizer: TextTokenizer, echo: str) -> None:
        self._request, self._head, self._prompt, self._tokenizer, self._echo = request, head, prompt, tokenizer, echo
        self._told = [_told(request, tokenizer) for _ in range(request.choices)]
        self._counts = [0] * request.choices
        self._usage_at_end, self._usage_always = request.usage_frames

    def opening(self, text: str | None) -> Iterable[Json]:
        """The frames before the first token: the role, and what `echo` repeats; `text` is the prompt's, where asked for."""
        ids = list(self._prompt.ids) if self._request.return_token_ids else None
        for index in range(self._request.choices):
            choice = {
                "index": index,
                "delta": {"role": self._request.role, "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
            yield self._frame(choice, 0, {"prompt_token_ids": ids, "prompt_text": text})
        for index in range(self._request.choices if self._echo else 0):
            choice = {"index": index, "delta": {"content": self._echo}, "logprobs": None, "finish_reason": None}
            yield self._frame(choice, 0, {})

    def frame(self, output: Output) -> Json:
        """One token's frame."""
        self._counts[output.lane] += 1
        choice: Json = {
            "index": output.lane,
            "delta": {"content": output.text},
            "logprobs": self._logprobs([output], self._told[output.lane]),
            "finish_reason": output.finish,
            **({"stop_reason": output.stop} if output.finish else {}),
            "token_ids": [output.token] if self._request.return_token_ids else None,
        }
        closing = {} if self._usage_at_end or not output.finish else {"system_fingerprint": self._head.fingerprint}
        return self._frame(choice, self._counts[output.lane], closing)

    def closing(self) -> Iterable[Json]:
        """The frame after the last token, where usage is asked for."""
        if self._usage_at_end:
            usage = _usage(len(self._prompt.ids), sum(self._counts))
            yield {
                **self._head.frame("chat.completion.chunk", []),
                "usage": usage,
                "system_fingerprint": self._head.fingerprint,
            }

    def answer(self, outputs: Sequence[Output], text: str | None) -> Json:
        """The whole answer, of a request that does not stream."""
        choices = [self._choice(index, _of(outputs, index)) for index in range(self._request.choices)]
        return {
            **self._head.frame("chat.completion", choices),
            "service_tier": None,
            "system_fingerprint": self._head.fingerprint,
            "usage": _full_usage(len(self._prompt.ids), len(outputs)),
            "prompt_logprobs": _prompt_logprobs(self._prompt, self._tokenizer),
            "prompt_token_ids": list(self._prompt.ids) if self._request.return_token_ids else None,
            "prompt_text": text,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _frame(self, choice: Json, generated: int, more: Json) -> Json:
        usage = _usage(len(self._prompt.ids), generated) | {"completion_tokens_details": None}
        return {
            **self._head.frame("chat.completion.chunk", [choice]),
            **({"usage": usage} if self._usage_always else {}),
            **more,
        }

    def _choice(self, index: int, outputs: Sequence[Output]) -> Json:
        message = {
            "role": self._request.role,
            "content": self._echo + "".join(output.text for output in outputs),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": None,
        }
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(outputs, self._told[index]),
            "finish_reason": outputs[-1].finish,
            "stop_reason": outputs[-1].stop,
            "token_ids": [output.token for output in outputs] if self._request.return_token_ids else None,
            "routed_experts": None,
        }

    def _logprobs(self, outputs: Sequence[Output], told: Told) -> Json | None:
        if not self._request.logprobs:
            return None
        return {"content": [self._token(output.position, told) for output in outputs if output.position is not None]}

    def _token(self, position: Position, told: Told) -> Json:
        names = told.names(position)
        entries = [_chat_token(token, names[token], scored.logprob, told.as_ids) for token, scored in position.items()]
        own = {**entries[0], "bytes": list(names[next(iter(position))].encode())}
        top = entries if self._request.top_logprobs == -1 else entries[: self._request.top_logprobs]
        return {**own, "top_logprobs": top}


class LegacyFrames:
    """The frames and the whole answer of one completion request, which may hold several prompts."""

    def __init__(
        self,
        request: LegacyRequest,
        head: Head,
        prompts: Sequence[Prompt],
        encoded: Sequence[Encoded],
        tokenizer: TextTokenizer,
    ) -> None:
        self._request, self._head, self._prompts, self._encoded = request, head, prompts, encoded
        self._tokenizer = tokenizer
        lanes = len(prompts) * request.choices
        self._told = [_told(request, tokenizer) for _ in range(lanes)]
        self._counts = [0] * lanes
        self._offsets = [0] * lanes
        self._usage_at_end, self._usage_always = request.usage_frames

    def frame(self, output: Output) -> Json:
        """One token's frame; the first of each choice carries the prompt where that is asked for."""
        first, index = not self._counts[output.lane], output.lane
        wanted = self._request.return_token_ids or self._request.echo
        self._counts[index] += 1
        choice = {
            "index": index,
            "text": (self._echo(index) if first else "") + self._text(output),
            "logprobs": self._logprobs([output], index, with_prompt=first),
            "finish_reason": output.finish,
            "stop_reason": output.stop,
            "prompt_token_ids": list(self._prompt(index).ids) if first and wanted else None,
            "token_ids": [output.token] if self._request.return_token_ids else None,
        }
        more: Json = {}
        if self._usage_always:
            more["usage"] = _usage(len(self._prompt(index).ids), self._counts[index])
        if output.finish and not self._usage_at_end:
            more["system_fingerprint"] = self._head.fingerprint
        return {**self._head.frame("text_completion", [choice]), **more}

    def closing(self) -> Iterable[Json]:
        """The frame after the last token, where usage is asked for."""
        if self._usage_at_end:
            usage = _usage(self._prompt_total(), sum(self._counts))
            yield {
                **self._head.frame("text_completion", []),
                "usage": usage,
                "system_fingerprint": self._head.fingerprint,
            }

    def answer(self, outputs: Sequence[Output]) -> Json:
        """The whole answer, of a request that does not stream."""
        choices = [self._choice(index, _of(outputs, index)) for index in range(len(self._told))]
        return {
            **self._head.frame("text_completion", choices),
            "service_tier": None,
            "system_fingerprint": self._head.fingerprint,
            "usage": _full_usage(self._prompt_total(), len(outputs)),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _choice(self, index: int, outputs: Sequence[Output]) -> Json:
        return {
            "index": index,
            "text": self._echo(index) + "".join(self._text(output) for output in outputs),
            "logprobs": self._logprobs(outputs, index, with_prompt=True),
            "finish_reason": outputs[-1].finish,
            "stop_reason": outputs[-1].stop,
            "token_ids": [output.token for output in outputs] if self._request.return_token_ids else None,
            "prompt_logprobs": _prompt_logprobs(self._prompt(index), self._tokenizer),
            "prompt_token_ids": self._prompt_ids(index),
            "routed_experts": None,
        }

    def _logprobs(self, outputs: Sequence[Output], index: int, *, with_prompt: bool) -> Json | None:
        """The legacy object: four lists in step; offsets count the characters of the token names before."""
        if self._request.logprobs is None:
            return None
        rows: list[tuple[str, float | None, dict[str, float] | None]] = []
        if with_prompt and self._request.echo:
            rows += self._prompt_rows(self._prompt(index))
        if not self._echo_only:
            rows += [self._row(output.position, self._told[index]) for output in outputs if output.position is not None]
        names = [name for name, _, _ in rows]
        starts = list(accumulate(map(len, names), initial=self._offsets[index]))
        self._offsets[index] = starts.pop()
        return {
            "text_offset": starts,
            "token_logprobs": [logprob for _, logprob, _ in rows],
            "tokens": names,
            "top_logprobs": [top for _, _, top in rows],
        }

    def _prompt_rows(self, prompt: Prompt) -> list[tuple[str, float | None, dict[str, float] | None]]:
        told = _told(self._request, self._tokenizer)
        first = _name(prompt.ids[0], self._tokenizer.decode(prompt.ids[:1]), told.as_ids)
        rest = [self._row(position, told) for position in prompt.scores or [] if position is not None]
        return [(first, None, None), *rest]

    def _row(self, position: Position, told: Told) -> tuple[str, float, dict[str, float]]:
        """A token, its log-probability, and its rivals by name: the token's own entry, then as many as were asked for."""
        names = {token: _name(token, name, told.as_ids) for token, name in told.names(position).items()}
        own = next(iter(position))
        asked = self._request.logprobs or 0
        top = list(position.items())[: None if asked == -1 else asked + 1]
        return names[own], position[own].logprob, {names[token]: scored.logprob for token, scored in top}

    @property
    def _echo_only(self) -> bool:
        return bool(self._request.echo) and self._request.max_tokens == 0

    def _text(self, output: Output) -> str:
        return "" if self._echo_only else output.text

    def _echo(self, index: int) -> str:
        """The prompt's text, unless its ids are asked for: they stand in for it."""
        wanted = self._request.echo and not self._request.return_token_ids
        return self._encoded[index // self._request.choices].text if wanted else ""

    def _prompt(self, index: int) -> Prompt:
        return self._prompts[index // self._request.choices]

    def _prompt_ids(self, index: int) -> list[int] | None:
        return list(self._prompt(index).ids) if self._request.return_token_ids else None

    def _prompt_total(self) -> int:
        return sum(len(prompt.ids) for prompt in self._prompts)


def model_card(name: str, root: str, parent: str | None, max_model_len: int, created: int) -> Json:
    """One entry of GET /v1/models."""
    permission = {
        "id": f"modelperm-{secrets.token_hex(8)}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len,
        "permission": [permission],
    }


def _told(request: Common, tokenizer: TextTokenizer) -> Told:
    return Told(tokenizer, bool(request.return_tokens_as_token_ids))


def _name(token: int, text: str, as_ids: bool) -> str:
    return f"token_id:{token}" if as_ids else text


def _chat_token(token: int, text: str, logprob: float, as_ids: bool) -> Json:
    name = _name(token, text, as_ids)
    return {"token": name, "logprob": logprob, "bytes": list(name.encode())}


def _prompt_logprobs(prompt: Prompt, tokenizer: TextTokenizer) -> list[Mapping[str, Json] | None] | None:
    """Per position an object by token id, the prompt's own token first; null for the first position."""
    if prompt.scores is None:
        return None
    told = Told(tokenizer)
    return [None if position is None else _scored_tokens(position, told) for position in prompt.scores]


def _scored_tokens(position: Position, told: Told) -> dict[str, Json]:
    names = told.names(position)
    return {
        str(token): {"logprob": scored.logprob, "rank": scored.rank, "decoded_token": names[token]}
        for token, scored in position.items()
    }


def _usage(prompt: int, generated: int) -> Json:
    return {"prompt_tokens": prompt, "total_tokens": prompt + generated, "completion_tokens": generated}


def _full_usage(prompt: int, generated: int) -> Json:
    return _usage(prompt, generated) | {"prompt_tokens_details": None, "completion_tokens_details": None}


def _of(outputs: Sequence[Output], lane: int) -> list[Output]:
    return [output for output in outputs if output.lane == lane]
