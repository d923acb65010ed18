"""What falling back and scored evidence rely on in vLLM: going on after a closed sentence, a request's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateways import PATIENT, Gateway, gateway, server, settings
from tests.support.scenarios import Records, Stage, Tally
from tests.support.vllm_server import Arrangement
from tests.vllm.wire import CHAT, LEGACY, ask, post

ASKED = [{"role": "user", "content": "What is her e-mail address?"}]
CLOSED = (
    "I looked that up. As you know, [EMAIL_1].",
    "As you know, […].",
    "我查了一下，[EMAIL_1]。",
    "我查了一下，[…]。",
)
GOES_ON = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.mark.parametrize("closed", CLOSED)
def test_the_base_goes_on_after_a_closed_sentence(vllm_lora: Arrangement, closed: str) -> None:
    """Its prompt ends with that sentence, not with a turn's end, and what it says does not begin with it again."""
    base = vllm_lora.base
    messages = [*ASKED, {"role": "assistant", "content": closed}]
    body: dict[str, Any] = {"temperature": 0, "max_tokens": 24, "return_token_ids": True}
    answer = ask(base, CHAT, messages=messages, **GOES_ON, **body)
    ids = post(base, "/tokenize", prompt=closed, add_special_tokens=False).json()["tokens"]
    assert answer["prompt_token_ids"][-len(ids) :] == ids
    said = answer["choices"][0]["message"]["content"] or ""
    assert closed not in said
    print(f"{closed!r} goes on with {said!r}")


@pytest.mark.parametrize("more", [{}, GOES_ON], ids=["a question", "half an answer"])
def test_tokenize_gives_the_tokens_that_a_chat_is_answered_from(vllm_lora: Arrangement, more: dict[str, Any]) -> None:
    messages = [*ASKED, {"role": "assistant", "content": "It is"}] if more else ASKED
    for model in vllm_lora.endpoints:
        told = ask(model, CHAT, messages=messages, max_tokens=1, return_token_ids=True, **more)["prompt_token_ids"]
        assert post(model, "/tokenize", messages=messages, **more).json()["tokens"] == told


def test_tokenize_gives_the_tokens_that_a_completion_is_answered_from(vllm_lora: Arrangement) -> None:
    told = ask(vllm_lora.base, LEGACY, prompt="Her mail: 您", max_tokens=1, return_token_ids=True)["choices"][0]
    assert post(vllm_lora.base, "/tokenize", prompt="Her mail: 您").json()["tokens"] == told["prompt_token_ids"]


@pytest.fixture(scope="module")
def scored(vllm_lora: Arrangement, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    pair = [server(each.url, each.model) for each in (vllm_lora.tuned, vllm_lora.base)]
    configuration = settings(*pair, models / "base", model=PATIENT | {"tuned_evidence": "scored"})
    with gateway(tmp_path_factory.mktemp("scored"), configuration) as front:
        yield front


def test_with_scored_evidence_no_email_and_no_phone_leaves(
    scored: Gateway, vllm_lora: Arrangement, models: Path
) -> None:
    records = Records.beside(models)
    secrets = records.secrets("email", "phone", most_repeated=True)[:8]
    for role in ("customer", "clauses"):
        tally = Tally.of(Stage(scored, vllm_lora, records).through(role), secrets)
        print(f"scored, {role}: {tally}")
        assert not tally.touched, str(tally)
