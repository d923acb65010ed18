"""The feed: what a replica learns, how long it may go by what it knows, and what it ends."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NoReturn

import pytest
from prometheus_client import CollectorRegistry

from gateway import revocations
from gateway.auth.revocation import Kind, Revocation
from gateway.errors import NotAuthenticated, Reason, RevocationsUnknown
from gateway.http.lifecycle import Lifecycle, Running
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.revocations import RevocationFeed
from gateway.revoke import revoke, withdraw
from gateway.state import Changes, Entry, Position, StateUnavailable, StateUnfit
from gateway.state.memory import MemoryStore
from gateway.types import Principal, RequestId

NOW = 1_700_000_000.0
ALICE = Principal("idp", "acme", "alice", "t-1", "customer", NOW + 600.0, issued_at=NOW - 60.0)
BOB = replace(ALICE, subject="bob", token_id="t-2")
OF_ALICE = Revocation(Kind.SUBJECT, "alice", "idp", "acme")


class Silent(MemoryStore):
    """A store that can be switched off, and can lose what it has."""

    fault: StateUnavailable | None = None
    advice: Sequence[str] = ()
    hangs = False
    broken = False
    takes: float | None = 0.0  # seconds of the bench's clock for one entry; None: for ever
    answers_after = 0.0  # seconds of the bench's clock
    bench: Bench
    prepared = 0

    async def prepare(self) -> Sequence[str]:
        self.prepared += 1
        return self.advice

    async def changes(self, since: Position | None) -> Changes:
        if self.hangs:
            await asyncio.sleep(60)
        if self.fault is not None:
            raise self.fault
        if self.broken:
            raise TypeError("alice")
        changes = await super().changes(since)
        if self.answers_after:
            self.bench.time += self.answers_after
        return replace(changes, whole=since is None or since.mark != self._mark)

    async def put(self, entry: Entry, now: float) -> None:
        if self.takes is None:
            await asyncio.sleep(60)
        elif self.takes:
            self.bench.time += self.takes
        await super().put(entry, now)

    def lose_everything(self) -> None:
        self._entries.clear()
        self._number, self._mark = 0, "another"


@dataclass
class Bench:
    """A feed with a clock that a test turns."""

    store: Silent = field(default_factory=Silent)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    told: list[str] = field(default_factory=list)
    time: float = 1000.0
    ahead: float = 0.0
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    def __post_init__(self) -> None:
        self.store.bench = self
        self.feed = RevocationFeed(
            self.store,
            Metrics(self.registry),
            30.0,
            self.lifecycle.end,
            lambda code, words: self.told.append(code),
            now=lambda: NOW + self.time + self.ahead,
            clock=lambda: self.time,
        )

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def running(bench: Bench, principal: Principal | None) -> AsyncIterator[list[Running]]:
    """A request of his, for as long as the block lasts."""
    record, found = RequestRecord(RequestId("req"), NOW, 0.0, principal=principal), list[Running]()

    async def answer() -> None:
        with bench.lifecycle.request(record) as under_way:
            found.append(under_way)
            await asyncio.sleep(60)

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def ended(found: list[Running]) -> str | None:
    (under_way,) = found
    return None if under_way.ended is None else under_way.ended.code


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.feed.begin()
    return made


async def test_before_the_store_was_ever_read_nobody_gets_in() -> None:
    bench = Bench()
    assert not bench.feed.ready
    with pytest.raises(RevocationsUnknown):
        bench.feed.check(ALICE)
    labels = {"reason": "revocations_unavailable", "what": "request"}
    assert bench.count("tightlip_revocation_refusals_total", **labels) == 1


async def test_what_is_revoked_is_refused_until_it_is_withdrawn(bench: Bench) -> None:
    bench.feed.check(ALICE)
    entry_id = await revoke(bench.store, OF_ALICE, NOW)
    bench.feed.check(ALICE)
    await bench.feed.look()
    with pytest.raises(NotAuthenticated) as refused:
        bench.feed.check(ALICE)
    assert refused.value.reason == Reason.REVOKED_SUBJECT
    bench.feed.check(BOB)
    assert bench.count("tightlip_revocations") == 1
    assert bench.count("tightlip_revocation_refusals_total", reason="revoked_subject", what="request") == 1
    assert await withdraw(bench.store, entry_id, NOW)
    await bench.feed.look()
    bench.feed.check(ALICE)


async def test_a_running_request_ends_once_and_another_s_goes_on(bench: Bench) -> None:
    async with running(bench, ALICE) as of_alice, running(bench, BOB) as of_bob, running(bench, None) as nobody_s:
        await revoke(bench.store, OF_ALICE, NOW)
        await bench.feed.look()
        await bench.feed.look()
        assert ended(of_alice) == "invalid_api_key"
        await revoke(bench.store, replace(OF_ALICE, issued_before=NOW), NOW)
        await bench.feed.look()
        assert (ended(of_bob), ended(nobody_s)) == (None, None)
    assert bench.count("tightlip_revocation_refusals_total", reason="revoked_subject", what="stream") == 1


async def test_what_a_slow_store_says_is_as_old_as_the_question(bench: Bench) -> None:
    bench.store.answers_after = 1.5
    await bench.feed.look()
    assert bench.feed.age == 1.5


async def test_what_is_known_holds_through_the_grace_and_no_longer(bench: Bench) -> None:
    await revoke(bench.store, OF_ALICE, NOW)
    await bench.feed.look()
    bench.store.fault = StateUnavailable("away")
    async with running(bench, BOB) as of_bob:
        bench.time += 30.0
        await bench.feed.look()
        bench.feed.check(BOB)
        with pytest.raises(NotAuthenticated):
            bench.feed.check(ALICE)
        assert bench.count("tightlip_revocations_age_seconds") == 30.0
        bench.time += 0.1
        await bench.feed.look()
        assert ended(of_bob) == "revocations_unavailable"
    for caller in (ALICE, BOB):
        with pytest.raises(RevocationsUnknown):
            bench.feed.check(caller)
    bench.store.fault = None
    await bench.feed.look()
    bench.feed.check(BOB)
    assert bench.told == ["state_unavailable", "state_back"]


async def test_a_store_that_hangs_is_one_that_does_not_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "PATIENCE", 0.02)
    bench.store.hangs = True
    bench.time += 31.0
    await bench.feed.look()
    assert not bench.feed.ready
    assert bench.told == ["state_unavailable"]


async def test_a_store_that_is_unfit_at_the_start_stops_it_and_later_is_one_that_does_not_answer() -> None:
    bench = Bench()
    bench.store.fault = StateUnfit("may forget")
    with pytest.raises(StateUnfit, match="may forget"):
        await bench.feed.begin()
    bench.store.fault = StateUnavailable("away")
    await bench.feed.begin()
    bench.store.fault = StateUnfit("may forget")
    await bench.feed.look()
    assert bench.told == ["state_unavailable", "state_unfit"]
    assert not bench.feed.ready


async def test_after_each_failure_the_store_is_looked_at_anew_and_advice_is_given_once(bench: Bench) -> None:
    assert bench.store.prepared == 1
    bench.store.advice = ["better so"]
    for _ in range(2):
        bench.store.fault = StateUnavailable("away")
        await bench.feed.look()
        bench.store.fault = None
        await bench.feed.look()
        await bench.feed.look()
    assert bench.store.prepared == 3
    assert bench.told.count("state_advice") == 1


async def test_a_store_that_lost_everything_is_told_again(bench: Bench) -> None:
    """All but what was withdrawn, and no token comes back in between."""
    other = Revocation(Kind.SUBJECT, "bob", "idp", "acme")
    await revoke(bench.store, OF_ALICE, NOW)
    await revoke(bench.store, other, NOW)
    await bench.feed.look()
    await withdraw(bench.store, other.id, NOW)
    await bench.feed.look()
    bench.store.lose_everything()
    await bench.feed.look()
    with pytest.raises(NotAuthenticated):
        bench.feed.check(ALICE)
    replica = RevocationFeed(bench.store, Metrics(CollectorRegistry()), 30.0, Lifecycle().end)
    await replica.begin()
    with pytest.raises(NotAuthenticated):
        replica.check(ALICE)
    replica.check(BOB)


async def test_an_entry_that_can_t_be_read_is_no_reason_to_go_on(bench: Bench) -> None:
    await bench.store.put(Entry("strange", '{"kind": "planet", "value": "x"}', None), NOW)
    await bench.feed.look()
    assert bench.told == ["state_unfit"]
    bench.time += 31
    with pytest.raises(RevocationsUnknown):
        bench.feed.check(BOB)


async def test_when_the_watch_ends_nobody_gets_in_any_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours, in what outlives every fault of the store."""

    async def broken() -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(revocations, "EVERY", 0.0)
    monkeypatch.setattr(bench.feed, "look", broken)
    async with running(bench, BOB) as of_bob:
        with pytest.raises(RuntimeError):
            await bench.feed.watch()
        assert ended(of_bob) == "revocations_unavailable"
    assert not bench.feed.ready


async def test_what_can_be_read_beside_it_is_obeyed(bench: Bench) -> None:
    await bench.store.put(Entry("strange", '{"kind": "planet", "value": "x"}', None), NOW)
    await revoke(bench.store, OF_ALICE, NOW)
    await bench.feed.look()
    with pytest.raises(NotAuthenticated):
        bench.feed.check(ALICE)
    assert bench.told == ["state_unfit"]


async def test_a_store_that_breaks_in_an_unforeseen_way_ends_what_runs_and_is_looked_at_again(bench: Bench) -> None:
    bench.store.broken = True
    async with running(bench, BOB) as of_bob:
        await bench.feed.look()
        bench.time += 31.0
        await bench.feed.look()
        assert ended(of_bob) == "revocations_unavailable"
    bench.store.broken = False
    await bench.feed.look()
    bench.feed.check(BOB)
    assert bench.told == ["state_unfit", "state_back"]


async def test_looking_goes_on_where_nobody_can_be_told() -> None:
    """The terminal is gone, or the log's disk is full: just then the store may be in trouble too."""

    def deaf(code: str, words: str) -> NoReturn:
        raise OSError(errno.ENOSPC, words)

    store, lifecycle = Silent(), Lifecycle()
    feed = RevocationFeed(store, Metrics(CollectorRegistry()), 30.0, lifecycle.end, deaf)
    await feed.begin()
    store.fault = StateUnavailable("away")
    await feed.look()
    store.fault = None
    await revoke(store, OF_ALICE, NOW)
    await feed.look()
    with pytest.raises(NotAuthenticated):
        feed.check(ALICE)


async def test_what_is_new_does_not_wait_for_what_is_given_back(bench: Bench) -> None:
    many = [Revocation(Kind.SUBJECT, f"user-{number}", "idp", "acme") for number in range(50)]
    for each in many:
        await revoke(bench.store, each, NOW)
    await bench.feed.look()
    bench.store.lose_everything()
    bench.store.takes = 0.1
    await bench.feed.look()
    bench.store.takes = 0.0
    assert len(bench.store._entries) < 10
    await revoke(bench.store, OF_ALICE, NOW)
    await bench.feed.look()
    with pytest.raises(NotAuthenticated):
        bench.feed.check(ALICE)
    await bench.feed.look()
    assert len(bench.store._entries) == 51


async def test_a_store_that_takes_nothing_back_is_told_of_once_and_holds_up_no_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "PATIENCE", 0.02)
    await revoke(bench.store, OF_ALICE, NOW)
    await bench.feed.look()
    bench.store.lose_everything()
    bench.store.takes = None
    for _ in range(3):
        await bench.feed.look()
    assert bench.told == ["state_unavailable"]
    bench.feed.check(BOB)
    with pytest.raises(NotAuthenticated):
        bench.feed.check(ALICE)


async def test_a_clock_that_was_ahead_brings_no_token_back(bench: Bench) -> None:
    """By two days, in which every token's revocation is forgotten; then it is put right."""
    await revoke(bench.store, Revocation(Kind.TOKEN_ID, "t-1", "idp"), NOW + bench.time)
    await bench.feed.look()
    bench.ahead = 2 * 86_400.0
    bench.time += 61.0
    await bench.feed.look()
    assert bench.count("tightlip_revocations") == 0
    bench.ahead = 0.0
    for _ in range(2):
        bench.time += 0.25
        await bench.feed.look()
    with pytest.raises(NotAuthenticated):
        bench.feed.check(ALICE)


async def test_what_has_expired_goes_within_a_minute(bench: Bench) -> None:
    await revoke(bench.store, Revocation(Kind.TOKEN_ID, "t-1", "idp"), NOW - 86_500.0)
    await bench.feed.look()
    assert bench.count("tightlip_revocations") == 1
    bench.time += 61
    await bench.feed.look()
    assert bench.count("tightlip_revocations") == 0
