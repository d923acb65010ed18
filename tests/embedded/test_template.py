"""Chat templates: what transformers renders, and how vLLM prepares the messages."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.embedded.errors import ApiError
from gateway.embedded.template import ChatTemplate
from gateway.embedded.tokenizer import TextTokenizer
from tests.embedded.tiny import TEMPLATE, write_model
from tests.embedded.variants import RENDERINGS

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
RECORDED = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))
LAST = "{{ messages[-1] | tojson }}"
PARTS = "{% for m in messages %}{% for part in m.content %}[{{ part.text }}]{% endfor %}{% endfor %}"


@pytest.mark.parametrize("number", range(len(RENDERINGS)))
def test_renders_as_transformers_does(number: int) -> None:
    arguments = dict(RENDERINGS[number])
    template = ChatTemplate(arguments.pop("template"), SPECIALS)
    named = {name: arguments.pop(name) for name in ("tools", "continue_final_message") if name in arguments}
    conversation, prompted = arguments.pop("conversation"), arguments.pop("add_generation_prompt", False)

    def render() -> str:
        return template.render(conversation, add_generation_prompt=prompted, extra=arguments, **named)

    if RECORDED[number] is None:
        with pytest.raises(ApiError):
            render()
    else:
        assert render() == RECORDED[number]


@pytest.mark.parametrize(
    ("message", "seen"),
    [
        ({"content": "x"}, {"content": "x"}),
        ({"content": None}, {"content": ""}),
        ({}, {"content": ""}),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"content": "a\nb"}),
        ({"content": ["a", {"type": "refusal", "refusal": "b"}]}, {"content": "a\nb"}),
        ({"content": "x", "name": "n", "unknown": 1}, {"content": "x", "name": "n"}),
    ],
)
def test_a_message_reaches_the_template_as_text(message: dict[str, Any], seen: dict[str, Any]) -> None:
    assert rendered(LAST, {"role": "user", **message}) == {"role": "user", **seen}


def test_an_assistants_calls_have_their_arguments_parsed() -> None:
    def call(arguments: object) -> dict[str, Any]:
        return {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}

    message = {
        "role": "assistant",
        "content": None,
        "reasoning": "r",
        "tool_calls": [call('{"a": 1}'), call("broken {"), call(""), call("[1]"), call({"b": 2}), call(None)],
    }
    seen = rendered(LAST, message)
    assert [c["function"]["arguments"] for c in seen["tool_calls"]] == [{"a": 1}, {}, {}, {}, {"b": 2}, {}]
    assert (seen["reasoning"], seen["reasoning_content"]) == ("r", "r")


def test_empty_calls_are_dropped_and_a_tools_answer_keeps_its_id() -> None:
    assert rendered(LAST, {"role": "assistant", "content": "x", "tool_calls": []}) == {
        "role": "assistant",
        "content": "x",
    }
    assert rendered(LAST, {"role": "tool", "content": "x", "tool_call_id": "7"}) == {
        "role": "tool",
        "content": "x",
        "tool_call_id": "7",
    }


def test_a_template_that_loops_over_parts_gets_parts() -> None:
    template = ChatTemplate(PARTS, SPECIALS)
    assert template.render([{"role": "user", "content": "a"}, {"role": "user", "content": ["b", "c"]}]) == "[a][b][c]"
    assert template.render([{"role": "user", "content": "a b"}], continue_final_message=True) == "[a b"


def test_a_developer_becomes_the_system_where_the_template_knows_none() -> None:
    messages = [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "u"},
        {"role": "developer", "content": "b"},
    ]
    text = ChatTemplate(TEMPLATE, SPECIALS).render(messages)
    assert text.startswith("<s><|role|>system\na\n\nb<|end|>\n<|role|>user\nu<|end|>\n<|role|>assistant")
    assert ChatTemplate("{# 'developer' #}" + LAST, SPECIALS).render(messages).startswith('{"role": "developer"')


@pytest.mark.parametrize("content", ["", "half a sen", "two\nlines \n", "𝄞", "CONTINUE_FINAL_MESSAGE_TAG "])
@pytest.mark.parametrize("trims", [True, False])
def test_a_continued_message_ends_the_prompt(content: str, trims: bool) -> None:
    source = TEMPLATE if trims else TEMPLATE.replace(" | trim", "")
    text = ChatTemplate(source, SPECIALS).render(
        [{"role": "assistant", "content": content}], continue_final_message=True
    )
    assert text == "<s><|role|>assistant\n" + (content.rstrip() if trims else content) or (trims and not content)


@pytest.mark.parametrize(
    ("source", "message", "words"),
    [
        (TEMPLATE, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "text parts only"),
        ("{{ 'nothing' }}", {"role": "user", "content": "x"}, "does not appear"),
        ("{{ messages[0].content | first }}", {"role": "user", "content": "CONTINUE"}, "does not appear"),
        (PARTS, {"role": "user", "content": []}, "could not find any text"),
    ],
)
def test_what_cannot_be_continued_is_refused(source: str, message: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words):
        ChatTemplate(source, SPECIALS).render([message], continue_final_message=True)


def test_a_template_that_fails_is_the_callers_fault() -> None:
    with pytest.raises(ApiError) as caught:
        ChatTemplate("{{ messages[0].content + 1 }}", SPECIALS).render([{"role": "user", "content": "x"}])
    assert caught.value.status == 400


def test_the_template_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    texts = [
        TextTokenizer(write_model(tmp_path / str(in_file), template_file=in_file)).template for in_file in (True, False)
    ]
    assert len({t.render([{"role": "user", "content": "x"}]) for t in texts if t is not None}) == 1
    assert None not in texts


def rendered(source: str, message: dict[str, Any]) -> dict[str, Any]:
    """What the template saw of a message."""
    seen: dict[str, Any] = json.loads(ChatTemplate(source, SPECIALS).render([message]))
    return seen
