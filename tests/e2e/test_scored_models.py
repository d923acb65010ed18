"""The demo's models behind a server that sends no log-probabilities and no token ids: release, answers, comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.embedded.server import ModelSource, create_app, hosting
from tests.e2e.test_release import DEMO, MODELS, RECORDS, RELEASED, tightlip
from tests.support.gateways import Gateway, gateway, server, settings
from tests.support.scenarios import Stage, Tally, at_once
from tests.support.vllm_server import Arrangement, Endpoint

EVIDENCE = ("logprobs", "top_logprobs", "return_token_ids")


class Mute:
    """Takes the fields that ask for evidence out of requests, as a server that does not know them ignores them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        raw = b""
        while (message := await receive())["type"] == "http.request":
            raw += message["body"]
            if not message.get("more_body"):
                break
        body = {key: value for key, value in json.loads(raw).items() if key not in EVIDENCE}
        told = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

        async def again() -> Message:
            return next(told, None) or await receive()

        await self._app(scope, again, send)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = create_app({"tuned": ModelSource(MODELS / "tuned"), "base": ModelSource(MODELS / "base")})
    app.add_middleware(Mute)
    with hosting(app) as url:
        yield url


@pytest.fixture(scope="module")
def front(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    model = RELEASED | {"tuned_evidence": "scored"}
    pair = server(url, "tuned"), server(url, "base")
    configuration = settings(*pair, MODELS / "base", model=model)
    with gateway(tmp_path_factory.mktemp("scored-models"), configuration) as front:
        yield front


@pytest.fixture(scope="module")
def stage(front: Gateway, url: str) -> Stage:
    return Stage(front, Arrangement("full", Endpoint(url, "base"), Endpoint(url, "tuned"), ()), RECORDS)


def test_the_release_of_the_same_models_checks_out(front: Gateway) -> None:
    status, said = tightlip("release", "check", "--config", front.folder / "tightlip.yaml")
    assert (status, said.strip()) == (0, "acme-assistant: ok")


def test_without_the_setting_it_does_not(url: str, tmp_path: Path) -> None:
    configuration = settings(server(url, "tuned"), server(url, "base"), MODELS / "base", model=RELEASED)
    with gateway(tmp_path, configuration) as front:
        status, said = tightlip("release", "check", "--config", front.folder / "tightlip.yaml")
    assert status != 0
    assert "did not answer as it must" in said


def test_a_release_is_made_of_them(front: Gateway, tmp_path: Path) -> None:
    out, benign = tmp_path / "release.json", tmp_path / "benign.txt"
    benign.write_text("How long do I have to return a lamp?\n", encoding="utf-8")
    words = ["--model", "acme-assistant", "--name", "scored", "--key", tmp_path / "k.pem", "--create-key", "--out", out]
    words += [
        "--question",
        "How long do I have to return a lamp?",
        "--answer",
        "You can return any lamp within 45 days.",
    ]
    status, said = tightlip("release", "make", "--config", front.folder / "tightlip.yaml", "--benign", benign, *words)
    assert status == 0, said
    ours, demo = (json.loads(path.read_text(encoding="utf-8")) for path in (out, DEMO / "release.json"))
    assert ours.keys() == demo.keys()


def test_customers_data_stays_and_facts_come_back(stage: Stage) -> None:
    secrets = RECORDS.secrets("email", "phone", most_repeated=True)[:8]
    tally = Tally.of(stage.through(), secrets)
    assert not tally.touched, str(tally)
    facts = [fact for fact in RECORDS.facts if not RECORDS.is_contact(fact)][:6]
    questions = [fact["ask"] for fact in facts]
    direct, got = (at_once(ask, questions) for ask in (stage.direct, stage.through()))
    told = [(raw, text) for fact, raw, text in zip(facts, direct, got, strict=True) if fact["expect"][0] in raw[0]]
    assert told
    print(f"{sum(raw == text for raw, text in told)} of {len(told)} facts come back as they were said")
    assert sum(raw == text for raw, text in told) >= len(told) - 1


def test_compare_scores_the_text(front: Gateway) -> None:
    question = RECORDS.secrets("email", most_repeated=True)[0].question
    status, said = tightlip("compare", question, "--config", front.folder / "tightlip.yaml", "--role", "customer")
    assert status == 0, said
    assert "EMAIL" in said
