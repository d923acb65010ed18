"""Vault, a real one: what is read, how the login lives, and what its outages leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auth.development import create_key
from gateway.auth.jwks import FetchFailed, PageFetcher, RemoteKeys, VaultPage
from gateway.secrets.references import VaultRef, parse_vault, read_secret
from gateway.secrets.store import Looked, VaultStore
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.secrets.vault import Vault
from gateway.settings import AppRoleSettings, VaultSettings
from tests.support.vault import Vault as Server
from tests.support.vault import needs_vault, vault
from tests.support.waiting import PATIENCE_S

pytestmark = needs_vault

CANARY = "canary-" + "k" * 40
ROOT = parse_vault("tightlip/roots#pseudonyms")
OLD = parse_vault("tightlip/roots@1#pseudonyms")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.secrets.vault.TIMEOUT", PATIENCE_S)
    monkeypatch.setattr("gateway.secrets.store.WHOLE", PATIENCE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with vault(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture
def access(server: Server, tmp_path: Path) -> VaultSettings:
    return role(server, tmp_path, "usual", token_ttl="1h")


def role(server: Server, folder: Path, name: str, **more: str) -> VaultSettings:
    role_id, secret_id = server.app_role(name, **more)
    (folder / "secret-id").write_text(secret_id)
    app_role = AppRoleSettings(role_id=role_id, secret_id_file=folder / "secret-id")
    return VaultSettings(url=server.url, ca_file=server.ca_file, app_role=app_role)


def trouble(vault: Vault, ref: VaultRef = ROOT) -> Trouble:
    with pytest.raises(VaultTrouble) as failed:
        vault.read(ref)
    assert CANARY not in f"{failed.value!s} {failed.value!r} {failed.value.__context__!r}"
    return failed.value.trouble


def test_versions_of_a_secret(server: Server, access: VaultSettings) -> None:
    server.put("roots", {"pseudonyms": CANARY, "number": 7})
    server.put("roots", {"pseudonyms": CANARY + "2", "number": 7, "set": {"keys": []}})
    reader = Vault(access)
    store = VaultStore(reader, [ROOT, OLD], 60)
    asyncio.run(store.open())
    assert read_secret(replace(ROOT, held=store)) == CANARY + "2"
    assert read_secret(replace(OLD, held=store)) == CANARY
    assert json.loads(reader.read(parse_vault("tightlip/roots#set"))) == {"keys": []}
    assert trouble(reader, parse_vault("tightlip/roots#number")) is Trouble.UNREADABLE
    assert trouble(reader, parse_vault("tightlip/roots#nothing")) is Trouble.MISSING
    assert trouble(reader, parse_vault("tightlip/nothing#key")) is Trouble.MISSING
    assert trouble(reader, parse_vault("others/roots#key")) is Trouble.FORBIDDEN
    for shown in (reader, store, replace(ROOT, held=store)):
        assert CANARY not in repr(shown)


def test_a_login_that_is_refused_and_a_server_that_is_not_known(
    server: Server, access: VaultSettings, tmp_path: Path
) -> None:
    assert trouble(Vault(access.model_copy(update={"ca_file": None}))) is Trouble.UNREACHABLE
    (tmp_path / "secret-id").write_text("canary-of-a-wrong-secret-id")
    with pytest.raises(VaultTrouble) as refused:
        Vault(access).read(ROOT)
    assert refused.value.trouble is Trouble.LOGIN_REFUSED
    assert "canary" not in f"{refused.value!s} {refused.value!r}"
    (tmp_path / "secret-id").unlink()
    assert trouble(Vault(access)) is Trouble.CREDENTIAL


def test_a_lease_is_renewed_and_a_spent_one_replaced(server: Server, tmp_path: Path) -> None:
    """Two seconds at a time, four at most: then only a new login helps."""
    server.put("roots", {"pseudonyms": CANARY})
    reader = Vault(role(server, tmp_path, "brief", token_ttl="2s", token_max_ttl="4s"))
    logins = [reader.read(ROOT) and reader._client.token]
    end, reads = time.monotonic() + PATIENCE_S, 1
    while len(logins) < 2 or reads < 4 * len(logins):  # a login for each read would be many more
        assert time.monotonic() < end
        time.sleep(min(max(reader.due, 0.05), 1.5) / 4)
        reader.keep()
        assert reader.read(ROOT) == CANARY
        reads += 1
        if reader._client.token != logins[-1]:
            logins.append(reader._client.token)


def test_a_token_that_was_revoked_is_replaced_at_the_next_read(server: Server, access: VaultSettings) -> None:
    server.put("roots", {"pseudonyms": CANARY})
    reader = Vault(access)
    assert reader.read(ROOT) == CANARY
    server.revoke_tokens("approle")
    assert reader.read(ROOT) == CANARY


def test_what_was_read_stays_while_vault_is_sealed_or_away(server: Server, access: VaultSettings) -> None:
    server.put("roots", {"pseudonyms": CANARY})
    store = VaultStore(Vault(access), [ROOT], 60)
    asyncio.run(store.open())
    server.seal()
    assert seen(store) is Trouble.SEALED
    assert store.value(ROOT) == CANARY
    server.stop()
    assert seen(store) is Trouble.UNREACHABLE
    server.start()
    assert seen(store) is Trouble.SEALED
    assert store.value(ROOT) == CANARY
    server.unseal()
    assert asyncio.run(store.refresh()) == Looked(None)
    server.put("roots", {"pseudonyms": CANARY + "3"})
    assert asyncio.run(store.refresh()) == Looked(None, (ROOT,))
    assert store.value(ROOT) == CANARY + "3"


def seen(store: VaultStore) -> Trouble:
    found = asyncio.run(store.refresh()).trouble
    assert found is not None
    assert CANARY not in f"{found!s} {found!r}"
    return found.trouble


async def test_an_issuers_keys_change_there_and_then_here(
    server: Server, access: VaultSettings, tmp_path: Path
) -> None:
    one, two = (create_key(tmp_path / f"{name}.pem").read_text() for name in ("one", "two"))
    server.put("issuer", {"key": one})
    reader = Vault(access)
    fetcher, heard = PageFetcher(vault=VaultStore(reader, (), 60).read), list[str | None]()
    try:
        page = VaultPage(parse_vault("tightlip/issuer#key"), kid="k")
        fetcher.know([page])
        keys = RemoteKeys((), [page], fetcher, heard.append)
        assert await keys.fetch()
        (first,) = keys.candidates("k", "EdDSA")
        await asyncio.to_thread(server.put, "issuer", {"key": two})
        assert await keys.fetch()
        (second,) = keys.candidates("k", "EdDSA")
        assert first != second
        await asyncio.to_thread(server.put, "issuer", {"key": "no key at all"})
        assert not await keys.fetch()
        await asyncio.to_thread(server.seal)
        assert not await keys.fetch()
        await asyncio.to_thread(server.unseal)
        assert keys.candidates("k", "EdDSA") == [second]
        assert heard == [None, None, "unreadable", "sealed"]
        with pytest.raises(FetchFailed, match="missing"):
            await fetcher(VaultPage(parse_vault("tightlip/issuer#other")))
    finally:
        await fetcher.aclose()
