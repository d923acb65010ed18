"""What outlives a request and is shared by replicas: one small interface, and the stores that fulfil it.

A store keeps five things: entries that it does not read (revocations, what is said of releases), running totals, when
things were last used, what was taken of limits (an encrypted request is the only one of its own, so that none comes
twice), and how far each audit log has come. It never holds a request's text or an answer's. Every store carries a
format number, so that replicas of two versions work on one store, and a version that could not read it says so instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from gateway.state.holds import Draw, Drawn
from gateway.state.windows import Lease, Taken, Window

FORMAT: Final = 1  # of what is written; the one before is read as well
PATIENCE: Final = 2.0  # seconds that a request waits for a store
LAST_WORDS: Final = 5.0  # seconds that the end of the process waits for one
KEEP_USES: Final = 400 * 86_400.0  # seconds that a last use is remembered: longer than any review looks back
KEEP_ANCHORS: Final = KEEP_USES  # after it moved last; audit records are kept for less
KEEP_WITHDRAWN: Final = 7 * 86_400.0  # seconds that a withdrawal is remembered; a replica that slept longer starts anew


class StateUnavailable(Exception):
    """The store does not answer, or could not write. What depends on it is decided the careful way; what was to be
    written is not acknowledged. The text is fixed and may be shown to an operator."""


class StateUnfit(StateUnavailable):
    """It is not what it must be: another program's, of a newer format, or set up to forget. Asking again won't help."""


class HourlyTotals(Protocol):
    """A running sum for each key, over the last hour, and what is held of it."""

    async def draw(self, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
        """All of it in one step, and what comes of each; a key's total is that over the hour up to `now`, in seconds
        since the epoch. Keys stand here once each.

        A total may count up to a minute more than the hour, never less. Raises StateUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One revocation as a store keeps it."""

    id: str
    text: str
    expires_at: float | None  # seconds since the epoch, when it may be forgotten; None: never


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has come: the number of the last write that he knows, and its mark, which is random. A store
    that has lost writes (restored, failed over, made anew) may reach the number again, and never the mark."""

    number: int
    mark: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What has become of the entries since a position; `whole`: since the beginning, whatever the position was."""

    position: Position
    whole: bool
    entries: Sequence[Entry]
    withdrawn: Sequence[str]


@dataclass(frozen=True, slots=True)
class Use:
    """Of something that has a name: since when it is known, and when it was used last. Seconds since the epoch."""

    since: float
    last: float | None


class Counters(Protocol):
    """What was taken of limits, in one step for all of them. Every method may raise StateUnavailable; whether it was
    done is then not known."""

    async def take(self, windows: Sequence[Window], leases: Sequence[Lease], now: float) -> Taken:
        """Take each window's amount and each lease, if all of it fits; otherwise nothing. `now` in seconds since the
        epoch; keys stand here once each."""
        ...

    async def settle(self, windows: Sequence[Window], leases: Sequence[Lease], taken_at: float) -> None:
        """Add each window's amount, which may be negative, to what was taken then, if that still counts; give the
        leases back."""
        ...

    async def renew(self, leases: Sequence[Lease]) -> None:
        """They are held up to their new end."""
        ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """How far a chain of audit records has come."""

    number: int
    hash: str  # of the line with that number
    instance: str  # that told it
    at: float  # when, in seconds since the epoch


class Anchors(Protocol):
    """What is remembered of audit logs, so that nobody can shorten one unseen. Both may raise StateUnavailable."""

    async def anchor(self, chain: str, anchor: Anchor) -> None:
        """Remember it, unless as much is known already. What was told last is kept for KEEP_ANCHORS."""
        ...

    async def anchors(self) -> Mapping[str, Anchor]:
        """Of all chains, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names a store has what is one person's: keys of windows, leases and totals (with what is held of
    them), and of last uses."""

    windows: Sequence[str] = ()
    leases: Sequence[str] = ()
    totals: Sequence[str] = ()
    uses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that a store has under one of those names.

    A window's sum of the part `at`; a lease and what is held, which end `at`; a total's sum of the minute `at`; a use,
    known since `at`. Times are seconds since the epoch, parts and minutes numbers.
    """

    kind: Literal["window", "lease", "total", "hold", "use"]
    name: str
    at: float
    amount: float | None = None  # of a use when it was last; None: of a lease, and of what was not used


@dataclass(frozen=True, slots=True)
class Erased:
    """What there was, and in plain words where copies of it may be left."""

    kept: Sequence[Kept]
    left: Sequence[str]


class Personal(Protocol):
    """What is kept of one person. Every method may raise StateUnavailable; whether all of it was erased is then not
    known, and asking again does no harm."""

    async def uses_with(self, text: str) -> Sequence[str]:
        """The names of last uses that hold this text."""
        ...

    async def kept(self, names: Names) -> Sequence[Kept]:
        """All that there is under these names."""
        ...

    async def erase(self, names: Names) -> Erased:
        """Forget it, also in the store's files; and with it what they still have of anything else that was
        deleted."""
        ...


class Store(HourlyTotals, Counters, Anchors, Personal, Protocol):
    """All of it. For one event loop; nothing here blocks it. Every method may raise StateUnavailable."""

    async def prepare(self) -> Sequence[str]:
        """Connect, and check that the store is fit. Returns in plain words what an operator should change all the
        same. May be called again."""
        ...

    async def put(self, entry: Entry, now: float) -> None:
        """Keep an entry. When this returns the entry is acknowledged: written as durably as the store can. One with
        the same id is replaced; one that was withdrawn is there again."""
        ...

    async def withdraw(self, entry_id: str, now: float) -> bool:
        """As durably. False: there is no such entry."""
        ...

    async def changes(self, since: Position | None) -> Changes:
        """What a reader does not know yet. Cheap where nothing has changed."""
        ...

    async def used(self, names: Mapping[str, float | None], now: float) -> None:
        """When these were used last; None: only that they are there. A later use that is known stays."""
        ...

    async def uses(self) -> Mapping[str, Use]:
        """All of them, by name."""
        ...

    async def aclose(self) -> None: ...


def check_format(found: int, oldest: int, own: int = FORMAT) -> None:
    """Whether a program of format `own` can work with a store that one of format `found` has written, who says that
    programs from `oldest` on can read it. Raises StateUnfit."""
    if own < oldest:
        raise StateUnfit(f"the store has format {found}, which needs a newer version of tightlip (this reads {own})")
    if found < own - 1:
        raise StateUnfit(f"the store has format {found}, which is too old for this version (it reads {own - 1} and up)")
