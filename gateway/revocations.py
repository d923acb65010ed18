"""The revocations that this replica knows: fed by the store, asked by every request and for every running stream.

The store is asked for what is new every EVERY seconds, so that a replica obeys within a second what the store has
acknowledged. While it does not answer, what is known goes on to hold; after the grace nobody can tell any more whether
a token is still good, so that requests are refused and running streams end. A store that has lost writes (a failover, a
copy put back) is told again by every replica what it knew.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.auth.revocation import Revocations, understood
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


class RevocationFeed:
    """One per process, for one event loop."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        grace: float,
        end: Callable[[Why], None],
        tell: Tell = lambda code, words: None,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grace`: seconds that what is known may be old. `end` ends the requests under way for which there is a
        reason. `tell` hears of each change in the store's health: a code (`state_unavailable`, `state_unfit`,
        `state_advice`, `state_back`), and words for an operator."""
        self._store, self._metrics, self._grace, self._end, self._tell = store, metrics, grace, end, tell
        self._now, self._clock = now, clock
        self._known = Revocations()
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
        read = [(entry, understood(entry.text)) for entry in changes.entries]
        if changes.whole:
            self._lost = set(self._known) - {entry.id for entry in changes.entries}
        for entry, revocation in read:
            if revocation is not None:
                self._known.put(entry.id, revocation, entry.expires_at)
        for entry_id in changes.withdrawn:
            self._known.drop(entry_id)
            self._lost.discard(entry_id)
        if read:
            self._end(self._why)
        if any(revocation is None for _, revocation in read):
            raise StateUnfit("the store has a revocation that this version does not understand")
        self._position = changes.position

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
        if entry_id in self._known:
            revocation, expires_at = self._known.get(entry_id)
            await self._store.put(Entry(entry_id, revocation.written(), expires_at), self._now())

    def _expire(self) -> None:
        """A clock that was ahead has us forget what is needed once it is put right: everything is read again then."""
        now = self._now()
        if now < self._forgot_at:
            self._position, self._forgot_at = None, now
        elif self._as_of - self._expired_at >= EXPIRE_EVERY:
            self._expired_at, self._forgot_at = self._as_of, now
            self._known.expire(now)

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
