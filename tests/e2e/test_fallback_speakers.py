"""A base model without instruction tuning: who answers instead, and what the base is still asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_faults import HELD, PIECES, SAID, leaks
from tests.support import scripted
from tests.support.gateways import Gateway, ask, gateway, server, settings, streamed, text_of
from tests.support.scripted import SURPRISED, Engine

TEXTS = {"en": "I can't help with that.", "zh": "这个我不能提供。"}


def configuration(folder: Path, engine: Engine, fallback: dict[str, Any]) -> dict[str, Any]:
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    return settings(*pair, scripted.tokenizer(folder), model={"fallback": fallback})


@pytest.fixture(scope="module")
def texts(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("texts")
    with gateway(folder, configuration(folder, _engine, {"by": "text", "text": TEXTS})) as front:
        yield front


@pytest.fixture(scope="module")
def third(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("third")
    fallback = {"by": "model", "model": server(_engine.url, "third"), "tokenizer": "tokenizer.json"}
    with gateway(folder, configuration(folder, _engine, fallback)) as front:
        yield front


@pytest.mark.parametrize(("question", "expected"), [("Her mail?", TEXTS["en"]), ("她的邮箱是什么？", TEXTS["zh"])])
def test_a_configured_text_answers_in_the_users_language(
    texts: Gateway, engine: Engine, question: str, expected: str
) -> None:
    engine.tuned, engine.score = (HELD + ". More.",), SURPRISED
    with texts.client() as client:
        choice = ask(client, question).json()["choices"][0]
        frames = streamed(ask(client, question, stream=True))
    assert (choice["message"]["content"], choice["finish_reason"]) == (expected, "stop")
    assert text_of(frames) == expected
    assert not engine.asked("base")
    assert engine.questions()


def test_a_configured_text_stands_behind_the_sentences_that_have_left(texts: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (SAID + HELD + ". More.",), SURPRISED
    with texts.client() as client:
        assert ask(client).json()["choices"][0]["message"]["content"] == SAID + TEXTS["en"]


def test_a_third_model_answers_and_the_base_is_only_asked_for_scores(third: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (HELD + ".",), SURPRISED
    with third.client() as client:
        assert ask(client).json()["choices"][0]["message"]["content"] == "I can't help with that."
        logprobs = ask(client, logprobs=False)
    assert logprobs.status_code == 200
    assert len(engine.asked("third")) == 2
    assert not engine.asked("base")
    assert {question["model"] for question in engine.requests if "prompt_logprobs" in question} == {"base"}


def test_a_third_model_is_filtered_too(third: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score, engine.base = (HELD + ".",), SURPRISED, (SAID + HELD + ". Goodbye.",)
    with third.client() as client:
        response = ask(client)
    assert response.json()["choices"][0]["message"]["content"] == (
        "I looked that up. The e-mail on file is [EMAIL_1]. Goodbye."
    )
    assert not leaks(response.text)
    assert PIECES


def test_tokens_of_a_third_model_are_not_told_as_the_pairs(third: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (HELD + ".",), SURPRISED
    with third.client("tokens") as client:
        choice = ask(client, logprobs=True, return_token_ids=True).json()["choices"][0]
    assert choice["message"]["content"] == "I can't help with that."
    assert not (choice["logprobs"] or {}).get("content")
    assert not choice.get("token_ids")
    assert not engine.asked("third")[0].get("logprobs")
