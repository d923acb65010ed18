"""Bounded mode in front of the embedded upstream: two servers, all detectors off unless a test says otherwise.

The same scenarios run against real vLLM in tests/vllm/test_bounded.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_demo_models import MODELS, server_program
from tests.support.bounded import (
    a_bounded_answer_is_an_ordinary_one,
    at_temperature_zero_the_base_answers,
    policy,
    the_bound_alone_keeps_customers_back,
    the_filters_stay_on,
)
from tests.support.gateways import MODEL, gateway, server, settings
from tests.support.processes import free_ports, running_together
from tests.support.scenarios import CONTEXT, Records, Stage, asker, plain, said
from tests.support.vllm_server import Arrangement, Endpoint, stretched
from tests.support.waiting import until

LONG = (
    "The depot by the river opens early, and the ferry waits for nobody at all. " * 75
)  # makes an answer last for half a minute: it is broken off however long the machine stands still


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with _stage(tmp_path_factory.mktemp("bounded"), MODELS) as stage:
        yield stage


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One whose models take CONTEXT tokens. The last test kills the base."""
    folder: Path = tmp_path_factory.mktemp("doomed")
    for name in ("base", "tuned"):
        stretched(MODELS / name, folder / "models" / name, CONTEXT)
    with _stage(folder, folder / "models") as stage:
        yield stage


@contextmanager
def _stage(folder: Path, models: Path) -> Iterator[Stage]:
    programs = [
        server_program(name, {name: str(models / name)}, port)
        for name, port in zip(("base", "tuned"), free_ports(2), strict=True)
    ]
    with running_together(programs, folder / "upstreams") as servers:
        base, tuned = (Endpoint(each.url, name) for each, name in zip(servers, ("base", "tuned"), strict=True))
        pair = server(tuned.url, tuned.model), server(base.url, base.model)
        with gateway(folder, settings(*pair, MODELS / "base"), policy()) as front:
            yield Stage(front, Arrangement("full", base, tuned, servers), Records.beside(MODELS))


def test_what_a_role_in_bounded_mode_gets(stage: Stage) -> None:
    the_bound_alone_keeps_customers_back(stage)
    the_filters_stay_on(stage)
    a_bounded_answer_is_an_ordinary_one(stage)
    base = httpx.Client(base_url=stage.arrangement.base.url, timeout=120, trust_env=False)
    at_temperature_zero_the_base_answers(stage, asker(base, "base"))
    assert _tokens(stage, "tuned") > 0
    assert _tokens(stage, "base") > 0
    assert _tokens(stage, "alone") > 0


def test_a_caller_who_leaves_ends_the_rounds(doomed: Stage) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": LONG}], "stream": True, "max_tokens": 200}
    with doomed.gateway.client("bounded") as client:
        with client.stream("POST", "/v1/chat/completions", json=body) as response:
            next(response.iter_text())
        until(lambda: _metric(doomed, "tightlip_active_streams") == 0, "the answer goes on without its caller")
    assert doomed.gateway.record(response.headers["x-request-id"])["cancelled"]


def test_a_base_that_is_killed_in_mid_answer(doomed: Stage) -> None:
    """What has been settled has left; nothing of a draft that nobody could judge follows it."""
    secret = doomed.records.secrets("email", most_repeated=True)[0]
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": secret.question}]
    body = {"model": MODEL, "messages": messages, "stream": True, "max_tokens": 100, "seed": 3}
    with doomed.gateway.client("steps") as client:
        with client.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            received = response.iter_text()
            text = next(received)
            doomed.arrangement.servers[0].process.kill()
            text += "".join(received)
        frames = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        assert set(frames[-1]) == {"error"}, "the answer was over before the base was killed"
        assert "[DONE]" not in text
        assert not [piece for spoken in said(frames[:-1]) for piece in secret.pieces(spoken)]
        assert client.post("/v1/chat/completions", json=body | {"stream": False}).status_code == 503
    assert plain(secret.value) not in plain(doomed.gateway.output)


def _tokens(stage: Stage, source: str) -> float:
    return _metric(stage, f'tightlip_bounded_tokens_total{{model="{MODEL}",release="default",source="{source}"}}')


def _metric(stage: Stage, name: str) -> float:
    text = stage.gateway.page("/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0
