"""A gateway whose secrets are all in a real Vault: it waits, lives through outages, and takes over new keys."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from gateway.auth.development import Claims, create_key, read_key, sign
from tests.support import scripted
from tests.support.gateways import MODEL, POLICY, READY, server, settings
from tests.support.processes import Child, Program, free_ports, says, start, stop, wait_until_ready
from tests.support.vault import Vault, needs_vault, vault

pytestmark = needs_vault
PATIENCE = 60.0
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class House:
    """A gateway and its Vault."""

    folder: Path
    vault: Vault
    child: Child
    public: str
    management: str
    hidden: list[str]

    def status(self, key: str) -> int:
        """Of a request whose token that key signed."""
        claims = Claims("tightlip-dev", "tightlip", "s-1", "customer", None, 600)
        token = sign(read_key(self.folder / f"{key}.pem"), claims)
        headers = {"authorization": f"Bearer {token}"}
        answer = httpx.post(
            f"{self.public}/v1/chat/completions", json=BODY, headers=headers, timeout=PATIENCE, trust_env=False
        )
        return answer.status_code

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.management}/metrics", timeout=PATIENCE, trust_env=False).text
        assert not [secret for secret in self.hidden if secret in text]
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " "))

    def ready(self) -> int:
        return httpx.get(f"{self.management}/readyz", timeout=PATIENCE, trust_env=False).status_code

    def public_key(self, name: str) -> str:
        return (self.folder / f"{name}.pub.pem").read_text()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with vault(tmp_path / "vault") as keeper, scripted.engine() as engine:
        hidden = [secrets.token_hex(20) for _ in range(3)]
        for name in ("one", "two"):
            create_key(tmp_path / f"{name}.pem")
        role_id, secret_id = keeper.app_role("gateway", token_ttl="1h")
        (tmp_path / "secret-id").write_text(secret_id)
        keeper.put("roots", dict(zip(("log", "pseudonyms", "engine"), hidden, strict=True)))
        keeper.put("issuer", {"key": (tmp_path / "one.pub.pem").read_text()})
        public, management = free_ports(2)
        engines = [
            server(engine.url, name) | {"api_key_file": "vault:tightlip/roots#engine"} for name in ("tuned", "base")
        ]
        front = settings(
            *engines,
            scripted.tokenizer(tmp_path),
            log={"key_file": "vault:tightlip/roots#log"},
            pseudonym_key_file="vault:tightlip/roots@1#pseudonyms",
            vault={
                "url": keeper.url,
                "ca_file": str(keeper.ca_file),
                "app_role": {"role_id": role_id, "secret_id_file": "secret-id"},
                "refresh_seconds": 1,
            },
        ) | {"public": {"port": public}, "management": {"port": management}}
        (issuer,) = POLICY["issuers"]
        source = {"vault": "tightlip/issuer#key", "refresh_seconds": 1}
        policy = POLICY | {"issuers": [issuer | {"keys": [source]}]}
        (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(front))
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
        keeper.seal()
        serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(tmp_path / "tightlip.yaml")]
        child = start(Program("gateway", serve, says(READY), start_s=120.0), tmp_path / "logs")
        addresses = [f"http://127.0.0.1:{port}" for port in (public, management)]
        try:
            yield House(tmp_path, keeper, child, *addresses, [*hidden, secret_id])
        finally:
            stop(child)


def soon(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not _answered(holds):
        assert time.monotonic() < end
        time.sleep(0.2)


def _answered(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except httpx.TransportError:
        return False


@contextmanager
def asking(house: House, key: str) -> Iterator[list[int]]:
    """Requests one after the other while the block lasts, and how they ended."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(house.status(key))
            time.sleep(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_from_a_sealed_start_through_a_rotation_and_an_outage(house: House) -> None:
    soon(lambda: house.ready() == 503)
    soon(lambda: "not ready, and waiting for it" in house.child.stderr)
    assert house.metric("tightlip_vault_ok") == 0
    assert not says(READY)(house.child)

    house.vault.unseal()
    wait_until_ready(house.child)
    soon(lambda: house.ready() == 200)
    assert house.status("one") == 200
    assert house.status("two") == 401

    with asking(house, "one") as statuses:
        house.vault.put("roots", dict.fromkeys(("log", "pseudonyms", "engine"), house.hidden[0]))
        soon(lambda: "vault:tightlip/roots#engine has changed: it is read once" in house.child.stderr)
    assert set(statuses) == {200}
    assert "roots@1" not in house.child.stderr

    house.vault.put("issuer", {"key": house.public_key("two")})
    soon(lambda: house.status("two") == 200)
    assert house.status("one") == 401

    with asking(house, "two") as statuses:
        house.vault.seal()
        soon(lambda: house.metric("tightlip_vault_ok") == 0)
        house.vault.stop()
        soon(lambda: '"detail":"unreachable"' in house.child.stdout)
        house.vault.start()
        house.vault.unseal()
        soon(lambda: house.metric("tightlip_vault_ok") == 1)
    assert set(statuses) == {200}
    assert house.ready() == 200
    assert '"code":"vault","detail":"back"' in house.child.stdout

    assert stop(house.child) == 0
    assert not [secret for secret in house.hidden if secret in house.child.output]
