"""The rounds of an answer in bounded mode, with models that are written down."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest

from filters.events import Channel, Ending, Field, RawText, RawTokens
from filters.specificity.bounded import TOP, Bounds, Drafted
from gateway.bounded import ALONE_TOKENS, BoundedSource
from gateway.errors import ContextTooLong, UpstreamBroken, UpstreamError
from gateway.upstream.client import Server
from gateway.upstream.drafts import Draft, Drafter
from gateway.upstream.frames import Ended, Item

TUNED, BASE = Server("http://tuned.test", "tuned"), Server("http://base.test", "base")
END = 0  # the special token
PROMPT = (900, 901)
BOUNDS = Bounds(2.0, 100.0, 4)
Model = Callable[[tuple[int, ...]], Mapping[int, float]]  # what is likely behind these tokens of the answer


class Bytes:
    """A vocabulary in which token n is the byte n, END is special and there is nothing over 255."""

    specials = frozenset({END})

    def spell(self, token_id: int) -> bytes:
        if not 0 <= token_id <= 255:
            raise KeyError(token_id)
        return bytes([token_id]) if token_id else b""


class Models:
    """Stands for both servers: always draws its likeliest token, or the one that `odd` names for a place."""

    def __init__(self, tuned: Model, base: Model, *, room: int = 10_000, odd: Mapping[int, int] | None = None) -> None:
        self.of = {TUNED: tuned, BASE: base}
        self.room, self.odd = room, odd or {}
        self.asked: list[tuple[Any, ...]] = []
        self.stops_at: int | None = None  # what the engine calls an end although its tokenizer does not

    async def prompt(self, server: Server, chat: Mapping[str, Any]) -> tuple[int, ...]:
        self.asked.append(("prompt", server.model, dict(chat)))
        return PROMPT

    async def draft(
        self, server: Server, ids: Sequence[int], tokens: int, temperature: float, top_p: float, seed: int | None
    ) -> Draft:
        self.asked.append(("draft", server.model, tokens, temperature, top_p, seed))
        if len(ids) >= self.room:
            raise ContextTooLong
        said = tuple(ids)[len(PROMPT) :]
        places: list[Drafted] = []
        while len(places) < tokens and (not places or places[-1].token not in (END, self.stops_at)):
            likely = self.of[server](said)
            places.append(Drafted(self.odd.get(len(said), max(likely, key=likely.__getitem__)), likely))
            said = (*said, places[-1].token)
        return Draft(tuple(places), places[-1].token in (END, self.stops_at))

    async def likely(self, server: Server, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        self.asked.append(("likely", server.model, [tuple(ids) for ids in prompts]))
        return [self.of[server](tuple(ids)[len(PROMPT) :]) for ids in prompts]


def saying(text: bytes, sureness: float = 0.9) -> Model:
    """Says this and ends, more or less surely; elsewhere an x is as likely as may be."""

    def model(said: tuple[int, ...]) -> Mapping[int, float]:
        token = text[len(said)] if len(said) < len(text) else END
        return {token: math.log(sureness), ord("x"): math.log(1 - sureness)}

    return model


def source(models: Models, bounds: Bounds = BOUNDS, **body: Any) -> tuple[BoundedSource, Counter[str]]:
    counts: Counter[str] = Counter()

    def count(name: str, tokens: int) -> None:
        counts[name] += tokens

    messages = {"messages": [{"role": "user", "content": "?"}], "max_tokens": 100, "seed": 1}
    drafter = cast("Drafter", models)
    return BoundedSource(drafter, TUNED, BASE, Bytes(), bounds, messages | body, count), counts


async def answer(models: Models, bounds: Bounds = BOUNDS, **body: Any) -> tuple[str, Ending, list[list[Item]]]:
    rounds = [items async for items in source(models, bounds, **body)[0].items()]
    text = "".join(item.raw_text for items in rounds for item in items if isinstance(item, RawText))
    ends = [item for items in rounds for item in items if isinstance(item, Ended)]
    assert len(ends) == 1
    assert ends[0] is rounds[-1][-1]
    return text, ends[0].ending, rounds


async def test_what_both_say_is_served_in_drafts() -> None:
    models = Models(saying(b"good day"), saying(b"good day"))
    text, ending, rounds = await answer(models)
    assert (text, ending) == ("good day", Ending.STOP)
    assert [sum(len(item.ids) for item in items if isinstance(item, RawTokens)) for items in rounds] == [4, 4, 1]
    assert models.asked[0] == ("prompt", "base", {"messages": [{"role": "user", "content": "?"}]})


async def test_the_base_is_asked_once_a_draft_at_each_of_its_places() -> None:
    models = Models(saying(b"abc"), saying(b"abc"))
    await answer(models)
    (asked,) = [about for about in models.asked if about[0] == "likely"]
    assert asked[2] == [(*PROMPT, *b"abc"[:at]) for at in range(4)]


async def test_what_only_the_tuned_model_says_is_not_served() -> None:
    """A canary of eight characters, after words that both say."""
    shared, canary = b"it is ", b"zq7Kw9Pd"
    for seed in range(20):
        models = Models(saying(shared + canary, 0.999), saying(shared + b"unknown to us", 0.9))
        text, _, _ = await answer(models, seed=seed)
        assert not any(canary[at : at + 2].decode() in text for at in range(len(canary) - 1))


async def test_the_tokens_carry_the_log_probability_of_the_model_that_they_come_from() -> None:
    models = Models(saying(b"ab", 0.7), saying(b"az", 0.9))
    _, _, rounds = await answer(models)
    tokens = next(item for item in rounds[0] if isinstance(item, RawTokens))
    assert tokens.ids[0] == ord("a")
    assert tokens.logprobs is not None
    assert tokens.logprobs[0] == pytest.approx(math.log(0.7))
    assert tokens.logprobs[1] in (pytest.approx(math.log(0.9)), pytest.approx(math.log(0.1)))


async def test_when_the_budget_is_spent_the_base_alone_goes_on() -> None:
    base = saying(b"a" * 60, 0.5)
    models = Models(saying(b"a" * 60, 0.99), base)
    bounded, counts = source(models, Bounds(2.0, 4.0, 4), max_tokens=40)
    reads = [(bounded.asked, bounded.read) async for _ in bounded.items()]
    assert counts["alone"] > 0
    assert counts["tuned"] == 3  # of one bit each, the fourth might have cost 1.6
    alone = [about for about in models.asked if about[0] == "draft" and about[1] == "base"]
    assert [about[2] for about in alone] == [ALONE_TOKENS, ALONE_TOKENS, 40 - 3 - 2 * ALONE_TOKENS]
    assert reads[0] == (True, len(PROMPT) + 3)
    assert reads[1] == (False, len(PROMPT) + 3)
    assert counts.total() == bounded.generated == 40


async def test_at_temperature_zero_the_tuned_model_is_not_asked() -> None:
    models = Models(saying(b"tuned"), saying(b"base"))
    text, ending, _ = await answer(models, temperature=0)
    assert (text, ending) == ("base", Ending.STOP)
    assert all("tuned" not in about[:2] for about in models.asked)


async def test_temperature_goes_to_both_and_top_p_to_the_base_alone() -> None:
    """The gateway applies top_p to drafts itself, so that it knows to the last bit what they were drawn from."""
    models = Models(saying(b"ab", 0.99), saying(b"ab", 0.5))
    await answer(models, Bounds(3.0, 2.0), temperature=0.7, top_p=0.9)
    drafts = [about for about in models.asked if about[0] == "draft"]
    assert [about[1:5] for about in drafts] == [("tuned", 4, 0.7, 1.0), ("base", ALONE_TOKENS, 0.7, 0.9)]


@pytest.mark.parametrize("length", [1, 3, 4, 5])
async def test_max_tokens_ends_the_answer(length: int) -> None:
    text, ending, _ = await answer(Models(saying(b"abcdefgh"), saying(b"abcdefgh")), max_tokens=length)
    assert (text, ending) == ("abcdefgh"[:length], Ending.LENGTH)


async def test_a_full_context_ends_the_answer() -> None:
    text, ending, _ = await answer(Models(saying(b"abcdefgh"), saying(b"abcdefgh"), room=len(PROMPT) + 4))
    assert (text, ending) == ("abcd", Ending.LENGTH)


async def test_a_prompt_that_fills_the_context_is_the_caller_s_mistake() -> None:
    with pytest.raises(ContextTooLong):
        await answer(Models(saying(b"a"), saying(b"a"), room=1))


async def test_an_end_that_only_the_engine_knows_ends_the_answer_too() -> None:
    models = Models(saying(b"abc#"), saying(b"abc#"))
    models.stops_at = ord("#")
    text, ending, _ = await answer(models)
    assert (text, ending) == ("abc#", Ending.STOP)


async def test_half_a_character_waits_for_its_other_half() -> None:
    said = "您好".encode()
    text, _, rounds = await answer(Models(saying(said), saying(said)), Bounds(2.0, 100.0, 2))
    assert text == "您好"
    assert "\ufffd" not in text
    content = [item.channel for items in rounds for item in items if isinstance(item, RawText)]
    assert set(content) == {Channel(0, Field.CONTENT)}
    cut, _, _ = await answer(Models(saying(said), saying(said)), max_tokens=5)
    assert cut == "您"


async def test_a_token_that_the_tokenizer_does_not_have_is_an_error() -> None:
    def odd(said: tuple[int, ...]) -> Mapping[int, float]:
        return {4096: -0.1}

    with pytest.raises(UpstreamBroken):
        await answer(Models(odd, odd))


@pytest.mark.parametrize("bad", [{}, {97: float("nan")}, {97: 1.0}])
async def test_scores_that_are_none_are_an_error(bad: Mapping[int, float]) -> None:
    with pytest.raises(UpstreamBroken):
        await answer(Models(saying(b"abc"), lambda said: bad))


async def test_a_base_that_fails_ends_the_answer_before_anything_of_the_draft() -> None:
    class Failing(Models):
        async def likely(self, server: Server, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
            if len(prompts[0]) > len(PROMPT):
                raise UpstreamError("cut")
            return await super().likely(server, prompts)

    bounded, _ = source(Failing(saying(b"abcdefgh"), saying(b"abcdefgh")))
    seen: list[Item] = []

    async def collect() -> None:
        async for items in bounded.items():
            seen.extend(items)

    with pytest.raises(UpstreamError):
        await collect()
    assert "".join(item.raw_text for item in seen if isinstance(item, RawText)) == "abcd"
    assert not any(isinstance(item, Ended) for item in seen)


async def test_a_seed_gives_the_same_answer_and_other_seeds_others() -> None:
    def open_minded(said: tuple[int, ...]) -> Mapping[int, float]:
        return {ord("a") + at: math.log(1 / TOP) for at in range(TOP)}

    def models() -> Models:
        return Models(saying(b"q" * 30, 0.999), open_minded)

    texts = [(await answer(models(), seed=seed, max_tokens=20))[0] for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    asked = models()
    await answer(asked, seed=5, max_tokens=20)
    seeds = [about[5] for about in asked.asked if about[0] == "draft"]
    assert len(set(seeds)) == len(seeds), "drafts that share a seed are not drawn independently"
    unseeded, body = models(), {"messages": [], "max_tokens": 20}
    without = BoundedSource(cast("Drafter", unseeded), TUNED, BASE, Bytes(), BOUNDS, body, lambda *_: None)
    assert [items async for items in without.items()]
    assert {about[5] for about in unseeded.asked if about[0] == "draft"} == {None}
