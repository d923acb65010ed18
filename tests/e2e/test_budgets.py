"""Budgets of excess bits, end to end: an answer's rest, a caller's hour, a refusal; and the sample of harmless text."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.conftest import canary_free
from tests.support import gateways, scripted
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings
from tests.support.scripted import SURE, SURPRISED, Engine, Until
from tests.support.waiting import until

SECRETS = ("vexlo.trund47@kipmora.example", "tamber.orsk92@plimsol.example", "quill.dravit31@zumora.example")
CANARIES = tuple(secret.partition("@")[0] for secret in SECRETS)
TELLING = "".join(f"The e-mail on file is {secret}. " for secret in SECRETS) + "Goodbye."
FROM_BASE = "I can't help with that."
BOTH = {"models": [MODEL], "endpoints": ["chat", "completions"]}
BUDGETS = {
    "masked": {"on_memorised": "mask", "budget": {"answer_bits": 20}, "sample": 0},
    "metered": {"budget": {"caller_bits_per_hour": 100, "refuse_bits_per_hour": 100000}, "sample": 0},
    "ended": {"budget": {"refuse_bits_per_hour": 100}, "sample": 0},
    "sampled": {"sample": 1.0},
}
POLICY = gateways.POLICY | {
    "issuers": [gateways.POLICY["issuers"][0] | {"roles": list(BUDGETS)}],
    "roles": {name: BOTH | {"profile": name} for name in BUDGETS},
    "profiles": BUDGETS,
}


@pytest.fixture(scope="module")
def metered(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("metered")
    models = server(_engine.url, "tuned"), server(_engine.url, "base")
    with gateway(folder, settings(*models, scripted.tokenizer(folder)), POLICY) as front:
        yield front


def content(response: httpx.Response) -> str:
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


def metric(front: Gateway, series: str) -> float:
    page = front.page("/metrics").text
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(series))


def test_over_an_answer_s_budget_the_base_says_the_rest(metered: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (TELLING,), SURPRISED
    with metered.client("masked") as client:
        said = content(ask(client))
    assert said == f"The e-mail on file is [EMAIL_1]. The e-mail on file is [EMAIL_2]. {FROM_BASE}"
    assert metric(metered, 'tightlip_leak_budget_spent_total{role="masked",step="answer"}') == 1
    assert canary_free(metered, *CANARIES)


def test_over_his_hour_a_caller_is_moved_to_the_base_and_nobody_else_is(metered: Gateway, engine: Engine) -> None:
    with metered.client("metered", subject="harmless") as client:
        ordinary = ask(client)
    engine.tuned, engine.score = (TELLING,), SURPRISED
    with metered.client("metered", subject="puller") as client:
        assert content(ask(client)) == FROM_BASE, "one finding, which is over the hour's budget"
        engine.reset()
        moved = ask(client)
        body = {"model": MODEL, "prompt": "Once upon", "max_tokens": 40}
        legacy = client.post("/v1/completions", json=body)
        assert legacy.json()["choices"][0]["text"] == FROM_BASE
    assert content(moved) == FROM_BASE
    assert moved.json()["usage"]["prompt_tokens"] == ordinary.json()["usage"]["prompt_tokens"] == 3
    assert moved.headers.keys() == ordinary.headers.keys()
    assert {type(value) for value in moved.json().values()} == {type(value) for value in ordinary.json().values()}
    assert engine.questions() == []
    with metered.client("metered", subject="harmless") as client:
        assert content(ask(client)) == content(ordinary) == "Good day."
    assert metric(metered, 'tightlip_leak_budget_spent_total{role="metered",step="moved"}') == 2
    assert metric(metered, 'tightlip_leak_budget_bits_total{role="metered"}') > 100
    assert canary_free(metered, *CANARIES, "puller")


def test_streams_that_run_beside_each_other_share_the_hour(metered: Gateway, engine: Engine) -> None:
    """The other one had said nothing that was hidden, and goes on from the base all the same."""
    go_on = threading.Event()
    engine.tuned = ("Boats came in. The sea was calm. ", Until(go_on), "Rain fell. Nobody minded it. ")
    engine.score = SURPRISED
    with ThreadPoolExecutor(1) as pool, metered.client("metered", subject="twice") as client:
        other = pool.submit(ask, client)
        until(lambda: len(engine.asked("tuned")) == 1)
        engine.tuned = (TELLING,)
        ask(client)
        go_on.set()
        said = content(other.result())
    assert said.startswith("Boats came in.")
    assert said.endswith(FROM_BASE)
    assert "Nobody" not in said


def test_over_the_second_limit_a_caller_is_refused(metered: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (TELLING,), SURPRISED
    with metered.client("ended", subject="stopped") as client:
        assert content(ask(client)) == FROM_BASE
        refused = ask(client)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "caller_limit_reached")
    assert refused.headers["x-should-retry"] == "false"
    assert not any("budget" in f"{name}{value}" for name, value in refused.headers.items())
    assert metric(metered, 'tightlip_leak_budget_spent_total{role="ended",step="refused"}') == 1
    with metered.client("ended", subject="harmless") as client:
        engine.reset()
        assert content(ask(client)) == "Good day."


def test_harmless_text_is_scored_beside_the_answer_and_never_holds_it_up(metered: Gateway, engine: Engine) -> None:
    series = f'tightlip_specificity_bits_per_token_sum{{model="{MODEL}",release="default"}}'
    go_on, before = threading.Event(), metric(metered, series)
    engine.tuned, engine.score, engine.score_when = ("The sea was calm.",), SURPRISED, lambda _: go_on
    with metered.client("sampled") as client:
        assert content(ask(client)) == "The sea was calm."
    assert metric(metered, series) == before, "nobody waited for the score"
    go_on.set()
    until(lambda: metric(metered, series) > before)
    nats = SURE - SURPRISED
    assert metric(metered, series) - before == pytest.approx(nats / 0.6931, rel=0.01)
    assert (
        metric(metered, f'tightlip_base_prefilled_tokens_total{{model="{MODEL}",purpose="sample",release="default"}}')
        > 0
    )
    assert (
        metric(metered, f'tightlip_specificity_samples_total{{model="{MODEL}",outcome="scored",release="default"}}')
        == 1
    )


def test_no_record_holds_a_budget_s_account(metered: Gateway, engine: Engine) -> None:
    assert not any("leak-budget:" in json.dumps(record) for record in metered.records)
