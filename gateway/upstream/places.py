"""Places for questions at one base server, shared fairly.

A question waits until three bounds let it go: so many in flight at the server, of one tenant, of one answer. A place
that becomes free goes to the tenant with the fewest questions in flight, among equals to the one whose last turn is
longest ago; within a tenant answers take turns, and an answer's own questions go in their order. A tenant's bound is
under the server's, so that a base that has stopped answering still leaves room for the questions of others.

There is no clock here: whoever waits too long is cancelled by his own deadline.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from gateway.upstream.client import Errand

Tenant = tuple[str, str]  # issuer and tenant: two issuers may name a tenant alike
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Questioner:
    """For whom a question is asked."""

    tenant: Tenant
    errand: Errand  # of the answer that it belongs to


@dataclass(frozen=True, slots=True)
class Shares:
    """How many questions may be in flight at one server."""

    server: int = 8
    tenant: int = 6
    answer: int = 4


@dataclass(slots=True, eq=False)
class _Waiter:
    who: Questioner
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    placed: bool = False


class Places:
    """The places at one server. For one event loop."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._taken = 0
        self._of_tenant: Counter[Tenant] = Counter()
        self._of_answer: Counter[Questioner] = Counter()
        self._waiting: dict[Tenant, dict[Questioner, deque[_Waiter]]] = {}  # answers are in the order of turns
        self._turns = count(1)
        self._last_turn: Counter[Tenant] = Counter()  # a policy lists its tenants, so there are few

    @property
    def idle(self) -> bool:
        """Whether nobody waits and half of the places are free: time for what can be left undone."""
        return not self._waiting and self._taken * 2 < self._shares.server

    @asynccontextmanager
    async def place(self, who: Questioner) -> AsyncIterator[None]:
        """Waits for a place, which is taken while inside."""
        waiter = _Waiter(who)
        self._waiting.setdefault(who.tenant, {}).setdefault(who, deque()).append(waiter)
        self._hand_out()
        try:
            await waiter.given
            yield
        finally:
            self._leave(waiter)
            self._hand_out()

    def _leave(self, waiter: _Waiter) -> None:
        who = waiter.who
        if not waiter.placed:
            self._forget(waiter)
            return
        self._taken -= 1
        _one_less(self._of_tenant, who.tenant)
        _one_less(self._of_answer, who)

    def _hand_out(self) -> None:
        while self._taken < self._shares.server and (waiter := self._next()) is not None:
            self._forget(waiter)
            self._taken += 1
            self._of_tenant[waiter.who.tenant] += 1
            self._of_answer[waiter.who] += 1
            waiter.placed = True
            if not waiter.given.done():  # cancelled, and about to leave the place
                waiter.given.set_result(None)

    def _next(self) -> _Waiter | None:
        """Whose turn it is."""
        first = min(self._fit(), key=self._claim, default=None)
        if first is not None:
            self._last_turn[first.who.tenant] = next(self._turns)
            answers = self._waiting[first.who.tenant]
            answers[first.who] = answers.pop(first.who)
        return first

    def _claim(self, waiter: _Waiter) -> tuple[int, int]:
        return self._of_tenant[waiter.who.tenant], self._last_turn[waiter.who.tenant]

    def _fit(self) -> Iterator[_Waiter]:
        """The next of each tenant that is under its bounds."""
        for tenant, answers in self._waiting.items():
            if self._of_tenant[tenant] < self._shares.tenant:
                fit = (queue[0] for who, queue in answers.items() if self._of_answer[who] < self._shares.answer)
                yield from (waiter for waiter in [next(fit, None)] if waiter is not None)

    def _forget(self, waiter: _Waiter) -> None:
        """It waits no longer."""
        answers = self._waiting[waiter.who.tenant]
        answers[waiter.who].remove(waiter)
        if not answers[waiter.who]:
            del answers[waiter.who]
        if not answers:
            del self._waiting[waiter.who.tenant]


def _one_less(counted: Counter[K], key: K) -> None:
    counted[key] -= 1
    if not counted[key]:
        del counted[key]
