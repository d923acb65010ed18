"""Running totals of the last hour, and what is kept of them for what is under way.

Who is about to spend holds some of what is left first: what one holds no other is given. So that however many spend at
once, wherever they are, a total never passes its limit but by what a holder spends beyond what he holds. A hold ends
unless it is renewed: whoever is killed gives his back in time.

What a clock that was ahead has added and held lies in the future: gateway/state/windows.py says how far that counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTES: Final = 60  # of the hour


@dataclass(frozen=True, slots=True)
class Hold:
    """One holder's wish: so much of what a total has left below `most`, in place of what he held before."""

    id: str
    amount: float  # 0 gives it back
    most: float
    ends: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Draw:
    """What is added to a total, and what is held of it from now on. Without a hold nothing is held or given back."""

    key: str
    amount: float = 0.0
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The total with what was added, what others hold of it, and what is held now."""

    total: float
    others: float
    held: float


def minutes(now: float) -> tuple[int, int]:
    """Of the sums by minute, the first and the last one that count."""
    minute = int(now // 60)
    return minute - MINUTES, minute + MINUTES


def drawn(draw: Draw, total: float, others: float) -> Drawn:
    """What comes of it: as much is held as there is."""
    hold = draw.hold
    return Drawn(total, others, 0.0 if hold is None else max(0.0, min(hold.amount, hold.most - total - others)))
