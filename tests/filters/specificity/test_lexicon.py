"""Phrases of a list are found where they stand as words, whatever stands around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.specificity.lexicon import Lexicon

PHRASES = ("nurse", "head nurse", "nurse at sea", "护士", "护士长", "他", "type 2", "o'hara")
LEXICON = Lexicon({phrase: phrase for phrase in PHRASES})


def found(text: str) -> list[str]:
    return [hit.entry for hit in LEXICON.find(text)]


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_is_found_at_its_place(phrase: str) -> None:
    text = f"xx {phrase}, yy"
    assert [(hit.start, hit.end) for hit in LEXICON.find(text)] == [(3, 3 + len(phrase))]


def test_the_longest_counts_and_none_overlaps() -> None:
    assert found("a head nurse at sea") == ["head nurse"]
    assert found("a nurse at sea") == ["nurse at sea"]
    assert found("他是护士长。") == ["他", "护士长"]


def test_a_part_of_a_word_is_no_phrase() -> None:
    assert found("nurses, nursery, nurse-like") == ["nurse"]


@pytest.mark.parametrize("phrase", ["", " nurse", "Nurse", "2nd"])
def test_phrases_that_could_not_be_found_are_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="no phrase"):
        Lexicon({phrase: 1})


@given(st.lists(st.sampled_from([*PHRASES, " ", ", ", "xx", "是"]), max_size=20).map("".join))
def test_hits_are_apart_sorted_and_what_they_say(text: str) -> None:
    done = 0
    for hit in LEXICON.find(text):
        assert done <= hit.start < hit.end
        assert text[hit.start : hit.end] == hit.entry
        done = hit.end
