"""How secrets are named, and that a name which is wrong is not quoted: it might be the secret."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config_file import ConfigError
from gateway.secrets.references import EnvRef, VaultRef, parse, parse_vault, read_secret

CANARY = "canary-" + "k" * 40


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("keys/index.key", Path("keys/index.key")),
        ("/run/secrets/index", Path("/run/secrets/index")),
        ("./env:X", Path("env:X")),
        ("environment", Path("environment")),
        ("env:INDEX_KEY", EnvRef("INDEX_KEY")),
        ("vault:tightlip/roots#log", VaultRef("tightlip/roots", "log")),
        ("vault:roots@12#log.key", VaultRef("roots", "log.key", 12)),
    ],
)
def test_what_names_a_secret(text: str, named: object) -> None:
    assert parse(text) == named
    assert text.startswith(".") or str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        7,
        None,
        "env:",
        "env:A B",
        "env:TIGHTLIP_KEY",
        "env:é",
        "vault:",
        "vault:path",
        "vault:#key",
        "vault:path#",
        "vault:/path#key",
        "vault:a//b#key",
        "vault:../sys#key",
        "vault:a/../b#key",
        "vault:path@0#key",
        "vault:path@x#key",
        "vault:path?version=1#key",
        "vault:a#b#c",
        "vault:" + "a" * 2000 + "#key",
    ],
)
def test_what_names_none(text: object) -> None:
    with pytest.raises(ValueError, match="must be") as refused:
        parse(text)
    assert not text or len(str(text)) < 6 or str(text) not in str(refused.value)


@given(st.text(max_size=40))
def test_any_text_is_a_name_that_stays_itself_or_none(text: str) -> None:
    try:
        found = parse_vault(text)
    except ValueError:
        return
    assert parse_vault(str(found).removeprefix("vault:")) == found
    assert ".." not in found.path.split("/")


def test_a_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="env:INDEX_KEY: is not set"):
        read_secret(EnvRef("INDEX_KEY"))
    monkeypatch.setenv("INDEX_KEY", f"{CANARY} two")
    with pytest.raises(ConfigError) as refused:
        read_secret(EnvRef("INDEX_KEY"))
    assert CANARY not in str(refused.value)
    monkeypatch.setenv("INDEX_KEY", CANARY)
    assert read_secret(EnvRef("INDEX_KEY")) == CANARY


def test_what_nobody_has_read_is_no_empty_secret() -> None:
    with pytest.raises(ConfigError, match="vault:roots#log: can't be read without Vault"):
        read_secret(VaultRef("roots", "log"))


def test_a_reference_never_shows_what_it_gives() -> None:
    class Held:
        def value(self, ref: VaultRef) -> str:
            return CANARY

        def __repr__(self) -> str:
            return CANARY

    ref = replace(VaultRef("roots", "log"), held=Held())
    assert read_secret(ref) == CANARY
    assert CANARY not in f"{ref!r} {ref!s}"
    assert ref == VaultRef("roots", "log")
