"""What bounded decoding asks of model servers: a prompt's tokens, a draft, and what a model holds likely next.

All are completions of token ids (vLLM's `return_token_ids`, `return_tokens_as_token_ids`, `logprobs`). The base is
asked at all places of a draft in one request of several prompts, each a token longer, and not with `prompt_logprobs`:
vLLM answers the latter without its prefix cache, a whole prefill and full-vocabulary logits of the whole context for
each draft, while of the former only the last block of tokens is computed anew (figures: docs/bounded.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from filters.specificity.bounded import TOP, Drafted
from gateway.errors import CallerError, ContextTooLong, UpstreamBroken, UpstreamError
from gateway.upstream.client import CHAT, COMPLETIONS, Errand, Server, UpstreamClient
from gateway.upstream.replicas import Replica

_NAMED: Final = "token_id:"
# Engines take what a request leaves out from the model's folder, and these would change what is drawn from.
_PLAIN: Final[Mapping[str, Any]] = {
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "add_special_tokens": False,
    "logprobs": TOP,
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
}

T = TypeVar("T")


class _Logprobs(msgspec.Struct, gc=False):
    top_logprobs: list[dict[str, float]]


class _Choice(msgspec.Struct, gc=False):
    index: int
    token_ids: list[int]
    logprobs: _Logprobs
    finish_reason: str | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice]


class _Chat(msgspec.Struct, gc=False):
    prompt_token_ids: list[int]


_COMPLETION = msgspec.json.Decoder(_Completion)
_CHAT = msgspec.json.Decoder(_Chat)


@dataclass(frozen=True, slots=True)
class Draft:
    """At least one token; `stopped`: the model ended its answer with the last."""

    places: tuple[Drafted, ...]
    stopped: bool


@dataclass(frozen=True, slots=True)
class Drafter:
    """Asks for one answer, each call within `seconds`.

    All calls raise UpstreamError, and ContextTooLong where the model has no room for the tokens.
    """

    client: UpstreamClient
    errand: Errand
    seconds: float
    asks: Callable[[Server, Replica], None] = lambda server, replica: None  # before each call

    async def prompt(self, server: Server, chat: Mapping[str, Any]) -> tuple[int, ...]:
        """The tokens that the chat template makes of `chat` (messages, and what else the template reads).

        Raises CallerError where the engine refuses these.
        """
        body = {**chat, "model": server.model, "max_tokens": 1, "temperature": 0, "return_token_ids": True}
        ids = _decoded(_CHAT, await self._post(server, CHAT, body)).prompt_token_ids
        if not ids:
            raise UpstreamBroken("token_ids")
        return tuple(ids)

    async def draft(
        self, server: Server, ids: Sequence[int], tokens: int, temperature: float, top_p: float, seed: int | None
    ) -> Draft:
        """Up to `tokens` drawn behind `ids` from the TOP likeliest."""
        sampling = {"max_tokens": tokens, "temperature": temperature, "top_p": top_p, "top_k": TOP}
        body = {"model": server.model, "prompt": list(ids), **_PLAIN, **sampling}
        if seed is not None:
            body["seed"] = seed
        choices = await self._complete(server, body)
        if len(choices) != 1:
            raise UpstreamBroken("choices")
        places = _places(choices[0])
        if len(places) > tokens:
            raise UpstreamBroken("token_ids")
        return Draft(places, choices[0].finish_reason == "stop")

    async def likely(self, server: Server, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        """Natural log-probabilities of the TOP likeliest tokens behind each of these prompts."""
        body = {
            "model": server.model,
            "prompt": [list(ids) for ids in prompts],
            **_PLAIN,
            "max_tokens": 1,
            "temperature": 0,
        }
        choices = await self._complete(server, body)
        by_index = sorted(choices, key=lambda choice: choice.index)
        if [choice.index for choice in by_index] != list(range(len(prompts))):
            raise UpstreamBroken("choices")
        return [_places(choice)[0].logprobs for choice in by_index]

    async def _complete(self, server: Server, body: Mapping[str, Any]) -> list[_Choice]:
        """These requests are our own: what an engine dislikes in them, but for their length, is no caller's mistake."""
        try:
            return _decoded(_COMPLETION, await self._post(server, COMPLETIONS, body)).choices
        except ContextTooLong:
            raise
        except CallerError:
            raise UpstreamError("refused") from None

    async def _post(self, server: Server, path: str, body: Mapping[str, Any]) -> bytes:
        return await self.client.post(server, path, body, self.errand, self.seconds, partial(self.asks, server))


def _decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("json") from None


def _places(choice: _Choice) -> tuple[Drafted, ...]:
    """Raises UpstreamBroken unless each token stands among the likely ones of its place."""
    try:
        tops = [{_id(name): value for name, value in top.items()} for top in choice.logprobs.top_logprobs]
        places = tuple(Drafted(token, top) for token, top in zip(choice.token_ids, tops, strict=True))
    except ValueError:
        raise UpstreamBroken("logprobs") from None
    if not places or any(place.token not in place.logprobs for place in places):
        raise UpstreamBroken("logprobs")
    return places


def _id(name: str) -> int:
    if not name.startswith(_NAMED):
        raise ValueError
    return int(name[len(_NAMED) :])
