"""What was added to a store's hourly totals."""

from __future__ import annotations

from gateway.state import HourlyTotals
from gateway.state.holds import Draw


async def added(totals: HourlyTotals, key: str, amount: float, now: float) -> float:
    """The key's total with it; 0 only looks."""
    (drawn,) = await totals.draw([Draw(key, amount)], now)
    return drawn.total
