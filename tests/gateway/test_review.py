"""What is called idle, what can go as a whole, and how it is shown."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.last_use import Caller, Grant, grants, written
from gateway.policy.load import Rules, load
from gateway.review import DAY, review
from gateway.state import Use
from tests.gateway.admin.support import Served, served
from tests.gateway.support import write_policy

NOW = 1_700_000_000.0
OLD, YOUNG = NOW - 91 * DAY, NOW - 89 * DAY


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    return load(write_policy(tmp_path))


def used(rules: Rules, *recently: Grant, since: float = OLD) -> dict[str, Use]:
    return {written(grant): Use(since, NOW if grant in recently else None) for grant in grants(rules)}


def test_a_grant_is_idle_after_its_days_without_use_and_never_before_they_can_be_known(rules: Rules) -> None:
    chat, listing = Grant("customer", "chat", "assistant"), Grant("customer", "models", None)
    uses = used(rules, since=YOUNG) | {written(chat): Use(OLD, YOUNG), written(listing): Use(OLD, OLD)}
    lines = {line.what: line.idle for line in review(rules, uses, NOW, 90).grants}
    assert lines[chat] is False
    assert lines[listing] is True
    assert lines[Grant("support", "chat", "assistant")] is False, "known for 89 days only"
    unknown = review(rules, {}, NOW, 90)
    assert not any(line.idle for line in unknown.grants)
    assert unknown.removable == []


def test_the_largest_part_that_can_go_is_named(rules: Rules) -> None:
    assert review(rules, used(rules), NOW, 90).removable == ["roles.customer", "roles.support"]
    some = used(rules, Grant("customer", "chat", "assistant"), Grant("support", "chat", "second"))
    assert review(rules, some, NOW, 90).removable == [
        "roles.customer.endpoints: models",
        "roles.support.endpoints: completions",
        "roles.support.endpoints: models",
        "roles.support.models: assistant",
    ]


def test_callers_stand_in_the_order_of_their_last_use(rules: Rules) -> None:
    one, two = Caller("acme", "customer", "aa"), Caller("acme", "customer", "bb")
    uses = {written(two): Use(OLD, NOW), written(one): Use(OLD, OLD), '["Planet"]': Use(OLD, OLD)}
    found = [(line.what, line.idle) for line in review(rules, uses, NOW, 90).callers]
    assert found == [(one, True), (two, False)]


def test_the_command_shows_it(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path))
    uses = used(rules, Grant("customer", "chat", "assistant"))
    callers = {written(Caller("acme", "customer", f"[{mark}]")): time.time() - 100 * DAY for mark in ("aa", "bb")}
    with served(tmp_path) as gateway:
        asyncio.run(gateway.store.used({name: use.last for name, use in uses.items()} | callers, time.time() - 60))
        shown = review_command("--idle-days", "0", gateway=gateway)
        assert shown.exit_code == 0, shown.stderr
        assert "[aa]" in shown.stdout
        assert "never" in shown.stdout
        assert "  roles.support\n" in shown.stdout
        busy = review_command("--idle-only", gateway=gateway)
    assert "ready to remove from the policy:\n  nothing\n" in busy.stdout
    assert "[aa]" in busy.stdout
    assert "chat" not in busy.stdout
    assert "log.key_file" in busy.stderr


def review_command(*arguments: str, gateway: Served) -> Result:
    return CliRunner().invoke(app, ["review", *arguments, *gateway.options("privacy")])
