"""A value that arrives in two or three pieces is hidden as if it had come whole: every value, form and split.

Two pieces go through the whole pipeline, cut at every place of the value (of long forms at every third). Of three the
segmenter alone is asked, at every pair of places in the value: what follows it sees its segments and nothing else, so
that the same segments are the same answer; every twelfth value and form here. TIGHTLIP_DEEP=1 tries all of it, in both
languages, and cuts in the rest of the sentence too.
"""

from __future__ import annotations

from copy import copy
from functools import cache

import pytest

from filters import segment
from filters.events import Channel, Field
from filters.grounding import RequestGrounds
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.segment import Segment, Segmenter
from tests.support.answers import CharacterVocabulary, Outcome, Script, mixed, run, sure
from tests.support.every_form import (
    DEEP,
    KINDS,
    TYPES_TRIED,
    UNITS,
    cases,
    detector,
    escaped,
    harmless,
    pipeline,
    said,
)
from tests.support.forms import Written

THREE_EVERY = 1 if DEEP else 12
LONG = 60  # characters: of a longer form every third place is tried
COMPARED_EVERY = 5 if DEEP else 60


@pytest.fixture(autouse=True)
def _remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """`boundary_ok` and `open_tail` are functions of their arguments: each is worked out once."""
    monkeypatch.setattr(segment, "boundary_ok", cache(segment.boundary_ok))
    monkeypatch.setattr(segment, "open_tail", cache(segment.open_tail))


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_every_split_in_two_gives_what_the_whole_gives(kind: str) -> None:
    for number, case in cases(kind):
        unit, field = UNITS[number // 2 % 2], KINDS[number % 4]
        before, after = case.text[: case.start], case.text[case.end :]
        whole = said(pipeline(unit), field, [case.text])
        assert harmless(escaped(before, case.value, after, whole)), (str(case), whole)
        for cut in _places(number, case):
            assert said(pipeline(unit), field, [case.text[:cut], case.text[cut:]]) == whole, (str(case), cut)


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_every_split_in_three_gives_the_segments_of_the_whole(kind: str) -> None:
    for number, case in cases(kind):
        if number % THREE_EVERY == 0:
            _try_all_pairs(case, UNITS[number // 2 % 2])


def _places(number: int, case: Written) -> range:
    """Where the text is cut in two: everywhere in the value and at its ends."""
    if DEEP:
        return range(1, len(case.text))
    step = 1 if case.end - case.start <= LONG else 3
    return range(case.start - 1 + number % step, case.end + 2, step)


def _try_all_pairs(case: Written, unit: ReleaseUnit) -> None:
    whole = _segments(Segmenter(unit, detector()), [case.text])
    for first in range(case.start, case.end):
        begun = Segmenter(unit, detector())
        head = begun.push(case.text[:first])
        for second in range(first + 1, case.end + 1):
            # A segmenter holds strings and numbers alone, so that its copy goes on by itself.
            tail = _segments(copy(begun), [case.text[first:second], case.text[second:]])
            assert head + tail == whole, (str(case), first, second)


def _segments(segmenter: Segmenter, pieces: list[str]) -> list[Segment]:
    return [s for piece in pieces for s in segmenter.push(piece)] + segmenter.close(complete=True)


@pytest.mark.parametrize("evidence", [sure, mixed])
@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_every_split_in_two_gives_the_same_where_the_base_is_asked(kind: str, evidence: object) -> None:
    for number, case in cases(kind):
        if number % COMPARED_EVERY:
            continue
        whole = _compared(case, [case.text], evidence)
        leak = escaped(case.text[: case.start], case.value, case.text[case.end :], whole.content.split("… ")[0])
        assert harmless(leak) or whole.fallbacks, (str(case), whole.content)
        for cut in range(1, len(case.text)):
            parts = _compared(case, [case.text[:cut], case.text[cut:]], evidence)
            assert (parts.texts, parts.endings) == (whole.texts, whole.endings), (str(case), cut)
            assert {(q.ids, q.start) for q in parts.questions} == {(q.ids, q.start) for q in whole.questions}


def _compared(case: Written, pieces: list[str], evidence: object) -> Outcome:
    request = RequestEvidence(RequestGrounds(frozenset()))
    built = Pipeline(Profile("test"), request, detector(), CharacterVocabulary())
    channel = Channel(0, Field.CONTENT)
    return run(built, Script([(channel, piece) for piece in pieces], evidence=evidence))  # type: ignore[arg-type]
