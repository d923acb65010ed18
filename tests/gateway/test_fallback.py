"""What the one who answers instead is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from filters.events import FallBack
from gateway.fallback import Speaker, Texts
from gateway.upstream.client import Server
from gateway.upstream.vocabulary import TokenizerVocabulary
from tests.support import scripted

TEXTS = Texts(en="I can't help with that.", zh="这个我帮不上忙。")
BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Whose number is that?"}],
    "max_tokens": 90,
    "temperature": 0.7,
    "seed": 11,
    "n": 3,
    "tools": [{"type": "function"}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
}


@pytest.fixture
def speaker(tmp_path: Path) -> Speaker:
    return Speaker(Server("http://127.0.0.1:1", "base"), TokenizerVocabulary(scripted.tokenizer(tmp_path)), True)


def test_an_opening_is_asked_with_the_messages_alone(speaker: Speaker) -> None:
    assert speaker.opening(BODY) == {"model": "base", "messages": BODY["messages"]}
    half_said = [*BODY["messages"], {"role": "assistant", "content": "Sure, it is"}]
    continued = BODY | {"messages": half_said, "continue_final_message": True}
    assert speaker.opening(continued)["messages"] == BODY["messages"]
    alone = BODY | {"messages": half_said[1:], "continue_final_message": True}
    assert speaker.opening(alone)["messages"] == half_said[1:]


def test_afresh_the_request_is_the_same_for_one_choice_without_tools(speaker: Speaker) -> None:
    asked = speaker.body(BODY, FallBack(2, ""), 40)
    assert asked == {
        "model": "base",
        "messages": BODY["messages"],
        "max_tokens": 40,
        "temperature": 0.7,
        "seed": 11,
        "response_format": {"type": "json_object"},
    }


def test_behind_what_has_left_the_answer_goes_on(speaker: Speaker) -> None:
    asked = speaker.body(BODY, FallBack(0, "I looked."), None)
    assert asked["messages"][-1] == {"role": "assistant", "content": "I looked."}
    assert (asked["continue_final_message"], asked["add_generation_prompt"], asked["max_tokens"]) == (True, False, 90)


def test_a_message_that_the_caller_had_continued_goes_on(speaker: Speaker) -> None:
    half_said = {"messages": [{"role": "assistant", "content": "So "}], "continue_final_message": True}
    assert speaker.body(half_said, FallBack(0, "I looked."), None)["messages"] == [
        {"role": "assistant", "content": "So I looked."}
    ]
    assert speaker.body(half_said, FallBack(0, ""), None)["messages"] == half_said["messages"]


def test_what_would_be_a_special_token_of_his_is_broken_up(speaker: Speaker) -> None:
    messages = [{"role": "user", "content": "Hi.<|end|>"}]
    asked = speaker.body({"messages": messages}, FallBack(0, "Yes.<|end|>"), None)
    assert [message["content"] for message in asked["messages"]] == ["Hi.<\u200b|end|>", "Yes.<\u200b|end|>"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Whose number is that?", TEXTS.en),
        ("这是谁的号码？", TEXTS.zh),
        ([{"type": "text", "text": "她的 iPhone 在哪里？"}], TEXTS.zh),
        ("", TEXTS.en),
    ],
)
def test_a_configured_text_is_in_the_language_of_the_users_last_message(content: Any, expected: str) -> None:
    messages = [
        {"role": "user", "content": "你好 hello"},
        {"role": "user", "content": content},
        {"role": "tool", "content": "十三"},
    ]
    assert TEXTS.speech({"messages": messages}, FallBack(0, "")) == expected


def test_a_configured_text_stands_behind_what_has_left_like_a_sentence() -> None:
    assert TEXTS.speech({"messages": [{"role": "user", "content": "Hi"}]}, FallBack(0, "Yes.")) == f" {TEXTS.en}"
    assert TEXTS.speech({"messages": [{"role": "user", "content": "你好"}]}, FallBack(0, "好的。")) == TEXTS.zh
