"""The servers behind the fixtures are what the fixtures say."""

import httpx

from tests.support.vllm_server import Arrangement
from tests.vllm.wire import CHAT, TIMEOUT_S, ask, joined

GREEDY = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 8, "logprobs": True}


def test_every_name_is_served_where_the_arrangement_says(vllm: Arrangement) -> None:
    for endpoint in vllm.endpoints:
        listed = httpx.get(endpoint.url + "/v1/models", timeout=TIMEOUT_S, trust_env=False).json()["data"]
        assert endpoint.model in {entry["id"] for entry in listed}


def test_base_and_tuned_are_different_models(vllm: Arrangement) -> None:
    base, tuned = (joined(ask(endpoint, CHAT, **GREEDY)["choices"]) for endpoint in vllm.endpoints)
    assert base.logprobs != tuned.logprobs


def test_the_lora_arrangement_is_one_server(vllm_lora: Arrangement) -> None:
    assert len(vllm_lora.servers) == 1
    assert vllm_lora.base.url == vllm_lora.tuned.url


def test_the_full_arrangement_is_two_servers(vllm_full: Arrangement) -> None:
    assert len(vllm_full.servers) == 2
    assert vllm_full.base.url != vllm_full.tuned.url
