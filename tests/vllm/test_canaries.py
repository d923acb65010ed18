"""What vLLM itself prints, started with the flags of tests/support/vllm_server.py: nothing of what it was asked or
said, whether it could answer or not. It is asked directly, so that no gateway keeps anything from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.leaks.words import Canaries
from tests.support.vllm_server import MAX_MODEL_LEN, Arrangement, Endpoint
from tests.vllm.wire import CHAT, LEGACY, TIMEOUT_S

MODEL = "a model's name"  # vLLM prints one that it does not know; the gateway sends those of its configuration alone
PRIVATE = {"max_tokens": 4, "temperature": 0, "logprobs": True, "return_token_ids": True}


def test_vllm_prints_nothing_of_what_it_was_asked(vllm: Arrangement) -> None:
    canaries = Canaries()
    for endpoint in vllm.endpoints:
        with httpx.Client(base_url=endpoint.url, timeout=TIMEOUT_S, trust_env=False) as client:
            statuses = list(_asked(client, endpoint, canaries))
        assert statuses == [200, 200, 200, 200, 200, 400, 400, 400, 400, 404, 404, 405]
    printed = {server.program.name: server.output for server in vllm.servers}
    assert all(printed.values())
    found = {hit.said.place for text in printed.values() for hit in canaries.hits(text.encode())}
    assert found == {MODEL}, "which shows that the search reads what vLLM prints"


def _asked(client: httpx.Client, endpoint: Endpoint, canaries: Canaries) -> Iterator[int]:
    """On every path that the gateway takes, and on some where it must not come; the statuses."""

    def said(place: str) -> str:
        return canaries.word(endpoint.model, place)

    def post(path: str, **body: Any) -> int:
        headers = {"x-canary": said("header"), "user-agent": said("header"), "x-request-id": said("request id")}
        query = {said("query string"): said("query string")}
        return client.post(path, json={"model": endpoint.model} | body, headers=headers, params=query).status_code

    messages = [{"role": "user", "content": f"Tell me of {said('prompt')}."}]
    schema = {"type": "object", "properties": {said("property"): {"type": "string"}}}
    tool = {"type": "function", "function": {"name": said("tool"), "parameters": schema}}
    yield post(CHAT, messages=messages, **PRIVATE)
    yield post(CHAT, messages=messages, stream=True, tools=[tool], tool_choice="none", **PRIVATE)
    yield post(LEGACY, prompt=said("prompt"), max_tokens=4)
    yield post(LEGACY, prompt=said("prompt"), max_tokens=1, prompt_logprobs=0)
    yield post("/tokenize", messages=messages)
    yield post(CHAT, messages=said("prompt"))
    yield post(CHAT, messages=messages * MAX_MODEL_LEN)
    yield post(CHAT, messages=messages, temperature=said("temperature"))
    yield client.post(CHAT, content=json.dumps({"messages": said("broken body")})[:-1]).status_code
    yield post(CHAT, messages=messages, model=said(MODEL))
    yield post(f"/{said('path')}")
    yield client.delete(f"{CHAT}?{said('query string')}").status_code
