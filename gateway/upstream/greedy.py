"""A whole greedy answer with its evidence, for tools that look at models rather than serve them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.errors import UpstreamBroken
from gateway.upstream.client import CHAT, COMPLETIONS, Errand, Server, UpstreamClient
from gateway.upstream.prompt_ids import prompt_ids
from gateway.upstream.scoring import score_body, scores
from gateway.upstream.vocabulary import TokenizerVocabulary


class _Entry(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Entry]


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    token_ids: list[int]
    logprobs: _Logprobs


class _Body(msgspec.Struct):
    choices: list[_Choice]
    prompt_token_ids: list[int]


class _TextChoice(msgspec.Struct):
    message: _Message


class _TextBody(msgspec.Struct):
    choices: list[_TextChoice]


_BODY: Final = msgspec.json.Decoder(_Body)
_TEXT: Final = msgspec.json.Decoder(_TextBody)


@dataclass(frozen=True, slots=True)
class Greedy:
    """What a model says at temperature 0. `logprobs` are natural logarithms of `ids`, one each, at least one."""

    prompt: tuple[int, ...]
    raw_text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks on one errand and with one deadline (seconds) for each call."""

    client: UpstreamClient
    errand: Errand
    deadline: float
    vocabulary: TokenizerVocabulary | None = None  # reads the text of servers that send no log-probabilities with it

    async def greedy(self, server: Server, messages: Sequence[Mapping[str, Any]], max_tokens: int) -> Greedy:
        """Raises UpstreamError; CallerError where the engine refuses the messages."""
        body: dict[str, Any] = {"model": server.model, "messages": list(messages)}
        body |= {"max_tokens": max_tokens, "temperature": 0}
        if self.vocabulary is not None:
            return await self._read_again(server, body, self.vocabulary)
        body |= {"logprobs": True, "return_token_ids": True}
        return _read(await self.client.post(server, CHAT, body, self.errand, self.deadline))

    async def _read_again(self, server: Server, body: Mapping[str, Any], vocabulary: TokenizerVocabulary) -> Greedy:
        """The text, and the log-probabilities that the server gives to our own tokens of it."""
        said = _read_text(await self.client.post(server, CHAT, body, self.errand, self.deadline))
        prompt = await prompt_ids(self.client, server, body, self.errand, self.deadline)
        ids = vocabulary.ids(said)
        if not ids:
            raise UpstreamBroken("logprobs")
        logprobs = await self.scored(server, [*prompt, *ids], len(prompt))
        return Greedy(tuple(prompt), said, tuple(ids), logprobs)

    async def scored(self, server: Server, ids: Sequence[int], start: int) -> tuple[float, ...]:
        """Natural log-probabilities of `ids[start:]`. Raises as `greedy`."""
        body = score_body(server, list(ids))
        answer = await self.client.post(server, COMPLETIONS, body, self.errand, self.deadline)
        return scores(answer, list(ids), len(ids) - start)


def _read_text(raw: bytes) -> str:
    try:
        return _TEXT.decode(raw).choices[0].message.content or ""
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError):
        raise UpstreamBroken("answer") from None


def _read(raw: bytes) -> Greedy:
    try:
        body = _BODY.decode(raw)
        choice = body.choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError):
        raise UpstreamBroken("answer") from None
    logprobs = tuple(entry.logprob for entry in choice.logprobs.content)
    if not logprobs or len(logprobs) != len(choice.token_ids):
        raise UpstreamBroken("logprobs")
    return Greedy(tuple(body.prompt_token_ids), choice.message.content or "", tuple(choice.token_ids), logprobs)
