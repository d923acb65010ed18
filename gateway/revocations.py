"""The revocations that this replica knows: fed by the store, asked by every request and for every running stream.

The store is asked for what is new every EVERY seconds, so that a replica obeys within a second what the store has
acknowledged. While it does not answer, what is known goes on to hold; after the grace nobody can tell any more whether
a token is still good, so that requests are refused and running streams end. A store that has lost writes (a failover, a
copy put back) is told again by every replica what it knew.

What else every replica has to obey comes the same way, from the same entries: each kind is a `Book` of its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from gateway.auth.revocation import Revocations
from gateway.errors import GatewayError, NotAuthenticated, RevocationsUnknown
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.state import Changes, Entry, Position, StateUnavailable, StateUnfit, Store
from gateway.types import Principal

EVERY: Final = 0.25  # seconds between two questions to the store
PATIENCE: Final = 2.0  # seconds that one may take; it is asked again then
EXPIRE_EVERY: Final = 60.0  # seconds

Why = Callable[[RequestRecord], GatewayError | None]
Tell = Callable[[str, str], None]


class Book(Protocol):
    """All entries of one kind, as every replica holds them."""

    def __iter__(self) -> Iterator[str]:
        """Their ids."""
        ...

    def __contains__(self, entry_id: str, /) -> bool: ...

    def learn(self, entry_id: str, text: str, expires_at: float | None) -> bool:
        """Take an entry in. False: it is of another kind, or of a newer version."""
        ...

    def is_ahead(self, entry_id: str, text: str) -> bool:
        """Whether a later state of this entry is known than this one."""
        ...

    def drop(self, entry_id: str) -> None:
        """It is withdrawn; one that is not known never was."""
        ...

    def written(self, entry_id: str) -> tuple[str, float | None]:
        """As the store has to have it: the text, and when it may be forgotten. Raises KeyError."""
        ...

    def expire(self, now: float) -> None:
        """Forget what has no meaning any more."""
        ...


class OtherBook(Book, Protocol):
    """One that may end requests as revocations do."""

    def objection(self, record: RequestRecord) -> GatewayError | None:
        """Why a request may not go on."""
        ...


class RevocationFeed:
    """One per process, for one event loop."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        grace: float,
        end: Callable[[Why], None],
        tell: Tell = lambda code, words: None,
        others: Sequence[OtherBook] = (),
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grace`: seconds that what is known may be old. `end` ends the requests under way for which there is a
        reason. `tell` hears of each change in the store's health: a code (`state_unavailable`, `state_unfit`,
        `state_advice`, `state_back`), and words for an operator. `others` are fed too."""
        self._store, self._metrics, self._grace, self._end, self._tell = store, metrics, grace, end, tell
        self._now, self._clock = now, clock
        self._known, self._others = Revocations(), others
        self._books: Sequence[Book] = (self._known, *others)
        self._position: Position | None = None
        self._lost: set[str] = set()  # known here and no longer there
        self._as_of, self._expired_at = -math.inf, -math.inf  # by the clock
        self._forgot_at = -math.inf  # in time
        self._prepared = False
        self._told: frozenset[str] = frozenset()
        self._fault: str | None = None
        metrics.revocations(age=lambda: self.age, count=lambda: len(self._known), grace=grace)

    # ---- asked -------------------------------------------------------------------------------------------------------

    @property
    def age(self) -> float:
        """Seconds since the store was known in full; infinite before the first time."""
        return self._clock() - self._as_of

    @property
    def ready(self) -> bool:
        """Whether what is known is new enough to go by."""
        return self.age <= self._grace

    @property
    def count(self) -> int:
        """How many are known."""
        return len(self._known)

    def check(self, principal: Principal) -> None:
        """Raises NotAuthenticated: his token is revoked. RevocationsUnknown: nobody can tell."""
        if (error := self._objection(principal)) is not None:
            self._metrics.revocation_refusal(error.reason, "request")
            raise error

    def _objection(self, principal: Principal) -> GatewayError | None:
        if not self.ready:
            return RevocationsUnknown()
        try:
            self._known.check(principal)
        except NotAuthenticated as refused:
            return refused
        return None

    # ---- fed ---------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The first look. A store that does not answer is asked again later. Raises StateUnfit."""
        try:
            await self._refresh()
        except StateUnfit:
            raise
        except StateUnavailable as error:
            self._failed("state_unavailable", str(error))

    async def watch(self) -> None:
        """Look for ever. When this ends, whatever ended it, nobody can tell any more who is good."""
        try:
            while True:
                await asyncio.sleep(EVERY)
                await self.look()
        finally:
            self._as_of = -math.inf
            self._end(self._why)

    async def look(self) -> None:
        """Ask the store what is new, and end what may not go on."""
        try:
            await self._refresh()
            await self._give_back()
            self._well()
        except StateUnavailable as error:
            self._failed("state_unfit" if isinstance(error, StateUnfit) else "state_unavailable", str(error))
        except Exception as error:  # noqa: BLE001 - who stops looking lets everybody go on
            self._failed("state_unfit", f"the store can't be read ({type(error).__name__})")
        finally:
            if not self.ready:
                self._end(self._why)

    async def _refresh(self) -> None:
        asked = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._prepare()
                changes = await self._store.changes(self._position)
        except TimeoutError:
            raise StateUnavailable("the store does not answer in time") from None
        self._take(changes)
        self._as_of = asked
        self._expire()

    async def _prepare(self) -> None:
        """Once, and again after each failure: another server may answer now."""
        if self._prepared:
            return
        advice = frozenset(await self._store.prepare())
        for words in sorted(advice - self._told):
            self._say("state_advice", words)
        self._told, self._prepared = advice, True

    def _take(self, changes: Changes) -> None:
        """Raises StateUnfit for an entry that can't be read: what it means can't be obeyed, while the others are."""
        ahead = {entry.id for entry in changes.entries if changes.whole and self._is_ahead(entry)}
        understood = [entry.id in ahead or self._learn(entry) for entry in changes.entries]
        if changes.whole:
            known = {entry_id for book in self._books for entry_id in book}
            self._lost = ahead | (known - {entry.id for entry in changes.entries})
        for entry_id in changes.withdrawn:
            for book in self._books:
                book.drop(entry_id)
            self._lost.discard(entry_id)
        if understood:
            self._end(self._why)
        if not all(understood):
            raise StateUnfit("the store has an entry that this version does not understand")
        self._position = changes.position

    def _learn(self, entry: Entry) -> bool:
        return any(book.learn(entry.id, entry.text, entry.expires_at) for book in self._books)

    def _is_ahead(self, entry: Entry) -> bool:
        """Whether the store, read as a whole, has lost what was said of it last."""
        return any(book.is_ahead(entry.id, entry.text) for book in self._books)

    async def _give_back(self) -> None:
        """What a store has lost it gets again, some of it at each look: what is new does not wait for it."""
        until = self._clock() + EVERY
        try:
            async with asyncio.timeout(PATIENCE):
                while self._lost and self._clock() < until:
                    entry_id = next(iter(self._lost))
                    await self._put_again(entry_id)
                    self._lost.discard(entry_id)
        except TimeoutError:
            raise StateUnavailable("the store does not take what it has lost in time") from None

    async def _put_again(self, entry_id: str) -> None:
        for book in self._books:
            if entry_id in book:
                await self._store.put(Entry(entry_id, *book.written(entry_id)), self._now())

    def _expire(self) -> None:
        """A clock that was ahead has us forget what is needed once it is put right: everything is read again then."""
        now = self._now()
        if now < self._forgot_at:
            self._position, self._forgot_at = None, now
        elif self._as_of - self._expired_at >= EXPIRE_EVERY:
            self._expired_at, self._forgot_at = self._as_of, now
            for book in self._books:
                book.expire(now)

    def _well(self) -> None:
        if self._fault is not None:
            self._fault = None
            self._say("state_back", "the store answers again")

    def _failed(self, code: str, words: str) -> None:
        self._prepared = False
        if words != self._fault:
            self._fault = words
            self._say(code, words)

    def _say(self, code: str, words: str) -> None:
        """Where nobody can be told (the log's disk is full, the terminal is gone) looking goes on."""
        with suppress(OSError):
            self._tell(code, words)

    def _why(self, record: RequestRecord) -> GatewayError | None:
        """Not of who has not said yet who he is."""
        error = self._objection(record.principal) if record.principal is not None else None
        if error is not None:
            self._metrics.revocation_refusal(error.reason, "stream")
            return error
        return next((error for book in self._others if (error := book.objection(record)) is not None), None)
