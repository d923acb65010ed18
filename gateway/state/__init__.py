"""What outlives a request: running totals, each behind the smallest interface that serves it."""

from __future__ import annotations

from typing import Protocol


class StateUnavailable(Exception):
    """The store does not answer. What depends on it is decided the careful way."""


class HourlyTotals(Protocol):
    """A running sum for each key, over the last hour."""

    async def add(self, key: str, amount: float, now: float) -> float:
        """Add `amount` (0 only looks) and return the key's total over the hour up to `now`, in seconds since the epoch.

        A total may count up to a minute more than the hour, never less. Raises StateUnavailable.
        """
        ...
