"""What a Vault that hangs costs everybody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.auth.jwks import FetchFailed, PageFetcher, VaultPage
from gateway.secrets import store
from gateway.secrets.references import VaultRef
from gateway.secrets.store import VaultStore
from gateway.secrets.trouble import Trouble, VaultTrouble
from tests.support.waiting import PATIENCE_S

REF = VaultRef("roots", "log")
CANARY = "canary-of-a-root"


class Trickling:
    """A Vault whose answers have no end before `over` is set. Fulfils `store.Vault`."""

    due = 3600.0

    def __init__(self) -> None:
        self.over = threading.Event()
        self.refused: Trouble | None = None

    def keep(self) -> None:
        if self.refused is not None:
            raise VaultTrouble(self.refused)

    def read(self, ref: VaultRef) -> str:
        self.over.wait()
        return CANARY


@pytest.fixture
def vault() -> Iterator[Trickling]:
    vault = Trickling()
    yield vault
    vault.over.set()


async def test_it_holds_no_thread_that_others_need_and_nobody_waits_for_ever(
    vault: Trickling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WHOLE", 0.1)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    held = VaultStore(vault, [REF], 60)
    fetcher = PageFetcher(vault=held.read)
    try:
        fetches = [asyncio.ensure_future(fetcher(VaultPage(REF))) for _ in range(8)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "served"), PATIENCE_S) == "served"
        failed = await asyncio.wait_for(asyncio.gather(*fetches, return_exceptions=True), PATIENCE_S)
        assert [(type(each), str(each)) for each in failed] == [(FetchFailed, "unreachable")] * 8
        with pytest.raises(VaultTrouble) as trouble:
            await asyncio.wait_for(held.open(), PATIENCE_S)
        assert trouble.value.trouble is Trouble.UNREACHABLE
        looked = await asyncio.wait_for(held.refresh(), PATIENCE_S)
        assert looked.trouble is not None
        assert looked.trouble.trouble is Trouble.UNREACHABLE
        monkeypatch.setattr(store, "WHOLE", PATIENCE_S)
        vault.over.set()
        assert await fetcher(VaultPage(REF)) == CANARY.encode()
    finally:
        vault.over.set()
        await fetcher.aclose()


@pytest.mark.parametrize(
    ("refused", "changed"),
    [(Trouble.LOGIN_REFUSED, (REF,)), (Trouble.CREDENTIAL, (REF,)), (Trouble.UNREACHABLE, ()), (Trouble.SEALED, ())],
)
async def test_a_refused_login_is_told_and_what_can_be_read_is(
    vault: Trickling, refused: Trouble, changed: tuple[VaultRef, ...]
) -> None:
    held = VaultStore(vault, [REF], 60)
    vault.refused = refused
    vault.over.set()
    looked = await held.refresh()
    assert looked.trouble is not None
    assert (looked.trouble.trouble, looked.changed) == (refused, changed)
