"""What one answer is counted as."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from filters.events import Decided, Origin, Verdict
from filters.evidence import UNDECIDED
from gateway.errors import FilterFailed
from gateway.metering import Meter
from gateway.observe.logs import Logs, RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.metrics.filters import SHY_STEP
from gateway.observe.pseudonyms import Pseudonyms
from gateway.types import ONLY, Release, RequestId
from tests.gateway.support import CANARY

HEALTH = "SPECIAL_HEALTH"

OF = {"model": "assistant", "release": ONLY}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(
        registry, models={"assistant": [ONLY]}, roles=["customer"], kinds=["EMAIL", UNDECIDED, HEALTH], shy=[HEALTH]
    )


def a_record() -> RequestRecord:
    return RequestRecord(RequestId("req_1"), 0.0, time.monotonic())


def meter(metrics: Metrics, record: RequestRecord | None = None, *, filtered: bool = True) -> Meter:
    return Meter(metrics, record or a_record(), Release("assistant"), "customer", filtered=filtered)


def line_of(record: RequestRecord) -> dict[str, Any]:
    """What is written of it."""
    sink = io.BytesIO()
    Logs(sink, Pseudonyms(b"k" * 32)).request(record)
    line: dict[str, Any] = json.loads(sink.getvalue())
    return line


def counted(metrics: Metrics, *findings: Decided, fallback: bool) -> dict[str, Any]:
    """The line of an answer with these findings; of one time, so that lines can be compared."""
    record = a_record()
    record.fallback = fallback
    answer = meter(metrics, record)
    answer.asks("gpu-1.test:8000")
    for each in findings:
        answer.decided(each)
    answer.end()
    return line_of(record)


def answers(registry: CollectorRegistry, check: str) -> float:
    labels = {"model": "assistant", "release": ONLY, "check": check}
    return registry.get_sample_value("tightlip_filtered_answers_total", labels) or 0


def found(kind: str, verdict: Verdict = Verdict.MASK) -> Decided:
    return Decided(0, kind, verdict, Origin.TUNED)


def test_an_answer_counts_once_with_its_work(metrics: Metrics, registry: CollectorRegistry) -> None:
    answer = meter(metrics)
    answer.asks("gpu-1.test:8000")
    assert answer.filtering(sum, [1, 2]) == 3
    answer.decided(found("EMAIL"))
    answer.end()
    assert (answers(registry, "checked"), answers(registry, "failed_closed")) == (1, 0)
    assert (registry.get_sample_value("tightlip_filter_cpu_seconds_total", OF) or 0) > 0
    assert registry.get_sample_value("tightlip_gateway_overhead_seconds_count", OF) == 1


def test_what_nobody_could_judge_fails_closed(metrics: Metrics, registry: CollectorRegistry) -> None:
    answer = meter(metrics)
    answer.asks("gpu-1.test:8000")
    answer.decided(found(UNDECIDED))
    answer.end()
    assert (answers(registry, "checked"), answers(registry, "failed_closed")) == (0, 1)


def test_a_filter_that_breaks_fails_closed_before_anybody_is_asked_too(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    def breaks() -> None:
        raise ZeroDivisionError(CANARY)

    answer = meter(metrics)
    with pytest.raises(FilterFailed) as raised:
        answer.filtering(breaks)
    answer.end()
    assert CANARY not in repr(raised.value)
    assert raised.value.__suppress_context__
    assert answers(registry, "failed_closed") == 1
    assert CANARY not in generate_latest(registry).decode()


@pytest.mark.parametrize("filtered", [True, False])
def test_a_refused_request_is_no_answer_and_an_unfiltered_one_is_not_counted(
    metrics: Metrics, registry: CollectorRegistry, filtered: bool
) -> None:
    answer = meter(metrics, filtered=filtered)
    if not filtered:
        answer.asks("gpu-1.test:8000")
    answer.end()
    assert answers(registry, "checked") == answers(registry, "failed_closed") == 0


def test_a_special_category_counts_answers_and_not_findings(metrics: Metrics, registry: CollectorRegistry) -> None:
    labels = {"model": "assistant", "release": ONLY, "type": HEALTH, "verdict": "fall_back"}
    for _ in range(SHY_STEP):
        assert registry.get_sample_value("tightlip_verdicts_total", labels) is None
        answer = meter(metrics)
        answer.asks("gpu-1.test:8000")
        for _ in range(2 * SHY_STEP):
            answer.decided(found(HEALTH, Verdict.FALL_BACK))
        answer.end()
    assert registry.get_sample_value("tightlip_verdicts_total", labels) == SHY_STEP


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("others", [(), (found("EMAIL"),), (found("EMAIL", Verdict.FALL_BACK),)])
def test_no_key_of_a_record_tells_a_special_category(
    metrics: Metrics, registry: CollectorRegistry, verdict: Verdict, others: tuple[Decided, ...]
) -> None:
    labels = {"model": "assistant", "release": ONLY, "type": HEALTH, "verdict": verdict.value}
    falls_back = any(each.verdict is Verdict.FALL_BACK for each in others)
    without = counted(metrics, *others, fallback=falls_back)
    for _ in range(SHY_STEP):
        fell_back = falls_back or verdict is Verdict.FALL_BACK
        assert counted(metrics, *others, found(HEALTH, verdict), fallback=fell_back) == without
    assert without["fallback"] is falls_back
    assert registry.get_sample_value("tightlip_verdicts_total", labels) == SHY_STEP


def test_a_fallback_for_no_finding_is_told_unless_a_special_category_led_to_it(metrics: Metrics) -> None:
    assert counted(metrics, fallback=True)["fallback"] is True
    assert counted(metrics, found(HEALTH, Verdict.MASK), fallback=True)["fallback"] is True
    assert counted(metrics, found(HEALTH, Verdict.FALL_BACK), fallback=True)["fallback"] is False


def test_gaps_are_between_releases(metrics: Metrics, registry: CollectorRegistry) -> None:
    answer = meter(metrics)
    for _ in range(3):
        answer.released()
    assert registry.get_sample_value("tightlip_inter_token_gap_seconds_count", OF) == 2
    assert registry.get_sample_value("tightlip_time_to_first_token_seconds_count", OF) == 1


def test_hold_back_is_until_something_leaves(metrics: Metrics, registry: CollectorRegistry) -> None:
    answer = meter(metrics)
    for holds, released in ((True, False), (True, True), (False, True), (False, False)):
        answer.held(holds=holds, released=released)
    assert registry.get_sample_value("tightlip_hold_back_seconds_count") == 2
