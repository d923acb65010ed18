"""Whatever a request holds: many values without persons ground nothing, and what comes back was in it."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from filters.evidence import Detector
from filters.grounding import MOST_VALUES, RequestGrounds
from filters.normalise import normalise
from filters.pii.detector import build_detector
from filters.spans import Span


@cache
def detector() -> Detector:
    return build_detector(["PHONE", "EMAIL", "RESIDENT_ID"])


def covered(grounds: RequestGrounds, text: str) -> list[str]:
    found = detector().find(text)
    return [text[span.start : span.end] for span in grounds.covered(text, found)]


PHONES = st.integers(0, 99_999_999).map(lambda number: f"138{number:08}")
PEOPLE = st.sampled_from(
    ["Ada Lovelace", "Bea Byron", "Cora", "王小明", "李大海", "王先生", "陈秀英", "Ada", "小明", "ada"]
)
GLUE = st.sampled_from(
    [", ", "\n", "; ", ": ", "：", "，", "。", " ", " | ", "\n\n", ". ", "'s number is ", "的电话是"]
)
PIECES = st.one_of(
    PHONES, PEOPLE, GLUE, st.sampled_from(["which", "吗", "?", "一三八", "{", "}", '"name": ', "\u200b"])
)
TEXTS = st.lists(PIECES, max_size=24).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.sets(PHONES, min_size=MOST_VALUES + 1, max_size=12), st.sampled_from(["\n", ", ", "、", "; "]), PEOPLE)
def test_many_values_without_persons_ground_nothing(numbers: set[str], between: str, person: str) -> None:
    values = sorted(numbers)
    for own in (values, [between.join(values)]):
        grounds = RequestGrounds.from_texts(own, detector())
        assert not covered(grounds, between.join(values))
        for value in values:
            assert not covered(grounds, f"{person}: {value}")


@settings(max_examples=200, deadline=None)
@given(
    st.sets(PHONES, min_size=MOST_VALUES + 1, max_size=8),
    st.lists(PEOPLE, min_size=1, max_size=3, unique=True),
    st.sampled_from([" {}", ": {}", "：{}", ", {}"]),
    st.sampled_from(["\n", "; ", "；"]),
)
def test_a_cross_product_grounds_nothing(numbers: set[str], people: list[str], form: str, between: str) -> None:
    pairs = [person + form.format(number) for person in people for number in sorted(numbers)]
    grounds = RequestGrounds.from_texts([between.join(pairs)], detector())
    for pair in pairs:
        assert not covered(grounds, pair)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3), TEXTS)
def test_what_comes_back_holds_no_digit_that_the_request_lacks(own: list[str], answer: str) -> None:
    said = normalise("".join(own)).text
    for text in (*own, answer):
        for value in covered(RequestGrounds.from_texts(own, detector()), text):
            assert "".join(filter(str.isdigit, normalise(value).text)) in "".join(filter(str.isdigit, said))


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=2), TEXTS, TEXTS)
def test_reading_never_fails_and_knows_only_what_was_found(own: list[str], answer: str, beside: str) -> None:
    grounds = RequestGrounds.from_texts(own, detector())
    found = detector().find(answer)
    assert grounds.covered(answer, found, beside) <= set(found)
    assert not grounds.covered(answer, [Span(0, len(answer), "CARD", 1.0)], beside) or not answer
