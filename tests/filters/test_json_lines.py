"""Values that scalars of a document say together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from filters.json_lines import REACH
from filters.pii.detector import PatternDetector, build_detector
from filters.spans import Span
from tests.support.documents import Hiding, document, filtered
from tests.support.values import VALUES, Value

FREE = frozenset({"a0", "a1", "a2"})
SPLIT = [vector for vector in VALUES if len(vector.value) <= 60]


def shapes(parts: list[str]) -> Iterator[Any]:
    yield parts
    yield {f"a{at}": part for at, part in enumerate(parts)}
    yield [[part] for part in parts]
    yield ["a b", *parts, "x y", True]
    yield {"a0": parts[0], "a1": {"a0": parts[1:-1], "a2": [[part] for part in parts[-1:]]}}
    if len(set(parts)) == len(parts):
        yield {part: at for at, part in enumerate(parts)}
        yield [{part: True} for part in parts]


def partings(value: str) -> Iterator[list[str]]:
    """In two everywhere; in three at every seventh of the places."""
    cuts: list[tuple[int, ...]] = [(cut,) for cut in range(1, len(value))]
    cuts += [pair for pair in combinations(range(1, len(value)), 2) if sum(pair) % 7 == 0]
    for cut in cuts:
        parts = [value[a:b] for a, b in zip((0, *cut), (*cut, len(value)), strict=True)]
        if all(part.strip() and len(part) <= 24 for part in parts):
            yield parts


@pytest.mark.parametrize("vector", SPLIT, ids=[vector.value[:24] for vector in SPLIT])
def test_no_part_of_a_value_that_is_one_when_joined_gets_out(vector: Value, detector: PatternDetector) -> None:
    judge = Hiding(detector)
    for parts in partings(vector.value):
        joined = " ".join(parts)
        ends = len(parts[0]), len(joined) - len(parts[-1])
        whole = any(span.start < ends[0] and span.end > ends[1] for span in judge.find("", joined))
        if not whole or any(judge.find("", part) for part in parts):
            continue  # by the detector it is no value in this form, or a part is one by itself
        canaries = [part.strip() for part in parts if len(part.strip()) > 2]
        for shape in shapes(parts):
            told, failure = filtered(document(detector, allowed_keys=FREE), [json.dumps(shape, ensure_ascii=False)])
            assert failure is None
            assert not [canary for canary in canaries if canary in told], (shape, told)


@pytest.fixture(scope="module")
def detector() -> PatternDetector:
    return build_detector()


def told(detector: PatternDetector, value: Any, **options: Any) -> Any:
    text, failure = filtered(document(detector, **options), [json.dumps(value, ensure_ascii=False)])
    assert failure is None
    return json.loads(text)


H = "[HIDDEN]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["138", "1234", "5678"], [H, H, H]),
        ([138, 1234, 5678, "ok"], [None, None, None, "ok"]),
        (["138", True, "a text that is longer than any part", "1234", "5678"], None),
        ({"x1": "138", "x2": "1234", "x3": "5678"}, {"x1": H, "x2": H, "x3": H}),
        ({"name": "138", "note": {"id": ["1234"]}, "amount": 5678}, {"name": H, "note": {"id": [H]}, "amount": None}),
        ({"138": 1, "1234": 2, "5678": 3}, {H: 1, f"{H}_2": 2, f"{H}_3": 3}),
        (["vexlo", "@", "example.com"], [H, H, H]),
        (["vexlo@", "example", ".com"], [H, H, H]),
        (["phone number", "5552671"], ["phone number", H]),
        ({"id": "138", "note": {"name": "1234"}}, {"id": "138", "note": {"name": "1234"}}),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (["Vexlo", "Berlin", 30, "ok"], ["Vexlo", "Berlin", 30, "ok"]),
    ],
)
def test_lines(detector: PatternDetector, value: Any, expected: Any) -> None:
    if expected is None:
        assert not {"138", "1234", "5678"} & set(map(str, told(detector, value)))
    else:
        assert told(detector, value) == expected


def test_names_go_over_words_where_they_are_looked_for() -> None:
    class People:
        def find(self, raw_text: str) -> list[Span]:
            at = raw_text.find("Vexlo Tamber")
            return [Span(at, at + 12, "PERSON", 0.8)] if at >= 0 else []

    kept = document(People(), names=True)
    assert kept.push('["Vexlo", ') == "["
    assert filtered(kept, ['"Tamber", 3]']) == (f'"{H}", "{H}", 3]', None)


def test_a_scalar_waits_for_no_more_than_its_reach(detector: PatternDetector) -> None:
    made = document(detector)
    long = "The kettle boils. " * 40
    assert made.push('{"name": "Vexlo 13", "note": "' + long[: REACH // 2]) == '{"name": '
    assert "Vexlo 13" in made.push(long)


def test_what_was_let_go_is_still_a_context(detector: PatternDetector) -> None:
    """The bound: a first part may leave after REACH; what makes a value of it may not."""
    parts = ["138", "The kettle boils. " * 60, "1234", "5678", "ok"]
    assert told(detector, parts)[0::2] == ["138", H, "ok"]
    assert told(detector, parts)[3] == H


def test_white_space_does_not_push_parts_apart(detector: PatternDetector) -> None:
    spaced = json.dumps(["138", "1234", "5678"]).replace(" ", " " * 10_000)
    text, _ = filtered(document(detector), [spaced])
    assert json.loads(text) == [H, H, H]


def test_single_digits_are_counted_along_the_whole_document(detector: PatternDetector) -> None:
    value = [{"id": digit, "note": "The kettle boils. " * 3} for digit in "13812345678"]
    left = [entry["id"] for entry in told(detector, value)]
    assert sum(digit != H for digit in left) <= 4
