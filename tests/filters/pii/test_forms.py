"""Every typed value in every form: found whole in a sentence, and open wherever an answer may be cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filters.pii.detector import PatternDetector
from filters.pii.tail import open_tail
from filters.pii.types import TYPES
from filters.profile import ReleaseUnit
from filters.segment import Segmenter
from tests.support.forms import ELSEWHERE, FORMS, SENTENCES, in_base64, is_tried, write
from tests.support.values import VALUES, Value


def _chosen() -> Iterator[Value]:
    """The first and the last value of every type."""
    for kind in [kind for kind in TYPES if kind not in ELSEWHERE]:
        values = [value for value in VALUES if value.type == kind]
        yield from {values[0]: None, values[-1]: None}


CASES = [
    pytest.param(vector, form, id=f"{vector.type}-{vector.value[:12]}-{form}")
    for vector in _chosen()
    for form in FORMS
    if is_tried(vector, form)
]


@pytest.mark.parametrize(("vector_", "form"), CASES)
def test_found_whole_and_open_at_every_cut(detector: PatternDetector, vector_: Value, form: str) -> None:
    for sentence in SENTENCES:
        case = write(vector_, form, sentence)
        _assert_covered(detector, case.text, case.start, case.end)
        for end in range(case.start + 1, case.end + 1):
            if "\u4e00" <= case.value[0] <= "\u9fff" and end <= case.start + 2:
                continue  # one Chinese character is prose
            assert open_tail(case.text[:end]) <= case.start, case.text[case.start : end]


@pytest.mark.parametrize(("vector_", "form"), CASES)
def test_no_segment_ends_inside(detector: PatternDetector, vector_: Value, form: str) -> None:
    for sentence in SENTENCES:
        case = write(vector_, form, sentence)
        segmenter = Segmenter(ReleaseUnit.CLAUSE, detector)
        segments = segmenter.push(case.text) + segmenter.close(complete=True)
        assert any(case.value in segment.raw_text for segment in segments)


def _assert_covered(detector: PatternDetector, raw_text: str, start: int, end: int) -> None:
    spans = detector.find(raw_text)
    covered = {at for span in spans for at in range(span.start, span.end)}
    missing = [at for at in range(start, end) if at not in covered]
    assert not missing, (raw_text[start:end], [raw_text[s.start : s.end] for s in spans])


@pytest.mark.parametrize("shift", range(3))
def test_a_value_inside_a_longer_encoded_text(detector: PatternDetector, shift: int) -> None:
    told = "x" * shift + "The customer's number is 13812345678, please call."
    raw_text = f"data:text/plain;base64,{in_base64(told)} and more"
    first = told.index("138")
    start = raw_text.index(in_base64(told))
    _assert_covered(detector, raw_text, start + first * 8 // 6, start + ((first + 11) * 8 + 5) // 6)
    assert start <= min(span.start for span in detector.find(raw_text))


def test_every_type_has_a_value() -> None:
    assert {vector.type for vector in _chosen()} == TYPES.keys() - ELSEWHERE
