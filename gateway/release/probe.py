"""What a pair of model servers shows of itself: asked with OpenAI's protocol and vLLM's `prompt_logprobs` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from gateway.errors import CallerError, UpstreamBroken
from gateway.upstream.client import CHAT, COMPLETIONS, Errand, Server, UpstreamClient
from gateway.upstream.greedy import Asker
from gateway.upstream.prompt_ids import prompt_ids

# Fixed for ever: fingerprints of old releases are of this text. It says nothing that anybody would have to keep.
PUBLIC_TEXT: Final = (
    "The ferry leaves the north pier at half past eight and reaches the island before ten. "
    "Bring a coat: even in July the wind over the water is cold, and the cabin seats only 40.\n"
    "早上八点半，渡船从北码头开出，十点以前到岛上。七月的海风也很凉，请带一件外套。"
)
PUBLIC_CHAT: Final = (
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": "When does the ferry leave?"},
    {"role": "assistant", "content": "At half past eight."},
    {"role": "user", "content": "渡船几点到？"},
)
# Ids around the end of the vocabulary: models that differ in a few added tokens differ in which of them they take.
BEYOND: Final = (-1, 0, 1, 7, 63, 127)
DEADLINE: Final = 60.0  # seconds; an engine's first question may compile kernels
_ERRAND: Final = Errand("release-check")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observed:
    """What one server answered. Log-probabilities are natural logarithms."""

    text_ids: tuple[int, ...]
    chat_ids: tuple[int, ...]
    text: tuple[float, ...]  # of the public text's tokens from the second on
    canary: tuple[float, ...]
    accepts: tuple[bool, ...]  # ids around the vocabulary's end, as in BEYOND
    processed: float  # by how much a sampled token's log-probability depends on the temperature
    context_tokens: int | None


class _Entry(msgspec.Struct):
    logprob: float


class _Legacy(msgspec.Struct):
    token_logprobs: list[float | None]


class _Choice(msgspec.Struct):
    prompt_token_ids: list[int] | None = None
    logprobs: _Legacy | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    prompt_token_ids: list[int] | None = None


class _Card(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


@dataclass(frozen=True, slots=True)
class CanaryText:
    """The canary's tokens, and where its answer begins."""

    ids: tuple[int, ...]
    start: int


class Prober:
    """Asks servers about themselves. All calls raise UpstreamError where a server does not answer as it must."""

    def __init__(self, client: UpstreamClient, vocabulary_size: int, *, scored: bool = False) -> None:
        """`scored`: the servers send no log-probabilities with what they write, but score a given text."""
        self._client, self._size, self._scored = client, vocabulary_size, scored
        self._asker = Asker(client, _ERRAND, DEADLINE)

    async def observe(self, server: Server, canary: CanaryText) -> Observed:
        """Everything that a release or a pair is judged by."""
        text_ids = await self.text_ids(server, PUBLIC_TEXT)
        return Observed(
            text_ids=text_ids,
            chat_ids=await self.chat_ids(server, PUBLIC_CHAT),
            text=await self._asker.scored(server, text_ids, 1),
            canary=await self._asker.scored(server, canary.ids, canary.start),
            accepts=tuple([await self._takes(server, self._size + past) for past in BEYOND]),
            processed=await self._processed(server, text_ids),
            context_tokens=await self._context(server),
        )

    async def text_ids(self, server: Server, text: str) -> tuple[int, ...]:
        """The tokens that the server makes of a plain text."""
        if self._scored:
            return await self._prompt_ids(server, {"prompt": text})
        answer = await self._ask(server, COMPLETIONS, {"prompt": text, "return_token_ids": True})
        return _ids(answer.choices[0].prompt_token_ids)

    async def chat_ids(self, server: Server, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The tokens that the server's chat template makes of these messages, with the answer's beginning."""
        if self._scored:
            return await self._prompt_ids(server, {"messages": list(messages)})
        answer = await self._ask(server, CHAT, {"messages": list(messages), "return_token_ids": True})
        return _ids(answer.prompt_token_ids)

    async def _prompt_ids(self, server: Server, body: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(await prompt_ids(self._client, server, body, _ERRAND, DEADLINE))

    async def _takes(self, server: Server, token_id: int) -> bool:
        try:
            await self._ask(server, COMPLETIONS, {"prompt": [token_id]})
        except CallerError:
            return False
        return True

    async def _processed(self, server: Server, ids: Sequence[int]) -> float:
        """The difference between the first choice's log-probability at a low temperature and at 1; scores of a given
        text have no temperature."""
        if self._scored:
            return 0.0
        low, high = [await self._first_choice(server, ids, temperature) for temperature in (0.1, 1.0)]
        return abs(low - high)

    async def _first_choice(self, server: Server, ids: Sequence[int], temperature: float) -> float:
        sampling = {"temperature": temperature, "top_k": 1, "logprobs": 0}
        answer = await self._ask(server, COMPLETIONS, {"prompt": list(ids), **sampling})
        entry = answer.choices[0].logprobs
        if entry is None or not entry.token_logprobs or entry.token_logprobs[0] is None:
            raise UpstreamBroken("logprobs")
        return entry.token_logprobs[0]

    async def _context(self, server: Server) -> int | None:
        raw = await self._client.models(server, _ERRAND, DEADLINE)
        cards = _decoded(raw, _Cards).data
        return next((card.max_model_len for card in cards if card.id == server.model), None)

    async def _ask(self, server: Server, path: str, body: Mapping[str, Any]) -> _Answer:
        whole = {"model": server.model, "max_tokens": 1, "temperature": 0, **body}
        answer = _decoded(await self._client.post(server, path, whole, _ERRAND, DEADLINE), _Answer)
        if not answer.choices:
            raise UpstreamBroken("choices")
        return answer


def _decoded(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("json") from None


def _ids(ids: list[int] | None) -> tuple[int, ...]:
    if not ids:
        raise UpstreamBroken("token_ids")
    return tuple(ids)
