"""Totals in this process: they begin anew with it, and every replica has its own."""

from __future__ import annotations

from typing import Final

MINUTES: Final = 60


class MemoryTotals:
    """Fulfils `HourlyTotals`. Sums by minute, so a key takes some kilobytes at most; old ones go once a minute."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, float]] = {}
        self._swept = 0

    async def add(self, key: str, amount: float, now: float) -> float:
        """As `HourlyTotals.add`; never raises."""
        minute = int(now // 60)
        self._sweep(minute)
        if amount > 0:
            sums = self._sums.setdefault(key, {})
            sums[minute] = sums.get(minute, 0.0) + amount
        return sum(amount for at, amount in self._sums.get(key, {}).items() if at >= minute - MINUTES)

    def _sweep(self, minute: int) -> None:
        if minute <= self._swept:
            return
        self._swept = minute
        for key, sums in list(self._sums.items()):
            kept = {at: amount for at, amount in sums.items() if at >= minute - MINUTES}
            if kept:
                self._sums[key] = kept
            else:
                del self._sums[key]
