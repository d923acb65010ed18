"""What has left of a choice, and how a sentence of which a part has left is closed."""

from __future__ import annotations

import pytest

from filters.events import Channel, Field
from filters.grounding import RequestGrounds
from filters.left import Left
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from tests.support.answers import CharacterVocabulary, Script, run, sure

CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)


def left(*texts: str, channel: Channel = CONTENT) -> Left:
    said = Left()
    for text in texts:
        said.add(channel, text)
    return said


@pytest.mark.parametrize(
    "said",
    [
        "",
        " ",
        "Yes. ",
        "Yes!\n",
        "He said “yes.” ",
        "So it is (they say). ",
        "**Note.** ",
        "Wait… ",
        "On file:\n",
        "- one\n- two\n\n",
        "是的。",
        "他说：“是的。”",
        "一；",
    ],
)
def test_a_finished_sentence_is_not_closed(said: str) -> None:
    assert left(said).closing(CONTENT, "[EMAIL_1]") == ""


@pytest.mark.parametrize(
    ("said", "placeholder", "closing"),
    [
        ("As you know, ", "[EMAIL_1]", "[EMAIL_1]. "),
        ("As you know,", "[EMAIL_1]", " [EMAIL_1]. "),
        ("As you know (", "[EMAIL_1]", "[EMAIL_1]. "),
        ("As you know, ", "", "[…]. "),
        ("As you know", "", " […]. "),
        ("我查了一下，", "[EMAIL_1]", "[EMAIL_1]。"),
        ("我查了一下，", "北京某地址", "北京某地址。"),
        ("我查了一下，", "", "[…]。"),
        ("I looked. 我查了一下，", "[EMAIL_1]", "[EMAIL_1]。"),
        ("我查了一下。As you know, ", "[EMAIL_1]", "[EMAIL_1]. "),
        ("我的 iPhone 在，", "[EMAIL_1]", "[EMAIL_1]。"),
    ],
)
def test_an_open_one_is_closed_in_its_language(said: str, placeholder: str, closing: str) -> None:
    assert left(said).closing(CONTENT, placeholder) == closing
    assert left(*said).closing(CONTENT, placeholder) == closing
    closed = left(said, closing)
    assert closed.closing(CONTENT, placeholder) == ""


def test_each_channel_has_its_own_sentence() -> None:
    said = left("I see, ", channel=REASONING)
    said.add(CONTENT, "Yes. ")
    assert (said.closing(CONTENT), said.closing(REASONING)) == ("", "[…]. ")
    assert said.content == "Yes. "


def test_what_has_left_is_known_by_field() -> None:
    said = Left()
    assert not said.any_of()
    said.add(CONTENT, "")
    assert not said.any_of()
    said.add(REASONING, "Hm. ")
    assert said.any_of()
    assert said.any_of(Field.CONTENT, Field.REASONING)
    assert not said.any_of(Field.CONTENT)


def test_what_would_confirm_falls_back_before_its_first_clause_leaves() -> None:
    grounds = RequestGrounds.from_texts(["Is 13812345678 Ada's number?"], build_detector())
    profile = Profile("clauses", release=ReleaseUnit.CLAUSE)
    pipeline = Pipeline(profile, RequestEvidence(grounds), build_detector(), CharacterVocabulary())
    outcome = run(pipeline, Script([(CONTENT, "As it happens, it is hers.")], evidence=sure, base="I can't say."))
    assert outcome.content == "I can't say."
    assert outcome.fallbacks[0].released_text == ""
