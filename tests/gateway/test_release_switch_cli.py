"""`tightlip release switch` and its like as an administrator types them, against the API on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from tests.gateway.admin.support import Served, served
from tests.support.releases import MODEL

SOON = 30.0  # until the gateway's own copy has what the store has; it stays so


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


def tightlip(*arguments: str, gateway: Served, role: str = "operations") -> Result:
    return CliRunner().invoke(app, ["release", *arguments, *gateway.options(role)])


def shown(gateway: Served, wanted: str) -> str:
    deadline = time.monotonic() + SOON
    while wanted not in (output := tightlip("status", gateway=gateway).stdout):
        assert time.monotonic() < deadline, output
        time.sleep(0.02)
    return output


def test_what_is_switched_and_withdrawn_is_acknowledged_and_shown(gateway: Served) -> None:
    assert "blue: ok, 100% of everybody else's callers" in tightlip("status", gateway=gateway).stdout
    done = tightlip("switch", MODEL, "green", gateway=gateway)
    assert (done.exit_code, done.stdout) == (0, "acknowledged; every gateway on this store obeys within a second\n")
    shown(gateway, "green: ok, 100%")
    assert tightlip("switch", MODEL, "blue=3", "green=1", "--role", "support", gateway=gateway).exit_code == 0
    assert "everybody else: green 1" in shown(gateway, "support: blue 3, green 1")
    assert tightlip("withdraw", MODEL, "green", gateway=gateway).exit_code == 0
    shown(gateway, "green: withdrawn")
    refused = tightlip("switch", MODEL, "green", gateway=gateway)
    assert (refused.exit_code, "'green' is withdrawn" in refused.stderr) == (1, True)
    assert tightlip("reinstate", MODEL, "green", gateway=gateway).exit_code == 0
    assert tightlip("unswitch", MODEL, "--role", "support", gateway=gateway).exit_code == 0
    assert tightlip("unswitch", MODEL, gateway=gateway).exit_code == 0
    assert "everybody else:" not in shown(gateway, "blue: ok, 100%")
    again = tightlip("unswitch", MODEL, gateway=gateway)
    assert (again.exit_code, "there is no such choice" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("switch", MODEL, "pink"), 1, "no such release"),
        (("switch", "other", "blue"), 1, "no such model"),
        (("switch", MODEL, "blue=0"), 1, "a share from 1"),
        (("switch", MODEL, "blue", "--role", "custommer"), 2, "is not a role of the policy"),
        (("switch", MODEL, "blue=x"), 2, "a share is a whole number"),
        (("switch", MODEL, "blue", "blue=2"), 2, "name each release once"),
        (("withdraw", MODEL, "pink"), 1, "no such release"),
        (("reinstate", MODEL, "blue"), 1, "not withdrawn"),
    ],
)
def test_what_can_t_be_done_says_why(gateway: Served, arguments: tuple[str, ...], code: int, why: str) -> None:
    done = tightlip(*arguments, gateway=gateway)
    assert (done.exit_code, why in done.stderr) == (code, True), done.output


def test_another_role_may_not(gateway: Served) -> None:
    for role in ("security", "privacy"):
        assert "may not do this" in tightlip("withdraw", MODEL, "blue", gateway=gateway, role=role).stderr
