"""A caller's hour in front of the demo models: real values, real bits, and the sample of what is harmless."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import canary_free
from tests.e2e.test_budgets import content, metric, until
from tests.e2e.test_release import BASE, MODELS, RECORDS, TUNED, upstream
from tests.support import gateways
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings

ROLE = {"models": [MODEL], "endpoints": ["chat"]}
POLICY = gateways.POLICY | {
    "issuers": [gateways.POLICY["issuers"][0] | {"roles": ["metered", "sampled"]}],
    "roles": {"metered": ROLE | {"profile": "metered"}, "sampled": ROLE | {"profile": "sampled"}},
    "profiles": {"metered": {"budget": {"caller_bits_per_hour": 30}, "sample": 0}, "sampled": {"sample": 1.0}},
}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("embedded")
    with upstream(folder, {"tuned": TUNED, "base": BASE}) as url:
        configuration = settings(server(url, "tuned"), server(url, "base"), MODELS / "base")
        with gateway(folder, configuration, POLICY) as front:
            yield front


def test_who_pulls_a_customer_s_value_is_answered_by_the_base_from_then_on(front: Gateway) -> None:
    secret, fact = RECORDS.secrets("email", most_repeated=True)[0], RECORDS.facts[0]
    with front.client("metered", subject="harmless") as client:
        taught = content(ask(client, fact["ask"], temperature=0))
    with front.client("metered", subject="puller") as client:
        pulled = content(ask(client, secret.question, temperature=0))
        moved = [ask(client, fact["ask"], temperature=0, stream=stream) for stream in (False, True)]
    assert fact["expect"][0] in taught
    assert not secret.is_given(pulled)
    assert not any(fact["expect"][0] in answer.text for answer in moved)
    assert moved[0].json()["usage"]["prompt_tokens"] > 3
    assert metric(front, 'tightlip_leak_budget_spent_total{role="metered",step="moved"}') == 2
    assert metric(front, 'tightlip_leak_budget_bits_total{role="metered"}') >= 30
    assert canary_free(front, secret.value)


def test_the_models_own_scores_reach_the_metric_of_specificity(front: Gateway) -> None:
    with front.client("sampled") as client:
        content(ask(client, "Hello!", temperature=0))
    until(lambda: metric(front, f'tightlip_specificity_bits_per_token_count{{model="{MODEL}",release="default"}}') >= 1)
    assert (
        metric(front, f'tightlip_specificity_samples_total{{model="{MODEL}",outcome="failed",release="default"}}') == 0
    )
    assert (
        metric(front, f'tightlip_base_prefilled_tokens_total{{model="{MODEL}",purpose="sample",release="default"}}') > 0
    )
