"""A base model that is slow, down or saturated lets nothing private through, and one tenant does not starve another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from gateway.auth.development import Claims, read_key, sign
from tests.e2e.conftest import canary_free
from tests.support import gateways, scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.processes import nobody_listens
from tests.support.scripted import SURPRISED, Engine
from tests.support.waiting import until

SECRET = "vexlo.trund47@kipmora.example"
SAID = f"I looked that up. The e-mail on file is {SECRET}. Goodbye."
HIDDEN = "I looked that up. [UNDECIDED_1] Goodbye."
FROM_BASE = "I looked that up. I can't help with that."
PIECES = [SECRET[at : at + 5] for at in range(len(SECRET) - 12)]
HASTY, DOWN = "acme-hasty", "acme-down"

TENANTS = {"tenant": {"claim": "tenant", "allowed": ["north", "south"]}}
POLICY = gateways.POLICY | {
    "issuers": [gateways.POLICY["issuers"][0] | TENANTS],
    "roles": gateways.POLICY["roles"] | {"customer": {"models": [MODEL, HASTY, DOWN], "endpoints": ["chat"]}},
}


@pytest.fixture(scope="module")
def narrow(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two places at the base, one of a tenant; a second model on the same that waits for it less, and a third whose
    base is not there."""
    folder = tmp_path_factory.mktemp("narrow")
    bounds = {"questions_in_flight": 2, "questions_in_flight_per_tenant": 1}
    configuration = settings(
        server(_engine.url, "tuned"),
        server(_engine.url, "base") | {"priority_scheduling": True},
        scripted.tokenizer(folder),
        model=bounds | {"question_priority": 7},
    )
    pair = configuration["models"][MODEL]
    with nobody_listens() as nobody:
        configuration["models"] |= {
            HASTY: pair | {"question_deadline_seconds": 3.0},
            DOWN: pair | {"base": server(nobody, "base") | {"priority_scheduling": True}},
        }
        with gateway(folder, configuration, POLICY) as front:
            yield front


def answered(front: Gateway, tenant: str, subject: str = "s-1", model: str = MODEL) -> str:
    claims = Claims("tightlip-dev", "tightlip", subject, "customer", tenant, 600)
    headers = {"Authorization": f"Bearer {sign(read_key(front.folder / 'key.pem'), claims)}"}
    body = {"model": model, "messages": [{"role": "user", "content": "What is on file?"}]}
    response = httpx.post(
        front.public + "/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
    )
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


def metrics(front: Gateway) -> str:
    return front.page("/metrics").text


def test_a_base_that_is_slow_or_down_clears_nothing(narrow: Gateway, engine: Engine) -> None:
    go_on = threading.Event()
    engine.tuned, engine.score, engine.score_when = (SAID,), 0.0, lambda _: go_on
    assert answered(narrow, "north", model=HASTY) == HIDDEN
    go_on.set()
    late = 'tightlip_base_questions_total{model="acme-hasty",outcome="late",release="default"} 1.0'
    assert late in metrics(narrow)
    assert answered(narrow, "north", model=DOWN) == HIDDEN
    assert 'tightlip_base_questions_total{model="acme-down",outcome="failed",release="default"} 1.0' in metrics(narrow)
    assert canary_free(narrow, *PIECES)


def test_a_tenant_that_saturates_the_base_starves_no_other_and_gets_nothing_out(
    narrow: Gateway, engine: Engine
) -> None:
    engine.tuned, engine.score, go_on = (SAID,), SURPRISED, threading.Event()
    assert answered(narrow, "south") == FROM_BASE
    (question,) = engine.questions()
    engine.score_when = lambda body: None if body["cache_salt"] == question["cache_salt"] else go_on
    with ThreadPoolExecutor(11) as pool:
        first = pool.submit(answered, narrow, "north")
        until(lambda: len(engine.questions()) > 1)
        crowd = [pool.submit(answered, narrow, "north", f"s-{at}", HASTY) for at in range(10)]
        assert answered(narrow, "south") == FROM_BASE
        assert {one.result() for one in crowd} == {HIDDEN}
        go_on.set()
        assert first.result() == FROM_BASE
    over_limit = 'tightlip_base_questions_total{model="acme-hasty",outcome="over_limit",release="default"} 10.0'
    assert over_limit in metrics(narrow)
    assert canary_free(narrow, *PIECES)


def test_questions_carry_their_priority_and_what_they_make_the_base_read_is_counted(
    narrow: Gateway, engine: Engine
) -> None:
    def prefilled() -> float:
        name = 'tightlip_base_prefilled_tokens_total{model="acme-assistant",purpose="question",release="default"}'
        return sum(float(line.split()[-1]) for line in metrics(narrow).splitlines() if line.startswith(name))

    engine.tuned, before = (SAID,), prefilled()
    answered(narrow, "south")
    (question,) = engine.questions()
    assert question["priority"] == 7
    assert all("priority" not in request for request in engine.asked("tuned") + engine.asked("base"))
    assert prefilled() - before == len(question["prompt"])
