"""What is noted of a request, how rarely, and that nothing of it stands in a request's way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway import last_use
from gateway.last_use import Caller, Grant, LastUses, grants, read, written
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import RECORD_DAYS, Pseudonyms, SubjectForm
from gateway.policy.load import load
from gateway.state import StateUnavailable, Use
from gateway.state.memory import MemoryStore
from gateway.types import Principal, RequestId
from tests.gateway.support import write_policy

NOW = 1_700_000_040.0
ALICE = Principal("idp", "acme", "alice", "t-1", "customer", NOW + 600.0)
CHAT = Grant("customer", "chat", "assistant")


class Counting(MemoryStore):
    """A store that counts what it is told, and can be switched off."""

    told = 0
    away = False

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def used(self, names: Mapping[str, float | None], now: float) -> None:
        await self.go_on.wait()
        if self.away:
            raise StateUnavailable("away")
        self.told += len(names)
        await super().used(names, now)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def ended(principal: Principal | None = ALICE, route: str = "/v1/chat/completions", **more: object) -> RequestRecord:
    record = RequestRecord(RequestId("r"), NOW, 0.0, route=route, principal=principal, model="assistant", status=200)
    return replace(record, **more)  # type: ignore[arg-type]


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(store: Counting, registry: CollectorRegistry, clock: Clock, subject: SubjectForm = "hashed") -> LastUses:
    return LastUses(store, Pseudonyms(b"k" * 32, subject=subject), Metrics(registry), clock)


async def names(store: Counting) -> set[object]:
    return {read(text) for text in await store.uses()}


async def test_a_grant_and_a_caller_are_noted_once_a_minute(
    store: Counting, registry: CollectorRegistry, clock: Clock
) -> None:
    uses = made(store, registry, clock)
    for second in range(3):
        clock.now = NOW + second
        uses.note(ended())
        await uses.tell()
    assert store.told == 2
    clock.now = NOW + 60
    uses.note(ended())
    await uses.tell()
    assert store.told == 4
    assert (await store.uses())[written(CHAT)] == Use(NOW, NOW + 60)


async def test_the_caller_stands_there_under_one_mark_whatever_he_has_in_records(
    store: Counting, registry: CollectorRegistry, clock: Clock
) -> None:
    made_hashed = made(store, registry, clock)
    pseudonyms = Pseudonyms(b"k" * 32)
    for _ in range(2):
        made_hashed.note(ended(arrived=clock.now))
        await made_hashed.tell()
        clock.now += RECORD_DAYS * 86_400.0
    mark = pseudonyms.lasting(ALICE)
    assert mark not in {None, pseudonyms.subject(ALICE, NOW), pseudonyms.subject(ALICE, clock.now)}
    assert await names(store) == {CHAT, Caller("acme", "customer", mark)}
    assert "alice" not in str(await store.uses())


@pytest.mark.parametrize(("form", "mark"), [("plain", "alice"), ("off", None)])
async def test_plain_only_where_the_log_is_and_not_at_all_where_it_says_nothing(
    store: Counting, registry: CollectorRegistry, clock: Clock, form: SubjectForm, mark: str | None
) -> None:
    uses = made(store, registry, clock, form)
    uses.note(ended())
    await uses.tell()
    expected = {CHAT} if mark is None else {CHAT, Caller("acme", "customer", mark)}
    assert await names(store) == expected


async def test_what_was_not_granted_is_no_use(store: Counting, registry: CollectorRegistry, clock: Clock) -> None:
    uses = made(store, registry, clock)
    for record in (
        ended(None),
        ended(model=None, status=403),
        ended(route="/v1/models", model=None, status=403),
        ended(route="/elsewhere"),
    ):
        uses.note(record)
    await uses.tell()
    assert await names(store) == set()
    uses.note(ended(route="/v1/models", model=None))
    uses.note(ended(route="/v1/completions", status=503))
    await uses.tell()
    assert {Grant("customer", "models", None), Grant("customer", "completions", "assistant")} < await names(store)


async def test_a_store_that_is_away_is_told_later_and_it_is_a_metric(
    store: Counting, registry: CollectorRegistry, clock: Clock
) -> None:
    uses = made(store, registry, clock)
    store.away = True
    uses.note(ended())
    await uses.tell()
    clock.now = NOW + 90
    uses.note(ended(route="/v1/completions"))
    assert registry.get_sample_value("tightlip_last_use_failures_total") == 1
    store.away = False
    await uses.tell()
    known = await store.uses()
    assert known[written(CHAT)].last == NOW
    assert known[written(replace_endpoint())].last == NOW + 90


async def test_that_a_grant_is_there_takes_nothing_from_its_use_that_could_not_be_told(
    store: Counting, registry: CollectorRegistry, clock: Clock, tmp_path: Path
) -> None:
    uses = made(store, registry, clock)
    uses.note(ended())
    store.away = True
    store.go_on.clear()
    telling = asyncio.ensure_future(uses.tell())
    await asyncio.sleep(0)
    uses.introduce(load(write_policy(tmp_path)))
    store.go_on.set()
    await telling
    store.away = False
    await uses.tell()
    assert (await store.uses())[written(CHAT)].last == NOW


async def test_what_was_being_told_at_the_end_is_told_again(
    store: Counting, registry: CollectorRegistry, clock: Clock
) -> None:
    uses = made(store, registry, clock)
    uses.note(ended())
    store.go_on.clear()
    telling = asyncio.ensure_future(uses.tell())
    await asyncio.sleep(0)
    telling.cancel()
    await asyncio.wait({telling})
    store.go_on.set()
    await uses.tell()
    assert CHAT in await names(store)


def replace_endpoint() -> Grant:
    return Grant("customer", "completions", "assistant")


async def test_what_waits_has_a_bound(
    store: Counting, registry: CollectorRegistry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_use, "MOST", 10)
    uses = made(store, registry, clock)
    for number in range(20):
        uses.note(ended(replace(ALICE, subject=f"s-{number}")))
    await uses.tell()
    assert len(await store.uses()) == 10
    assert registry.get_sample_value("tightlip_last_use_failures_total") == 11


async def test_what_a_policy_grants_is_known_from_then_on(
    store: Counting, registry: CollectorRegistry, clock: Clock, tmp_path: Path
) -> None:
    rules = load(write_policy(tmp_path))
    uses = made(store, registry, clock)
    uses.note(ended())
    uses.introduce(rules)
    await uses.tell()
    known = await store.uses()
    assert known[written(Grant("support", "completions", "second"))] == Use(NOW, None)
    assert known[written(CHAT)] == Use(NOW, NOW)
    assert {written(grant) for grant in grants(rules)} <= known.keys()


def test_a_name_of_a_newer_version_is_nobody_s() -> None:
    assert read('["Planet", "x"]') is None
