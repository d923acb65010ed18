"""Which of a model server's replicas takes the next call. Nothing here waits or connects.

1. The one with the fewest calls under way, among equals the one whose last turn is longest ago.
2. One that could not be reached, or said that it does not serve, FAILURES times in a row is ejected: it gets no call
   until its /health has answered. What was found out about it before counts no more then (`life`): another process may
   stand behind the same address. It is on trial until it has answered a call: it gets one at a time while another can
   take them, since with none under way it would get all that come, and one more failure ejects it again.
3. One that has to check out, and has not, gets no call but those that check it.
4. A server that has one address, and no name to look up, is called whatever is known of it: there is nobody else.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from urllib.parse import urlsplit

FAILURES: Final = 3  # in a row
MOST: Final = 64  # of one name: each is a label of metrics


@dataclass(slots=True, eq=False)
class Replica:
    """One process. `url` is what the settings call it, or the name that stands for it and others; `at` is where it is,
    `slot` its number among those of that name."""

    url: str
    at: str
    slot: int
    life: int
    outstanding: int = 0
    failures: int = 0  # in a row
    failed: int = 0  # ever
    ejected: bool = False
    on_trial: bool = False  # it was ejected, and has not answered a call since
    gone: bool = False  # its name does not stand for it any more
    turn: int = 0

    @property
    def tried_out(self) -> bool:
        """Whether a call is under way that will show whether it is well."""
        return self.on_trial and self.outstanding > 0

    @property
    def place(self) -> str:
        """Host and port, for records."""
        return place_of(self.at)


def place_of(url: str) -> str:
    """Host and port, for records: a path may be what lets one in."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = ipaddress.ip_address(host).exploded if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def ignored(replica: Replica) -> None:
    """For who does not want to know how replicas are."""


@dataclass(slots=True, eq=False)
class Checked:
    """The replicas of one model of a release that checked out, each until it has been away or `grace` seconds are
    over."""

    grace: float
    now: Callable[[], float] = time.monotonic
    refused: set[str] = field(default_factory=set)  # where those are that are something else
    _good: dict[str, tuple[int, float]] = field(default_factory=dict)

    def good(self, replica: Replica, since: float) -> None:
        """It was found to be what it should be by a check that began then, by the clock."""
        self._good[replica.at] = replica.life, since
        self.refused.discard(replica.at)

    def bad(self, replica: Replica) -> bool:
        """It was found to be something else; whether that is new."""
        self._good.pop(replica.at, None)
        new = replica.at not in self.refused
        self.refused.add(replica.at)
        return new

    def forget(self, present: Iterable[str]) -> None:
        """All but those at these places."""
        there = set(present)
        self.refused &= there
        self._good = {at: good for at, good in self._good.items() if at in there}

    def __contains__(self, replica: Replica) -> bool:
        life, since = self._good.get(replica.at, (None, 0.0))
        return life == replica.life and self.now() - since <= self.grace


class Fleet:
    """All replicas of all servers."""

    def __init__(self, tell: Callable[[Replica], None] = ignored) -> None:
        """`tell` hears of each replica that has changed."""
        self._tell = tell
        self._by_url: dict[str, list[Replica]] = {}
        self._lives, self._turns = count(1), count(1)

    def of(self, urls: Iterable[str]) -> list[Replica]:
        return [replica for url in urls for replica in self._by_url.get(url, ())]

    @property
    def ejected(self) -> list[Replica]:
        return [replica for replica in self.of(self._by_url) if replica.ejected]

    def knows(self, url: str) -> bool:
        return url in self._by_url

    def found(self, url: str, places: Collection[str]) -> None:
        """Where the replicas of this name are now, at most MOST of them. Calls under way at those that are gone go on;
        none at all is a failure of the look-up, and changes nothing that was known."""
        before = self._by_url.get(url, [])
        if before and not places:
            return
        kept = [replica for replica in before if replica.at in places]
        for replica in before:
            if replica not in kept:
                replica.gone = True
                self._tell(replica)
        free = iter(sorted(set(range(MOST)) - {replica.slot for replica in kept}))
        new = [at for at in places if at not in {replica.at for replica in kept}]
        for at, slot in zip(new, free, strict=False):
            kept.append(Replica(url, at, slot, next(self._lives)))
            self._tell(kept[-1])
        self._by_url[url] = kept

    def choose(
        self, urls: Sequence[str], checked: Checked | None, tried: Collection[Replica], *, alone: bool
    ) -> Replica | None:
        """Who takes the next call for a server with these addresses; `alone`: it has but one, and no name."""
        known = [replica for replica in self.of(urls) if replica not in tried]
        fit = known if alone else [each for each in known if not each.ejected and (checked is None or each in checked)]
        chosen = min(fit, key=lambda each: (each.tried_out, each.outstanding, each.turn), default=None)
        if chosen is not None:
            chosen.turn = next(self._turns)
        return chosen

    @contextmanager
    def busy(self, replica: Replica) -> Iterator[None]:
        """It has one call more under way while inside."""
        replica.outstanding += 1
        self._changed(replica)
        try:
            yield
        finally:
            replica.outstanding -= 1
            self._changed(replica)

    def failed(self, replica: Replica) -> None:
        replica.failures += 1
        replica.failed += 1
        if (replica.on_trial or replica.failures >= FAILURES) and not replica.ejected:
            replica.ejected = True
            self._changed(replica)

    def answered(self, replica: Replica) -> None:
        """A call; an ejected one does not come back by that."""
        replica.failures = 0
        replica.on_trial = replica.on_trial and replica.ejected

    def back(self, replica: Replica) -> None:
        """It says that it is well again: it may be another process."""
        replica.ejected, replica.on_trial = False, True
        replica.failures, replica.life = 0, next(self._lives)
        self._changed(replica)

    def _changed(self, replica: Replica) -> None:
        """One that is gone has been told of for the last time: its slot may be another's."""
        if not replica.gone:
            self._tell(replica)
