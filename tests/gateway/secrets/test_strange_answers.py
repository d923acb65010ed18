"""What answers at Vault's address and is not Vault, or not as it should be. No Vault is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config_file import ConfigError
from gateway.secrets.references import EnvRef, parse_vault
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.secrets.vault import Vault
from gateway.settings import AppRoleSettings, VaultSettings
from tests.support.tls import Authority, Web, https_server

CANARY = "canary-of-an-answer"
REF = parse_vault("tightlip/roots#log")
TOKEN = {"auth": {"client_token": CANARY, "lease_duration": 60, "renewable": True}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def web(authority: Authority) -> Iterator[Web]:
    with https_server(authority.server()) as web:
        yield web


def vault(web: Web, authority: Authority, folder: Path, now: Callable[[], float] = time.monotonic) -> Vault:
    (folder / "secret-id").write_text("s")
    role = AppRoleSettings(role_id="gateway", secret_id_file=folder / "secret-id")
    return Vault(VaultSettings(url=web.url, ca_file=authority.ca_file, app_role=role, namespace="team-a"), now)


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (200, CANARY, Trouble.UNREACHABLE),
        (200, json.dumps({"errors": [CANARY]}), Trouble.UNREACHABLE),
        (200, json.dumps({"auth": None, "data": CANARY}), Trouble.UNREACHABLE),
        (200, json.dumps({"auth": {"client_token": CANARY}}), Trouble.UNREACHABLE),
        (200, json.dumps(TOKEN), Trouble.MISSING),
        (200, json.dumps(TOKEN | {"data": None}), Trouble.MISSING),
        (200, json.dumps(TOKEN | {"data": {"data": [CANARY]}}), Trouble.MISSING),
        (200, json.dumps(TOKEN | {"data": {"data": {"log": [CANARY]}}}), Trouble.UNREADABLE),
        (204, "", Trouble.UNREACHABLE),
        (307, "", Trouble.UNREACHABLE),
        (400, json.dumps({"errors": [CANARY]}), Trouble.LOGIN_REFUSED),
        (403, json.dumps({"errors": [CANARY]}), Trouble.LOGIN_REFUSED),
        (429, json.dumps({"errors": [CANARY]}), Trouble.UNREACHABLE),
        (500, json.dumps({"errors": [CANARY]}), Trouble.UNREACHABLE),
        (502, CANARY, Trouble.UNREACHABLE),
        (503, json.dumps({"errors": [CANARY]}), Trouble.SEALED),
    ],
)
def test_each_is_a_trouble_with_a_name_and_none_is_quoted(
    web: Web, authority: Authority, tmp_path: Path, status: int, body: str, trouble: Trouble
) -> None:
    web.status, web.body = status, body.encode()
    web.headers = {"content-type": "application/json", "location": f"{web.url}/elsewhere"}
    with pytest.raises(VaultTrouble) as failed:
        vault(web, authority, tmp_path).read(REF)
    assert failed.value.trouble is trouble
    assert CANARY not in f"{failed.value!s} {failed.value!r}"
    assert {each["x-vault-namespace"] for each in web.asked} == {"team-a"}
    assert not [each for each in web.asked if each["path"] == "/elsewhere"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def well(lease: int = 60) -> bytes:
    held = TOKEN["auth"] | {"client_token": "its-own", "lease_duration": lease}
    return json.dumps({"auth": held, "data": {"data": {"log": "x"}}}).encode()


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_a_token_that_lives_is_used_to_its_end(web: Web, authority: Authority, tmp_path: Path, status: int) -> None:
    clock = Clock()
    reader = vault(web, authority, tmp_path, clock)
    web.body, web.headers = well(), {"content-type": "application/json"}
    assert reader.read(REF) == "x"
    web.only = {"/v1/auth/token/renew-self": status, "/v1/auth/approle/login": status}
    clock.now = 59.0
    assert reader.read(REF) == "x"
    with pytest.raises(VaultTrouble):  # the operator hears of it nevertheless
        reader.keep()
    clock.now = 60.0
    with pytest.raises(VaultTrouble):
        reader.read(REF)


def test_a_path_that_stays_forbidden_costs_one_login_a_minute(web: Web, authority: Authority, tmp_path: Path) -> None:
    clock = Clock()
    reader = vault(web, authority, tmp_path, clock)
    web.body, web.headers = well(3600), {"content-type": "application/json"}
    web.only = {"/v1/secret/data/tightlip/roots": 403}
    for clock.now in range(0, 125, 5):
        with pytest.raises(VaultTrouble) as failed:
            reader.read(REF)
        assert failed.value.trouble is Trouble.FORBIDDEN
    logins = [each for each in web.asked if each["path"] == "/v1/auth/approle/login"]
    assert len(logins) == 1 + 3  # the first, then at 0, 60 and 120 seconds


def test_nothing_of_the_environment_counts(
    web: Web, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "VAULT_TOKEN": CANARY,
        "VAULT_ADDR": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text(CANARY)
    other = TOKEN["auth"] | {"client_token": "its-own"}
    web.body = json.dumps({"auth": other, "data": {"data": {"log": "x"}}}).encode()
    web.headers = {"content-type": "application/json"}
    assert vault(web, authority, tmp_path).read(REF) == "x"
    assert [each.get("x-vault-token") for each in web.asked] == [None, "its-own"]


def test_a_certificate_is_shown_to_vault_whose_key_is_on_no_disk(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = authority.server("gateway")
    monkeypatch.setenv("OWN_KEY", own.read_text())
    shown: dict[str, Any] = {"client_certificate": own, "client_key_file": EnvRef("OWN_KEY")}
    (tmp_path / "secret-id").write_text("s")
    role = AppRoleSettings(role_id="gateway", secret_id_file=tmp_path / "secret-id")
    with https_server(authority.server(), client_ca=authority.ca_file) as web:
        web.body = json.dumps(TOKEN | {"data": {"data": {"log": "k"}}}).encode()
        settings = VaultSettings(url=web.url, ca_file=authority.ca_file, app_role=role)
        with pytest.raises(VaultTrouble) as refused:
            Vault(settings).read(REF)
        assert refused.value.trouble is Trouble.UNREACHABLE
        assert not web.asked
        assert Vault(settings.model_copy(update=shown)).read(REF) == "k"
    monkeypatch.setenv("OWN_KEY", CANARY)
    with pytest.raises(ConfigError, match=r"gateway\.pem: can't be used with the key env:OWN_KEY") as unfit:
        Vault(settings.model_copy(update=shown))
    assert CANARY not in str(unfit.value)
