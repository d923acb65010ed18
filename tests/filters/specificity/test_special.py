"""Special categories are found where they are tied to a person, and only there."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from filters.evidence import Detector, DetectorError
from filters.pii.types import OF_PERSONS
from filters.spans import Span
from filters.specificity import special as special_module
from filters.specificity.quasi_identifiers import QUASI_IDENTIFIER
from filters.specificity.special import KINDS, SpecialCategories
from filters.specificity.special_terms import terms

DETECTOR = SpecialCategories()


def kinds(text: str, detector: Detector = DETECTOR) -> set[str]:
    return {span.type for span in detector.find(text)}


def test_the_types_are_those_of_the_policy() -> None:
    assert {*KINDS, QUASI_IDENTIFIER} == OF_PERSONS


def test_tied_to_a_person_it_is_found(special: Any) -> None:
    assert special["type"] in kinds(special["text"])


@pytest.mark.parametrize("frame", ["{} Nothing else is known.", "The file says: {}", "另外，{}", "\n- {}\n", "“{}”"])
def test_in_any_place(special: Any, frame: str) -> None:
    assert special["type"] in kinds(frame.format(special["text"]))


def test_of_unseen_sentences_no_fewer_are_found_than_on_record(unseen: Any) -> None:
    """docs/figures.md says how many."""
    found = [each for each in unseen["special"] if each["type"] in kinds(each["text"])]
    assert len(found) >= 35


def test_in_general_it_is_not(benign: Any) -> None:
    assert not DETECTOR.find(benign)


@pytest.mark.parametrize(
    ("tied", "general"),
    [
        ("She has diabetes.", "Diabetes is a disease."),
        ("The customer is a Muslim.", "A Muslim prays five times a day."),
        ("He was convicted of fraud.", "Whoever was convicted of fraud may appeal."),
        ("Her overdraft is large.", "The overdraft is free for a year."),
        ("该客户患有糖尿病。", "糖尿病患者应控制饮食。"),
        ("他加入了工会。", "员工可以加入工会。"),
        ("她的征信有逾期。", "征信报告每年可以查询两次。"),
    ],
)
def test_the_tie_decides(tied: str, general: str) -> None:
    assert kinds(tied)
    assert not kinds(general)


def test_a_tie_reaches_no_further_than_its_sentence() -> None:
    assert not kinds("She called on Monday. Diabetes is a disease.")
    assert not kinds("她周一来电。糖尿病是一种慢性病。")


def test_what_an_act_names_is_part_of_it() -> None:
    text = "Vexlo was diagnosed with grelm fever in May."
    assert [text[span.start : span.end] for span in DETECTOR.find(text)] == ["was diagnosed with grelm fever"]


def test_only_children_are_children() -> None:
    assert kinds("Her son is 13.") == {"SPECIAL_CHILD"}
    assert not kinds("Her son is 14.")
    assert kinds("她的女儿今年十三岁。") == {"SPECIAL_CHILD"}
    assert not kinds("她的女儿今年十四岁。")


@pytest.mark.parametrize(
    "text", ["She has dia\u200bbetes.", "Ｓｈｅ has diabetes.", "SHE HAS DIABETES.", "She hаs diabetes."]
)
def test_odd_spelling_is_read(text: str) -> None:
    assert kinds(text) == {"SPECIAL_HEALTH"}


class Names:
    """A name model that knows one name."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, raw_text: str) -> list[Span]:
        self.asked.append(raw_text)
        at = raw_text.find("vexlo")
        return [Span(at, at + 5, "PERSON", 1.0)] if at >= 0 else []


def test_a_name_model_is_a_tie_and_is_asked_seldom() -> None:
    names = Names()
    detector = SpecialCategories(names)
    assert kinds("yesterday vexlo was arrested.", detector) == {"SPECIAL_CRIME"}
    assert not kinds("yesterday vexlo was arrested.")
    names.asked.clear()
    detector.find("The ferry waits until the last passenger is on. She has asthma.")
    assert not names.asked


class Broken:
    def find(self, raw_text: str) -> list[Span]:
        raise DetectorError("name model failed")


def test_a_name_model_that_fails_is_an_error() -> None:
    with pytest.raises(DetectorError):
        SpecialCategories(Broken()).find("yesterday vexlo was arrested.")


def test_a_pattern_out_of_time_is_an_error_without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(special_module, "LABEL_BEFORE", regex.compile(r"(?:a|a|aa)+[bc]x?"))
    canary = "a" * 140 + " has diabetes"
    with pytest.raises(DetectorError) as caught:
        DETECTOR.find(canary)
    assert "aaa" not in str(caught.value)
    assert caught.value.__context__ is None


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a filter opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    assert SpecialCategories().find("She has diabetes.")


HOSTILE = {
    "ties": "he is gay. " * 6_000,
    "one sentence": "he is gay and " * 4_000,
    "topics": "diabetes " * 6_000,
    "owners": "his " * 20_000 + "diabetes",
    "names": "Aa " * 20_000 + "was convicted",
    "children": "her son is " * 5_000 + "9",
    "Chinese": "他患有糖尿病" * 4_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_soon(name: str) -> None:
    """It is read, or it is an error, in bounded time."""
    began = time.process_time()
    with contextlib.suppress(DetectorError):
        DETECTOR.find(HOSTILE[name])
    assert time.process_time() - began < 8


PIECES = ["She ", "has ", "is ", "他", "患有", ". ", "，", *list(terms())[:40]]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4))).map("".join))
def test_spans_are_inside_and_of_a_kind(text: str) -> None:
    for span in DETECTOR.find(text):
        assert 0 <= span.start < span.end <= len(text)
        assert span.type in KINDS


def test_an_act_is_tied_by_a_label_right_before_it_only() -> None:
    categories = SpecialCategories()
    assert not categories.find("note: The parcel is at the harbour until the ferry leaves.")
    assert categories.find("Notes: was diagnosed with lupus.")
