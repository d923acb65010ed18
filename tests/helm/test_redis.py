"""The chart's Redis, by a real one: its configuration and its users are what the gateway needs, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.settings import StateSettings
from gateway.state import StateUnfit
from gateway.state.opening import open_store
from tests.support.chart import CHART, needs_helm, one, rendered
from tests.support.patience import be_patient
from tests.support.processes import Program, free_ports, running
from tests.support.redis import SERVER, listens, needs_redis
from tests.support.tls import Authority

pytestmark = [needs_helm, needs_redis]

PASSWORD = "zqMadeUpForThisTestxv"


def users() -> str:
    """What the README has people put into the secret."""
    found = re.search(r"--from-literal=users\.acl=\"(.*?)\"\n", (CHART / "README.md").read_text("utf-8"), re.DOTALL)
    assert found
    return found[1].replace("$password", PASSWORD) + "\n"


def configured(folder: Path, port: int) -> Path:
    """The rendered configuration, with its folders here."""
    text: str = one(rendered("vllm-redis"), "ConfigMap", "tightlip-redis")["data"]["redis.conf"]
    for there, here in {"/data": folder, "/etc/redis/acl": folder, "/etc/redis/tls": folder}.items():
        text = text.replace(f" {there}", f" {here}")
    file = folder / "redis.conf"
    file.write_text(text.replace("tls-port 6379", f"tls-port {port}") + "bind 127.0.0.1\n")
    return file


async def test_the_gateway_can_use_it_and_others_can_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch.setattr)
    authority, [port] = Authority(tmp_path), free_ports(1)
    pair = authority.server("tls").read_text()
    for name, text in {
        "tls.crt": pair,
        "tls.key": pair,
        "ca.crt": authority.ca_file.read_text(),
        "users.acl": users(),
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "wrong").write_text("zqAnotherxv")
    command = [SERVER or "redis-server", str(configured(tmp_path, port))]
    access = {"url": f"rediss://127.0.0.1:{port}/0", "user": "gateway", "ca_file": authority.ca_file}
    with running(Program("redis", command, lambda _: listens(port)), tmp_path / "logs"):
        store = open_store(StateSettings.model_validate(access | {"password_file": tmp_path / "password"}))
        assert list(await store.prepare()) == []  # no advice: it loses nothing
        await store.aclose()
        for wrong in (
            {"password_file": tmp_path / "wrong"},
            {"user": "default", "password_file": tmp_path / "password"},
        ):
            store = open_store(StateSettings.model_validate(access | wrong))
            with pytest.raises(StateUnfit):
                await store.prepare()
            await store.aclose()
