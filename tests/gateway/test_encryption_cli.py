"""`tightlip encryption`: keys are made, added and shown; the private halves stay in their file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config_file import ConfigError
from gateway.encryption.keys import parse_own

RUN = CliRunner()


def test_keys_are_made_one_behind_the_other(tmp_path: Path) -> None:
    file = tmp_path / "own.jwks"
    for kid, curve in (("2026-11", "P-256"), ("2026-12", "X25519")):
        made = RUN.invoke(app, ["encryption", "create-key", str(file), "--kid", kid, "--curve", curve])
        assert made.exit_code == 0
        told = json.loads(made.stdout)
        assert (told["kid"], told["crv"], "d" in told) == (kid, curve, False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = parse_own(file.read_text(), "own.jwks")
    assert list(keys.keys) == ["2026-11", "2026-12"]
    shown = RUN.invoke(app, ["encryption", "public", str(file)])
    assert json.loads(shown.stdout) == keys.jwks()
    assert keys.keys["2026-12"].thumbprint() in shown.stderr
    secrets = [key["d"] for key in json.loads(file.read_text())["keys"]]
    assert not [secret for secret in secrets if secret in shown.output]


def test_what_is_there_is_never_lost(tmp_path: Path) -> None:
    file = tmp_path / "own.jwks"
    RUN.invoke(app, ["encryption", "create-key", str(file), "--kid", "2026-11"])
    before = file.read_text()
    again = RUN.invoke(app, ["encryption", "create-key", str(file), "--kid", "2026-11"])
    assert isinstance(again.exception, ConfigError)
    assert "a 'kid' of its own" in str(again.exception)
    assert file.read_text() == before
    file.write_text("{")
    broken = RUN.invoke(app, ["encryption", "create-key", str(file), "--kid", "2026-12"])
    assert isinstance(broken.exception, ConfigError)
    assert file.read_text() == "{"


@pytest.mark.parametrize("name", ["missing.jwks", "."])
def test_a_file_that_cant_be_read_is_named(tmp_path: Path, name: str) -> None:
    shown = RUN.invoke(app, ["encryption", "public", str(tmp_path / name)])
    assert isinstance(shown.exception, ConfigError)
    assert str(tmp_path) in str(shown.exception)
