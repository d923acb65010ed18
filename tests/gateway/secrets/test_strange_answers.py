"""What answers at Vault's address and is not Vault, or not as it should be. No Vault is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.secrets.references import parse_vault
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


def vault(web: Web, authority: Authority, folder: Path) -> Vault:
    (folder / "secret-id").write_text("s")
    role = AppRoleSettings(role_id="gateway", secret_id_file=folder / "secret-id")
    return Vault(VaultSettings(url=web.url, ca_file=authority.ca_file, app_role=role, namespace="team-a"))


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
