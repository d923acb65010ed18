"""State in this process: it begins anew with it, and every replica has its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.state import KEEP_USES, Changes, Entry, Position, Use

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


class MemoryStore(MemoryTotals):
    """Fulfils `Store`; never raises."""

    def __init__(self) -> None:
        super().__init__()
        self._number, self._mark = 0, secrets.token_hex(8)
        self._entries: dict[str, tuple[int, Entry | None]] = {}  # None: withdrawn
        self._uses: dict[str, Use] = {}

    async def prepare(self) -> Sequence[str]:
        return ()

    async def put(self, entry: Entry, now: float) -> None:
        self._write(entry.id, entry)
        for name, (_, known) in list(self._entries.items()):
            if known is not None and known.expires_at is not None and known.expires_at <= now:
                del self._entries[name]

    async def withdraw(self, entry_id: str, now: float) -> bool:
        if self._entries.get(entry_id, (0, None))[1] is None:
            return False
        self._write(entry_id, None)
        return True

    async def changes(self, since: Position | None) -> Changes:
        seen = 0 if since is None else since.number
        new = {name: entry for name, (number, entry) in self._entries.items() if number > seen}
        return Changes(
            Position(self._number, self._mark),
            whole=since is None,
            entries=[entry for entry in new.values() if entry is not None],
            withdrawn=[name for name, entry in new.items() if entry is None],
        )

    async def used(self, names: Mapping[str, float | None], now: float) -> None:
        for name, last in names.items():
            known = self._uses.get(name, Use(now, None))
            times = [at for at in (known.last, last) if at is not None]
            self._uses[name] = Use(known.since, max(times, default=None))
        gone = [name for name, use in self._uses.items() if use.last is not None and use.last < now - KEEP_USES]
        for name in gone:
            del self._uses[name]

    async def uses(self) -> Mapping[str, Use]:
        return dict(self._uses)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _write(self, entry_id: str, entry: Entry | None) -> None:
        self._number += 1
        self._entries[entry_id] = self._number, entry
