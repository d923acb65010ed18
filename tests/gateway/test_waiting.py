"""Before Vault answers: what is waited for, what is not, and how the waiting ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway import process, settings, waiting
from gateway.config_file import ConfigError
from gateway.http.entrance import Door
from gateway.secrets import opening
from gateway.secrets.opening import Opened
from gateway.secrets.references import VaultRef
from gateway.secrets.store import AGAIN, Looked, VaultStore
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.settings import Listener, Settings
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S

REF = VaultRef("roots", "log")
CANARY = "canary-of-a-root"
CONFIG = """\
policy: policy.yaml
management: {{port: {management}}}
vault:
  url: https://127.0.0.1:{vault}
  app_role: {{role_id: gateway, secret_id_file: secret-id}}
models:
  assistant:
    tuned: {{url: "http://127.0.0.1:1", model: tuned}}
    base: {{url: "http://127.0.0.1:1", model: base}}
    tokenizer: model
    unreleased: true
"""


class Scripted:
    """A Vault that goes through these troubles, one at each read, and then is well. Fulfils `store.Vault`."""

    def __init__(self, *troubles: Trouble) -> None:
        self._troubles = list(troubles)
        self.value, self.due = CANARY, 3600.0

    def keep(self) -> None:
        """There is nothing to renew."""

    def read(self, ref: VaultRef) -> str:
        if self._troubles:
            raise VaultTrouble(self._troubles.pop(0), str(ref))
        return self.value


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AGAIN", 0.01)


async def test_what_passes_is_waited_for_and_told_once() -> None:
    store = VaultStore(Scripted(Trouble.UNREACHABLE, Trouble.UNREACHABLE, Trouble.SEALED), [REF], 60)
    told: list[str] = []
    assert await waiting.until_open(store, lambda trouble: told.append(trouble.trouble.value))
    assert told == ["unreachable", "sealed"]
    assert store.value(REF) == CANARY


@pytest.mark.parametrize(
    "trouble", [Trouble.LOGIN_REFUSED, Trouble.CREDENTIAL, Trouble.FORBIDDEN, Trouble.MISSING, Trouble.UNREADABLE]
)
async def test_what_does_not_pass_stops_the_start_and_is_named(trouble: Trouble) -> None:
    store = VaultStore(Scripted(Trouble.SEALED, trouble), [REF], 60)
    with pytest.raises(ConfigError, match="vault:roots#log: ") as refused:
        await waiting.until_open(store, lambda trouble: None)
    assert CANARY not in str(refused.value)


async def test_a_signal_ends_the_waiting() -> None:
    store = VaultStore(Scripted(*[Trouble.UNREACHABLE] * 10_000), [REF], 60)
    assert not await waiting.until_open(store, lambda trouble: os.kill(os.getpid(), signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_a_hangup_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the first try either, when nothing listens yet."""
    (tmp_path / "secret-id").write_text("s")
    (tmp_path / "tightlip.yaml").write_text(CONFIG.format(management=free_port(), vault=free_port()))
    dying: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: dying.append(number))
    prepare = opening.prepare

    def hung_up(given: Settings) -> Opened:
        os.kill(os.getpid(), signal.SIGHUP)
        return prepare(given)

    def hear(line: str) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(opening, "prepare", hung_up)
    try:
        await process._serve(settings.load(tmp_path / "tightlip.yaml"), lambda line: None, hear)
        assert dying == []
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_probes_are_answered_meanwhile() -> None:
    listener = Listener(port=free_port())
    async with (
        waiting.not_ready(listener, Door(), CollectorRegistry()),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False, timeout=PATIENCE_S) as client,
    ):
        while True:
            try:
                ready = await client.get("/readyz")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
        assert (ready.status_code, (await client.get("/healthz")).status_code) == (503, 200)


async def test_one_secret_that_is_gone_keeps_no_other_from_being_read() -> None:
    vault = Scripted()
    store = VaultStore(vault, [REF, VaultRef("roots", "engine")], 60)
    await store.open()
    vault._troubles, vault.value = [Trouble.MISSING], "another"
    looked = await store.refresh()
    assert looked.trouble is not None
    assert looked.changed == (VaultRef("roots", "engine"),)
    assert (store.value(REF), store.value(VaultRef("roots", "engine"))) == (CANARY, "another")
    with pytest.raises(ConfigError, match="has not been read"):
        store.value(VaultRef("roots", "other"))


async def test_a_watch_looks_again_soon_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise asyncio.CancelledError

    ours = SimpleNamespace(**vars(asyncio) | {"sleep": sleep})  # other threads' loops sleep as ever
    monkeypatch.setattr("gateway.secrets.store.asyncio", ours)
    vault = Scripted()
    store = VaultStore(vault, [REF], 60)
    await store.open()
    vault._troubles = [Trouble.SEALED]
    heard: list[Looked] = []
    with pytest.raises(asyncio.CancelledError):
        await store.watch(heard.append)
    assert pauses == [60, AGAIN, 60, 60]
    assert [looked.trouble is None for looked in heard] == [False, True, True]
