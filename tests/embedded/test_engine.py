"""Stop strings, turns between requests, seeds, and the end of a run that nobody reads."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.embedded.engine import Encoded, Engine, Output, StopText
from gateway.embedded.llama import load_llama
from gateway.embedded.sampling import SamplingParams
from gateway.embedded.tokenizer import TextTokenizer

PROMPT = Encoded([0, 120, 80, 90], "prompt")


@settings(deadline=None)
@given(
    text=st.text("abc", max_size=30),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    include=st.booleans(),
    cuts=st.lists(st.integers(0, 30)),
)
def test_stop_text_is_the_same_however_it_is_cut(text: str, stops: list[str], include: bool, cuts: list[int]) -> None:
    """Character by character is the definition; any other cutting finds a stop that ends no earlier than that."""
    expected, _ = fed(list(text), stops, include)
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if ends:
        assert len(expected) <= min(ends)
    else:
        assert expected == text
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = [text[a:b] for a, b in pairwise(edges)]
    assert fed(parts, stops, include)[0] == expected


def test_what_may_become_a_stop_string_is_held() -> None:
    held = StopText(["xyz"], include=False)
    assert [(held.add(delta), held.take(False)) for delta in ("ab", "x", "y", "c")] == [
        (None, ""),
        (None, "a"),
        (None, "b"),
        (None, "x"),
    ]
    assert held.take(True) == "yc"


def test_the_stop_string_that_ends_first_counts() -> None:
    assert fed(["abcd"], ["bcd", "bc", "c"], False) == ("a", "bc")
    assert fed(["abcd"], ["bcd", "c"], True) == ("abc", "c")


def test_an_unarmed_stop_string_is_text() -> None:
    text = StopText(["b"], include=False)
    assert text.add("ab", armed=False) is None
    assert text.add("c") is None
    assert text.take(True) == "abc"


async def test_the_same_seed_gives_the_same_answer_beside_other_requests(engine: Engine) -> None:
    alone = await told(engine, seed=3)
    together = await asyncio.gather(*[told(engine, seed=seed) for seed in (3, 4, 3, -1)])
    assert alone == together[0] == together[2]
    assert len({*map(str, together)}) == 3


async def test_choices_differ_and_keep_their_seed(engine: Engine) -> None:
    answers = await told(engine, seed=3, n=3)
    lanes = [[output.token for output in answers if output.lane == lane] for lane in range(3)]
    assert len({*map(tuple, lanes)}) == 3
    assert lanes[0] == [output.token for output in await told(engine, seed=3)]


async def test_without_a_seed_answers_differ(engine: Engine) -> None:
    assert await told(engine) != await told(engine)


async def test_requests_take_turns(engine: Engine) -> None:
    order = ""

    async def follow(name: str) -> None:
        nonlocal order
        run = await engine.generate([PROMPT], SamplingParams(30, temperature=0.0))
        async for _ in run.outputs:
            order += name

    await asyncio.gather(follow("a"), follow("b"))
    assert order.count("a") == order.count("b") == 30
    assert "aaaaa" not in order
    assert "bbbbb" not in order


async def test_a_run_that_nobody_reads_ends(engine: Engine) -> None:
    run = await engine.generate([PROMPT], SamplingParams(200, temperature=0.0))
    assert (await anext(run.outputs)).lane == 0
    assert engine.running == 1
    await run.outputs.aclose()
    assert engine.running == 0


async def test_the_loop_stays_free_while_a_prompt_is_read(engine: Engine) -> None:
    """A busy prompt of the whole context: the loop's ticks keep coming meanwhile."""
    ticks = 0
    work = asyncio.create_task(engine.generate([Encoded([5] * 250, "")] * 20, SamplingParams(1, prompt_logprobs=20)))
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 20


async def test_the_context_ends_an_answer(engine: Engine) -> None:
    prompt = Encoded([5] * (engine.max_model_len - 3), "")
    run = await engine.generate([prompt], SamplingParams(100, temperature=0.0))
    assert [output.finish async for output in run.outputs] == [None, None, "length"]


async def test_a_prompt_that_goes_on_from_another_gets_the_same_scores(engine: Engine) -> None:
    """It is computed from there; alone it is computed whole."""
    ids = [0, 120, 80, 90, 77, 301 % 256, 12]
    many = [ids[:4], ids[:5], ids, [7, *ids], ids]
    params = SamplingParams(1, temperature=0.0, logprobs=20)
    run = await engine.generate([Encoded(each, "") for each in many], params)
    together = {output.lane: output.position async for output in run.outputs}
    for lane, each in enumerate(many):
        alone = [output.position async for output in (await engine.generate([Encoded(each, "")], params)).outputs]
        assert alone[0] is not None
        assert together[lane] is not None
        assert together[lane].keys() == alone[0].keys()
        for token, scored in alone[0].items():
            assert together[lane][token].logprob == pytest.approx(scored.logprob, abs=1e-4)


@pytest.fixture
def engine(tiny_folder: Path) -> Any:
    made = Engine(load_llama(tiny_folder), TextTokenizer(tiny_folder), 256)
    yield made
    made.close()


async def told(engine: Engine, **params: Any) -> list[Output]:
    run = await engine.generate([PROMPT], SamplingParams(12, **params))
    return [output async for output in run.outputs]


def fed(parts: list[str], stops: list[str], include: bool) -> tuple[str, str | None]:
    """The text that goes out, and the stop string that ended it."""
    text, out = StopText(stops, include), ""
    for part in parts:
        stop = text.add(part)
        out += text.take(stop is not None)
        if stop is not None:
            return out, stop
    return out + text.take(True), None
