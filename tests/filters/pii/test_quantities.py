"""Ages, amounts, coordinates, numbers and all dates: found where a profile names them, and nowhere else."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from filters.pii.detector import PatternDetector, detector_of
from filters.pii.quantities import KINDS, without_parts
from filters.pii.types import QUANTITIES
from filters.profile import Action, Profile
from filters.spans import Span, merge
from tests.support.quantities import BENIGN, GENERALISED, VECTORS, Quantity

DETECTOR = detector_of(GENERALISED)
IDS = [f"{vector.type}-{vector.value[:16]}" for vector in VECTORS]


def found(text: str, detector: PatternDetector = DETECTOR) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in merge(detector.find(text))]


def test_both_languages_have_as_many_vectors() -> None:
    languages = Counter(vector.language for vector in VECTORS)
    assert abs(languages["en"] - languages["zh"]) <= 1
    assert languages.total() >= 60
    assert {vector.type for vector in VECTORS} == QUANTITIES == {*KINDS, "DATE"}


@pytest.mark.parametrize("quantity", VECTORS, ids=IDS)
def test_a_value_is_found_whole_and_alone(quantity: Quantity) -> None:
    assert found(quantity.text) == [(quantity.type, quantity.value)]


@pytest.mark.parametrize("text", BENIGN)
def test_bands_years_and_versions_are_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("kind", sorted(QUANTITIES))
@pytest.mark.parametrize("named", ["actions", "min_scores"])
def test_only_what_a_profile_names_is_looked_for(kind: str, named: str) -> None:
    choices: Any = {named: {kind: Action.GENERALISE if named == "actions" else 0.0}}
    detector = detector_of(Profile("one", **choices))
    assert detector.types & QUANTITIES == {kind}
    for vector in VECTORS:
        types = {type_ for type_, _ in found(vector.text, detector)}
        # alone, NUMBER is also the figures of an amount
        assert types == {kind} if vector.type == kind else types <= {kind}


def test_a_profile_that_names_none_has_the_recognizers_that_it_had() -> None:
    plain = detector_of(Profile("plain", actions={"EMAIL": Action.GENERALISE}, min_scores={"PHONE": 0.2}))
    assert not plain.types & QUANTITIES
    assert all(plain.find(vector.text) == [] for vector in VECTORS)


@pytest.mark.parametrize(
    "text",
    ["Call 13812345678 now.", "Card 4111 1111 1111 1111.", "身份证11010519491231002X。", "mail v1234@kipmora.example"],
)
def test_the_digits_of_another_finding_are_no_number(text: str) -> None:
    assert not {span.type for span in DETECTOR.find(text)} & QUANTITIES


def test_only_a_sure_finding_takes_a_number_with_it() -> None:
    number = Span(5, 9, "NUMBER", 0.3)
    sure, unsure, name = Span(0, 9, "PHONE", 0.5), Span(0, 9, "PHONE", 0.4), Span(0, 9, "LOCATION", 0.9)
    assert without_parts([sure, number]) == [sure]
    assert without_parts([unsure, number]) == [unsure, number]
    assert without_parts([name, number]) == [name, number]
    assert without_parts([Span(6, 12, "PHONE", 0.9), number]) == [Span(6, 12, "PHONE", 0.9), number]


def test_a_number_in_another_quantity_is_that() -> None:
    date, age = Span(0, 9, "DATE", 0.4), Span(2, 4, "AGE", 0.6)
    assert without_parts([date, age, Span(5, 9, "NUMBER", 0.3)]) == [date, age]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Her id is id:48213 there", "48213"),
        ('{"n":48213}', "48213"),
        ("order #48213.", "48213"),
        ("编号48213。", "48213"),
        ("-48213", "-48213"),
        ("12.345", "12.345"),
    ],
)
def test_what_stands_beside_a_number(text: str, value: str) -> None:
    assert found(text) == [("NUMBER", value)]


@pytest.mark.parametrize("text", ["x48213", "id_48213", "K4821957Z", "at 14:30:1200", "10.20.30.40"])
def test_digits_of_a_word_or_a_time_are_no_number(text: str) -> None:
    assert ("NUMBER", text) not in found(text)
    assert not any(kind == "NUMBER" for kind, _ in found(text))


@pytest.mark.parametrize(
    "unit",
    ["1", "1,", "12 345 ", "twenty-", "一万", "3月", "May 5 ", "$", "$1", "1°1'", "31.2304, ", "half a "],
)
def test_time_is_linear(unit: str) -> None:
    began = time.process_time()
    DETECTOR.find((unit * 8_192)[:8_000])
    assert time.process_time() - began < 2
