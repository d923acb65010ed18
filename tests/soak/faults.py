"""What breaks: one fault a second, drawn like cards, so that the rare ones come too.

A fault goes, lasts for some seconds, and is mended; others begin meanwhile. No two break the same thing at once.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import yaml

from tests.soak.stepped import step
from tests.soak.town import Front, Town
from tests.support.processes import Replaceable

EVERY: Final = 1.0  # seconds
STEPS: Final = (-3600.0, -30.0, -1.0, 30.0, 120.0, 90_000.0)  # seconds of a clock; the last is over midnight
Act = Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """`thing` is what it breaks. It lasts for a time between these, in seconds."""

    kind: str
    thing: str
    go: Act
    come: Act = lambda: None
    lasts: tuple[float, float] = (0.0, 0.0)


# How often each kind comes in a round of the cards. What ends every answer at once is rare: others would go unnoticed.
CARDS: Final = {
    "client gone": 14,
    "upstream reset": 12,
    "upstream stalled": 7,
    "upstream killed": 3,
    "upstream restarted": 3,
    "slow base": 3,
    "policy reloaded": 4,
    "policy broken": 1,
    "policy urgent": 1,
    "key rotated": 3,
    "Redis restarted": 1,
    "Redis hangs": 1,
    "gateway killed": 1,
    "clock step": 2,
    "disk full": 2,
    "DNS lost": 1,
    "DNS hangs": 1,
    "Vault sealed": 2,
}


def faults(town: Town, dice: random.Random) -> list[Fault]:
    """All that can break here."""
    return [
        Fault("client gone", "callers", partial(town.callers.send, signal.SIGUSR1)),
        *_of_models(town),
        *_of_policy(town, dice),
        *_of_keys(town),
        Fault("Redis restarted", "Redis", town.redis.go, town.redis.come, (0.2, 3.0)),
        Fault("Redis hangs", "Redis", *_stops(town.redis), (0.5, 5.0)),
        Fault("gateway killed", "gateway b", town.fronts[-1].kill, town.fronts[-1].come, (0.2, 3.0)),
        *(Fault("clock step", f"clock {front.name}", *_steps(front, dice), (2.0, 8.0)) for front in town.fronts),
        *(
            Fault("disk full", disk_of(front), disk.fill, disk.empty, (1.0, 6.0))
            for front, disk in zip(town.fronts, town.disks, strict=False)
        ),
    ]


def disk_of(front: Front) -> str:
    """What it is called."""
    return f"disk {front.name}"


# ---- one a second ----------------------------------------------------------------------------------------------------


@dataclass
class Struck:
    """One that was. Times of the monotonic clock. `failed`: why it could not be done, or mended."""

    kind: str
    thing: str
    began: float
    mended: float = 0.0
    failed: str = ""


class Breaking:
    """Breaks one thing after the other; `struck` is what it did."""

    def __init__(self, possible: Sequence[Fault], dice: random.Random) -> None:
        self._possible, self._dice, self.struck = list(possible), dice, list[Struck]()
        self._broken, self._under_way = set[str](), set[asyncio.Task[None]]()
        self._cards, self._kept = cards({fault.kind for fault in possible}, dice), list[str]()

    async def go_on(self, seconds: float) -> None:
        """For so long; all are mended when it returns, if they can be."""
        began = time.monotonic()
        for at in range(round(seconds / EVERY)):
            if (fault := self._next()) is not None:
                self._strike(fault)
            await asyncio.sleep(max(0.0, began + (at + 1) * EVERY - time.monotonic()))
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _next(self) -> Fault | None:
        """The first that breaks something whole, of a round at most; cards that do not are kept for later."""
        self._kept += islice(self._cards, max(0, len(CARDS) - len(self._kept)))
        for at, kind in enumerate(self._kept):
            if (fault := self._free(kind)) is not None:
                del self._kept[at]
                return fault
        return None

    def _free(self, kind: str) -> Fault | None:
        free = [fault for fault in self._possible if fault.kind == kind and fault.thing not in self._broken]
        return self._dice.choice(free) if free else None

    def _strike(self, fault: Fault) -> None:
        self._broken.add(fault.thing)
        struck = Struck(fault.kind, fault.thing, time.monotonic())
        self.struck.append(struck)
        task = asyncio.ensure_future(_play(fault, self._dice.uniform(*fault.lasts)))
        self._under_way.add(task)
        task.add_done_callback(partial(self._mended, struck))

    def _mended(self, struck: Struck, task: asyncio.Task[None]) -> None:
        """What could not be mended stays broken, and none of its faults comes again."""
        self._under_way.discard(task)
        struck.mended = time.monotonic()
        if task.cancelled() or (error := task.exception()) is None:
            self._broken.discard(struck.thing)
            return
        struck.failed = f"{type(error).__name__}: {error}"
        self._possible = [fault for fault in self._possible if fault.thing != struck.thing]
        left = {fault.kind for fault in self._possible}
        self._kept, self._cards = [kind for kind in self._kept if kind in left], cards(left, self._dice)


def cards(kinds: set[str], dice: random.Random) -> Iterator[str]:
    """Round after round, each kind as often as it is to come. A gateway is killed first of all: from then on the other
    one has seen what it is to be alone."""
    first = "gateway killed"
    while found := [kind for kind, times in CARDS.items() for _ in range(times) if kind in kinds]:
        dice.shuffle(found)
        if first in found:
            found.remove(first)
            found.insert(0, first)
        first = ""
        yield from found


async def _play(fault: Fault, seconds: float) -> None:
    await asyncio.to_thread(fault.go)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(fault.come)


# ---- how each is done ------------------------------------------------------------------------------------------------


def _of_models(town: Town) -> Iterator[Fault]:
    for at, server in enumerate((*town.fleet.tuned, town.fleet.base)):
        name = f"server {at}"
        yield Fault("upstream killed", name, server.go, server.come, (0.2, 3.0))
        yield Fault("upstream restarted", name, server.end, server.come, (0.0, 1.0))
        yield Fault("upstream stalled", name, *_stops(server), (2.0, 12.0))
        yield Fault("upstream reset", name, partial(server.send, signal.SIGUSR1))
    slow = partial(town.fleet.base.send, signal.SIGUSR2)
    yield Fault("slow base", f"server {len(town.fleet.tuned)}", slow, slow, (3.0, 8.0))
    if (names := town.fleet.names) is not None:
        yield Fault("DNS lost", "names", names.go, names.come, (2.0, 12.0))
        yield Fault("DNS hangs", "names", *_stops(names), (2.0, 12.0))


def _of_policy(town: Town, dice: random.Random) -> Iterator[Fault]:
    def say(text: str) -> None:
        for front in town.fronts:
            front.new_policy(text)

    def another(**more: bool) -> None:
        """Another version, which says the same."""
        say(f"# {dice.random()}\n{yaml.safe_dump(town.policy | more)}")

    yield Fault("policy reloaded", "policy", another)
    yield Fault("policy broken", "policy", partial(say, "version: ["), another, (1.0, 3.0))
    yield Fault("policy urgent", "policy", partial(another, urgent=True), another, (1.0, 2.0))


def _of_keys(town: Town) -> Iterator[Fault]:
    issuers = town.issuers
    yield Fault("key rotated", "file key", issuers.new_file_key, issuers.write_tokens, (1.5, 2.5))
    yield Fault("key rotated", "page of keys", issuers.new_page, issuers.end_old_page, (3.0, 6.0))
    if town.vault is not None:
        yield Fault("key rotated", "Vault", issuers.new_key_in_vault)
        yield Fault("Vault sealed", "Vault", town.vault.seal, town.vault.unseal, (2.0, 8.0))


def _stops(process: Replaceable) -> tuple[Act, Act]:
    return partial(process.send, signal.SIGSTOP), partial(process.send, signal.SIGCONT)


def _steps(front: Front, dice: random.Random) -> tuple[Act, Act]:
    return lambda: step(front.clock, dice.choice(STEPS)), lambda: step(front.clock, 0.0)
