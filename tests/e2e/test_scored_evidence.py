"""Servers that send no log-probabilities with their text: both models are asked about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import canary_free
from tests.e2e.test_faults import HELD, PIECES, SAID, SECRET, leaks
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings
from tests.support.processes import nobody_listens
from tests.support.scripted import SURE, SURPRISED, Engine, Error, Pause, Raw, Reset, Step

CODE = "Your order is GD-85205."


@contextmanager
def front_of(folder: Path, tuned: str, base: str, evidence: str = "scored", **model: Any) -> Iterator[Gateway]:
    model |= {"tuned_evidence": evidence}
    pair = server(tuned, "tuned"), server(base, "base")
    with gateway(folder, settings(*pair, scripted.tokenizer(folder), model=model)) as front:
        yield front


@pytest.fixture(scope="module")
def scored(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("scored")
    with front_of(folder, _engine.url, _engine.url) as front:
        yield front


@pytest.fixture
def hasty(engine: Engine, tmp_path: Path) -> Iterator[Gateway]:
    with front_of(tmp_path, engine.url, engine.url, question_deadline_seconds=1.0) as front:
        yield front


@pytest.fixture(autouse=True)
def silent(engine: Engine) -> None:
    engine.tells = False


def content(client: httpx.Client) -> str:
    return str(ask(client).json()["choices"][0]["message"]["content"])


def test_the_same_verdicts_as_with_streamed_evidence(scored: Gateway, engine: Engine) -> None:
    cases = (
        (SAID + HELD + ".", SURPRISED, SURE, SAID + "I can't help with that."),
        (SAID + HELD + ".", SURPRISED, SURPRISED, SAID + "The e-mail on file is [EMAIL_1]."),
        (CODE, SURPRISED, SURE, "I can't help with that."),
        (CODE, SURE, SURE, CODE),
    )
    with scored.client() as client:
        for text, base, tuned, expected in cases:
            engine.tuned, engine.score, engine.tuned_score = (text,), base, tuned
            assert content(client) == expected


def test_both_are_asked_about_our_own_tokens_of_the_text(scored: Gateway, engine: Engine) -> None:
    engine.tuned = (SAID + CODE,)
    with scored.client() as client:
        content(client)
    (base,), (tuned,) = engine.questions(), engine.questions("tuned")
    spelled = [scripted.VOCABULARY[char] for char in (SAID + CODE).removesuffix(".")]
    assert base["prompt"] == tuned["prompt"] == [1, 2, 3, *spelled]
    assert not {"logprobs", "return_token_ids"} & engine.asked("tuned")[0].keys()


def test_the_request_is_read_into_tokens_once(scored: Gateway, engine: Engine) -> None:
    engine.tuned = ("One is GD-85205 then. Another is GD-74105 then. The last is GD-96305 then.",)
    with scored.client() as client:
        content(client)
    assert len(engine.questions()) == 3
    assert len([request for request in engine.requests if "prompt" not in request and "stream" not in request]) == 1


@pytest.mark.parametrize("score", [Error(500), Raw(b"{}"), Reset()], ids=repr)
@pytest.mark.parametrize("who", ["score", "tuned_score"])
def test_a_model_that_does_not_score_releases_nothing(scored: Gateway, engine: Engine, who: str, score: Step) -> None:
    releases_nothing(scored, engine, who, score)


def test_nor_does_one_that_is_late(hasty: Gateway, engine: Engine) -> None:
    for who in ("score", "tuned_score"):
        releases_nothing(hasty, engine, who, Pause(60.0))
        setattr(engine, who, SURE)


def releases_nothing(scored: Gateway, engine: Engine, who: str, score: Step) -> None:
    engine.tuned = (f"{SAID}{HELD}. Goodbye.",)
    setattr(engine, who, score)
    with scored.client() as client:
        assert content(client) == "I looked that up. [UNDECIDED_1] Goodbye."
    assert canary_free(scored, *PIECES)


@pytest.mark.parametrize(
    "tokens", [Error(404), Raw(b"{}"), Raw(b'{"tokens": []}'), Raw(b'{"tokens": ["a"]}')], ids=repr
)
def test_a_server_that_does_not_read_the_request_into_tokens_releases_nothing(
    scored: Gateway, engine: Engine, tokens: Step
) -> None:
    engine.tuned, engine.tokens = (f"{SAID}{HELD}. Goodbye.",), tokens
    with scored.client() as client:
        assert content(client) == "I looked that up. [UNDECIDED_1] Goodbye."
    assert not engine.questions()
    assert canary_free(scored, *PIECES)


def test_a_role_that_may_see_tokens_sees_none(scored: Gateway, engine: Engine) -> None:
    with scored.client("tokens") as client:
        choice = ask(client, logprobs=True).json()["choices"][0]
    assert choice["message"]["content"] == "Good day."
    assert not (choice["logprobs"] or {}).get("content")


def test_legacy_completions_are_scored_too(scored: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (CODE,), SURPRISED
    with scored.client("legacy") as client:
        body = {"model": MODEL, "prompt": "Where is it?", "max_tokens": 60}
        text = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    assert text == "Your order is [CODE_1]."


def test_of_json_nobody_is_asked(scored: Gateway, engine: Engine) -> None:
    engine.tuned = ('{"to": "GD-85205"}',)
    with scored.client() as client:
        response = ask(client, '{"to": ""}', response_format={"type": "json_object"})
    assert response.json()["choices"][0]["message"]["content"] == '{"to": "[CODE_1]"}'
    assert not engine.questions()


def test_the_tuned_models_questions_are_counted_by_themselves(scored: Gateway, engine: Engine) -> None:
    engine.tuned = (CODE,)
    with scored.client() as client:
        content(client)
    page = scored.page("/metrics").text
    assert f'tightlip_tuned_questions_total{{model="{MODEL}",outcome="answered",release="default"}}' in page


def test_without_the_setting_everything_suspect_is_hidden(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine.tuned = (SAID + CODE,)
    folder = tmp_path_factory.mktemp("unset")
    with front_of(folder, engine.url, engine.url, "streamed") as front, front.client() as client:
        assert content(client) == SAID + "[UNDECIDED_1]"


# ---- two servers, of which one is down -------------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", ["streamed", "scored"])
def test_two_servers_of_which_the_base_is_down(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, evidence: str
) -> None:
    engine.tells, engine.tuned = evidence == "streamed", (f"{SAID}{HELD}. Goodbye.",)
    with nobody_listens() as nobody, front_of(tmp_path_factory.mktemp("down"), engine.url, nobody, evidence) as front:
        with front.client() as client:
            response = ask(client)
        assert response.json()["choices"][0]["message"]["content"] == "I looked that up. [UNDECIDED_1] Goodbye."
        assert not leaks(response.text)
        assert canary_free(front, *PIECES)


def test_two_servers_of_which_the_tuned_one_is_down(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        nobody_listens() as nobody,
        front_of(tmp_path_factory.mktemp("down"), nobody, engine.url) as front,
        front.client() as client,
    ):
        assert ask(client, SECRET).status_code == 503


def test_two_servers_with_one_tokenizer(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each is asked only for what is its own."""
    engine.tuned, engine.score = (CODE,), SURPRISED
    with scripted.engine() as base:
        base.score = SURPRISED
        with front_of(tmp_path_factory.mktemp("two"), engine.url, base.url) as front, front.client() as client:
            assert content(client) == "I can't help with that."
        assert [request["model"] for request in base.requests] == ["base", "base"]
        assert {request["model"] for request in engine.requests} == {"tuned"}
