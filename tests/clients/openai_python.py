"""The openai package for Python, used as its documentation shows it. Driven by `record`, or against a running gateway:
see the README beside this file."""

from __future__ import annotations

import asyncio
import os
from typing import Literal

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "acme-assistant"
QUESTION = [{"role": "user", "content": "When does the ferry leave?"}]
TALK = [
    {"role": "developer", "content": "Answer in one sentence."},
    {"role": "user", "content": [{"type": "text", "text": "Hello."}], "name": "visitor"},
    {"role": "assistant", "content": "Hello. What can I do for you?"},
    {"role": "user", "content": [{"type": "text", "text": "When does"}, {"type": "text", "text": "the ferry leave?"}]},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "ferries",
        "description": "Departures from a place.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "when": {"type": "string", "enum": ["morning", "evening"]}},
            "required": ["place", "when"],
            "additionalProperties": False,
        },
    },
}


class Ferry(BaseModel):
    """A departure."""

    place: str
    when: Literal["morning", "evening"]
    seats: int
    via: list[str]


class Departures(BaseModel):
    """Departures from one place."""

    place: str
    ferries: list[Ferry]


def client(case: str, **more: object) -> OpenAI:
    return OpenAI(base_url=os.environ["CLIENT_URL"].replace("{case}", case), **more)  # type: ignore[arg-type]


def chats() -> None:
    answer = client("chat").chat.completions.create(model=MODEL, messages=QUESTION)
    assert answer.choices[0].message.content
    stream = client("chat_stream").chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    counted = client("chat_stream_usage").chat.completions.create(
        model=MODEL, messages=TALK, stream=True, stream_options={"include_usage": True}
    )
    assert [chunk.usage for chunk in counted][-1]
    with client("chat_stream_helper").chat.completions.stream(model=MODEL, messages=QUESTION) as helper:
        assert [event.type for event in helper][-1] == "content.done"
        assert helper.get_final_completion().choices[0].message.content
    everything = client("chat_every_ordinary_field").chat.completions.create(
        model=MODEL,
        messages=TALK,
        frequency_penalty=0,
        logit_bias={},
        logprobs=False,
        max_completion_tokens=64,
        metadata={"part": "shop"},
        modalities=["text"],
        n=2,
        parallel_tool_calls=True,
        presence_penalty=0,
        prompt_cache_key="shop",
        reasoning_effort="low",
        response_format={"type": "text"},
        safety_identifier="s-1",
        seed=7,
        service_tier="auto",
        stop=["END"],
        store=False,
        temperature=0.2,
        top_p=1,
        user="u-1",
        verbosity="low",
    )
    assert len(everything.choices) == 2


def tools() -> None:
    api = client("tools")
    first = api.chat.completions.create(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice="auto")
    said = first.choices[0].message
    assert said.tool_calls
    result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "in the evening"}
    second = client("tools_answered").chat.completions.create(
        model=MODEL, messages=[*QUESTION, said, result], tools=[TOOL], parallel_tool_calls=False
    )
    assert second.choices[0].message.content
    named = {"type": "function", "function": {"name": "ferries"}}
    forced = client("tools_forced").chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice=named
    )
    assert forced.choices[0].message.tool_calls
    with client("tools_stream_helper").chat.completions.stream(model=MODEL, messages=QUESTION, tools=[TOOL]) as helper:
        assert helper.get_final_completion().choices[0].message.tool_calls
    parsed = client("tools_parsed").chat.completions.parse(
        model=MODEL, messages=QUESTION, tools=[openai.pydantic_function_tool(Ferry)], tool_choice="required"
    )
    calls = parsed.choices[0].message.tool_calls
    assert calls
    assert isinstance(calls[0].function.parsed_arguments, Ferry)


def formats() -> None:
    parsed = client("parse").chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Departures)
    assert parsed.choices[0].message.parsed
    with client("parse_stream").chat.completions.stream(
        model=MODEL, messages=QUESTION, response_format=Departures
    ) as helper:
        assert helper.get_final_completion().choices[0].message.parsed
    answer = client("json_object").chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "Answer in JSON."}, *QUESTION],
        response_format={"type": "json_object"},
    )
    assert answer.choices[0].message.content


def rest() -> None:
    assert client("models").models.list().data
    whole = client("completion").completions.create(model=MODEL, prompt="The ferry", max_tokens=16)
    assert whole.choices[0].text
    stream = client("completion_stream").completions.create(model=MODEL, prompt=["The ferry"], stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    patient = client("timeout", timeout=20.0, max_retries=1, organization="org-shop", project="proj-shop")
    assert patient.chat.completions.create(model=MODEL, messages=QUESTION).choices
    assert client("retried").chat.completions.create(model=MODEL, messages=QUESTION).choices
    raw = client("raw_response").chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
    assert raw.parse().choices
    with client("streaming_response").chat.completions.with_streaming_response.create(
        model=MODEL, messages=QUESTION
    ) as response:
        assert response.json()["choices"]


async def asynchronous() -> None:
    def api(case: str) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=os.environ["CLIENT_URL"].replace("{case}", case))

    answer = await api("async_chat").chat.completions.create(model=MODEL, messages=QUESTION)
    assert answer.choices[0].message.content
    stream = await api("async_stream").chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    async with api("async_parse_stream").chat.completions.stream(
        model=MODEL, messages=QUESTION, response_format=Ferry, tools=[TOOL], tool_choice="none"
    ) as helper:
        assert (await helper.get_final_completion()).choices[0].message.parsed
    assert (await api("async_models").models.list()).data


def main() -> None:
    chats()
    tools()
    formats()
    rest()
    asyncio.run(asynchronous())
    print("openai (Python)", openai.__version__)


if __name__ == "__main__":
    main()
