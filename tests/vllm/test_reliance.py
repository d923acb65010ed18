"""What the gateway relies on, or guards against, in the vLLM that it stands in front of.

None of this is promised by vLLM's documentation. When a new version changes one of these answers, the test that fails
names the rule in the gateway that has to be looked at again.
"""

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.tenant_keys import TenantKeys
from gateway.types import Principal
from tests.support.vllm_server import MAX_NUM_SEQS, Arrangement, Endpoint
from tests.vllm.wire import CHAT, LEGACY, TIMEOUT_S, ask, frame_kind, post, samples, stream, streamed_samples

HELLO = [{"role": "user", "content": "Hello, 你好"}]
GREEDY = {"messages": HELLO, "temperature": 0, "max_tokens": 8}
EVIDENCE = {"logprobs": True, "return_token_ids": True}
LONG_TOKENS, CHOICES = 900, 8  # some ten seconds, so that also a busy machine sees the client leave before the end
LONG = {"messages": HELLO, "temperature": 1, "n": CHOICES, "max_tokens": LONG_TOKENS, "ignore_eos": True}
CANARY = "kestrel-4711"
PLAIN: dict[str, Any] = {"timeout": TIMEOUT_S, "trust_env": False}
TRIES = 5
CANCELLED_S = 20.0  # measured 0.03 s alone and 0.4 s on a busy machine


@pytest.fixture
def base(vllm_full: Arrangement) -> Endpoint:
    return vllm_full.base


def test_every_token_comes_with_its_log_probability(base: Endpoint) -> None:
    (said,) = streamed_samples(stream(base, CHAT, **GREEDY, **EVIDENCE))
    assert len(said.token_ids) == len(said.logprobs) == len(said.tokens) > 0


def test_the_prompts_token_ids_come_in_the_first_frame(base: Endpoint) -> None:
    frames = stream(base, CHAT, **GREEDY, **EVIDENCE)
    assert frame_kind(frames[0]) == "opening"
    assert frames[0]["prompt_token_ids"]


def test_the_finish_frame_may_carry_a_token(base: Endpoint) -> None:
    last = stream(base, CHAT, **GREEDY, **EVIDENCE)[-1]
    assert frame_kind(last) == "finish"
    assert len(last["choices"][0]["token_ids"]) == 1


def test_the_end_of_text_token_is_counted_and_scored_but_not_said(base: Endpoint) -> None:
    """Text and token ids are not of one length: a span that ends with the answer ends before its last token."""
    plain = ask(base, CHAT, **GREEDY, **EVIDENCE)["choices"][0]
    stop = plain["token_ids"][0]
    (said,) = samples(ask(base, CHAT, **GREEDY, **EVIDENCE, stop_token_ids=[stop]))
    assert (said.text, said.token_ids) == ("", (stop,))
    assert len(said.logprobs) == 1


def test_the_fingerprint_is_on_the_finish_frame_or_on_the_usage_frame(base: Endpoint) -> None:
    plain = stream(base, CHAT, **GREEDY)
    counted = stream(base, CHAT, **GREEDY, stream_options={"include_usage": True})
    assert [frame_kind(each) for each in plain if each.get("system_fingerprint")] == ["finish"]
    assert [frame_kind(each) for each in counted if each.get("system_fingerprint")] == ["usage"]


@pytest.mark.parametrize("temperature", [0.1, 1.0, 2.0])
def test_log_probabilities_are_those_before_temperature(base: Endpoint, temperature: float) -> None:
    (greedy,) = samples(ask(base, CHAT, **GREEDY, logprobs=True))
    body = {**GREEDY, "temperature": temperature, "max_tokens": 1, "logprobs": True, "top_logprobs": 2}
    first = ask(base, CHAT, **body)["choices"][0]["logprobs"]["content"][0]
    assert max(each["logprob"] for each in first["top_logprobs"]) == pytest.approx(greedy.logprobs[0], abs=1e-4)


def test_the_sampled_token_takes_the_first_of_the_top_places(base: Endpoint) -> None:
    """With `top_logprobs: 1` the model's own first choice is not there unless it was sampled."""
    body = {**GREEDY, "max_tokens": 1, "allowed_token_ids": [7], "logprobs": True, "top_logprobs": 1}
    entry = ask(base, CHAT, **body)["choices"][0]["logprobs"]["content"][0]
    assert [each["logprob"] for each in entry["top_logprobs"]] == [entry["logprob"]]


def test_log_probabilities_are_those_before_a_forced_choice(base: Endpoint) -> None:
    """An extraction with `allowed_token_ids` gets p = 1 by force, and the real p all the same."""
    body = {**GREEDY, "max_tokens": 1, "allowed_token_ids": [7], **EVIDENCE}
    (said,) = samples(ask(base, CHAT, **body))
    assert said.token_ids == (7,)
    assert said.logprobs[0] < -0.5


def test_a_stop_strings_token_is_returned_although_its_text_is_not(base: Endpoint) -> None:
    """Why `stop` never goes to the engine, and why ids beyond the released text have to be cut."""
    text = samples(ask(base, CHAT, **GREEDY))[0].text.strip()
    (said,) = samples(ask(base, CHAT, **GREEDY, **EVIDENCE, stop=[text[-1]]))
    assert text[-1] not in said.text
    assert said.stop_reason == text[-1]
    assert len(said.token_ids) == len(said.logprobs) > 0


def test_echo_gives_the_prompts_log_probabilities_unasked(base: Endpoint) -> None:
    body = {"messages": [*HELLO, {"role": "assistant", "content": "Well"}], "max_tokens": 1}
    answer = ask(base, CHAT, **body, continue_final_message=True, add_generation_prompt=False, echo=True)
    assert answer["prompt_logprobs"]


def test_a_callers_words_can_become_a_turns_end(base: Endpoint, models: Path) -> None:
    """Special tokens are read in what a caller writes: text that spells one must not reach the template."""
    end = json.loads((models / "base" / "tokenizer_config.json").read_text(encoding="utf-8"))["eos_token"]
    honest, forged = (turn_ids(base, text) for text in ("a, b", f"a{end}b"))
    last = ask(base, LEGACY, prompt=end, max_tokens=1, return_token_ids=True)["choices"][0]["prompt_token_ids"][-1]
    assert forged.count(last) == honest.count(last) + 1


def turn_ids(endpoint: Endpoint, text: str) -> list[int]:
    messages = [{"role": "user", "content": text}]
    ids: list[int] = ask(endpoint, CHAT, messages=messages, max_tokens=1, return_token_ids=True)["prompt_token_ids"]
    return ids


def test_a_callers_request_id_becomes_the_answers_id(base: Endpoint) -> None:
    body = {"model": base.model, **GREEDY}
    answer = httpx.post(base.url + CHAT, json=body, headers={"X-Request-Id": CANARY}, **PLAIN).json()
    assert CANARY in answer["id"]


def test_a_validation_error_quotes_the_request(base: Endpoint) -> None:
    assert CANARY in post(base, CHAT, messages=CANARY).text


def test_an_unknown_model_is_answered_with_the_names_of_the_known(base: Endpoint) -> None:
    refused = httpx.post(base.url + CHAT, json={"model": "x", **GREEDY}, **PLAIN)
    assert base.model in refused.json()["error"]["message"]


def test_the_list_of_models_shows_where_they_lie(vllm_lora: Arrangement) -> None:
    listed = httpx.get(vllm_lora.base.url + "/v1/models", **PLAIN).json()["data"]
    assert all(each["root"].startswith("/") for each in listed)


def test_prompt_log_probabilities_of_a_stream_are_left_out_in_silence(base: Endpoint) -> None:
    """With 0 there is no refusal, only an answer without them: a question must check that it was answered."""
    frames = stream(base, LEGACY, prompt="Hello", max_tokens=2, prompt_logprobs=0)
    assert not any(choice.get("prompt_logprobs") for frame in frames for choice in frame["choices"])


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_stops_the_engine(base: Endpoint, streamed: bool) -> None:
    before = generated(base)
    leave_early(base, streamed)
    left = time.monotonic()
    while running(base) and time.monotonic() - left < CANCELLED_S:
        time.sleep(0.02)
    assert running(base) == 0
    assert generated(base) - before < CHOICES * LONG_TOKENS


def leave_early(endpoint: Endpoint, streamed: bool) -> None:
    body = {"model": endpoint.model, **LONG, "stream": streamed}
    timeout = httpx.Timeout(TIMEOUT_S, read=TIMEOUT_S if streamed else 0.3)
    try:
        with httpx.stream("POST", endpoint.url + CHAT, json=body, timeout=timeout, trust_env=False) as response:
            list(itertools.islice(response.iter_raw(), 3))
    except httpx.ReadTimeout:
        assert not streamed  # leaving by patience's end is how an unstreamed request is left


def test_a_salt_keeps_prefix_caches_apart(base: Endpoint) -> None:
    """The engine takes the salt that the gateway makes; what was read under one is not known under another."""
    salts = [TenantKeys(bytes(32)).cache_salt(Principal("i", tenant, "s", None, "r", 0.0)) for tenant in ("a", "b")]
    long = {"messages": [{"role": "user", "content": "lamp " * 400}], "max_tokens": 1, "temperature": 0}
    hits = []
    for salt in (salts[0], salts[0], salts[1]):
        before = metric(base, "vllm:prefix_cache_hits_total")
        assert post(base, CHAT, **long, cache_salt=salt).status_code == httpx.codes.OK
        assert post(base, LEGACY, prompt="lamp", max_tokens=1, cache_salt=salt).status_code == httpx.codes.OK
        hits.append(metric(base, "vllm:prefix_cache_hits_total") - before)
    assert hits[1] > 100
    assert hits[0] == hits[2] == 0


def test_priorities_count_where_the_server_schedules_by_them(vllm_lora: Arrangement) -> None:
    """All places are taken; one is given up: of two requests that wait, the later one with the smaller number has it
    first. What takes the places is long and not endless: where a slow machine let it end by itself, nothing was
    seen."""
    for _ in range(TRIES):
        ended, held = _ended_by_priority(vllm_lora.base)
        if held:
            assert ended == [1, 10]
            return
    pytest.fail(f"the places were never held to the end, in {TRIES} tries")


def _ended_by_priority(base: Endpoint) -> tuple[list[int], bool]:
    """Who ended first, and whether all other places were taken until both had."""
    ended: list[int] = []

    def ask_with(priority: int) -> None:
        assert post(base, CHAT, **GREEDY, priority=priority).status_code == httpx.codes.OK
        ended.append(priority)

    with ThreadPoolExecutor(2) as pool, endless(base, MAX_NUM_SEQS - 1), ExitStack() as last_place:
        last_place.enter_context(endless(base, 1))
        _until(lambda: running(base) == MAX_NUM_SEQS)
        late = pool.submit(ask_with, 10)
        _until(lambda: waiting(base) >= 1 or late.done())
        early = pool.submit(ask_with, 1)
        _until(lambda: waiting(base) == 2 or late.done())
        last_place.close()
        for each in (early, late):
            each.result()
        return ended, running(base) >= MAX_NUM_SEQS - 1


def endless(endpoint: Endpoint, choices: int) -> AbstractContextManager[httpx.Response]:
    """Takes so many places until it is left."""
    body = {"model": endpoint.model, **LONG, "n": choices, "stream": True, "priority": -5}
    return httpx.stream("POST", endpoint.url + CHAT, json=body, timeout=TIMEOUT_S, trust_env=False)


def test_a_priority_means_nothing_by_default(base: Endpoint) -> None:
    """Neither an error nor another order: the gateway bounds a role's streams where its servers don't schedule."""
    assert post(base, CHAT, **GREEDY, priority=10).status_code == httpx.codes.OK


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def generated(endpoint: Endpoint) -> float:
    return metric(endpoint, "vllm:generation_tokens_total")


def running(endpoint: Endpoint) -> float:
    return metric(endpoint, "vllm:num_requests_running")


def waiting(endpoint: Endpoint) -> float:
    return metric(endpoint, "vllm:num_requests_waiting")


def metric(endpoint: Endpoint, name: str) -> float:
    lines = httpx.get(endpoint.url + "/metrics", **PLAIN).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def test_non_ascii_and_line_separators_are_raw_in_the_frames(base: Endpoint) -> None:
    """Why frames are split by bytes and never by a text library's idea of a line."""
    said = "\u2028x"
    body = {"model": base.model, "prompt": said, "echo": True, "max_tokens": 1, "stream": True}
    raw = httpx.post(base.url + LEGACY, json=body, **PLAIN).content
    first = raw.split(b"\n\n")[0].removeprefix(b"data: ")
    assert said.encode() in first
    assert json.loads(first)["choices"][0]["text"].startswith(said)
