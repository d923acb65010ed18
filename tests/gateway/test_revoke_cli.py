"""`tightlip revoke` as an administrator types it, against the API on a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.auth.revocation import Kind, Revocation
from gateway.cli import app
from gateway.revoke import revoke
from tests.gateway.admin.support import ADMIN_ISSUER, Served, served


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


def tightlip(*arguments: str, gateway: Served) -> Result:
    return CliRunner().invoke(app, ["revoke", *arguments, *gateway.options("security")])


def test_it_says_who_is_meant_and_that_it_is_acknowledged(gateway: Served) -> None:
    done = tightlip("--subject", "alice", gateway=gateway)
    assert done.exit_code == 0, done.output
    assert "revoked: subject alice of https://issuer.test / acme\n" in done.stdout
    entry_id = re.search(r"acknowledged as ([0-9a-f]{16}); every gateway on this store", done.stdout)
    assert entry_id
    listed = tightlip("list", gateway=gateway).stdout
    assert f"{entry_id[1]}  subject alice of https://issuer.test / acme\n1 in force\n" == listed
    assert tightlip("withdraw", entry_id[1], gateway=gateway).exit_code == 0
    assert tightlip("list", gateway=gateway).stdout == "0 in force\n"
    again = tightlip("withdraw", entry_id[1], gateway=gateway)
    assert (again.exit_code, "no revocation with this id" in again.stderr) == (1, True)


def test_a_long_list_is_printed_whole(gateway: Served) -> None:
    for number in range(3000):
        revocation = Revocation(Kind.SUBJECT, f"{number}-" + "a" * 200, "https://issuer.test", "acme")
        asyncio.run(revoke(gateway.store, revocation, 0.0))
    listed = tightlip("list", gateway=gateway).stdout
    assert listed.endswith("3000 in force\n")
    assert listed.count("subject") == 3000


@pytest.mark.parametrize("name", ["\udcff", "../status", "a/b", "?x=y", "#"])
def test_what_can_be_no_id_is_none(gateway: Served, name: str) -> None:
    done = tightlip("withdraw", name, gateway=gateway)
    assert done.exit_code == 1
    assert "withdrawn" not in done.stdout


def test_a_time_to_come_is_warned_of(gateway: Served) -> None:
    far = ("--issued-before", "2099-01-31T12:00:00Z")
    done = tightlip(*far, gateway=gateway)
    assert (done.exit_code, "still to come" in done.stderr, "including_myself" in done.stderr) == (1, True, True)
    assert tightlip(*far, "--including-myself", gateway=gateway).exit_code == 1
    assert (
        tightlip(*far, "--including-myself", "--issuer", ADMIN_ISSUER, "--administrator", gateway=gateway).exit_code
        == 0
    )


def test_now_is_no_time_to_come(gateway: Served) -> None:
    done = tightlip("--issued-before", "now", gateway=gateway)
    assert (done.exit_code, "still to come" in done.stderr) == (0, False)


@pytest.mark.parametrize("moment", ["now", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "1769860800"])
def test_a_time_is_told_with_its_zone(gateway: Served, moment: str) -> None:
    done = tightlip("--issued-before", moment, gateway=gateway)
    assert done.exit_code == 0
    assert "revoked: everything of every issuer, issued before 20" in done.stdout
    assert moment == "now" or "2026-01-31T12:00:00+00:00" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "name a token id"),
        (("--role", "custommer"), "is not a role of the policy"),
        (("--role", "customer", "--administrator"), "is not a role of administrators"),
        (("--subject", "ali\nce"), "no token has such a text"),
        (("--subject", "ali\udcffce"), "is not valid JSON"),
        (("--token-id", "7" * 257), "no token has such a text"),
        (("--issued-before", "2026-01-31T12:00:00"), "with its zone"),
        (("--issued-before", "yesterday"), "with its zone"),
        (("--issued-before", "-1"), "with its zone"),
    ],
)
def test_what_means_nobody_is_refused_and_nothing_is_written(
    gateway: Served, arguments: tuple[str, ...], why: str
) -> None:
    refused = tightlip(*arguments, gateway=gateway)
    assert refused.exit_code == 2, refused.output
    assert why in " ".join(refused.stderr.replace("│", "").split())
    assert not [record for record in gateway.audit.records if record.outcome == "done"]
