"""The audit log of a running gateway: a sink in a thread of its own, and its head remembered elsewhere.

1. From its lines alone nobody can tell that the last ones were taken away. So the store that replicas share remembers
   how far each chain has come, as soon as it can after each line; no line waits for it.
2. The first time that the store answers, what it remembers must be in the log. Where it is not, that is told, and the
   log says so from there on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from gateway.audit_log import AuditRecord, AuditUnavailable, AuditUnfit
from gateway.audit_log.lines import Head
from gateway.audit_log.written import Marks, written
from gateway.state import Anchor, Anchors, StateUnavailable

WRITE_SECONDS: Final = 8.0  # for a line to be on the disk
TIDY_SECONDS: Final = 3600.0  # between two looks at what is too old
AGAIN_SECONDS: Final = 5.0  # after the store did not answer

T = TypeVar("T")


class Sink(Protocol):
    """Where lines go. Its methods block, and raise AuditUnavailable."""

    def prepare(self) -> Head:
        """Begin the chain, or find where it stands. Raises AuditUnfit for what an operator has to mend."""
        ...

    def append(self, call: Mapping[str, Any]) -> Head:
        """Add a line of a call's members."""
        ...

    def holds(self, head: Head) -> bool:
        """Whether the chain has this line, or had it and deleted it in time, or says already that it was lost."""
        ...

    def tidy(self, lost: Head | None = None) -> Head:
        """Delete what is too old. `lost` is what another place remembers and the chain does not have; the chain says
        so from here on."""
        ...


class Hear(Protocol):
    """What the operator hears."""

    def head(self, head: Head) -> None:
        """How far the chain has come: at the start, each hour where it has moved, and at the end."""
        ...

    def lost(self, remembered: Head) -> None:
        """The store remembers a line that the log does not have."""
        ...

    def available(self) -> None:
        """A line was written, or could be."""
        ...

    def unavailable(self, error: AuditUnavailable) -> None:
        """None can be, so nothing can be administrated."""
        ...


class ChainedAuditLog:
    """Fulfils `AuditLog`. For one event loop, which nothing here blocks."""

    def __init__(
        self,
        sink: Sink,
        marks: Marks,
        anchors: Anchors,
        instance: str,
        hear: Hear,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Writes nothing yet."""
        self._sink, self._marks, self._anchors, self._instance = sink, marks, anchors, instance
        self._hear, self._now = hear, now
        self._thread = ThreadPoolExecutor(1, "audit")
        self._head: Head | None = None
        self._told: Head | None = None  # to the operator
        self._compared = False  # what the store remembers with what is here
        self._moved = asyncio.Event()

    def mark(self, issuer: str, tenant: str, subject: str) -> str | None:
        """Under which somebody stands here whom a call was about."""
        return self._marks.subject(issuer, tenant, subject)

    @property
    def head(self) -> Head | None:
        """The last line that this process wrote or found; None before the log has begun."""
        return self._head

    async def begin(self) -> None:
        """Raises AuditUnfit. Whatever else is in the way is told, and tried again with each line."""
        try:
            self._reach(await self._beside(self._sink.prepare))
        except AuditUnfit:
            raise
        except AuditUnavailable as error:
            self._hear.unavailable(error)

    async def write(self, record: AuditRecord) -> None:
        """As `AuditLog.write`."""
        call = written(record, self._marks)
        try:
            self._reach(await self._beside(partial(self._sink.append, call)))
        except AuditUnavailable as error:
            self._hear.unavailable(error)
            raise

    async def watch(self) -> None:
        """Tells the store for ever how far the chain has come, and deletes what is too old."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._keep_anchored())
            both.create_task(self._keep_tidy())

    async def aclose(self) -> None:
        """Tell the head a last time, to the operator and, if it answers, to the store."""
        if self._head is not None:
            self._tell()
            await self._anchor()
        self._thread.shutdown(wait=False)

    def _reach(self, head: Head) -> None:
        self._head = head
        self._moved.set()
        self._hear.available()

    def _tell(self) -> None:
        if self._head is not None and self._head != self._told:
            self._told = self._head
            self._hear.head(self._head)

    async def _keep_anchored(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            if not await self._anchor():
                await asyncio.sleep(AGAIN_SECONDS)
                self._moved.set()

    async def _keep_tidy(self) -> None:
        while True:
            self._tell()
            await asyncio.sleep(TIDY_SECONDS)
            try:
                self._reach(await self._beside(self._sink.tidy))
            except AuditUnavailable as error:
                self._hear.unavailable(error)

    async def _anchor(self) -> bool:
        """Whether the store has it."""
        try:
            if not self._compared:
                await self._compare()
            head = self._head
            assert head is not None
            await self._anchors.anchor(head.chain, Anchor(head.n, head.hash, self._instance, self._now()))
        except (StateUnavailable, AuditUnavailable):
            return False
        return True

    async def _compare(self) -> None:
        assert self._head is not None
        known = (await self._anchors.anchors()).get(self._head.chain)
        remembered = Head(self._head.chain, known.number, known.hash) if known else None
        if remembered is not None and not await self._beside(partial(self._sink.holds, remembered)):
            self._hear.lost(remembered)
            self._reach(await self._beside(partial(self._sink.tidy, remembered)))
        self._compared = True

    async def _beside(self, work: Callable[[], T]) -> T:
        """What takes too long may be done all the same; nobody waits for it any more."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise AuditUnavailable("the audit log takes too long to be written") from None
