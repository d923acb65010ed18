"""Totals of the last hour, against a plain list of what was added."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.holds import Draw, Hold
from gateway.state.memory import MemoryTotals
from tests.support.totals import added

NOW = 1_700_000_000.0


async def test_what_is_older_than_an_hour_no_longer_counts() -> None:
    totals = MemoryTotals()
    assert await added(totals, "a", 5.0, NOW) == 5.0
    assert await added(totals, "a", 2.0, NOW + 1800) == 7.0
    assert await added(totals, "b", 0.0, NOW + 1800) == 0.0
    assert await added(totals, "a", 0.0, NOW + 3599) == 7.0
    assert await added(totals, "a", 0.0, NOW + 3661) == 2.0
    assert await added(totals, "a", 0.0, NOW + 9000) == 0.0


async def test_callers_of_long_ago_take_no_room() -> None:
    totals = MemoryTotals()
    for at in range(100):
        await added(totals, f"caller-{at}", 1.0, NOW)
        await totals.draw([Draw(f"caller-{at}", 0.0, Hold("process", 1.0, 9.0, NOW + 30))], NOW)
    await added(totals, "other", 0.0, NOW + 4000)
    assert totals._sums == totals._holds == {}


ADDED = st.tuples(st.sampled_from("ab"), st.floats(0, 100), st.floats(0, 2000))


@given(told=st.lists(ADDED, max_size=30))
def test_a_total_is_never_less_than_the_hour_nor_more_than_a_minute_beyond(
    told: list[tuple[str, float, float]],
) -> None:
    totals, now, seen = MemoryTotals(), NOW, []
    for key, amount, later in told:
        now += later
        seen.append((key, amount, now))
        total = asyncio.run(added(totals, key, amount, now))
        least, most = (
            sum(bits for other, bits, at in seen if other == key and at > now - span) for span in (3600, 3660)
        )
        assert least - 1e-6 <= total <= most + 1e-6


@pytest.mark.parametrize("amount", [0.0, -1.0])
async def test_looking_adds_nothing(amount: float) -> None:
    totals = MemoryTotals()
    await added(totals, "a", amount, NOW)
    assert totals._sums == {}
