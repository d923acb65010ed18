"""An answer in bounded mode (filters/specificity/bounded.py): the tuned model drafts, the base bounds.

The shell of that file: rounds of one draft and one question, until a token ends the answer. Its items go through the
pipeline like those of any stream, so that all filters stay on. A server that fails ends the answer with its error; what
was drafted and not settled has not even become text.
"""

from __future__ import annotations

import codecs
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, Protocol

from filters.events import Channel, Ending, Field, RawText, RawTokens
from filters.specificity.bounded import BoundedAnswer, Bounds, Sampling, Served
from gateway.errors import ContextTooLong, UpstreamBroken
from gateway.upstream.client import Server
from gateway.upstream.drafts import Draft, Drafter
from gateway.upstream.frames import Ended, Item

ALONE_TOKENS: Final = 16  # that the base says at once when it goes on alone: no more are waited for at an answer's end
_SEED_BITS: Final = 62
_CONTENT: Final = Channel(0, Field.CONTENT)
# What a chat template reads of a request.
_TEMPLATE_FIELDS: Final = (
    "messages",
    "continue_final_message",
    "add_generation_prompt",
    "reasoning_effort",
    "chat_template_kwargs",
)


class Speller(Protocol):
    """The pair's vocabulary."""

    @property
    def specials(self) -> frozenset[int]: ...

    def spell(self, token_id: int) -> bytes: ...


class Meter(Protocol):
    """Counts tokens by where they came from: "tuned", "base", or "alone" when the base went on alone."""

    def __call__(self, source: str, count: int) -> None: ...


class BoundedSource:
    """The items of one answer. `prompt` is known from the first item on."""

    def __init__(
        self,
        drafter: Drafter,
        tuned: Server,
        base: Server,
        vocabulary: Speller,
        bounds: Bounds,
        body: Mapping[str, Any],
        count: Meter,
    ) -> None:
        """`body` is the plan's; of sampling it holds temperature, top_p and seed at most."""
        self._drafter, self._tuned, self._base, self._bounds, self._count = drafter, tuned, base, bounds, count
        self._chat = {name: body[name] for name in _TEMPLATE_FIELDS if name in body}
        self._sampling = Sampling(body.get("temperature", 1.0), body.get("top_p", 1.0))
        self._seeded = "seed" in body
        # A seed is the caller's wish to get the same again; without one nobody can foresee the draws.
        self._rng = random.Random(body["seed"]) if self._seeded else random.SystemRandom()  # noqa: S311
        self._answer = BoundedAnswer(bounds, self._sampling, self._rng)
        self._writer = _Writer(vocabulary, int(body["max_tokens"]))
        self.prompt: tuple[int, ...] = ()
        self.asked = False  # whether the base was, in the last round
        self.read = 0  # tokens that the base was given to read in the last round, what drafts share counted once

    async def items(self) -> AsyncGenerator[list[Item], None]:
        """One list a round; the last holds an Ended.

        Raises UpstreamError, and CallerError where the engine refuses the messages.
        """
        self.prompt = await self._drafter.prompt(self._base, self._chat)
        while not self._writer.ended:
            try:
                served, draft = await self._round()
            except ContextTooLong:
                if not self._writer.ids:
                    raise
                yield self._writer.full()
            else:
                yield self._writer.write(served, draft)

    @property
    def generated(self) -> int:
        """Tokens so far."""
        return len(self._writer.ids)

    async def _round(self) -> tuple[Sequence[Served], Draft]:
        self.asked = not self._answer.alone
        self.read = len(self.prompt) + len(self._writer.ids)
        if self._answer.alone:
            draft = await self._draft(self._base, ALONE_TOKENS, self._sampling.top_p)
            self._count("alone", len(draft.places))
            return [Served(place.token, place.logprobs[place.token], from_base=True) for place in draft.places], draft
        draft = await self._draft(self._tuned, self._bounds.draft_tokens, 1.0)
        self.read += len(draft.places) - 1
        served = await self._settled(draft)
        replaced = sum(one.from_base for one in served)
        self._count("base", replaced)
        self._count("tuned", len(served) - replaced)
        return served, draft

    async def _draft(self, server: Server, tokens: int, top_p: float) -> Draft:
        seed = self._rng.getrandbits(_SEED_BITS) if self._seeded else None
        ids = [*self.prompt, *self._writer.ids]
        tokens = min(tokens, self._writer.left)
        return await self._drafter.draft(server, ids, tokens, self._sampling.temperature, top_p, seed)

    async def _settled(self, draft: Draft) -> list[Served]:
        before = accumulate(((place.token,) for place in draft.places[:-1]), initial=())
        prompts = [[*self.prompt, *self._writer.ids, *tokens] for tokens in before]
        try:
            return self._answer.settle(draft.places, await self._drafter.likely(self._base, prompts))
        except ValueError:
            raise UpstreamBroken("logprobs") from None


class _Writer:
    """Tokens into text, up to the end of the answer."""

    def __init__(self, vocabulary: Speller, max_tokens: int) -> None:
        self._vocabulary, self._max_tokens = vocabulary, max_tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.ids: list[int] = []
        self.ended = False

    @property
    def left(self) -> int:
        return self._max_tokens - len(self.ids)

    def write(self, served: Sequence[Served], draft: Draft) -> list[Item]:
        """Special tokens are no text: one that a model says in an answer ends it, as does what the engine called the
        end of the draft if it was served."""
        specials = self._vocabulary.specials
        end = next((at for at, one in enumerate(served, start=1) if one.token in specials), None)
        last = served[: end or len(served)]
        self.ids += (one.token for one in last)
        if end or (draft.stopped and [one.token for one in served] == [place.token for place in draft.places]):
            return self._items(last, Ending.STOP)
        return self._items(last, Ending.LENGTH if self.left <= 0 else None)

    def full(self) -> list[Item]:
        """The end where the model's context has no more room."""
        return self._items((), Ending.LENGTH)

    def _items(self, served: Sequence[Served], ending: Ending | None) -> list[Item]:
        try:
            spelled = b"".join(self._vocabulary.spell(one.token) for one in served)
        except KeyError:
            raise UpstreamBroken("token_ids") from None
        text = self._decoder.decode(spelled)  # half a character at the end of an answer is no text
        items: list[Item] = []
        if served:
            ids, logprobs = tuple(one.token for one in served), tuple(one.logprob for one in served)
            items.append(RawTokens(0, ids, logprobs))
        if text:
            items.append(RawText(_CONTENT, text))
        if ending is not None:
            self.ended = True
            items.append(Ended(0, ending))
        return items
