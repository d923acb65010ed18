"""Places at a base server: bounds that always hold, none left empty for nothing, and nobody waits behind one tenant."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.client import Errand
from gateway.upstream.places import Places, Questioner, Shares

SHARES = Shares(server=4, tenant=3, answer=2)


def who(tenant: str, answer: str = "r1") -> Questioner:
    return Questioner(("issuer", tenant), Errand(answer))


class Visit:
    """A question that keeps its place until it is told to go."""

    def __init__(self, places: Places, questioner: Questioner) -> None:
        self.who, self._places = questioner, places
        self.inside = False
        self._go = asyncio.Event()
        self.task = asyncio.ensure_future(self._stay())

    async def _stay(self) -> None:
        async with self._places.place(self.who):
            self.inside = True
            try:
                await self._go.wait()
            finally:
                self.inside = False

    def go(self) -> None:
        self._go.set()

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def inside(visits: list[Visit]) -> list[str]:
    return [visit.who.tenant[1] for visit in visits if visit.inside]


async def test_bounds_of_server_tenant_and_answer() -> None:
    places = Places(SHARES)
    visits = [Visit(places, who("a", "r1")) for _ in range(3)] + [Visit(places, who("a", "r2")) for _ in range(3)]
    await settle()
    assert [visit.inside for visit in visits] == [True, True, False, True, False, False]
    visits += [Visit(places, who("b")), Visit(places, who("c"))]
    await settle()
    assert inside(visits) == ["a", "a", "a", "b"]
    for visit in visits:
        await visit.cancel()
    assert places.idle


async def test_a_tenant_that_saturates_the_server_starves_nobody() -> None:
    places = Places(SHARES)
    crowd = [Visit(places, who("a", f"r{at}")) for at in range(50)]
    await settle()
    late = [Visit(places, who("b", f"r{at}")) for at in range(2)]
    await settle()
    assert inside(late) == ["b"], "the last place is not the crowd's to take"
    next(visit for visit in crowd if visit.inside).go()
    await settle()
    assert inside(late) == ["b", "b"], "who has fewer in flight comes first"
    for visit in [*crowd, *late]:
        await visit.cancel()


async def test_who_gives_up_waiting_takes_nothing_with_him() -> None:
    places = Places(Shares(server=1, tenant=1, answer=1))
    first, second, third = (Visit(places, who(name)) for name in "abc")
    await settle()
    first.go()  # the second gets its place and is cancelled in the same moment
    await asyncio.sleep(0)
    await second.cancel()
    await settle()
    assert third.inside
    await third.cancel()
    assert places.idle


async def test_what_can_wait_sees_whether_there_is_time() -> None:
    places = Places(SHARES)
    visits = [Visit(places, who("a"))]
    await settle()
    assert places.idle
    visits.append(Visit(places, who("b")))
    await settle()
    assert not places.idle
    for visit in visits:
        await visit.cancel()


STEP = st.tuples(st.sampled_from(["come", "go", "cancel"]), st.integers(0, 2), st.integers(0, 2))


@settings(deadline=None)
@given(steps=st.lists(STEP, max_size=60))
def test_bounds_hold_and_no_place_is_left_empty_for_nothing(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(_played(steps))


async def _played(steps: list[tuple[str, int, int]]) -> None:
    places = Places(SHARES)
    visits: list[Visit] = []
    for step, tenant, answer in steps:
        if step == "come":
            visits.append(Visit(places, who("abc"[tenant], f"r{answer}")))
        elif visits:
            visit = visits.pop((tenant * 3 + answer) % len(visits))
            visit.go() if visit.inside and step == "go" else visit.task.cancel()
        await settle()
        _check(visits)
    for visit in visits:
        await visit.cancel()
    assert places.idle


def _check(visits: list[Visit]) -> None:
    taken = [visit.who for visit in visits if visit.inside]
    tenants, answers = Counter(one.tenant for one in taken), Counter(taken)
    assert len(taken) <= SHARES.server
    assert max(tenants.values(), default=0) <= SHARES.tenant
    assert max(answers.values(), default=0) <= SHARES.answer
    if len(taken) < SHARES.server:
        waiting = [visit.who for visit in visits if not visit.inside]
        assert all(tenants[one.tenant] == SHARES.tenant or answers[one] == SHARES.answer for one in waiting), (
            "somebody waits who could go"
        )


@pytest.mark.parametrize("tenants", [2, 5])
async def test_equals_take_turns(tenants: int) -> None:
    places = Places(Shares(server=1, tenant=1, answer=1))
    visits = [Visit(places, who(f"t{tenant}", f"r{turn}")) for tenant in range(tenants) for turn in range(3)]
    order = []
    for _ in visits:
        await settle()
        (one,) = [visit for visit in visits if visit.inside]
        order.append(one.who.tenant[1])
        one.go()
    assert order == [f"t{tenant}" for _ in range(3) for tenant in range(tenants)]
    await asyncio.gather(*(visit.task for visit in visits))
