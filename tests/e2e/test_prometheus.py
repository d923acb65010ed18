"""A real Prometheus scrapes two gateway processes, each by itself: the sums are what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import scripted
from tests.support.dashboard import EXPRESSIONS, with_all
from tests.support.gateways import Gateway, ask, gateway, server, settings
from tests.support.processes import HOST, free_port
from tests.support.prometheus import Prometheus, needs_prometheus, prometheus, promtool

pytestmark = needs_prometheus

BITS = 'use base unit "bytes" instead of "bits"'  # ours are Shannon's and measure no memory
EMAIL = "ada@private.example"


@pytest.fixture
def scraped(front: Gateway, engine: scripted.Engine, tmp_path: Path) -> Iterator[tuple[Prometheus, Gateway]]:
    """Prometheus, and the second process; the one is a few seconds about its targets while the other starts."""
    port = free_port()
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    configuration = settings(*pair, scripted.tokenizer(tmp_path), management={"port": port})
    targets = {"tightlip": [front.management, f"http://{HOST}:{port}"]}
    with prometheus(tmp_path, targets) as watching, gateway(tmp_path / "second", configuration) as second:
        yield watching, second


COUNTED = (
    'sum(tightlip_requests_total{route="/v1/chat/completions",status="200"})',
    "sum(tightlip_filtered_answers_total)",
    'sum(tightlip_verdicts_total{type="EMAIL",verdict="mask"})',
    'sum(tightlip_errors_total{fault="caller",code="model_not_found"})',
    'sum(tightlip_auth_failures_total{reason="malformed"})',
    "sum(tightlip_time_to_first_token_seconds_count)",
)


def test_counters_of_two_processes_add_up_and_rules_and_dashboard_can_be_evaluated(
    front: Gateway, scraped: tuple[Prometheus, Gateway], engine: scripted.Engine
) -> None:
    watching, second = scraped
    before = counted(watching)
    engine.tuned = (f"Good day. Write to {EMAIL} now. Good day to you.",)
    for process, times in ((front, 3), (second, 5)):
        send(process, times)
    for expression, was, more in zip(COUNTED, before, (8, 8, 8, 2, 2, 8), strict=True):
        watching.wait_for(expression, was + more)
    for rule in watching.rules():
        watching.query(rule["query"])
    for expression in EXPRESSIONS:
        watching.query(with_all(expression))
    pages = [process.page("/metrics").text for process in (front, second)]
    for page in pages:
        assert EMAIL not in page
        assert [line for line in promtool("check", "metrics", text=page).splitlines() if BITS not in line] == []


def counted(watching: Prometheus) -> list[float]:
    """At a moment when both processes are seen: without one that was not scraped in time the sums are others."""
    both = 'count(tightlip_ready{job="tightlip"} == 1)'
    while True:
        watching.wait_for(both, 2)
        totals = [watching.total(each) for each in COUNTED]
        if watching.total(both) == 2:
            return totals


def send(process: Gateway, times: int) -> None:
    """So many answers with something to hide, one request for a model that is not there, one with a bad token."""
    with process.client() as client:
        for _ in range(times):
            assert EMAIL not in ask(client, "Where?", stream=True).text
        assert ask(client, model="no-such-model").status_code == 404
        client.headers["Authorization"] = "Bearer no"
        assert ask(client).status_code == 401
