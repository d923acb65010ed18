"""A policy as people see it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from gateway.policy.load import Rules, load
from gateway.policy.shown import expiring, grants
from tests.gateway.support import POLICY, write_policy

DAY = 86_400.0
EXPIRES = 1_801_353_600.0  # 31 January 2027, 0:00 UTC


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    text = POLICY.replace("2099-01-01", "2027-01-31").replace(
        "  idle: {}", "  idle: {duties: [privacy], clearance: core}"
    )
    return load(write_policy(tmp_path, text + "duties: [privacy]\n"))


@pytest.mark.parametrize(
    ("left", "text"),
    [(14.0 * DAY, None), (14.0 * DAY - 1, "expires in 14 days"), (1.0, "expires in 1 day"), (0.0, "has expired")],
)
def test_a_weaker_profile_is_told_of_in_its_last_fortnight_and_after(
    rules: Rules, left: float, text: str | None
) -> None:
    lines = expiring(rules, EXPIRES - left)
    assert lines == ([f"profiles.off: {text}; then it is as the strict one in: detect, compare"] if text else [])


def test_a_role_is_shown_as_it_is_now(rules: Rules) -> None:
    for now, filtered in ((EXPIRES - 1, "off: NOT FILTERED"), (EXPIRES, "off (expired): sentences, compared")):
        console = Console(record=True, width=300, file=io.StringIO())
        console.print(grants(rules, ["support", "idle"], now))
        told = console.export_text()
        assert filtered in told
        assert "weaker than strict until 2027-01-31" in told
        assert "cleared for core, on duty for privacy" in told


def test_what_callers_may_ask_is_shown(tmp_path: Path) -> None:
    text = POLICY.replace("  idle: {}", "  idle: {limits: {requests_per_day: 7}, total_limits: {streams: 3}}")
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(grants(load(write_policy(tmp_path, text)), ["idle"], EXPIRES))
    assert "7 requests per day, 3 streams of all" in console.export_text()
