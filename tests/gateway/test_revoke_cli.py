"""`tightlip revoke` as an operator types it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.config_file import ConfigError
from tests.gateway.support import write_policy
from tests.gateway.test_settings import GOOD


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_policy(tmp_path)
    path = tmp_path / "tightlip.yaml"
    path.write_text(GOOD + "state: {file: state.db}\n")
    return path


def tightlip(*arguments: str, config: Path) -> Result:
    return CliRunner().invoke(app, ["revoke", *arguments, "--config", str(config)])


def test_it_says_who_is_meant_and_that_it_is_acknowledged(config: Path) -> None:
    done = tightlip("--subject", "alice", config=config)
    assert done.exit_code == 0
    assert "revoked: subject alice of https://issuer.test / acme\n" in done.stdout
    entry_id = re.search(r"acknowledged as ([0-9a-f]{16});", done.stdout)
    assert entry_id
    listed = tightlip("list", config=config).stdout
    assert f"{entry_id[1]}  subject alice of https://issuer.test / acme\n1 in force\n" == listed
    assert tightlip("withdraw", entry_id[1], config=config).exit_code == 0
    assert tightlip("list", config=config).stdout == "0 in force\n"
    again = tightlip("withdraw", entry_id[1], config=config)
    assert (again.exit_code, "no revocation with this id" in again.stderr) == (1, True)


def test_what_can_be_no_id_is_none(config: Path) -> None:
    done = tightlip("withdraw", "\udcff", config=config)
    assert (done.exit_code, "no revocation with this id" in done.stderr) == (1, True)


def test_a_time_to_come_is_warned_of(config: Path) -> None:
    done = tightlip("--issued-before", "2099-01-31T12:00:00Z", config=config)
    assert (done.exit_code, "still to come" in done.stderr) == (0, True)
    assert "still to come" not in tightlip("--issued-before", "now", config=config).stderr


@pytest.mark.parametrize("moment", ["now", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "1769860800"])
def test_a_time_is_told_with_its_zone(config: Path, moment: str) -> None:
    done = tightlip("--issued-before", moment, config=config)
    assert done.exit_code == 0
    assert "revoked: everything of every issuer, issued before 20" in done.stdout
    assert moment == "now" or "2026-01-31T12:00:00+00:00" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "name a --token-id"),
        (("--role", "custommer"), "is not a role of the policy"),
        (("--subject", "ali\nce"), "no token has such a text"),
        (("--subject", "ali\udcffce"), "no token has such a text"),
        (("--token-id", "7" * 257), "no token has such a text"),
        (("--issued-before", "2026-01-31T12:00:00"), "with its zone"),
        (("--issued-before", "yesterday"), "with its zone"),
        (("--issued-before", "-1"), "with its zone"),
    ],
)
def test_what_means_nobody_is_refused_and_nothing_is_written(
    config: Path, arguments: tuple[str, ...], why: str
) -> None:
    refused = tightlip(*arguments, config=config)
    assert refused.exit_code == 2
    assert why in " ".join(refused.stderr.replace("│", "").split())
    assert not (config.parent / "state.db").exists()


def test_what_the_store_does_not_take_is_not_acknowledged(config: Path) -> None:
    (config.parent / "state.db").write_bytes(b"")
    os.chmod(config.parent / "state.db", 0o600)
    refused = tightlip("--subject", "alice", config=config)
    assert refused.exit_code == 1
    assert "not acknowledged: " in refused.stderr
    assert "revoked" not in refused.stdout


def test_without_a_store_there_is_nothing_to_write_to(config: Path) -> None:
    config.write_text(GOOD)
    refused = tightlip("--subject", "alice", config=config)
    assert isinstance(refused.exception, ConfigError)
    assert "state: is not configured" in str(refused.exception)
