"""What one answer is counted as, in the metrics and in its record: times, findings, the filters' work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from filters.budget import LEAK_BUDGET
from filters.events import Decided, Verdict
from filters.evidence import UNDECIDED
from gateway.errors import FilterFailed
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.types import Release

P = ParamSpec("P")
T = TypeVar("T")


class Meter:
    """Of one answer, for one event loop."""

    def __init__(self, metrics: Metrics, record: RequestRecord, release: Release, role: str, *, filtered: bool) -> None:
        """`filtered`: its role's profile detects anything."""
        self._metrics, self._record, self._release, self._role = metrics, record, release, role
        self._filtered, self._failed_closed = filtered, False
        self._admitted: float | None = None  # seconds until a model server was asked
        self._cpu = self._worked = 0.0
        self._shy: set[tuple[str, Verdict]] = set()
        self._held_since: float | None = None
        self._released_at: float | None = None

    def asks(self, place: str | None) -> None:
        """A model server is about to be given the request, or something of it; `place`: where the tuned model's is.
        Called again for each that is asked."""
        self._record.sent, self._record.upstream = True, place or self._record.upstream
        if self._admitted is None:
            self._admitted = self._record.elapsed()

    def filtering(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` of the filters gives; may be called in a thread that nobody else of the answer runs beside. A
        filter that breaks is our fault, and its exception may hold text: only its kind goes on."""
        cpu, clock = time.thread_time(), time.perf_counter()
        try:
            return work(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - mapped and raised again
            self._failed_closed = True
            raise FilterFailed(type(error).__name__) from None
        finally:
            self._cpu += time.thread_time() - cpu
            if self._admitted is not None:  # else it is in that
                self._worked += time.perf_counter() - clock

    def released(self) -> None:
        """Text is about to leave."""
        now = time.monotonic()
        if self._released_at is not None:
            self._metrics.gap(self._release, now - self._released_at)
        else:
            self._record.first_token = self._record.elapsed()
            self._metrics.first_token(self._release, self._record.first_token)
        self._released_at = now

    def decided(self, event: Decided) -> None:
        """A finding. Of a special category the answer counts, at its end, in the metrics alone."""
        self._failed_closed |= event.kind == UNDECIDED
        if self._metrics.is_shy(event.kind):
            self._record.decided_shyly(event)
            self._shy.add((event.kind, event.verdict))
        else:
            self._record.decided(event)
            self._metrics.decided(self._release, event)
        if event.kind == LEAK_BUDGET:
            self._metrics.leak_budget(self._role, "answer")

    def held(self, *, holds: bool, released: bool) -> None:
        """After each step: whether text waits to be decided, and whether any was released."""
        if released and self._held_since is not None:
            seconds = time.monotonic() - self._held_since
            self._metrics.hold_back(seconds)
            self._record.held(seconds)
        if not holds or released:
            self._held_since = None
        if holds and self._held_since is None:
            self._held_since = time.monotonic()

    def end(self) -> None:
        """The answer has ended, well or not. One that was refused before anybody was asked is none."""
        self._record.filter_cpu = self._cpu
        for kind, verdict in self._shy:
            self._metrics.shy_answer(self._release, kind, verdict)
        if self._admitted is not None:
            self._metrics.overhead(self._release, self._admitted + self._worked)
        if self._filtered and (self._failed_closed or self._admitted is not None):
            check = "failed_closed" if self._failed_closed else "checked"
            self._metrics.answered(self._release, check, self._cpu)
