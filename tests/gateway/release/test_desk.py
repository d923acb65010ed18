"""Switch, withdraw, reinstate: what is refused, and that two replicas on one store agree with a table, whatever is
done in whatever order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.errors import ReleaseWithdrawn, RevocationsUnknown
from gateway.http.lifecycle import Lifecycle
from gateway.observe.metrics import Metrics
from gateway.release.desk import Refused, ReleaseDesk
from gateway.release.standing import EVERYBODY, Scope, Standing
from gateway.releases import Releases
from gateway.revocations import RevocationFeed
from gateway.state import Changes, Entry, Position, StateUnavailable
from gateway.state.memory import MemoryStore
from gateway.types import ONLY, Grant, Principal, Release
from tests.support.releases import MODEL, Pair, releases

NOW = 1_700_000_000.0
ALICE = Principal("idp", "acme", "alice", None, "customer", NOW + 600.0)
NAMES = ("blue", "green", "red")


class Store(MemoryStore):
    """One that can be away, and can lose what was written last."""

    away = False

    async def changes(self, since: Position | None) -> Changes:
        if self.away:
            raise StateUnavailable("away")
        changes = await super().changes(since)
        return replace(changes, whole=since is None or since.mark != self._mark)

    async def put(self, entry: Entry, now: float) -> None:
        if self.away:
            raise StateUnavailable("away")
        await super().put(entry, now)

    def put_back(self, entries: dict[str, tuple[int, Entry | None]]) -> None:
        """It is as it was then, and nobody's position holds."""
        self._entries, self._mark = dict(entries), "another"


class Replica:
    def __init__(self, store: Store, names: tuple[str, ...] = NAMES, serving: str = "blue") -> None:
        self.registry, self.clock, self.standing = CollectorRegistry(), 1000.0, Standing()
        metrics = Metrics(self.registry)
        self.releases = releases(names, serving, self.standing, metrics)
        self.pairs = cast(dict[Release, Pair], self.releases.pairs)
        self.lifecycle = Lifecycle()
        self.feed = RevocationFeed(
            store, metrics, 30.0, self.lifecycle.end, others=[self.standing], clock=lambda: self.clock
        )
        self.desk = ReleaseDesk(store, self.releases, lambda: NOW)

    def answers(self, principal: Principal = ALICE) -> str:
        try:
            return self.releases.serving(principal, MODEL).release.name
        except ReleaseWithdrawn as refused:
            return str(refused.reason)

    def shown(self, name: str, release: str) -> float | None:
        return self.registry.get_sample_value(name, {"model": MODEL, "release": release})


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.fixture
async def one(store: Store) -> Replica:
    replica = Replica(store)
    await replica.feed.begin()
    return replica


async def test_who_answers_is_switched_and_switched_back(one: Replica) -> None:
    assert one.answers() == "blue"
    await one.desk.switch(MODEL, {"green": 1})
    await one.feed.look()
    assert one.answers() == "green"
    assert (one.shown("tightlip_release_share", "green"), one.shown("tightlip_release_share", "blue")) == (1, 0)
    await one.desk.switch(MODEL, {"blue": 3, "green": 1})
    await one.feed.look()
    assert one.shown("tightlip_release_share", "blue") == 0.75
    await one.desk.unswitch(MODEL)
    await one.feed.look()
    assert one.answers() == "blue"
    with pytest.raises(Refused, match="no such choice"):
        await one.desk.unswitch(MODEL)


async def test_what_can_t_be_switched_to_says_why(one: Replica) -> None:
    one.pairs[Release(MODEL, "red")].open = False
    await one.desk.withdraw(MODEL, "green")  # not known to this replica yet: the store is asked
    for shares, why in (
        ({"green": 1}, "'green' is withdrawn"),
        ({"blue": 1, "red": 1}, "'red' does not check out"),
        ({"pink": 1}, "has no such release"),
        ({"blue": 0}, "with a share from 1"),
        ({}, "needs one release"),
    ):
        with pytest.raises(Refused, match=why):
            await one.desk.switch(MODEL, shares)
    for model in ("second", ""):
        with pytest.raises(Refused, match="has no such model"):
            await one.desk.switch(model, {"blue": 1})
        with pytest.raises(Refused, match="has no such model"):
            await one.desk.withdraw(model, "blue")
    with pytest.raises(Refused, match="is one of an issuer"):
        await one.desk.switch(MODEL, {"blue": 1}, Scope(tenant="acme"))
    with pytest.raises(Refused, match="has no such release"):
        await one.desk.withdraw(MODEL, "pink")
    with pytest.raises(Refused, match="is not withdrawn"):
        await one.desk.reinstate(MODEL, "blue")
    await one.feed.look()
    assert one.answers() == "blue", "what was refused has changed nothing"


async def test_what_the_store_does_not_take_is_not_acknowledged(one: Replica, store: Store) -> None:
    store.away = True
    for work in (one.desk.switch(MODEL, {"green": 1}), one.desk.withdraw(MODEL, "blue")):
        with pytest.raises(StateUnavailable):
            await work
    store.away = False
    await one.feed.look()
    assert one.answers() == "blue"


async def test_a_replica_cut_off_from_the_store_serves_through_the_grace_and_no_longer(
    one: Replica, store: Store
) -> None:
    """It would serve what was withdrawn meanwhile. Whoever asks is refused where revocations are looked at."""
    two = Replica(store)
    await two.feed.begin()
    await two.desk.withdraw(MODEL, "blue")
    store.away = True
    one.clock += 30.0
    await one.feed.look()
    one.feed.check(ALICE)
    one.clock += 0.1
    await one.feed.look()
    with pytest.raises(RevocationsUnknown):
        one.feed.check(ALICE)
    store.away = False
    await one.feed.look()
    one.feed.check(ALICE)
    assert one.answers() == "withdrawn"


async def test_what_a_store_has_lost_it_gets_back_and_of_a_choice_the_latest(one: Replica, store: Store) -> None:
    await one.desk.switch(MODEL, {"green": 1})
    kept = dict(store._entries)
    await one.desk.switch(MODEL, {"red": 1})
    await one.desk.withdraw(MODEL, "blue")
    await one.feed.look()
    assert one.answers() == "red"
    store.put_back(kept)
    await one.feed.look()
    assert one.answers() == "red"
    late = Replica(store)
    await late.feed.begin()
    assert late.answers() == "red"
    assert late.standing.withdrawn(MODEL) == ["blue"]


@pytest.mark.parametrize("lost", ["writes", "nothing"])
async def test_a_choice_that_was_taken_back_does_not_come_again_over_a_later_one(store: Store, lost: str) -> None:
    """Neither from a copy of the store, nor from a replica that was cut off meanwhile."""
    one, cut_off = Replica(store), Replica(store)
    for replica in (one, cut_off):
        await replica.feed.begin()
    for name in ("green", "blue", "green"):
        await one.desk.switch(MODEL, {name: 1})
    await cut_off.feed.look()
    kept = dict(store._entries)
    await one.desk.unswitch(MODEL)
    later = ReleaseDesk(store, one.releases, lambda: NOW + 1.0)
    await later.switch(MODEL, {"red": 1})
    await one.feed.look()
    store.put_back(kept if lost == "writes" else store._entries)
    for replica in (one, cut_off, one):
        await replica.feed.look()
    assert one.answers() == "red"
    late = Replica(store)
    await late.feed.begin()
    assert late.answers() == "red"


async def test_what_is_said_of_a_model_that_is_here_no_more_is_shown_and_taken_back(store: Store) -> None:
    before = Replica(store)
    await before.feed.begin()
    await before.desk.switch(MODEL, {"green": 1})
    await before.desk.withdraw(MODEL, "red")
    now = Replica(store)
    now.desk = ReleaseDesk(store, Releases({}, {}, now.standing, Metrics(CollectorRegistry())))
    await now.feed.begin()
    [status] = now.desk.status()
    assert (status.model, status.releases, status.withdrawn) == (MODEL, [], ["red"])
    assert [(each.shares, each.unknown) for each in status.choices] == [({"green": 1}, ["green"])]
    assert now.desk.known(MODEL, ["red", "green"])
    assert now.desk.in_force(MODEL, EVERYBODY) == {"green": 1}
    await now.desk.unswitch(MODEL)
    await now.desk.reinstate(MODEL, "red")
    await now.feed.look()
    assert now.desk.status() == []
    assert not now.desk.known(MODEL, [])


async def test_a_version_that_knows_of_revocations_alone_refuses_by_name(store: Store) -> None:
    """The version before: what it can't obey it does not ignore, and what it can it obeys."""
    told, clock = list[str](), [1000.0]
    before = RevocationFeed(
        store,
        Metrics(CollectorRegistry()),
        30.0,
        Lifecycle().end,
        lambda code, words: told.append(f"{code}: {words}"),
        clock=lambda: clock[0],
    )
    await before.begin()
    desk = Replica(store).desk
    await desk.withdraw(MODEL, "blue")
    await before.look()
    assert told == ["state_unfit: the store has an entry that this version does not understand"]
    before.check(ALICE)
    clock[0] += 30.1
    await before.look()
    with pytest.raises(RevocationsUnknown):
        before.check(ALICE)
    await desk.reinstate(MODEL, "blue")
    await before.look()
    before.check(ALICE)


async def test_readiness_is_about_what_is_in_service(one: Replica, store: Store) -> None:
    assert one.releases.ready
    one.pairs[Release(MODEL, "blue")].open = False
    assert one.releases.ready, "its servers are away: so they are for all gateways, and callers are to be told"
    one.pairs[Release(MODEL, "blue")].refused = True
    assert not one.releases.ready, "green is here, and serves nobody"
    await Replica(store).desk.switch(MODEL, {"green": 1}, Scope(role="support"))
    await one.feed.look()
    assert one.releases.ready
    await one.desk.unswitch(MODEL, Scope(role="support"))
    await one.desk.withdraw(MODEL, "blue")
    await one.feed.look()
    assert one.releases.ready, "what is withdrawn is so everywhere: callers are to be told"


async def test_how_everything_stands(one: Replica) -> None:
    one.pairs[Release(MODEL, "red")].open = False
    one.pairs[Release(MODEL, "green")].released_as = "2026-11-a"
    await one.desk.switch(MODEL, {"blue": 1, "green": 3}, Scope("idp", "acme"))
    await one.desk.withdraw(MODEL, "red")
    await one.feed.look()
    (status,) = one.desk.status()
    assert (status.model, status.withdrawn) == (MODEL, ["red"])
    assert [(each.name, each.released_as, each.open, each.withdrawn, each.part) for each in status.releases] == [
        ("blue", None, True, False, 1.0),
        ("green", "2026-11-a", True, False, 0.0),
        ("red", None, False, True, 0.0),
    ]
    assert [(each.scope, each.shares) for each in status.choices] == [(Scope("idp", "acme"), {"blue": 1, "green": 3})]


async def test_tokens_are_counted_by_the_model_that_answers(one: Replica) -> None:
    one.pairs[Release(MODEL, "blue")].vocabulary = SimpleNamespace(count=len)
    grant = cast(Grant, SimpleNamespace(principal=ALICE, model=MODEL))
    assert one.releases.count(grant)("four") == 4
    await one.desk.withdraw(MODEL, "blue")
    await one.feed.look()
    with pytest.raises(ReleaseWithdrawn):
        one.releases.count(grant)


async def test_one_release_without_a_name_can_be_withdrawn(store: Store) -> None:
    flat = Replica(store, (ONLY,), ONLY)
    await flat.feed.begin()
    await flat.desk.withdraw(MODEL, ONLY)
    await flat.feed.look()
    assert flat.answers() == "withdrawn"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["switch", "unswitch", "withdraw", "reinstate"]),
        st.sampled_from([EVERYBODY, Scope("idp", "acme"), Scope(role="customer")]),
        st.sampled_from(NAMES),
        st.sampled_from([0, 1]),  # at which replica
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS)
def test_whatever_is_done_two_replicas_agree_with_a_table(steps: list[tuple[str, Scope, str, int]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, Scope, str, int]]) -> None:
    store = Store()
    replicas = [Replica(store), Replica(store)]
    chosen, withdrawn = dict[Scope, str](), set[str]()
    for step, scope, name, at in steps:
        done = await _done(replicas[at].desk, step, scope, name)
        if step == "switch":
            assert done == (name not in withdrawn)
            chosen |= {scope: name} if done else {}
        elif step == "unswitch":
            assert done == (chosen.pop(scope, None) is not None)
        elif step == "withdraw":
            assert done
            withdrawn.add(name)
        else:
            assert done == (name in withdrawn)
            withdrawn.discard(name)
        wanted = next(
            (chosen[s] for s in (Scope("idp", "acme"), Scope(role="customer"), EVERYBODY) if s in chosen), "blue"
        )
        for replica in replicas:
            await replica.feed.look()
            assert replica.answers() == ("withdrawn" if wanted in withdrawn else wanted)


async def _done(desk: ReleaseDesk, step: str, scope: Scope, name: str) -> bool:
    try:
        if step == "switch":
            await desk.switch(MODEL, {name: 1}, scope)
        elif step == "unswitch":
            await desk.unswitch(MODEL, scope)
        else:
            await (desk.withdraw if step == "withdraw" else desk.reinstate)(MODEL, name)
    except Refused:
        return False
    return True
