"""LlamaIndex's OpenAILike and OpenAI, used as its documentation shows it. Driven by `record`, or against a running
gateway."""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

MODEL = "acme-assistant"
KNOWN = "gpt-4o-mini"  # the OpenAI class takes only names that it knows: the gateway serves the model under one
QUESTION = "When does the ferry leave?"
TALK = [ChatMessage(role="system", content="Be short."), ChatMessage(role="user", content=QUESTION)]


def ferries(place: str, seats: int = 1) -> str:
    """Departures from a place."""
    return f"One leaves {place} in the evening, with {seats} seats."


class Ferry(BaseModel):
    """A departure."""

    place: str
    seats: int | None = None


TOOL = FunctionTool.from_defaults(ferries)


def like(case: str, **more: Any) -> OpenAILike:
    kinds = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 1024} | more
    return OpenAILike(model=MODEL, api_base=_url(case), **kinds)


def known(case: str, **more: Any) -> OpenAI:
    return OpenAI(model=KNOWN, api_base=_url(case), **more)


def _url(case: str) -> str:
    return os.environ["CLIENT_URL"].replace("{case}", case)


def chats() -> None:
    assert like("chat").chat(TALK).message.content
    assert [part.delta for part in like("chat_stream").stream_chat(TALK)]
    assert like("complete").complete(QUESTION).text
    assert [part.delta for part in like("complete_stream", max_tokens=64).stream_complete(QUESTION)]
    assert like("legacy", is_chat_model=False, is_function_calling_model=False, max_tokens=32).complete("A ferry").text
    assert known("known_chat", temperature=0.0, max_tokens=64).chat(TALK).message.content
    assert [part.delta for part in known("known_stream").stream_chat(TALK)]


def tools() -> None:
    said = like("tools").chat_with_tools([TOOL], user_msg=QUESTION, tool_required=True)
    assert said.message.additional_kwargs["tool_calls"]
    assert known("known_tools").predict_and_call([TOOL], user_msg=QUESTION).response
    parts = known("known_tools_stream").stream_chat_with_tools(
        [TOOL], user_msg=QUESTION, allow_parallel_tool_calls=True
    )
    assert list(parts)


def structured() -> None:
    prompt = PromptTemplate("Say of {place} when the ferry leaves.")
    assert isinstance(like("structured").structured_predict(Ferry, prompt, place="home"), Ferry)
    assert isinstance(known("known_structured").structured_predict(Ferry, prompt, place="home"), Ferry)
    bound = known("known_structured_llm").as_structured_llm(Ferry)
    assert isinstance(bound.chat(TALK).raw, Ferry)
    like_schema = like("structured_schema", should_use_structured_outputs=True)
    assert isinstance(like_schema.structured_predict(Ferry, prompt, place="home"), Ferry)
    plain = like("json_object", additional_kwargs={"response_format": {"type": "json_object"}})
    assert plain.chat(TALK).message.content


async def asynchronous() -> None:
    assert (await like("achat").achat(TALK)).message.content
    assert [part.delta async for part in await like("astream").astream_chat(TALK)]
    agent = FunctionAgent(tools=[TOOL], llm=like("agent"), system_prompt="Use your tools.")
    assert str(await agent.run(QUESTION))
    plain = FunctionAgent(tools=[TOOL], llm=known("known_agent"), streaming=False)
    assert str(await plain.run(QUESTION))


def main() -> None:
    chats()
    tools()
    structured()
    asyncio.run(asynchronous())
    names = ("llama-index-core", "llama-index-llms-openai", "llama-index-llms-openai-like", "openai")
    print(*(f"{name} {version(name)}" for name in names))


if __name__ == "__main__":
    main()
