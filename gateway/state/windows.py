"""Moving windows: how much was taken within the last so many seconds, and whether more fits; and places that are lent.

A window is kept as the sums of its parts, STEPS to a window. What was taken in a part counts until that part lies a
whole window back: for the window's length and at most a sixtieth longer. So in no stretch of that length is ever more
taken than the limit, however a caller spreads it, and a key takes no more than STEPS + 1 numbers.

A lease is a place that is held until it ends, unless it is renewed: whoever is killed gives his back in time.

A clock may have been ahead and been put right. What it counted then lies in the future, and would stay in the way until
that comes: of a part that is more than a window ahead, and of a lease that ends later than any does, nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STEPS: Final = 60
LONGEST: Final = 3600.0  # seconds: no lease or hold lasts so long


@dataclass(frozen=True, slots=True)
class Window:
    """So much is to be taken of at most so much in so many seconds."""

    key: str
    seconds: int
    most: int
    amount: int

    def part(self, now: float) -> int:
        """The part that it is taken in."""
        return math.floor(now * STEPS / self.seconds)

    def oldest(self, now: float) -> int:
        """The first part that still counts."""
        return self.part(now) - STEPS

    def latest(self, now: float) -> int:
        """The last part that counts."""
        return self.part(now) + STEPS

    def over(self, part: int) -> float:
        """When what was taken in a part counts no more, in seconds since the epoch."""
        return (part + STEPS + 1) * self.seconds / STEPS


@dataclass(frozen=True, slots=True)
class Lease:
    """A place among at most so many."""

    key: str
    most: int
    id: str
    ends: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Standing:
    """A window as it was found: what was taken before, the last part of that, and the part that has to be over before
    the amount fits; None where there is none."""

    used: int
    newest: int | None
    in_the_way: int | None

    def clear_at(self, window: Window, now: float) -> float:
        """When nothing of it counts any more."""
        return now if self.newest is None else window.over(self.newest)

    def fits_at(self, window: Window, now: float) -> float:
        """When the amount fits; never is infinite."""
        if window.amount > window.most:
            return math.inf
        return now if self.in_the_way is None else window.over(self.in_the_way)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it: all was taken, or nothing. `held` counts the places that others have, for each lease."""

    granted: bool
    windows: Sequence[Standing]
    held: Sequence[int]


def lasts(ends: float, now: float) -> bool:
    """Whether a lease or a hold that ends then is still one."""
    return now < ends <= now + LONGEST


def standing(window: Window, sums: Mapping[int, int], now: float) -> Standing:
    """Of the parts' sums, among them some that do not count."""
    counted = {part: sums[part] for part in sorted(sums) if window.oldest(now) <= part <= window.latest(now)}
    used = sum(counted.values())
    too_much, in_the_way = used + window.amount - window.most, None
    for part, amount in counted.items():
        if too_much <= 0:
            break
        too_much, in_the_way = too_much - amount, part
    return Standing(used, max(counted, default=None), in_the_way)


def outcome(
    windows: Sequence[Window], standings: Sequence[Standing], leases: Sequence[Lease], held: Sequence[int]
) -> Taken:
    """Granted where all of it fits."""
    fit = all(found.used + window.amount <= window.most for window, found in zip(windows, standings, strict=True))
    free = all(count < lease.most for lease, count in zip(leases, held, strict=True))
    return Taken(fit and free, standings, held)
