"""Special categories that the caller told of somebody come back of nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest

from filters.detectors import WithCategories
from filters.evidence import Detector
from filters.grounding import RequestGrounds
from filters.pii.detector import build_detector
from filters.specificity.special import SpecialCategories


@cache
def detector() -> Detector:
    return WithCategories(build_detector(["PHONE"]), SpecialCategories(build_detector({"PERSON"})))


def left(own: Sequence[str], answer: str) -> list[str]:
    """The findings of an answer that the caller did not tell."""
    found = detector().find(answer)
    own_spans = RequestGrounds.from_texts(own, detector()).covered(answer, found)
    assert found
    return [answer[span.start : span.end] for span in found if span not in own_spans]


@pytest.mark.parametrize(
    ("own", "answer"),
    [
        ("I have diabetes.", "I see that you have diabetes."),
        ("My mother has diabetes. What may she eat?", "She has diabetes, so fruit is fine."),
        ("My mother has diabetes.", "As her mother has diabetes, fruit is fine."),
        ("Priya Tamber has diabetes. What may she eat?", "Priya Tamber has diabetes, so fruit is fine."),
        ("Priya Tamber has diabetes. What may she eat?", "She has diabetes, so fruit is fine."),
        ("The customer has an overdraft. What now?", "The customer has an overdraft, so write to her."),
        ("我妈妈患有糖尿病。她可以吃什么？", "她患有糖尿病，可以吃水果。"),
    ],
)
def test_of_the_same_person(own: str, answer: str) -> None:
    assert left([own], answer) == []


@pytest.mark.parametrize(
    ("own", "answer"),
    [
        ("I have diabetes. What illness does Priya Tamber have?", "She has diabetes."),
        ("I have diabetes.", "Priya Tamber has diabetes."),
        ("I have diabetes.", "I have diabetes."),
        ("My mother has diabetes. And Priya Tamber?", "She has diabetes."),
        ("My mother has diabetes.", "Priya Tamber has diabetes."),
        ("My mother has diabetes.", "Her sister has diabetes."),
        ("Priya Tamber has diabetes. And Vexlo Trund?", "Vexlo Trund has diabetes."),
        ("Priya Tamber has diabetes.", "She has asthma."),
        ("Does Priya Tamber have diabetes?", "She has diabetes."),
        ("我患有糖尿病。那位客户呢？", "她患有糖尿病。"),
    ],
)
def test_of_nobody_else(own: str, answer: str) -> None:
    assert left([own], answer) != []


@pytest.mark.parametrize(
    ("own", "asks"),
    [
        ("Does Priya Tamber have diabetes?", True),
        ("Is the customer a Buddhist?", True),
        ("I have diabetes. May I eat bananas?", False),
        ("My mother has diabetes. May she eat bananas?", False),
        ("What is diabetes?", False),
    ],
)
def test_what_is_asked_of_somebody_else_is_put_up(own: str, asks: bool) -> None:
    assert RequestGrounds.from_texts([own], detector()).asks is asks


def test_many_are_told_of_nobody() -> None:
    own = [f"Priya Tamber has {what}." for what in ("diabetes", "asthma", "lupus", "epilepsy")]
    assert left(own, "Priya Tamber has asthma.") == ["asthma"]
