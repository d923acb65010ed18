"""Labels have closed sets; every method counts what its name says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from filters.events import Decided, Origin, Verdict
from gateway.errors import Reason
from gateway.observe.metrics import Metrics
from gateway.observe.metrics.filters import SHY_STEP
from gateway.observe.metrics.labels import (
    CHECKS,
    CONNECTION_REFUSALS,
    ERROR_CODES,
    FAULTS,
    QUESTION_OUTCOMES,
    UPSTREAM_KINDS,
)
from gateway.types import Release
from gateway.upstream.replicas import Replica
from tests.gateway.support import CANARY

BLUE = Release("assistant", "blue")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(
        registry,
        models={"assistant": ["blue"]},
        roles=["customer"],
        routes=["/v1/models"],
        kinds=["EMAIL", "SPECIAL_HEALTH"],
        shy=["SPECIAL_HEALTH"],
    )


def test_unknown_values_of_any_label_are_other(metrics: Metrics, registry: CollectorRegistry) -> None:
    strange = Release(CANARY, CANARY)
    metrics.request(CANARY, CANARY, CANARY, CANARY, 99999, 0.1)
    metrics.first_token(strange, 0.1)
    metrics.tokens(strange, 1, 2, 3)
    metrics.auth_failure(CANARY)
    metrics.decided(strange, Decided(0, CANARY, Verdict.MASK, Origin.TUNED, 1.0))
    metrics.question(strange, CANARY, 0.1)
    metrics.fallback(strange)
    metrics.upstream_error(Release("assistant", CANARY), CANARY)
    metrics.failed(CANARY, CANARY, CANARY)
    metrics.answered(strange, CANARY, 0.1)
    metrics.gap(strange, 0.1)
    metrics.overhead(strange, 0.1)
    metrics.shy_answer(strange, CANARY, Verdict.MASK)
    page = generate_latest(registry).decode()
    assert CANARY not in page
    assert (
        'tightlip_requests_total{model="other",release="other",role="other",route="other",status="other"} 1.0' in page
    )
    assert 'tightlip_upstream_errors_total{kind="other",model="assistant",release="other"} 1.0' in page
    assert 'tightlip_verdicts_total{model="other",release="other",type="other",verdict="mask"} 1.0' in page


def test_what_is_not_known_yet_is_none(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.request(None, None, None, None, 404, 0.1)
    labels = {"route": "none", "role": "none", "model": "none", "release": "none", "status": "404"}
    assert registry.get_sample_value("tightlip_requests_total", labels) == 1


@pytest.mark.parametrize(("vault", "samples"), [(False, []), (True, [1.0])])
def test_whether_vault_answers_is_a_series_only_where_there_is_one(vault: bool, samples: list[float]) -> None:
    registry = CollectorRegistry()
    Metrics(registry, vault=vault).vault(None)
    shown = [each.value for family in registry.collect() for each in family.samples if each.name == "tightlip_vault_ok"]
    assert shown == samples


def test_counts(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.request("/v1/models", "customer", "assistant", None, 200, 0.1)
    metrics.tokens(BLUE, 10, 5, 7)
    metrics.decided(BLUE, Decided(0, "EMAIL", Verdict.FALL_BACK, Origin.TUNED, 30.0))
    metrics.hold_back(0.2)
    metrics.fallback(BLUE)
    with metrics.stream():
        assert registry.get_sample_value("tightlip_active_streams") == 1
    known = {"model": "assistant", "release": "blue"}
    assert registry.get_sample_value("tightlip_active_streams") == 0
    assert registry.get_sample_value("tightlip_tokens_total", {**known, "direction": "released"}) == 5
    assert registry.get_sample_value("tightlip_tokens_total", {**known, "direction": "generated"}) == 7
    assert registry.get_sample_value("tightlip_verdicts_total", {**known, "type": "EMAIL", "verdict": "fall_back"}) == 1
    assert registry.get_sample_value("tightlip_excess_bits_sum", known) == 30
    assert registry.get_sample_value("tightlip_hold_back_seconds_count") == 1
    assert registry.get_sample_value("tightlip_fallbacks_total", known) == 1


@pytest.mark.parametrize("kind", sorted(UPSTREAM_KINDS))
def test_every_kind_of_upstream_error_is_a_label(metrics: Metrics, registry: CollectorRegistry, kind: str) -> None:
    metrics.upstream_error(BLUE, kind)
    labels = {"model": "assistant", "release": "blue", "kind": kind}
    assert registry.get_sample_value("tightlip_upstream_errors_total", labels) == 1


@pytest.mark.parametrize("why", sorted(CONNECTION_REFUSALS))
def test_every_way_to_refuse_a_connection_is_a_label(metrics: Metrics, registry: CollectorRegistry, why: str) -> None:
    metrics.connection_refused("public", why)
    labels = {"listener": "public", "reason": why}
    assert registry.get_sample_value("tightlip_connections_refused_total", labels) == 1


@pytest.mark.parametrize("outcome", sorted(QUESTION_OUTCOMES))
def test_every_outcome_of_a_question_is_a_label(metrics: Metrics, registry: CollectorRegistry, outcome: str) -> None:
    metrics.question(BLUE, outcome, 0.1)
    labels = {"model": "assistant", "release": "blue", "outcome": outcome}
    assert registry.get_sample_value("tightlip_base_questions_total", labels) == 1


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_a_refused_token_is_a_label(
    metrics: Metrics, registry: CollectorRegistry, reason: Reason
) -> None:
    metrics.auth_failure(reason)
    assert registry.get_sample_value("tightlip_auth_failures_total", {"reason": reason.value}) == 1


def test_roles_of_a_later_policy_are_labels_and_those_before_stay(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.running(version="1", policy="b", roles=["support"])
    for role in ("customer", "support", "nobody"):
        metrics.leaks(role, 3, 2)
        label = "other" if role == "nobody" else role
        assert registry.get_sample_value("tightlip_leak_budget_bits_total", {"role": label}) == 3
        assert registry.get_sample_value("tightlip_leak_budget_findings_total", {"role": label}) == 2


def test_what_is_in_force_replaces_what_was(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.running(version="1", policy="a")
    metrics.running(version="1", policy="b")
    metrics.ready(True)
    metrics.plaintext_upstreams(2)
    assert registry.get_sample_value("tightlip_info", {"version": "1", "policy": "a"}) is None
    assert registry.get_sample_value("tightlip_info", {"version": "1", "policy": "b"}) == 1
    assert registry.get_sample_value("tightlip_ready") == 1
    assert registry.get_sample_value("tightlip_plaintext_upstreams") == 2


def test_a_special_category_shows_in_steps_of_answers(metrics: Metrics, registry: CollectorRegistry) -> None:
    labels = {"model": "assistant", "release": "blue", "type": "SPECIAL_HEALTH", "verdict": "fall_back"}
    shown = []
    for _ in range(2 * SHY_STEP + 1):
        metrics.shy_answer(BLUE, "SPECIAL_HEALTH", Verdict.FALL_BACK)
        shown.append(registry.get_sample_value("tightlip_verdicts_total", labels))
    below: list[float | None] = [None] * (SHY_STEP - 1)
    assert shown == [*below, *[SHY_STEP] * SHY_STEP, 2 * SHY_STEP, 2 * SHY_STEP]


def test_each_verdict_on_a_special_category_has_a_step_of_its_own(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    for verdict in (Verdict.MASK, Verdict.FALL_BACK):
        for _ in range(SHY_STEP - 1):
            metrics.shy_answer(BLUE, "SPECIAL_HEALTH", verdict)
    assert "SPECIAL" not in generate_latest(registry).decode()


def test_only_special_categories_are_shy(metrics: Metrics) -> None:
    assert metrics.is_shy("SPECIAL_HEALTH")
    assert not metrics.is_shy("EMAIL")


@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_every_error_is_a_label(metrics: Metrics, registry: CollectorRegistry, code: str) -> None:
    for fault in FAULTS:
        metrics.failed("/v1/models", code, fault)
        labels = {"route": "/v1/models", "code": code, "fault": fault}
        assert registry.get_sample_value("tightlip_errors_total", labels) == 1


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_whether_an_answer_could_be_judged_is_a_label(
    metrics: Metrics, registry: CollectorRegistry, check: str
) -> None:
    metrics.answered(BLUE, check, 0.25)
    labels = {"model": "assistant", "release": "blue", "check": check}
    assert registry.get_sample_value("tightlip_filtered_answers_total", labels) == 1
    assert (
        registry.get_sample_value("tightlip_filter_cpu_seconds_total", {"model": "assistant", "release": "blue"})
        == 0.25
    )


def test_what_is_refused_on_disk_is_a_state_until_it_is_mended(metrics: Metrics, registry: CollectorRegistry) -> None:
    def states() -> list[float | None]:
        return [
            registry.get_sample_value("tightlip_policy_refused"),
            registry.get_sample_value("tightlip_deny_list_refused", {"model": "assistant", "release": "blue"}),
            registry.get_sample_value("tightlip_certificate_refused", {"listener": "public"}),
        ]

    for failed in (True, False, False):
        metrics.policy(refused=failed)
        metrics.deny_list(BLUE, 3, failed=failed)
        metrics.certificate("public", 1e9, failed=failed)
        assert states() == [float(failed)] * 3
    assert registry.get_sample_value("tightlip_policy_reload_failures_total") == 1


def test_a_server_is_up_as_its_last_call_says(metrics: Metrics, registry: CollectorRegistry) -> None:
    for answered in (True, False):
        metrics.upstream_up("http://127.0.0.1:1", answered)
        labels = {"server": "http://127.0.0.1:1"}
        assert registry.get_sample_value("tightlip_upstream_up", labels) == float(answered)


def test_a_replica_is_shown_until_it_is_gone(metrics: Metrics, registry: CollectorRegistry) -> None:
    replica = Replica("http://model.test:1", "http://10.0.0.1:1", slot=2, life=1, outstanding=3)
    labels = {"server": "http://model.test:1", "replica": "2"}
    for ejected in (False, True):
        replica.ejected = ejected
        metrics.replica(replica)
        assert registry.get_sample_value("tightlip_replica_well", labels) == float(not ejected)
        assert registry.get_sample_value("tightlip_replica_outstanding", labels) == 3
    replica.gone = True
    metrics.replica(replica)
    assert registry.get_sample_value("tightlip_replica_well", labels) is None
    metrics.refused_replicas(BLUE, lambda: 2)
    of_release = {"model": "assistant", "release": "blue"}
    assert registry.get_sample_value("tightlip_replicas_refused", of_release) == 2


def test_the_page_on_metrics_names_every_series_with_its_labels(registry: CollectorRegistry) -> None:
    rows = re.findall(r"^\| `(tightlip_\w+)` \| ([\w, ]*)\|", Path("docs/metrics.md").read_text("utf-8"), re.MULTILINE)
    told = {name: {label for label in labels.strip().split(", ") if label} for name, labels in rows}
    Metrics(registry, vault=True)
    assert told == {collector._name: set(collector._labelnames) for collector in registry._collector_to_names}  # type: ignore[attr-defined]
