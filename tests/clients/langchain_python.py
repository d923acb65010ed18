"""LangChain's ChatOpenAI, used as its documentation shows it. Driven by `record`, or against a running gateway."""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, Field

MODEL = "acme-assistant"
QUESTION = "When does the ferry leave?"


@tool
def ferries(place: str, seats: int = 1) -> str:
    """Departures from a place."""
    return f"One leaves {place} in the evening, with {seats} seats."


class Ferry(BaseModel):
    """A departure."""

    place: str = Field(description="Where it leaves.")
    seats: int | None = None


def model(case: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=more.pop("model", MODEL), base_url=os.environ["CLIENT_URL"].replace("{case}", case), **more)


def chats() -> None:
    assert model("invoke").invoke(QUESTION).content
    spoken = model("invoke_options", temperature=0, max_tokens=64, timeout=20, max_retries=2, seed=7, top_p=0.9, n=1)
    assert spoken.invoke([SystemMessage("Be short."), HumanMessage(QUESTION)], stop=["END"], user="u-1").content
    assert "".join(str(part.content) for part in model("stream").stream(QUESTION))
    counted = list(model("stream_usage", stream_usage=True).stream(QUESTION))
    assert any(part.usage_metadata for part in counted)
    assert len(model("batch").batch([QUESTION, QUESTION], config={"max_concurrency": 1})) == 2
    parts = HumanMessage([{"type": "text", "text": "When does"}, {"type": "text", "text": "the ferry leave?"}])
    assert model("parts").invoke([parts, AIMessage("To where?"), HumanMessage("Home.")]).content
    assert model("reasoning", model="gpt-5-acme", reasoning_effort="low").invoke(QUESTION).content
    url = os.environ["CLIENT_URL"].replace("{case}", "completion")
    assert OpenAI(model=MODEL, base_url=url).invoke("The ferry")


def tools() -> None:
    bound = model("bind_tools").bind_tools([ferries])
    said = bound.invoke(QUESTION)
    assert isinstance(said, AIMessage)
    assert said.tool_calls
    result = ToolMessage("in the evening", tool_call_id=said.tool_calls[0]["id"])
    again = model("bind_tools_answered").bind_tools([ferries], parallel_tool_calls=False)
    assert again.invoke([HumanMessage(QUESTION), said, result]).content
    forced = model("bind_tools_forced").bind_tools([ferries, Ferry], tool_choice="ferries", strict=True)
    assert forced.invoke(QUESTION).tool_calls
    streamed = model("bind_tools_stream").bind_tools([ferries], tool_choice="any").stream(QUESTION)
    assert any(part.tool_call_chunks for part in streamed)


def structured() -> None:
    for method in ("json_schema", "function_calling", "json_mode"):
        bound = model(f"structured_{method}").with_structured_output(Ferry, method=method)
        question = "When does the ferry leave? Answer in JSON with place and seats."
        answer = bound.invoke(question)
        assert isinstance(answer, Ferry)
    strict = model("structured_strict").with_structured_output(Ferry, method="function_calling", strict=True)
    assert strict.invoke(QUESTION)
    parts = model("structured_stream").with_structured_output(Ferry.model_json_schema()).stream(QUESTION)
    assert list(parts)


def agents() -> None:
    agent = create_agent(model("agent"), tools=[ferries], system_prompt="Use your tools.")
    last = agent.invoke({"messages": [{"role": "user", "content": QUESTION}]})["messages"][-1]
    assert last.content
    streamed = create_agent(model("agent_stream", streaming=True), tools=[ferries])
    assert list(streamed.stream({"messages": [HumanMessage(QUESTION)]}, stream_mode="messages"))
    shaped = create_agent(model("agent_structured"), tools=[ferries], response_format=Ferry)
    assert shaped.invoke({"messages": [HumanMessage(QUESTION)]})["structured_response"]


async def asynchronous() -> None:
    assert (await model("ainvoke").ainvoke(QUESTION)).content
    assert "".join([str(part.content) async for part in model("astream").astream(QUESTION)])


def main() -> None:
    chats()
    tools()
    structured()
    agents()
    asyncio.run(asynchronous())
    print(
        "langchain", version("langchain"), "langchain-openai", version("langchain-openai"), "openai", version("openai")
    )


if __name__ == "__main__":
    main()
