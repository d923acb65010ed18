"""Administration of a real gateway process, by the commands: what was acknowledged survives kill -9, all of it is on
record, and nothing that a call said stands anywhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from typer.testing import CliRunner

from gateway.auth.development import create_key
from gateway.cli import app
from gateway.revoke import listed
from gateway.settings import StateSettings
from gateway.state.opening import open_store
from tests.support import gateways, processes
from tests.support.administration import POLICY, admin_token, configuration, tightlip
from tests.support.gateways import Gateway
from tests.support.processes import free_ports, start, stop, wait_until_ready
from tests.support.redis import DURABLE, needs_redis, redis_program
from tests.support.scripted import Engine
from tests.support.waiting import until

CANARY = "zqAdminCanaryxv"
DEADLINE = 60.0  # seconds; for what is on record in the end


def test_what_the_gateway_acknowledged_survives_its_end_by_kill_9_and_all_of_it_is_on_record(
    engine: Engine, tmp_path: Path
) -> None:
    state = {"file": str(tmp_path / "state.db")}
    with running(engine, tmp_path, state) as gateway:
        hostile(gateway)
        assert f"{gateway.management}: ready" in tightlip(gateway, "operations", "status").stdout
        files_change(gateway)
        head = tightlip(gateway, "privacy", "audit-log", "head").stdout.strip()
        assert (status_of(gateway, "alice"), status_of(gateway, "bob")) == (200, 200)
        done = tightlip(gateway, "security", "revoke", "--subject", "alice")
        gateway.child.process.kill()
        said = gateway.output
    assert done.exit_code == 0, done.output
    assert subjects(state) == ["alice"]
    mine = [each for each in recorded(tmp_path) if each["action"] == "revoke" and each["outcome"] != "refused"]
    assert [each["outcome"] for each in mine] == ["asked", "done"]
    assert {(each["role"], each["subject"]) for each in mine} == {("administration:security", "root-1")}
    sealed = [str(tmp_path / "audit"), "--key", str(tmp_path / "audit.key"), "--head", head]
    verified = CliRunner().invoke(app, ["audit-log", "verify", *sealed])
    assert verified.exit_code == 0, verified.output
    on_disk = "".join(file.read_text(errors="replace") for file in (tmp_path / "audit").iterdir())
    assert CANARY not in on_disk + said
    assert "alice" not in on_disk + said, "who is revoked is a mark"


@needs_redis
def test_what_the_gateway_acknowledged_survives_kill_9_of_redis_and_itself(engine: Engine, tmp_path: Path) -> None:
    program = redis_program(tmp_path / "redis", DURABLE, free_ports(1)[0])
    state = {"url": f"redis://127.0.0.1:{program.command[program.command.index('--port') + 1]}"}
    child = start(program, tmp_path / "logs")
    try:
        wait_until_ready(child)
        with running(engine, tmp_path, state) as gateway:
            done = tightlip(gateway, "security", "revoke", "--subject", "alice")
            child.process.kill()
            gateway.child.process.kill()
    finally:
        stop(child)
    assert done.exit_code == 0, done.output
    assert "every gateway on this store" in done.stdout
    with processes.running(program, tmp_path / "logs"):
        assert subjects(state) == ["alice"]


@contextmanager
def running(engine: Engine, folder: Path, state: dict[str, str]) -> Iterator[Gateway]:
    create_key(folder / "key.pem")
    with gateways.gateway(folder, configuration(engine, folder, state), POLICY) as gateway:
        yield gateway


def subjects(state: dict[str, str]) -> list[str]:
    """Those whose revocation the store holds."""

    async def read() -> list[str]:
        store = open_store(StateSettings.model_validate(state))
        try:
            return [each.revocation.value for each in await listed(store, time.time()) if each.revocation]
        finally:
            await store.aclose()

    return asyncio.run(read())


def files_change(gateway: Gateway) -> None:
    """Other policies, seen by the gateway itself, by a signal and by command."""
    before = until_recorded(gateway.folder, lambda record: record["action"] == "status")["policy_before"]
    policy_file(gateway, {**POLICY, "record_fields": ["risk"]})
    changed = until_recorded(gateway.folder, lambda record: record["by"] == "file" and record["outcome"] == "done")
    assert changed["policy_before"] == before != changed["policy_after"]
    policy_file(gateway, {**POLICY, "record_fields": CANARY})
    os.kill(gateway.child.process.pid, signal.SIGHUP)
    refused = until_recorded(gateway.folder, lambda record: record["by"] == "file" and record["outcome"] == "refused")
    assert (refused["code"], refused["policy_after"]) == ("policy_refused", changed["policy_after"])
    again = tightlip(gateway, "operations", "reload")
    assert (again.exit_code, "record_fields" in again.stderr, CANARY in again.output) == (1, True, False)
    policy_file(gateway, POLICY)
    assert before in tightlip(gateway, "operations", "reload").stdout


def hostile(gateway: Gateway) -> None:
    """Calls that are refused, with something in every place where a call can say something."""
    good = {"authorization": f"Bearer {admin_token(gateway.folder, 'security')}"}
    foreign = admin_token(gateway.folder, CANARY, subject=CANARY)
    with httpx.Client(base_url=gateway.management + "/admin/v1", trust_env=False, timeout=60) as client:
        answers = [
            client.get(f"/{CANARY}", headers=good),
            client.get("/revocations", headers={"authorization": f"Bearer {foreign}"}),
            client.get("/revocations", headers={"authorization": f"Bearer {CANARY}", "x-request-id": CANARY}),
            client.get("/revocations", params={"token": CANARY}, headers=good),
            client.get("/revocations", params={CANARY: CANARY}, headers=good),
            client.delete(f"/revocations/{CANARY}", headers={**good, "user-agent": CANARY}),
            *(client.post("/revocations", json=body, headers=good) for body in bodies()),
        ]
    assert all(400 <= answer.status_code < 500 for answer in answers), [answer.status_code for answer in answers]
    assert CANARY not in "".join(answer.text + str(answer.headers) for answer in answers)
    with httpx.Client(base_url=gateway.public, trust_env=False, timeout=60) as client:
        assert client.get("/admin/v1/status", headers=good).status_code == 404
        assert client.get("/v1/models", headers=good).status_code == 401


def bodies() -> Iterator[dict[str, Any]]:
    for name in ("role", "issuer", "tenant", CANARY):
        yield {name: CANARY, "issued_before": 1.0}
    yield {"subject": "a", "token_id": CANARY}
    yield {"issued_before": CANARY}


def status_of(gateway: Gateway, subject: str) -> int:
    with gateway.client(subject=subject) as client:
        return client.get("/v1/models").status_code


def policy_file(gateway: Gateway, policy: dict[str, Any]) -> None:
    made = gateway.folder / ".policy.yaml"
    made.write_text(yaml.safe_dump(policy))
    made.replace(gateway.folder / "policy.yaml")


def recorded(folder: Path) -> list[dict[str, Any]]:
    """In whole lines: the last may be half there."""
    texts = [file.read_text().rpartition("\n")[0] for file in sorted((folder / "audit").glob("*.jsonl"))]
    lines = [line for text in texts for line in text.splitlines()]
    return [record for record in map(json.loads, lines) if "action" in record]


def until_recorded(folder: Path, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    until(lambda: any(map(wanted, recorded(folder))))
    return [record for record in recorded(folder) if wanted(record)][-1]
