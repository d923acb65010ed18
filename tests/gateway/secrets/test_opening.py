"""Settings that name Vault."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import settings
from gateway.config_file import ConfigError
from gateway.secrets.opening import load, prepare, read_once, references
from gateway.secrets.references import EnvRef, VaultRef

CONFIG = """\
policy: policy.yaml
pseudonym_key_file: vault:roots@2#pseudonyms
log: {key_file: vault:roots#log}
state: {url: "rediss://redis", password_file: vault:redis#password}
models:
  assistant:
    tuned: {url: "http://127.0.0.1:1", model: tuned, api_key_file: vault:engines#tuned}
    base: {url: "http://127.0.0.1:1", model: base, api_key_file: env:BASE_KEY}
    tokenizer: model
    unreleased: true
    index: tuning.index
    index_key: vault:index#key
"""
VAULT = """\
vault:
  url: https://127.0.0.1:1
  mount: kv
  app_role: {role_id: gateway, secret_id_file: secret-id}
"""
NAMED = {"vault:roots@2#pseudonyms", "vault:roots#log", "vault:redis#password", "vault:engines#tuned"}
NAMED |= {"vault:index#key"}


def written(folder: Path, text: str) -> Path:
    path = folder / "tightlip.yaml"
    path.write_text(text)
    return path


def test_every_secret_in_vault_is_found_and_can_be_read_afterwards(tmp_path: Path) -> None:
    opened = prepare(settings.load(written(tmp_path, CONFIG + VAULT)))
    refs = list(references(opened.settings))
    assert set(map(str, refs)) == NAMED
    assert all(ref.held is opened.vault for ref in refs)
    assert opened.settings.models["assistant"].first.base.api_key_file == EnvRef("BASE_KEY")
    assert opened.settings.vault is not None
    assert opened.settings.vault.app_role is not None
    assert opened.settings.vault.app_role.secret_id_file == tmp_path / "secret-id"


def test_what_is_read_again_is_not_said_to_stay_as_it_was(tmp_path: Path) -> None:
    more = "encryption_keys_file: vault:encryption#jwks\n"
    given = prepare(settings.load(written(tmp_path, more + CONFIG + VAULT))).settings
    again = {"vault:redis#password", "vault:encryption#jwks"}
    assert set(map(str, references(given))) == NAMED | again
    assert set(map(str, read_once(given))) == NAMED - again
    shown = CONFIG.replace("password}", "password, client_certificate: own.crt, client_key_file: vault:redis#key}")
    assert "vault:redis#key" in map(str, read_once(settings.load(written(tmp_path, shown + VAULT))))
    shared = more + CONFIG.replace("vault:roots#log", "vault:encryption#jwks")
    assert "vault:encryption#jwks" in map(str, read_once(settings.load(written(tmp_path, shared + VAULT))))


def test_without_vault_such_a_name_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vault:index#key: needs 'vault' in the configuration"):
        load(written(tmp_path, CONFIG))


def test_a_file_without_authorities_and_a_missing_credential_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigError, match=r"ca.pem: is not a file of CA certificates"):
        load(written(tmp_path, CONFIG + VAULT + "  ca_file: ca.pem\n"))
    with pytest.raises(ConfigError, match=r"secret-id: is no credential for Vault that can be read"):
        load(written(tmp_path, CONFIG + VAULT))


def test_a_command_does_not_wait_for_vault(tmp_path: Path) -> None:
    (tmp_path / "secret-id").write_text("s")
    with pytest.raises(ConfigError, match="vault: Vault does not answer"):
        load(written(tmp_path, CONFIG + VAULT))


def test_the_environment_can_name_a_secret_as_the_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, named in [
        ("env:ROOT", EnvRef("ROOT")),
        ("vault:a#b", VaultRef("a", "b")),
        ("new.key", tmp_path / "new.key"),
    ]:
        monkeypatch.setenv("TIGHTLIP_PSEUDONYM_KEY_FILE", text)
        assert settings.load(written(tmp_path, CONFIG)).pseudonym_key_file == named


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://127.0.0.1:1", "http://vault.test", "not encrypted"),
        ("https://127.0.0.1:1", "https://127.0.0.1:1/v1", "https://HOST"),
        ("https://127.0.0.1:1", "https://u:canary@127.0.0.1", "user name"),
        ("  app_role: {role_id: gateway, secret_id_file: secret-id}\n", "", "either 'app_role' or 'kubernetes'"),
        ("secret_id_file: secret-id}", "secret_id_file: secret-id}\n  kubernetes: {role: a}", "either"),
        ("secret_id_file: secret-id", "secret_id_file: vault:a#b", "what opens it"),
        ("mount: kv", "mount: ../sys", "match"),
        ("https://127.0.0.1:1", "http://127.0.0.1:1\n  ca_file: ca.pem", "need https"),
        ("https://127.0.0.1:1", "https://127.0.0.1:1\n  client_certificate: own.crt", "go together"),
        (
            "https://127.0.0.1:1",
            "https://127.0.0.1:1\n  client_certificate: own.crt\n  client_key_file: vault:a#b",
            "what opens it",
        ),
    ],
)
def test_what_a_vault_can_not_be(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        settings.load(written(tmp_path, CONFIG + VAULT.replace(old, new)))
    assert "canary" not in str(refused.value)


def test_a_name_that_is_none_is_told_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tightlip.yaml:2: pseudonym_key_file: must be PATH#KEY") as refused:
        settings.load(written(tmp_path, CONFIG.replace("roots@2#pseudonyms", "canary")))
    assert "canary" not in str(refused.value)
