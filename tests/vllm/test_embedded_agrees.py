"""The embedded upstream and a real vLLM say the same: what other tests show with the one holds for the other.

Compared: greedy text and token ids (equal), log-probabilities of answer and prompt (within `TOLERANCE`), the keys and
types in every kind of frame and body, the status of a refusal.

Measured with the demo's models in float32: no text, token id or rank differs, and no log-probability by more than 6e-6
nat (10,016 compared); with an untrained model whose answers are broken characters, by 2.3e-5 (29,787 compared).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.processes import Child
from tests.support.vllm_server import MAX_LOGPROBS, MAX_MODEL_LEN, Arrangement, Endpoint
from tests.vllm.prompts import Prompt, read_prompts
from tests.vllm.wire import (
    CHAT,
    LEGACY,
    Json,
    Sample,
    ask,
    assert_frames_look_alike,
    post,
    prompt_scores,
    prompt_token_ids,
    samples,
    shape,
    stream,
    streamed_samples,
)

# In nat. Far above what was measured, as other kernels (bfloat16, a GPU) are coarser; far below the half bit (0.35 nat)
# of doubt that the thresholds carry.
TOLERANCE = 0.05
TOKENS = 40
GREEDY: Json = {"temperature": 0, "max_tokens": TOKENS, "return_token_ids": True}
PROMPTS = read_prompts()
HALF_SAID = [prompt for prompt in PROMPTS if prompt.half_said]


@dataclass(frozen=True)
class Pair:
    """One model, served by both."""

    real: Endpoint
    embedded: Endpoint

    def __iter__(self) -> Iterator[Endpoint]:
        return iter((self.real, self.embedded))


@pytest.fixture(params=["base", "tuned"])
def pair(request: pytest.FixtureRequest, vllm_full: Arrangement, embedded: Child) -> Pair:
    real = {endpoint.model: endpoint for endpoint in vllm_full.endpoints}[request.param]
    return Pair(real, Endpoint(embedded.url, request.param))


@pytest.fixture
def adapter(vllm_lora: Arrangement, embedded: Child) -> Pair:
    return Pair(vllm_lora.tuned, Endpoint(embedded.url, "lora"))


def each(prompts: Sequence[Prompt]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("prompt", prompts, ids=[prompt.name for prompt in prompts])


def assert_same(real: Sample, embedded: Sample) -> None:
    assert embedded.text == real.text
    assert embedded.token_ids == real.token_ids
    assert embedded.tokens == real.tokens
    assert embedded.logprobs == pytest.approx(real.logprobs, abs=TOLERANCE)
    assert (embedded.finish_reason, embedded.stop_reason) == (real.finish_reason, real.stop_reason)


def assert_same_samples(real: Sequence[Sample], embedded: Sequence[Sample]) -> None:
    assert len(embedded) == len(real)
    for one, other in zip(real, embedded, strict=True):
        assert_same(one, other)


@each(PROMPTS)
def test_chat(pair: Pair, prompt: Prompt) -> None:
    assert_same_chat(pair, prompt)


@each(PROMPTS)
def test_chat_with_the_adapter(adapter: Pair, prompt: Prompt) -> None:
    """vLLM adds the adapter's product at every step, the embedded upstream has added it to the weights."""
    assert_same_chat(adapter, prompt)


def assert_same_chat(pair: Pair, prompt: Prompt) -> None:
    body = {**GREEDY, "messages": prompt.messages, "logprobs": True, "top_logprobs": 2}
    real, embedded = (ask(endpoint, CHAT, **body) for endpoint in pair)
    assert_same_samples(samples(real), samples(embedded))
    assert embedded["prompt_token_ids"] == real["prompt_token_ids"]
    assert embedded["usage"] == real["usage"]
    assert shape(embedded) == shape(real)


@each(PROMPTS)
def test_chat_streamed(pair: Pair, prompt: Prompt) -> None:
    body = {**GREEDY, "messages": prompt.messages, "logprobs": True, "stream_options": {"include_usage": True}}
    real, embedded = (stream(endpoint, CHAT, **body) for endpoint in pair)
    assert_same_samples(streamed_samples(real), streamed_samples(embedded))
    assert embedded[-1]["usage"] == real[-1]["usage"]
    assert prompt_token_ids(embedded) == prompt_token_ids(real)
    assert_frames_look_alike(real, embedded)


@each(HALF_SAID)
def test_an_answer_half_said_is_continued(pair: Pair, prompt: Prompt) -> None:
    messages = [*prompt.messages, {"role": "assistant", "content": prompt.half_said}]
    body = {**GREEDY, "messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    real, embedded = (ask(endpoint, CHAT, logprobs=True, **body) for endpoint in pair)
    assert_same_samples(samples(real), samples(embedded))
    assert embedded["prompt_token_ids"] == real["prompt_token_ids"]


@each(HALF_SAID)
def test_legacy(pair: Pair, prompt: Prompt) -> None:
    body = {**GREEDY, "prompt": prompt.half_said, "logprobs": 1}
    real, embedded = (ask(endpoint, LEGACY, **body) for endpoint in pair)
    assert_same_samples(samples(real), samples(embedded))
    assert embedded["choices"][0]["prompt_token_ids"] == real["choices"][0]["prompt_token_ids"]
    assert embedded["choices"][0]["logprobs"]["text_offset"] == real["choices"][0]["logprobs"]["text_offset"]
    assert embedded["usage"] == real["usage"]
    assert shape(embedded) == shape(real)


@each(HALF_SAID)
def test_legacy_streamed(pair: Pair, prompt: Prompt) -> None:
    body = {**GREEDY, "prompt": prompt.half_said, "logprobs": 0, "stream_options": {"include_usage": True}}
    real, embedded = (stream(endpoint, LEGACY, **body) for endpoint in pair)
    assert_same_samples(streamed_samples(real), streamed_samples(embedded))
    assert embedded[-1]["usage"] == real[-1]["usage"]
    assert prompt_token_ids(embedded) == prompt_token_ids(real)
    assert_frames_look_alike(real, embedded)


@each(PROMPTS)
@pytest.mark.parametrize("others", [0, 1], ids=["the token alone", "and the first choice"])
def test_a_given_text_is_scored_alike(pair: Pair, prompt: Prompt, others: int) -> None:
    assert_scored_alike(pair, prompt, others)


@each(PROMPTS)
def test_the_adapter_scores_a_given_text_alike(adapter: Pair, prompt: Prompt) -> None:
    assert_scored_alike(adapter, prompt, others=0)


def assert_scored_alike(pair: Pair, prompt: Prompt, others: int) -> None:
    chat = ask(pair.real, CHAT, messages=prompt.messages, **GREEDY)
    ids = chat["prompt_token_ids"] + chat["choices"][0]["token_ids"]
    body = {"prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": others}
    real, embedded = (ask(endpoint, LEGACY, **body) for endpoint in pair)
    assert_same_scores(real, embedded)
    assert shape(embedded) == shape(real)


def assert_same_scores(real: Json, embedded: Json) -> None:
    pairs = zip(*(prompt_scores(each["choices"][0]["prompt_logprobs"]) for each in (real, embedded)), strict=True)
    for real_scores, embedded_scores in pairs:
        assert embedded_scores.keys() == real_scores.keys()
        for token, (logprob, _) in real_scores.items():
            assert embedded_scores[token][0] == pytest.approx(logprob, abs=TOLERANCE)


def test_several_prompts_in_one_request(pair: Pair) -> None:
    chats = [ask(pair.real, CHAT, messages=prompt.messages, **GREEDY) for prompt in PROMPTS[:3]]
    body = {**GREEDY, "prompt": [chat["prompt_token_ids"] for chat in chats], "prompt_logprobs": 0, "logprobs": 0}
    real, embedded = (ask(endpoint, LEGACY, **body) for endpoint in pair)
    assert_same_samples(samples(real), samples(embedded))


def test_two_choices(pair: Pair) -> None:
    """Greedy choices are refused in twos; sampling from the one best token is not, and is as sure."""
    body = {**GREEDY, "messages": PROMPTS[0].messages, "temperature": 1, "top_k": 1, "n": 2, "logprobs": True}
    real, embedded = (stream(endpoint, CHAT, **body) for endpoint in pair)
    assert len(streamed_samples(real)) == 2
    assert_same_samples(streamed_samples(real), streamed_samples(embedded))
    assert prompt_token_ids(embedded) == prompt_token_ids(real)
    assert_frames_look_alike(real, embedded)


def test_plain_answers_look_alike(pair: Pair) -> None:
    """Without log-probabilities and token ids: the same keys, holding null."""
    body = {"messages": PROMPTS[0].messages, "temperature": 0, "max_tokens": 8}
    real, embedded = (ask(endpoint, CHAT, **body) for endpoint in pair)
    assert shape(embedded) == shape(real)
    real_frames, embedded_frames = (stream(endpoint, CHAT, **body) for endpoint in pair)
    assert_frames_look_alike(real_frames, embedded_frames)


def test_an_answer_is_cut_where_the_context_ends(pair: Pair) -> None:
    """vLLM does not refuse more tokens than fit: it gives what fits."""
    body = {**GREEDY, "prompt": [5] * (MAX_MODEL_LEN - 4), "ignore_eos": True}
    real, embedded = (samples(ask(endpoint, LEGACY, **body)) for endpoint in pair)
    assert len(real[0].token_ids) == 4
    assert_same_samples(real, embedded)


HELLO = [{"role": "user", "content": "Hello"}]
REFUSED: dict[str, tuple[str, Json, int]] = {
    "unknown model": (CHAT, {"model": "nobody", "messages": HELLO}, 404),
    "unknown model, streamed": (CHAT, {"model": "nobody", "messages": HELLO, "stream": True}, 404),
    "unknown model, legacy": (LEGACY, {"model": "nobody", "prompt": "Hello"}, 404),
    "context too long": (LEGACY, {"prompt": [5] * (MAX_MODEL_LEN + 1)}, 400),
    "context too long, streamed": (LEGACY, {"prompt": [5] * (MAX_MODEL_LEN + 1), "stream": True}, 400),
    "context full": (LEGACY, {"prompt": [5] * MAX_MODEL_LEN, "max_tokens": 1}, 400),
    "chat too long": (CHAT, {"messages": [{"role": "user", "content": "lamp 灯 " * MAX_MODEL_LEN}]}, 400),
    "no messages": (CHAT, {"messages": []}, 400),
    "messages of the wrong type": (CHAT, {"messages": "Hello"}, 400),
    "empty prompt": (LEGACY, {"prompt": ""}, 400),
    "token outside the vocabulary": (LEGACY, {"prompt": [10_000_000]}, 400),
    "negative temperature": (CHAT, {"messages": HELLO, "temperature": -1}, 400),
    "no tokens wanted": (CHAT, {"messages": HELLO, "max_tokens": 0}, 400),
    "greedy and two choices": (CHAT, {"messages": HELLO, "temperature": 0, "n": 2}, 400),
    "top_logprobs without logprobs": (CHAT, {"messages": HELLO, "top_logprobs": 1}, 400),
    "too many logprobs": (CHAT, {"messages": HELLO, "logprobs": True, "top_logprobs": MAX_LOGPROBS + 1}, 400),
    "prompt_logprobs, streamed": (LEGACY, {"prompt": "Hello", "prompt_logprobs": 1, "stream": True}, 400),
    "continued and begun": (
        CHAT,
        {"messages": HELLO, "continue_final_message": True, "add_generation_prompt": True},
        400,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(pair: Pair, name: str) -> None:
    path, body, status = REFUSED[name]
    real, embedded = (post(endpoint, path, **body) for endpoint in pair)
    assert (real.status_code, embedded.status_code) == (status, status)
    assert error_of(embedded.json()) == error_of(real.json())


def error_of(body: Json) -> tuple[set[str], Any]:
    """The keys and the code; messages are each server's own."""
    return set(body["error"]), body["error"]["code"]
