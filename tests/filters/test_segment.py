"""Cut points, and the bound on what is held."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from filters.evidence import Detector, DetectorError
from filters.pii.detector import build_detector, detector_of
from filters.profile import Profile, ReleaseUnit
from filters.segment import AHEAD, CONTEXT, LONG_CLAUSE, WINDOW, Segment, Segmenter
from filters.spans import Span
from tests.support.values import VALUES, Value


class Blind:
    """Finds nothing."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return []


class Broken:
    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        raise DetectorError


def cut(text: str, unit: ReleaseUnit = ReleaseUnit.SENTENCE, *, complete: bool = True) -> list[str]:
    segmenter = Segmenter(unit, Blind())
    return [s.raw_text for s in [*segmenter.push(text), *segmenter.close(complete=complete)]]


def long_clauses(number: int) -> str:
    """Of different lengths, with values and numbers at all places relative to LONG_CLAUSE."""
    words = "they walked along the quiet river in 2019. Then Ada Quill and 138 1234 5678 others came and it was one. "
    return "".join((words * 2)[at : at + LONG_CLAUSE + 17 * at] + ", " for at in range(number))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One thing. Another one! And?", ["One thing. ", "Another one! ", "And?"]),
        ("He said “no.” Then he left.", ["He said “no.” ", "Then he left."]),
        ("第一句。第二句！“第三句？”还有", ["第一句。", "第二句！", "“第三句？”", "还有"]),
        ("First line\nsecond line", ["First line\n", "second line"]),
        ("Version 3.14 is out. Good.", ["Version 3.14 is out. ", "Good."]),
        ("Call 138.\n1234 5678 now. Bye.", ["Call 138.\n1234 5678 now. ", "Bye."]),
        ("It began in 2019. The rest is known.", ["It began in 2019. ", "The rest is known."]),
        ("It began in 2019. Two more came.", ["It began in 2019. Two more came."]),
        ("It began in 2019. T", ["It began in 2019. T"]),
        ("The first was one. Thank", ["The first was one. ", "Thank"]),
        ("", []),
        ("...", ["..."]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


def test_clauses_are_shorter_than_sentences() -> None:
    text = "When it rains, the shop closes; otherwise it is open. 下雨时，商店关门。"
    assert cut(text, ReleaseUnit.CLAUSE) == [
        "When it rains, ",
        "the shop closes; ",
        "otherwise it is open. ",
        "下雨时，",
        "商店关门。",
    ]


@pytest.mark.parametrize("unit", list(ReleaseUnit))
def test_cut_points_do_not_depend_on_how_the_text_arrived(unit: ReleaseUnit) -> None:
    marks = 'A b. "C d?" )\n\n  Efg, 12 3. 4，五。”六…… 七! ' * 40
    text = long_clauses(12) + marks + "x" * 2 * WINDOW + " yes. " + "word " * WINDOW
    whole = Segmenter(unit, Blind())
    expected = [*whole.push(text), *whole.close(complete=True)]
    for seed in range(20):
        rng, pieces, at = random.Random(seed), Segmenter(unit, Blind()), 0
        got = []
        while at < len(text):
            length = rng.choice((1, 2, 7, 200))
            got += pieces.push(text[at : at + length])
            at += length
        assert [*got, *pieces.close(complete=True)] == expected


PLAIN = "they walked along the quiet river until the lamps were lit and nobody spoke about it any more because of that "


def test_a_long_clause_is_cut_between_plain_words() -> None:
    pieces = cut(PLAIN * 3, ReleaseUnit.CLAUSE)
    assert "".join(pieces) == PLAIN * 3
    assert all(LONG_CLAUSE - 12 < len(piece) <= LONG_CLAUSE for piece in pieces[:-1])
    assert cut(PLAIN * 3, ReleaseUnit.SENTENCE) == [PLAIN * 3]


def test_a_long_clause_is_not_cut_beside_a_capital_or_a_digit() -> None:
    text = "Ada Quill met 12 Friends of Vexlo Tamber at Old Mill Hall with 300 Guests " * 2
    assert cut(text, ReleaseUnit.CLAUSE) == [text]


@pytest.mark.parametrize("vector", VALUES, ids=lambda vector: vector.value[:16])
def test_a_cut_inside_a_long_clause_splits_no_value(vector: Value) -> None:
    detector = detector_of(Profile("test"))
    value = vector.label + vector.value
    for length in range(max(0, LONG_CLAUSE - len(value) - 4), LONG_CLAUSE + 4, 3):
        before = PLAIN[:length].rstrip() + " "
        start, end = len(before) + len(vector.label), len(before) + len(value)
        assert hidden(detector, before + value + " " + PLAIN) >= set(range(start, end)), before


def hidden(detector: Detector, text: str) -> set[int]:
    """The characters that the pipeline would hide of a text that is cut at clauses."""
    segmenter, at, found = Segmenter(ReleaseUnit.CLAUSE, detector), 0, set()
    for segment in [*segmenter.push(text), *segmenter.close(complete=True)]:
        for span in detector.find(segment.context + segment.raw_text):
            shifted = span.shifted(at - len(segment.context))
            found |= set(range(max(at, shifted.start), shifted.end))
        at += len(segment.raw_text)
    return found


def test_a_long_chunk_is_cut_like_short_ones() -> None:
    text = PLAIN * 40 + "词" * 700 + "x" * 1200 + " and so on. " * 100
    for unit in ReleaseUnit:
        segmenter = Segmenter(unit, Blind())
        singly = [s for char in text for s in segmenter.push(char)]
        assert [*singly, *segmenter.close(complete=True)] == segments_of(text, unit)


def segments_of(text: str, unit: ReleaseUnit) -> list[Segment]:
    segmenter = Segmenter(unit, Blind())
    return [*segmenter.push(text), *segmenter.close(complete=True)]


def test_the_pieces_make_up_the_text() -> None:
    text = "Some words here and there. " * 30 + "无空格的中文" * 200 + "z" * 1000
    assert "".join(cut(text)) == text


@pytest.mark.parametrize("text", ["word " * 4000, "字" * 20_000, "a" * 20_000, "1 " * 10_000, " " * 20_000])
def test_no_more_than_the_window_is_held(text: str) -> None:
    segmenter = Segmenter(ReleaseUnit.SENTENCE, Blind())
    held = 0
    for at in range(0, len(text), 10):
        held += min(10, len(text) - at)
        held -= sum(len(segment.raw_text) for segment in segmenter.push(text[at : at + 10]))
        assert held <= WINDOW + AHEAD


def test_an_unbroken_run_is_opaque_to_its_end() -> None:
    segmenter = Segmenter(ReleaseUnit.SENTENCE, Blind())
    segments = [*segmenter.push("a" * (3 * WINDOW) + " tail of it. Free again. "), *segmenter.close(complete=True)]
    assert [s.opaque for s in segments] == [True, True, True, True, False]
    assert segments[-1].raw_text == "Free again. "


def test_a_forced_cut_does_not_split_a_value() -> None:
    detector = build_detector()
    value = "vexlo.trund47@kipmora.example"
    for pad in range(WINDOW - 60, WINDOW + 5):
        text = ("word " * WINDOW)[:pad].rstrip() + " " + value + " and so on" * 100
        segmenter = Segmenter(ReleaseUnit.SENTENCE, detector)
        segments = [*segmenter.push(text), *segmenter.close(complete=True)]
        assert any(value in s.raw_text for s in segments)


def test_a_detector_that_fails_at_a_forced_cut_hides_the_window() -> None:
    segmenter = Segmenter(ReleaseUnit.SENTENCE, Broken())
    assert all(s.opaque for s in segmenter.push("word " * WINDOW))


def test_an_early_end_does_not_leave_the_first_half_of_a_value() -> None:
    segmenter = Segmenter(ReleaseUnit.SENTENCE, build_detector())
    segmenter.push("Her number is 536-90-4399 T")
    (segment,) = segmenter.close(complete=False)
    assert segment.raw_text in ("Her number is ", "Her number is 536-90-4399 ")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Her mail is vexlo.tru", "Her mail is "),
        ("Call 138 1234", "Call "),
        ("Done。", "Done。"),
    ],
)
def test_what_could_have_become_a_value_is_dropped_at_an_early_end(text: str, left: str) -> None:
    assert "".join(cut(text, complete=False)) == left


def test_the_first_segment_is_seen_with_all_that_is_open_in_what_it_goes_on_from() -> None:
    """An encoded value may begin hundreds of characters before the text; prose needs no more than CONTEXT of it."""
    encoded = "Take " + " ".join("U+0061" for _ in range(40))
    prose = "Nothing that is open stands here. " * 10
    for primed, seen in ((encoded, encoded), (prose, prose[-CONTEXT:])):
        segmenter = Segmenter(ReleaseUnit.SENTENCE, Blind(), primed)
        first, second, *_ = [*segmenter.push(" U+0062. Next one. And "), *segmenter.close(complete=True)]
        assert first.context == seen
        assert len(second.context) == CONTEXT
