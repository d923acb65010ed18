"""A house phrase is found where a whole clause is that phrase in one spelling, and holds nothing specific."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.segment import Segment
from filters.specificity.house import HOUSE_PHRASE, HousePhrases, clauses, fault_of

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "house_phrases.json").read_text("utf-8"))
PHRASES = HousePhrases(VECTORS["phrases"])


def found(text: str, context: str = "", *, last: bool = True) -> list[str]:
    spans = PHRASES.find(Segment(context, text, last=last))
    assert all(span.type == HOUSE_PHRASE for span in spans)
    return [text[span.start : span.end] for span in spans]


@pytest.mark.parametrize(("text", "phrases"), VECTORS["found"])
def test_whole_clauses_are_found(text: str, phrases: list[str]) -> None:
    assert found(text) == phrases


@pytest.mark.parametrize("text", VECTORS["not_found"])
def test_nothing_else_is(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("phrase", VECTORS["fit"])
def test_what_may_be_a_phrase(phrase: str) -> None:
    assert fault_of(phrase) == ""
    assert len(HousePhrases([phrase, phrase]).find(Segment("", phrase, last=True))) == 1


@pytest.mark.parametrize(("phrase", "why"), VECTORS["unfit"])
def test_what_may_not(phrase: str, why: str) -> None:
    assert why in fault_of(phrase)
    with pytest.raises(ValueError, match=why) as refused:
        HousePhrases([phrase])
    assert not phrase or phrase not in str(refused.value)


def test_a_clause_that_began_before_the_segment_is_another() -> None:
    assert found("I hope this helps.", "Her row is over and ") == []
    assert found("I hope this helps.", "Her row is over. ") == ["I hope this helps"]
    assert found("hope this helps.", "I ") == []


@pytest.mark.parametrize("behind", ["", " ", "\t", "\u3000"])
def test_a_clause_that_may_go_on_is_left_open(behind: str) -> None:
    assert found("I hope this helps" + behind, last=False) == []
    assert found("I hope this helps" + behind) == ["I hope this helps"]


@pytest.mark.parametrize("behind", [".", "\n", " –", "，", "…"])
def test_a_mark_or_a_line_break_closes_it(behind: str) -> None:
    assert found("I hope this helps" + behind, last=False) == ["I hope this helps"]


def test_what_nobody_could_read_holds_no_phrase() -> None:
    assert PHRASES.find(Segment("", "I hope this helps.", opaque=True, last=True)) == []
    assert HousePhrases().find(Segment("", "I hope this helps.", last=True)) == []


PIECES = st.lists(
    st.one_of(
        st.sampled_from((*VECTORS["phrases"], "I hope", "this helps", "helps", "能帮", "Vexla", "7")),
        st.sampled_from((" ", ". ", ", ", "\n", "。", "，", "’", "-", "@", "\u200b", "\ufffd", "🙂", "  ", "")),
        st.text(max_size=3),
    ),
    max_size=10,
).map("".join)


@settings(deadline=None, max_examples=50)
@given(text=PIECES, context=PIECES, last=st.booleans())
def test_what_is_found_is_on_the_list_and_stands_alone(text: str, context: str, last: bool) -> None:
    whole = context + text
    for span in PHRASES.find(Segment(context, text, last=last)):
        said = text[span.start : span.end]
        assert {said, said[:1].lower() + said[1:]} & {*VECTORS["phrases"]}
        before = whole[: len(context) + span.start].rstrip(" \t\u3000\u00a0")
        after = text[span.end :].lstrip(" \t\u3000\u00a0")
        assert not before or not before[-1].isalnum()
        assert after or last
        assert not after or not after[0].isalnum()


@settings(deadline=None, max_examples=50)
@given(text=PIECES)
def test_the_clauses_of_a_text_hold_all_its_letters(text: str) -> None:
    covered = {at for clause in clauses(text) for at in range(clause.start, clause.end)}
    assert all(at in covered for at, char in enumerate(text) if char.isalnum())


def test_a_long_text_of_marks_takes_no_time() -> None:
    for text in ("." * 200_000, "a" + ".-" * 100_000, "a " * 100_000, "a" + " " * 200_000, "希望" * 100_000):
        assert found(text) == []
