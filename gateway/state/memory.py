"""State in this process: it begins anew with it, and every replica has its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from gateway.state import KEEP_ANCHORS, KEEP_USES, Anchor, Changes, Entry, Erased, Kept, Names, Position, Use
from gateway.state.holds import Draw, Drawn, drawn, minutes
from gateway.state.windows import Lease, Taken, Window, lasts, outcome, standing


class MemoryTotals:
    """Fulfils `HourlyTotals`. Sums by minute, so a key takes some kilobytes at most; old ones go once a minute."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, float]] = {}
        self._holds: dict[str, dict[str, tuple[float, float]]] = {}  # amount and end, by key and holder
        self._swept = 0

    def kept_of(self, keys: Sequence[str]) -> list[Kept]:
        """All sums, and all that is held."""
        sums = [Kept("total", key, at, amount) for key in keys for at, amount in self._sums.get(key, {}).items()]
        holds = [(key, *held) for key in keys for held in self._holds.get(key, {}).values()]
        return [*sums, *(Kept("hold", key, ends, amount) for key, amount, ends in holds)]

    def forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._sums.pop(key, None)
            self._holds.pop(key, None)

    async def draw(self, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
        """As `HourlyTotals.draw`; never raises."""
        self._sweep(now)
        return [self._draw(draw, now) for draw in draws]

    def _draw(self, draw: Draw, now: float) -> Drawn:
        minute, hold = int(now // 60), draw.hold
        if draw.amount > 0:
            sums = self._sums.setdefault(draw.key, {})
            sums[minute] = sums.get(minute, 0.0) + draw.amount
        first, last = minutes(now)
        total = sum(amount for at, amount in self._sums.get(draw.key, {}).items() if first <= at <= last)
        held = self._holds.get(draw.key, {})
        own = hold.id if hold is not None else None
        others = sum(amount for name, (amount, ends) in held.items() if name != own and lasts(ends, now))
        found = drawn(draw, total, others)
        if hold is not None:
            held.pop(hold.id, None)
            if found.held > 0:
                self._holds.setdefault(draw.key, held)[hold.id] = found.held, hold.ends
        return found

    def _sweep(self, now: float) -> None:
        minute, (first, last) = int(now // 60), minutes(now)
        if minute == self._swept:
            return
        self._swept = minute
        for key, held in list(self._holds.items()):
            self._holds[key] = {name: (amount, ends) for name, (amount, ends) in held.items() if lasts(ends, now)}
            if not self._holds[key]:
                del self._holds[key]
        for key, sums in list(self._sums.items()):
            kept = {at: amount for at, amount in sums.items() if first <= at <= last}
            if kept:
                self._sums[key] = kept
            else:
                del self._sums[key]


class MemoryCounters:
    """Fulfils `Counters`; never raises. What is over goes with the first look once a minute."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, int]] = {}
        self._over: dict[str, float] = {}  # when a key's last part is
        self._leases: dict[str, dict[str, float]] = {}
        self._next_sweep = 0.0

    def taken_of(self, windows: Sequence[str], leases: Sequence[str]) -> list[Kept]:
        """All parts, and all places."""
        sums = [Kept("window", key, at, amount) for key in windows for at, amount in self._parts.get(key, {}).items()]
        return [*sums, *(Kept("lease", key, ends) for key in leases for ends in self._leases.get(key, {}).values())]

    def give_up(self, windows: Sequence[str], leases: Sequence[str]) -> None:
        for key in windows:
            self._parts.pop(key, None)
            self._over.pop(key, None)
        for key in leases:
            self._leases.pop(key, None)

    async def take(self, windows: Sequence[Window], leases: Sequence[Lease], now: float) -> Taken:
        """As `Counters.take`."""
        self._forget(now)
        standings = [standing(window, self._parts.get(window.key, {}), now) for window in windows]
        held = [sum(lasts(ends, now) for ends in self._leases.get(lease.key, {}).values()) for lease in leases]
        taken = outcome(windows, standings, leases, held)
        if taken.granted:
            for window in windows:
                self._add(window, now)
            await self.renew(leases)
        return taken

    async def settle(self, windows: Sequence[Window], leases: Sequence[Lease], taken_at: float) -> None:
        """As `Counters.settle`."""
        for window in windows:
            if window.part(taken_at) in self._parts.get(window.key, {}):
                self._add(window, taken_at)
        for lease in leases:
            self._leases.get(lease.key, {}).pop(lease.id, None)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """As `Counters.renew`."""
        for lease in leases:
            self._leases.setdefault(lease.key, {})[lease.id] = lease.ends

    def _add(self, window: Window, at: float) -> None:
        part, parts = window.part(at), self._parts.setdefault(window.key, {})
        for other in [other for other in parts if not window.oldest(at) <= other <= window.latest(at)]:
            del parts[other]
        parts[part] = parts.get(part, 0) + window.amount
        self._over[window.key] = max(window.over(part), self._over.get(window.key, 0.0))

    def _forget(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + 60.0
        for key in [key for key, over in self._over.items() if over <= now]:
            del self._over[key], self._parts[key]
        for key, places in list(self._leases.items()):
            self._leases[key] = {name: ends for name, ends in places.items() if lasts(ends, now)}
            if not self._leases[key]:
                del self._leases[key]


class MemoryStore(MemoryTotals, MemoryCounters):
    """Fulfils `Store`; never raises."""

    def __init__(self) -> None:
        MemoryTotals.__init__(self)
        MemoryCounters.__init__(self)
        self._number, self._mark = 0, secrets.token_hex(8)
        self._entries: dict[str, tuple[int, Entry | None]] = {}  # None: withdrawn
        self._uses: dict[str, Use] = {}
        self._anchors: dict[str, Anchor] = {}

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

    async def uses_with(self, text: str) -> Sequence[str]:
        """As `Personal.uses_with`."""
        return [name for name in self._uses if text in name]

    async def kept(self, names: Names) -> Sequence[Kept]:
        found = [(name, self._uses[name]) for name in names.uses if name in self._uses]
        uses = [Kept("use", name, use.since, use.last) for name, use in found]
        return [*self.taken_of(names.windows, names.leases), *self.kept_of(names.totals), *uses]

    async def erase(self, names: Names) -> Erased:
        kept = await self.kept(names)
        self.give_up(names.windows, names.leases)
        self.forget(names.totals)
        for name in names.uses:
            self._uses.pop(name, None)
        return Erased(kept, ())

    async def anchor(self, chain: str, anchor: Anchor) -> None:
        """As `Anchors.anchor`."""
        known = self._anchors.get(chain)
        if known is None or known.number < anchor.number:
            self._anchors[chain] = anchor
        for name in [name for name, each in self._anchors.items() if each.at < anchor.at - KEEP_ANCHORS]:
            del self._anchors[name]

    async def anchors(self) -> Mapping[str, Anchor]:
        return dict(self._anchors)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _write(self, entry_id: str, entry: Entry | None) -> None:
        self._number += 1
        self._entries[entry_id] = self._number, entry
