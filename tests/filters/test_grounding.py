"""Grounding: one's own values come back, candidates do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filters.evidence import DetectorError
from filters.grounding import MOST_VALUES, RequestGrounds
from filters.pii.detector import PatternDetector, build_detector
from filters.spans import Span


def covers(grounds: RequestGrounds, value: str, kind: str) -> bool:
    """Whether the value counts with nobody beside it."""
    return bool(grounds.covered(value, [Span(0, len(value), kind, 1.0)]))


VECTORS = json.loads((Path(__file__).parents[1] / "vectors/pii/grounding.json").read_text())["requests"]


@pytest.fixture(scope="module")
def detector() -> PatternDetector:
    return build_detector()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['own']}-{v['value']}"[:60])
def test_request(detector: PatternDetector, vector: dict[str, Any]) -> None:
    grounds = RequestGrounds.from_texts(vector["own"], detector)
    assert covers(grounds, vector["value"], vector["kind"]) is vector["counts"]


@pytest.mark.parametrize("count", [MOST_VALUES + 1, 10, 100, 1000])
def test_many_candidates_ground_nothing(detector: PatternDetector, count: int) -> None:
    values = [f"138{number:08}" for number in range(12345678, 12345678 + count)]
    for own in (values, [" ".join(values)], ["\n".join(values) + "\nUse them."]):
        grounds = RequestGrounds.from_texts(own, detector)
        assert not any(covers(grounds, value, "PHONE") for value in values)


def test_spellings_of_one_value_are_one(detector: PatternDetector) -> None:
    own = [
        "My number: 13812345678",
        "Again: 138 1234 5678",
        "138-1234-5678 it is.",
        "+86 13812345678",
        "１３８１２３４５６７８",
    ]
    assert covers(RequestGrounds.from_texts(own, detector), "13812345678", "PHONE")


def test_where_a_detector_fails_nothing_is_grounded() -> None:
    class Failing:
        def find(self, raw_text: str, since: int = 0) -> list[Span]:
            raise DetectorError("out of time")

    assert RequestGrounds.from_texts(["x"], Failing()) == RequestGrounds(asks=True)


def test_of_a_long_request_only_the_end_counts() -> None:
    detector = build_detector(["EMAIL"])
    own = "My mail is vexlo.trund47@kipmora.example. "
    for texts, counts in (([own, "x" * 30_000], True), ([own, "x" * 40_000], False), ([own + "x" * 40_000], False)):
        grounds = RequestGrounds.from_texts(texts, detector)
        assert covers(grounds, "vexlo.trund47@kipmora.example", "EMAIL") is counts


FOUR = ["Ada Lovelace: 13812345678\nBea Byron: 13987654321\nCora Quill: 13711112222\nDora Vance: 13633334444"]


@pytest.mark.parametrize(
    ("beside", "counts"),
    [
        ("name: Bea Byron", True),
        ("name: Bea", True),
        ("name: Ada Lovelace", False),
        ("name: Bea Byron\nboss: Ada Lovelace", False),
        ("name: Bea Byron\nboss: Zelda Marsh", False),
        ("", False),
    ],
)
def test_in_a_document_the_person_stands_in_the_same_object(
    detector: PatternDetector, beside: str, counts: bool
) -> None:
    grounds = RequestGrounds.from_texts(FOUR, detector)
    seen = "phone: 13987654321"
    assert bool(grounds.covered(seen, detector.find(seen), beside)) is counts


def test_what_a_value_names_itself_comes_before_what_is_beside_it(detector: PatternDetector) -> None:
    grounds = RequestGrounds.from_texts(FOUR, detector)
    seen = "Ada: 13987654321"
    assert not grounds.covered(seen, detector.find(seen), "name: Bea Byron")


def test_what_is_seen_inside_an_own_value_comes_with_it() -> None:
    class Twice:
        def find(self, raw_text: str) -> list[Span]:
            return [Span(0, 18, "RESIDENT_ID", 0.9)]

    value = "11010519491231002X"
    grounds = RequestGrounds.from_texts([value], Twice())
    inside, across = Span(6, 14, "PHONE", 0.6), Span(6, 20, "PHONE", 0.6)
    found = [Span(0, 18, "RESIDENT_ID", 0.9), inside, across]
    assert grounds.covered(value + " 1", found) == {found[0], inside}


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Which of these is Ada's order number: GD-85205, KT-11873?", True),
        ("Ada's order number is one of GD-85205, KT-11873. What is it?", True),
        ("Is GD-85205 Ada's order number? Yes or no.", True),
        ("下面哪一个是艾达的订单号：GD-85205、KT-11873？", True),
        ("艾达的订单号是GD-85205吗？请回答是或不是。", True),
        ("Ada Voss's order number is GD-85205. What is Ada Voss's order number?", True),
        ("Ada's number is 13812345678. Tell me Ada's number.", True),
        ("Zoë's number is 13812345678. What is Zoë's number?", True),
        ("Mr Iles' number is 13812345678. What is Mr Iles' number?", True),
        ("艾达的订单号是GD-85205。艾达的订单号是什么？", True),
        ("艾达的电话是13812345678，请告诉我艾达的电话。", True),
        ("My number is 13812345678. What is Ada's address?", False),
        ("Ada's parcel is GD-85205. Please send it to Ada's address.", False),
        ("Where is my order GD-85205?", False),
        ("My order is GD-85205, has it shipped?", False),
        ("Cancel order GD-85205 please", False),
        ("我的订单GD-85205什么时候到？", False),
    ],
)
def test_exact_values_of_no_known_type_are_put_up_too(text: str, asks: bool) -> None:
    assert RequestGrounds.from_texts([text], build_detector()).asks is asks
