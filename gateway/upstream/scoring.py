"""Asks a model how likely it finds given tokens (a completion of token ids with `prompt_logprobs`, vLLM), and the base
how it would begin to answer (a short greedy chat)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from filters.events import UNAVAILABLE, Sample, Unavailable
from filters.specificity.sampling import bits_per_token
from gateway.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from gateway.observe.metrics import Metrics
from gateway.types import Release
from gateway.upstream.client import CHAT, COMPLETIONS, Errand, Server, UpstreamClient
from gateway.upstream.places import Places, Questioner

T = TypeVar("T")


class _Entry(msgspec.Struct, gc=False):
    logprob: float


class _Choice(msgspec.Struct, gc=False):
    prompt_logprobs: list[dict[str, _Entry] | None]


class _Scored(msgspec.Struct, gc=False):
    choices: list[_Choice]


class _Message(msgspec.Struct, gc=False):
    content: str | None = None


class _Began(msgspec.Struct, gc=False):
    message: _Message


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0


class _Opening(msgspec.Struct, gc=False):
    choices: list[_Began]
    usage: _Usage = msgspec.field(default_factory=_Usage)


OPENING_TOKENS: Final = 32  # a refusal has shown itself by then: some 130 English or 40 Chinese characters
_OPENING = msgspec.json.Decoder(_Opening)
_SCORED = msgspec.json.Decoder(_Scored)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a question may cost. Scoring is a prefill with logits for every token: long prompts have ended engines."""

    context_tokens: int = 2048
    deadline: float = 5.0  # seconds, waiting for a place included
    priority: int = 0  # by how much a question comes later than its answer, on servers that schedule by it


class Scorer:
    """Asks one server. What can't be had in time and within bounds is UNAVAILABLE, which never means innocent."""

    def __init__(
        self,
        client: UpstreamClient,
        base: Server,
        bounds: Bounds,
        places: Places,
        metrics: Metrics,
        release: Release,
        specials: Collection[int],
        *,
        of_tuned: bool = False,
    ) -> None:
        """`places` are the base server's, for all models that it is the base of. `specials` are the ids of special
        tokens: messages begin with one, so a long context is cut there. `of_tuned`: the server is the tuned model's."""
        self._of_tuned = of_tuned
        self._client, self._base, self._bounds, self._places = client, base, bounds, places
        self._metrics, self._release, self._specials = metrics, release, frozenset(specials)

    @property
    def deadline(self) -> float:
        """Seconds that a question may take."""
        return self._bounds.deadline

    async def score(
        self, prompt: Sequence[int], answer: Sequence[int], start: int, who: Questioner
    ) -> tuple[float, ...] | Unavailable:
        """Natural log-probabilities of `answer[start:]` after `prompt` and `answer[:start]`."""
        ids, wanted = [*prompt, *answer], len(answer) - start
        return await self._timed(lambda: self._ask(ids, wanted, who, "question"), who)

    async def opening(self, server: Server, request: Mapping[str, Any], who: Questioner) -> str | Unavailable:
        """How the model on `server`, the base as a rule, would begin to answer this chat, at temperature 0. The whole
        of the chat is read, as by a fallback: cut to a bound, what is asked for could be padded out of sight."""
        return await self._timed(lambda: self._begin(server, request, who.errand), who)

    def _count(self, outcome: str, seconds: float) -> None:
        if self._of_tuned:
            self._metrics.tuned_question(self._release, outcome)
        else:
            self._metrics.question(self._release, outcome, seconds)

    async def sample(self, prompt: Sequence[int], sample: Sample, who: Questioner) -> None:
        """The same for the metric's sake, and only while the server has little to do."""
        if not self._places.idle:
            self._metrics.sample(self._release, "skipped")
            return
        wanted = len(sample.ids) - sample.start
        score, _ = await self._placed(lambda: self._ask([*prompt, *sample.ids], wanted, who, "sample"), who)
        if isinstance(score, Unavailable) or len(score) != len(sample.logprobs):
            self._metrics.sample(self._release, "failed")
        else:
            self._metrics.sample(self._release, "scored", bits_per_token(sample.logprobs, score))

    async def _timed(self, ask: Callable[[], Awaitable[T | Unavailable]], who: Questioner) -> T | Unavailable:
        asked = time.monotonic()
        answer, outcome = await self._placed(ask, who)
        self._count(outcome, time.monotonic() - asked)
        return answer

    async def _placed(
        self, ask: Callable[[], Awaitable[T | Unavailable]], who: Questioner
    ) -> tuple[T | Unavailable, str]:
        """An answer in its place and time, and how that went: of QUESTION_OUTCOMES."""
        outcome = "over_limit"
        try:
            async with asyncio.timeout(self._bounds.deadline), self._places.place(who):
                outcome = "late"
                return await ask(), "answered"
        except (TimeoutError, UpstreamTimeout):
            return UNAVAILABLE, outcome
        except GatewayError:
            return UNAVAILABLE, "failed"

    async def _begin(self, server: Server, request: Mapping[str, Any], errand: Errand) -> str:
        body = {**request, "max_tokens": OPENING_TOKENS, "temperature": 0, "priority": self._bounds.priority}
        answer = await self._client.post(server, CHAT, body, errand, self._bounds.deadline)
        try:
            opening = _OPENING.decode(answer)
            raw_opening = opening.choices[0].message.content or ""
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError):
            raise UpstreamBroken("opening") from None
        self._metrics.prefilled(self._release, "opening", opening.usage.prompt_tokens)
        return raw_opening

    async def _ask(self, ids: list[int], wanted: int, who: Questioner, purpose: str) -> tuple[float, ...] | Unavailable:
        ids = self._within_bounds(ids)
        if wanted >= len(ids):  # the first token of a text has no probability
            return UNAVAILABLE
        body = score_body(self._base, ids) | {"priority": self._bounds.priority}
        if not self._of_tuned:
            self._metrics.prefilled(self._release, purpose, len(ids))
        answer = await self._client.post(self._base, COMPLETIONS, body, who.errand, self._bounds.deadline)
        return scores(answer, ids, wanted)

    def _within_bounds(self, ids: list[int]) -> list[int]:
        """The end of the context, from a message's first token where one is near: with less context the base knows
        less, and what it can't know counts as memorised. The error is on the safe side."""
        over = len(ids) - self._bounds.context_tokens
        if over <= 0:
            return ids
        starts = (at for at in range(over, over + self._bounds.context_tokens // 2) if ids[at] in self._specials)
        return ids[next(starts, over) :]


class Samples:
    """Scores harmless text beside the answers that it comes from, which don't wait for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, scorer: Scorer, prompt: Sequence[int], sample: Sample, who: Questioner) -> None:
        """Score this when there is time; returns at once."""
        task = asyncio.get_running_loop().create_task(scorer.sample(prompt, sample, who))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Forget what has not been scored yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def score_body(server: Server, ids: list[int]) -> dict[str, Any]:
    """The request that scores these tokens."""
    return {
        "model": server.model,
        "prompt": ids,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
        "add_special_tokens": False,
    }


def scores(answer: bytes, ids: list[int], wanted: int) -> tuple[float, ...]:
    """The natural log-probabilities of the last `wanted` of `ids` in its answer. Raises UpstreamBroken."""
    try:
        rows = _SCORED.decode(answer).choices[0].prompt_logprobs
        pairs = zip(rows[-wanted:], ids[-wanted:], strict=True)
        return tuple(row[str(token)].logprob for row, token in pairs if row is not None)
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, ValueError):
        raise UpstreamBroken("score") from None
