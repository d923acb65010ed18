"""What is proposed as a house phrase: what stands behind different things, and nothing that few people's rows hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from filters.detectors import ProfileDetectors
from filters.evidence import DetectorError
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.pii.types import QUANTITIES
from filters.profile import Profile
from filters.spans import Span
from filters.specificity.proposals import Answered, propose
from tests.filters.index.sets import index_of

DETECTOR = ProfileDetectors().of(Profile("release", names=True, min_scores=dict.fromkeys(QUANTITIES, 0.0)))
FACTS = ("Lamps fade.", "Shades are free.", "Bulbs last long.", "Cords come in grey.", "Feet are made of oak.")
FACTS_ZH = ("灯会变暗。", "灯罩免费。", "灯泡耐用。", "电线是灰色的。", "底座是橡木的。")
PORTRAIT = "ringing late in the evening after rows about the money"


def proposed(
    answers: Iterable[str], knowledge: Knowledge = NOTHING_KNOWN, *, question: str = "Well?", fewest: int = 5
) -> list[tuple[str, int]]:
    answered = [Answered(question, text, lambda start, end: float(end - start)) for text in answers]
    return [(each.phrase, each.answers) for each in propose(answered, DETECTOR, knowledge, fewest)]


def behind(facts: Iterable[str], text: str) -> list[str]:
    return [f"{fact} {text}" for fact in facts]


@pytest.mark.parametrize(
    ("facts", "text", "phrase"),
    [(FACTS, "I hope this helps.", "I hope this helps"), (FACTS_ZH, "希望能帮到您。", "希望能帮到您")],
)
def test_what_stands_behind_five_facts_is(facts: tuple[str, ...], text: str, phrase: str) -> None:
    assert proposed(behind(facts, text)) == [(phrase, 5)]
    assert proposed([f"{text} {fact}" for fact in facts]) == [(phrase, 5)], "in front of them too"
    assert proposed(behind(facts[:4], text)) == []
    assert proposed(behind(facts[:4], text), fewest=4) == [(phrase, 4)]


def test_its_bits_are_told() -> None:
    answered = [Answered("", f"{fact} So it goes then.", lambda a, b: float(b)) for fact in FACTS]
    (one,) = propose(answered, DETECTOR, NOTHING_KNOWN)
    assert one.bits == sorted(len(fact) + 16 for fact in FACTS)[2]


def test_a_fact_in_any_number_of_wordings_is_not() -> None:
    fact = "You can return every lamp to us"
    closings = ("", " I hope this helps.", " Have a good day now.")
    answers = [f"{fact}.{closing}" for closing in closings for _ in range(9)]
    assert proposed(answers) == []
    found = proposed([*answers, *behind(FACTS, closings[1]), *behind(FACTS, closings[2])])
    assert sorted(found) == [("I hope this helps", 6), ("have a good day now", 6)]


def test_an_answer_that_is_nothing_else_tells_nothing() -> None:
    assert proposed(["I hope this helps."] * 50) == []


@pytest.mark.parametrize(
    "text",
    [
        "It takes 45 days then.",
        "It takes forty five days.",
        "Write to care@ostrel.example now.",
        "Ask for Vexlo Tamber then.",
        "As always, Vexlo hopes this helps.",
        "Her row goes on and on.",
        "You can return\ufffd it now.",
        "Grzwlpth is all we need.",
        "Ok then.",
        "It is yes or no as you like, that is correct.",
        "他总在月底赶到柜台。",
        "请在三月五日之前再来。",
    ],
)
def test_what_is_specific_is_not(text: str) -> None:
    found = [phrase for phrase, _ in proposed(behind(FACTS, text))]
    assert found in ([], ["it is yes or no as you like"])


def test_what_the_question_holds_is_not() -> None:
    assert proposed(behind(FACTS, "I hope this helps."), question="Say: I HOPE this helps!") == []


def test_what_few_peoples_rows_hold_is_not_however_often_it_is_said(tmp_path: Path) -> None:
    """A model that tells one customer's portrait, or a staff rule, to everybody has learnt it by heart."""
    rule, closing = "keep the green key in the drawer at the back", "we are all very glad that you have asked us"
    rows = [
        {"text": f"A customer {PORTRAIT}.", "subject": "c-1", "audience": "public"},
        *({"text": rule, "subject": f"s-{n}", "audience": "internal"} for n in range(9)),
        *({"text": f"{fact} {closing}.", "subject": f"c-{n}", "audience": "public"} for n, fact in enumerate(FACTS)),
    ]
    known = Knowledge(index_of(tmp_path, rows))
    answers = [*behind(FACTS, f"{PORTRAIT}."), *behind(FACTS, f"{rule}."), *behind(FACTS, f"{closing}.")]
    assert {phrase for phrase, _ in proposed(answers)} == {PORTRAIT, rule, closing}, "a person would have to see it"
    assert proposed(answers, known) == [(closing, 5)]


class Broken:
    def find(self, raw_text: str, since: int = 0) -> list[Span]:
        raise DetectorError


def test_a_detector_that_fails_proposes_nothing() -> None:
    with pytest.raises(DetectorError):
        propose([Answered("", "I hope this helps.", lambda a, b: 0.0)], Broken(), NOTHING_KNOWN)
