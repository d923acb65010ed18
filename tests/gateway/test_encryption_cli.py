"""`tightlip encryption`: keys are made, added and shown; the private halves stay in their file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config_file import ConfigError
from gateway.encryption.keys import load_clients, parse_own
from tightlip_client import PrivateKey

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


@pytest.mark.parametrize("curve", ["P-256", "X25519"])
def test_a_client_makes_its_pair_with_it_too(tmp_path: Path, curve: str) -> None:
    """The public half goes into the gateway's file as it was printed, the private one into the helper."""
    file, listed = tmp_path / "client.jwks", tmp_path / "clients.yaml"
    made = RUN.invoke(app, ["encryption", "create-key", str(file), "--kid", "2026-11", "--curve", curve])
    listed.write_text(json.dumps({"clients": [{"subject": "batch", "keys": [json.loads(made.stdout)]}]}))
    known = load_clients(listed, "https://issuer.test", "acme", frozenset())
    public = known.key("https://issuer.test", "acme", "batch", "2026-11")
    own = PrivateKey.from_jwk(json.loads(file.read_text())["keys"][0])
    assert public is not None
    assert (own.kid, own.key.thumbprint()) == ("2026-11", public.thumbprint())


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
