"""An encrypted request is good once, over all processes of one store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.encryption.opening import FRESH_SECONDS, REMEMBERED_SECONDS, Caller, Opener
from gateway.errors import StaleRequest
from gateway.state.sqlite import SqliteStore
from gateway.types import Principal
from tests.support.encryption import clients, own, pinned, ring
from tightlip_client.protocol import Exchange

PATH = "/v1/chat/completions"
ALICE = Principal("https://issuer.test", "acme", "alice", "token-1", "customer", float("inf"))


async def test_two_processes_on_one_store_take_it_once(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "state.db") for _ in range(2)]
    known = clients(ALICE.issuer, "acme", alice=["client-1"])
    for store in stores:
        await store.prepare()
    try:
        openers = [Opener(ring(tmp_path), store) for store in stores]
        message = Exchange(pinned(), "gateway-1", [own()]).seal(b"{}", token="t", path=PATH).encode()
        opened = [(await each.open(message, Caller(ALICE, "t", PATH), known))[0] for each in openers]
        await openers[0].take(opened[0], ALICE)
        for each, request in zip(openers, opened, strict=True):
            with pytest.raises(StaleRequest):
                await each.take(request, ALICE)
    finally:
        for store in stores:
            await store.aclose()


@pytest.mark.parametrize("ahead", [-FRESH_SECONDS - 5, FRESH_SECONDS + 5])
async def test_a_request_of_another_time_is_refused(tmp_path: Path, ahead: float) -> None:
    from gateway.state.memory import MemoryStore

    opener = Opener(ring(tmp_path), MemoryStore(), now=lambda: time.time() + ahead)
    message = Exchange(pinned(), "gateway-1", [own()]).seal(b"{}", token="t", path=PATH).encode()
    known = clients(ALICE.issuer, "acme", alice=["client-1"])
    opened, _ = await opener.open(message, Caller(ALICE, "t", PATH), known)
    with pytest.raises(StaleRequest):
        await opener.take(opened, ALICE)


def test_a_request_is_remembered_for_longer_than_it_can_be_good() -> None:
    assert REMEMBERED_SECONDS > 2 * FRESH_SECONDS
