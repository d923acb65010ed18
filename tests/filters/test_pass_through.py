"""A profile without filters lets everything through but what was denied: that is held back and masked."""

from __future__ import annotations

import itertools
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.denied import DeniedValues
from filters.denied_stream import MOST_HELD
from filters.events import Channel, Decided, Ending, Event, Field, Finished, Origin, RawText, Released, Verdict
from filters.pass_through import PassThrough
from tests.support.answers import CharacterVocabulary, Script, run
from tests.support.knowledge import SECRET, deny

CONTENT, ARGUMENTS = Channel(0, Field.CONTENT), Channel(0, Field.TOOL_ARGUMENTS, 0)
VALUE = "Vexlo Tamber"
GAPS = st.lists(st.sampled_from(["", "", "-", " ", ". ", "\u200b"]), min_size=11, max_size=11)
NOISE = st.lists(st.sampled_from(["Vexl", "vex", "甄", " and so ", "138", "\n", "o tam"]), max_size=6).map("".join)


@cache
def denied() -> DeniedValues:
    with TemporaryDirectory() as folder:
        return DeniedValues.load(deny(Path(folder), [VALUE, "甄禾砚"]), SECRET.encode())


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Released))


def in_pieces(text: str, seed: int, ending: Ending = Ending.STOP) -> list[Event]:
    pipeline, choose = PassThrough((), None, denied()), random.Random(seed)
    cuts = sorted(choose.sample(range(len(text) + 1), min(len(text), choose.randint(0, 12))))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    events = [event for piece in pieces for event in pipeline.feed([RawText(CONTENT, piece)])]
    return events + pipeline.finish(0, ending)


@settings(max_examples=300, deadline=None)
@given(NOISE, GAPS, NOISE, st.integers(0, 1000))
def test_a_denied_value_is_masked_whole(before: str, gaps: list[str], after: str, seed: int) -> None:
    spelt = "".join(char + gap for char, gap in zip("VexloTamber", gaps, strict=True)).rstrip(" .-\u200b")
    text = f"{before}, {spelt}; {after}"
    whole, cut = (said(in_pieces(text, chosen)) for chosen in (0, seed))
    assert whole == cut
    assert "[DENIED_1]" in cut
    assert denied().find(cut) == []
    assert cut.startswith(before) or denied().find(text)[0].start < len(before)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["Vexlo ", "Tam", "甄禾", " it rained", "。", "x"]), max_size=10), st.integers(0, 1000))
def test_everything_else_leaves_as_it_came(words: list[str], seed: int) -> None:
    text = "".join(words)
    if not denied().find(text):
        assert said(in_pieces(text, seed)) == text


@pytest.mark.parametrize("ending", [Ending.LENGTH, Ending.STOP])
def test_what_had_begun_is_dropped_when_the_answer_ends_before_its_time(ending: Ending) -> None:
    assert said(in_pieces("It is Vexlo Ta", 3, ending)) == ("It is " if ending is Ending.LENGTH else "It is Vexlo Ta")


def test_it_is_decided_and_counted() -> None:
    pipeline = PassThrough((), None, denied())
    assert pipeline.feed([RawText(CONTENT, "It is Vexlo ")]) == [Released(CONTENT, "It is ")]
    assert (pipeline.holds, pipeline.has_hidden) == (True, False)
    events = pipeline.feed([RawText(CONTENT, "Tamber, and 甄禾砚 too. ")])
    assert [event for event in events if isinstance(event, Decided)] == [
        Decided(0, "DENIED", Verdict.MASK, Origin.TUNED)
    ] * 2
    assert said(events + pipeline.finish(0, Ending.STOP)) == "[DENIED_1], and [DENIED_2] too. "
    assert (pipeline.holds, pipeline.has_hidden) == (False, True)


def test_a_tools_arguments_end_the_choice() -> None:
    pipeline = PassThrough((), None, denied())
    events = pipeline.feed([RawText(ARGUMENTS, '{"who": "Vexlo Tamber", "when": "now, at once"}')])
    assert events[-1] == Finished(0, Ending.CONTENT_FILTER)
    assert said(events) == ""
    assert pipeline.feed([RawText(CONTENT, "more")]) + pipeline.finish(0, Ending.STOP) == []


def test_separators_are_not_held_for_ever() -> None:
    pipeline = PassThrough((), None, denied())
    text = said(pipeline.feed([RawText(CONTENT, "It is Vexlo" + " " * MOST_HELD + "Tam")]))
    assert "Vex" not in text
    assert not pipeline.holds


def test_nothing_is_held_where_nothing_is_denied() -> None:
    pipeline = PassThrough()
    assert pipeline.feed([RawText(CONTENT, "Vexl")]) == [Released(CONTENT, "Vexl")]
    assert not pipeline.holds


def test_stop_strings_and_tokens_are_those_of_what_leaves() -> None:
    pipeline = PassThrough(("END",), CharacterVocabulary(), denied())
    outcome = run(pipeline, Script([(CONTENT, "So Vexlo Tamber rang. END more")]), seed=7)  # type: ignore[arg-type]
    assert outcome.content == "So [DENIED_1] rang. "
    assert "".join(token.spelling.decode() for token in outcome.tokens[CONTENT]) == "So  rang. "
