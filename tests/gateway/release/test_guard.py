"""The way to a model is open only after a good check that is not too old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gateway.errors import UpstreamUnavailable
from gateway.release.check import Fault
from gateway.release.guard import Clock, Guard


@dataclass
class Servers:
    """What the next checks find: faults, or None where no server answers."""

    finds: list[Sequence[Fault] | None]
    told: list[tuple[Fault, ...]] = field(default_factory=list)
    time: float = 100.0

    async def __call__(self) -> Sequence[Fault]:
        found = self.finds.pop(0)
        if found is None:
            raise UpstreamUnavailable
        return found

    def guard(self) -> Guard:
        return Guard(self, lambda faults: self.told.append(tuple(faults)), Clock(now=lambda: self.time, grace=10))


async def test_nothing_goes_through_before_the_first_good_check() -> None:
    servers = Servers([None, [Fault.SWAPPED], []])
    guard = servers.guard()
    assert not guard.open
    for expected in (False, False, True):
        assert await guard.look() is expected
        assert guard.open is expected
    assert servers.told == [(Fault.NO_ANSWER,), (Fault.SWAPPED,), ()]


async def test_a_fault_closes_the_way_at_once() -> None:
    servers = Servers([[], [Fault.OTHER_TUNED]])
    guard = servers.guard()
    await guard.look()
    await guard.look()
    assert not guard.open


async def test_silence_closes_it_when_the_last_good_check_is_too_old() -> None:
    servers = Servers([[], None, None, None])
    guard = servers.guard()
    await guard.look()
    servers.time += 10
    await guard.look()
    assert guard.open
    servers.time += 0.1
    await guard.look()
    assert not guard.open
    assert servers.told == [(), (Fault.NO_ANSWER,)]


async def test_silence_does_not_open_what_a_fault_had_closed() -> None:
    servers = Servers([[], [Fault.SAME_MODEL], None])
    guard = servers.guard()
    for _ in range(3):
        await guard.look()
    assert not guard.open


async def test_silence_is_no_fault_and_ends_none() -> None:
    servers = Servers([None, [Fault.SWAPPED], None, []])
    guard = servers.guard()
    refused = []
    for _ in range(4):
        await guard.look()
        refused.append(guard.refused)
    assert refused == [False, True, True, False]


async def test_it_watches_for_ever() -> None:
    servers = Servers([[], [], [Fault.SWAPPED], None, []])
    guard = Guard(servers, lambda faults: servers.told.append(tuple(faults)), Clock(every=0.002, again=0.001))
    await guard.look()
    with pytest.raises(IndexError):  # nothing is left to find
        await guard.watch()
    assert servers.told == [(), (Fault.SWAPPED,), (Fault.NO_ANSWER,), ()]
