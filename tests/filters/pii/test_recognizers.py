"""Presidio's patterns by our rules."""

from __future__ import annotations

import pytest
from presidio_analyzer import PatternRecognizer

from filters.normalise import normalise
from filters.pii.recognizers import CHOICES, PresidioPatterns
from filters.pii.types import TYPES
from filters.pii.view import View

RECOGNIZERS = [PresidioPatterns(choice) for choice in CHOICES]


def found(text: str) -> set[tuple[str, str]]:
    return {
        (s.type, text[s.start : s.end])
        for recognizer in RECOGNIZERS
        for s in recognizer.find(View(normalise(text).text))
    }


def test_choices_are_whole() -> None:
    for choice in CHOICES:
        assert choice.kind in TYPES
        assert isinstance(getattr(View("x"), choice.shadow), str)
        assert choice.score <= 1 or choice.label
    # What our driver replaces must still be all that Presidio does between a pattern and a result.
    assert not [r.name for r in RECOGNIZERS if type(r._presidio).analyze is not PatternRecognizer.analyze]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("203.0.113.40", ("IP_ADDRESS", "203.0.113.40")),
        ("ip:2001:db8:85a3::8a2e:370:7348", ("IP_ADDRESS", "2001:db8:85a3::8a2e:370:7348")),
        ("536-90-4399", ("US_SSN", "536-90-4399")),
        ("SSN536904399", ("US_SSN", "536904399")),
        ("her SSN: 536904399", ("US_SSN", "536904399")),
        ("我的SSN是536904399", ("US_SSN", "536904399")),
        ("nhs no 943 476 5919", ("NATIONAL_ID", "943 476 5919")),
        ("S1234567D", ("NATIONAL_ID", "S1234567D")),
        ("pesel 44051401359", ("NATIONAL_ID", "44051401359")),
    ],
)
def test_found(text: str, finding: tuple[str, str]) -> None:
    assert finding in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "943 476 5919",
        "44051401359",
        "536904399",
        "000-12-3456",
        "S1234567A",
        "12345678A",
        "std::vector<a::b>",
        "at 12:30:45",
        "1.2.3",
        "ABCDE12345",
    ],
)
def test_not_found(text: str) -> None:
    assert found(text) == set()
