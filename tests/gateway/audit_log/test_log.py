"""The audit log of a running gateway."""

from __future__ import annotations

import asyncio
import io
import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from gateway.audit_log import NO_AUDIT_LOG, AuditUnavailable, AuditUnfit, Outcome
from gateway.audit_log.lines import Call, Header, read_line
from gateway.audit_log.log import ChainedAuditLog, Sink
from gateway.audit_log.stream import Stream, is_writable
from gateway.state import Anchor, StateUnavailable
from gateway.state.memory import MemoryStore
from tests.gateway.audit_log.support import KEY, MARKS, NOON, Clock, Heard, files, folder, lines, record
from tests.support.pipes import fill


class Away(MemoryStore):
    """A store that does not answer until it is told to."""

    away = True

    async def anchors(self) -> dict[str, Anchor]:
        if self.away:
            raise StateUnavailable("the store does not answer")
        return dict(await super().anchors())


def opened(sink: Sink, store: MemoryStore, heard: Heard) -> ChainedAuditLog:
    return ChainedAuditLog(sink, MARKS, store, "gw-1", heard, Clock())


async def test_what_write_returns_from_is_in_the_file(tmp_path: Path) -> None:
    log = opened(folder(tmp_path), MemoryStore(), Heard())
    await log.begin()
    for outcome in (Outcome.ASKED, Outcome.DONE):
        await log.write(record(outcome))
        last = read_line(lines(tmp_path)[-1])
        assert isinstance(last, Call)
        assert last.outcome == outcome
    await log.aclose()


async def test_many_at_once_are_one_chain(tmp_path: Path) -> None:
    log = opened(folder(tmp_path), MemoryStore(), Heard())
    await log.begin()
    await asyncio.gather(*(log.write(record(call=at)) for at in range(20)))
    assert [read_line(raw).n for raw in lines(tmp_path)] == list(range(21))
    await log.aclose()


async def test_the_store_remembers_the_head(tmp_path: Path) -> None:
    store, heard = MemoryStore(), Heard()
    log = opened(folder(tmp_path), store, heard)
    await log.begin()
    await log.write(record())
    assert log.head is not None
    await log.aclose()
    assert await store.anchors() == {log.head.chain: Anchor(1, log.head.hash, "gw-1", NOON)}
    assert heard.heads == [log.head]
    assert heard.lost_heads == []


async def test_a_log_that_was_shortened_while_nobody_looked_is_told_of(tmp_path: Path) -> None:
    store, heard = MemoryStore(), Heard()
    first = opened(folder(tmp_path), store, heard)
    await first.begin()
    for at in range(3):
        await first.write(record(call=at))
    known = first.head
    await first.aclose()
    path = files(tmp_path)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))

    second = opened(folder(tmp_path), store, heard)
    await second.begin()
    await second.aclose()
    assert heard.lost_heads == [known]
    header = read_line(lines(tmp_path)[-1])
    assert isinstance(header, Header)
    assert header.lost == str(known)

    third = opened(folder(tmp_path), store, heard)
    await third.begin()
    await third.aclose()
    assert heard.lost_heads == [known], "it is told once"


async def test_a_tail_that_was_replaced_is_told_of_though_it_is_longer(tmp_path: Path) -> None:
    store, heard = MemoryStore(), Heard()
    first = opened(folder(tmp_path), store, heard)
    await first.begin()
    await first.write(record())
    await first.aclose()
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    folder(tmp_path).append(UNSEEN)
    folder(tmp_path).append(UNSEEN)

    second = opened(folder(tmp_path), store, heard)
    await second.begin()
    await second.aclose()
    assert heard.lost_heads == [first.head]


UNSEEN = {"request_id": "req_other", "action": "status", "outcome": "done", "by": "command"}


async def test_a_store_that_is_away_holds_up_nothing_and_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.audit_log.log.AGAIN_SECONDS", 0.01)
    store = Away()
    log = opened(folder(tmp_path), store, Heard())
    await log.begin()
    watch = asyncio.ensure_future(log.watch())
    await log.write(record())
    store.away = False
    async with asyncio.timeout(30):
        while not await store.anchors():  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(0.01)
    assert [anchor.number for anchor in (await store.anchors()).values()] == [1]
    watch.cancel()
    await log.aclose()


async def test_what_can_t_be_written_raises_and_is_heard_of(tmp_path: Path) -> None:
    heard = Heard()
    log = opened(folder(tmp_path), MemoryStore(), heard)
    await log.begin()
    (tmp_path / "audit").rename(tmp_path / "elsewhere")
    with pytest.raises(AuditUnavailable):
        await log.write(record())
    assert len(heard.errors) == 1
    (tmp_path / "elsewhere").rename(tmp_path / "audit")
    await log.write(record())
    assert heard.errors == []
    await log.aclose()


async def test_a_place_that_must_not_be_used_stops_the_start_a_damaged_log_does_not(tmp_path: Path) -> None:
    heard = Heard()
    with pytest.raises(AuditUnfit):
        await opened(folder(tmp_path / "nowhere"), MemoryStore(), heard).begin()
    folder(tmp_path).prepare()
    files(tmp_path)[0].write_bytes(b"{}\n")
    log = opened(folder(tmp_path), MemoryStore(), heard)
    await log.begin()
    assert "damaged" in str(heard.errors[0])
    with pytest.raises(AuditUnavailable):
        await log.write(record())
    await log.aclose()


async def test_a_disk_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.audit_log.log.WRITE_SECONDS", 0.05)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Hanging(Stream):
        def append(self, call: object) -> None:  # type: ignore[override]
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    log = opened(Hanging(io.BytesIO(), KEY, "gw-1", Clock()), MemoryStore(), Heard())
    with pytest.raises(AuditUnavailable, match="too long"):
        await log.write(record())
    release.set()
    await log.aclose()


async def test_without_one_nothing_can_be_recorded() -> None:
    with pytest.raises(AuditUnavailable, match="no audit log"):
        await NO_AUDIT_LOG.write(record())


# ---- on a stream -----------------------------------------------------------------------------------------------------


async def test_a_stream_takes_the_same_lines(tmp_path: Path) -> None:
    stream = io.BytesIO()
    log = opened(Stream(stream, KEY, "gw-1", Clock()), MemoryStore(), Heard())
    await log.begin()
    await log.write(record())
    await log.aclose()
    first, second = stream.getvalue().splitlines()
    assert isinstance(read_line(first), Header)
    assert isinstance(read_line(second), Call)
    assert KEY.has_sealed(first)
    assert KEY.has_sealed(second)


def full_pipe() -> tuple[int, BinaryIO]:
    """Where to read, and where there is no room to write."""
    reader, writer = os.pipe()
    fill(writer)
    return reader, open(writer, "wb")


async def test_a_stream_that_nobody_reads_takes_the_next_line_when_somebody_does() -> None:
    (reader, stream), heard = full_pipe(), Heard()
    has_room = partial(is_writable, stream.fileno())
    log = opened(Stream(stream, KEY, "gw-1", Clock(), has_room), MemoryStore(), heard)
    await log.begin()
    assert heard.errors
    with pytest.raises(AuditUnavailable, match="nobody reads"):
        await log.write(record())
    os.read(reader, 1 << 20)
    await log.write(record())
    await log.aclose()
    assert [type(read_line(line)) for line in os.read(reader, 1 << 20).splitlines()] == [Header, Call]
    assert not heard.errors
    stream.close()
    os.close(reader)


async def test_a_stream_that_failed_once_takes_nothing_more() -> None:
    class Full(io.BytesIO):
        full = False

        def flush(self) -> None:
            if self.full:
                raise OSError(28, "No space left on device")

    stream = Full()
    log = opened(Stream(stream, KEY, "gw-1", Clock()), MemoryStore(), Heard())
    await log.begin()
    stream.full = True
    with pytest.raises(AuditUnavailable, match="OSError"):
        await log.write(record())
    stream.full = False
    with pytest.raises(AuditUnavailable, match="restart"):
        await log.write(record())
    await log.aclose()
