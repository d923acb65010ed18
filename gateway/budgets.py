"""Budgets of excess bits: what a caller's answers came to within the hour, and what follows from it.

Over the first limit the caller is moved to the base model, over the second he is refused. All answers to one caller
that are under way in this process share one account, to which a finding is added in the moment in which it is judged:
each of them sees it at its next segment's end, so that opening many streams at once gets nobody past the limit, and
nothing has to be reserved. The store is told behind the stream; other replicas know it when they next admit or add
something. While the store does not answer, callers who have a budget are served by the base model; nobody waits for it
longer than PATIENCE, and however many ask at once, one question of an account is under way and one waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

from filters.budget import Budget, Limits
from gateway.errors import LeakBudgetSpent
from gateway.framing import framed
from gateway.observe.metrics import Metrics
from gateway.state import HourlyTotals, StateUnavailable
from gateway.types import Principal

PATIENCE: Final = 2.0  # seconds that a request waits for the store
LAST_WORDS: Final = 5.0  # seconds that the end waits for it


class Budgets:
    """All callers of the process. For one event loop."""

    def __init__(self, totals: HourlyTotals, metrics: Metrics, now: Callable[[], float] = time.time) -> None:
        """`now` gives seconds since the epoch."""
        self._totals, self._metrics, self._now = totals, metrics, now
        self._accounts: WeakValueDictionary[str, _Account] = WeakValueDictionary()
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, principal: Principal, limits: Limits) -> Budget:
        """The budget of a new answer. Raises LeakBudgetSpent."""
        if not limits.of_caller:
            return Budget(limits, _Spending(None, self._metrics, principal.role))
        account = self._account(account_key(principal))
        await self._ask(account)
        if limits.refuse_bits_per_hour is not None and account.known and account.reaches(limits.refuse_bits_per_hour):
            self._metrics.leak_budget(principal.role, "refused")
            raise LeakBudgetSpent
        return Budget(limits, _Spending(account, self._metrics, principal.role))

    async def aclose(self) -> None:
        """Waits until the store knows everything, if it answers."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=LAST_WORDS)

    async def _ask(self, account: _Account) -> None:
        """What others have spent. Of who waits in vain nobody knows."""
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(self._settle_soon(account))
        except TimeoutError:
            account.known = False

    def _account(self, key: str) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            self._accounts[key] = account = _Account(key, self._settle_soon)
        return account

    def _settle_soon(self, account: _Account) -> asyncio.Task[None]:
        """Not by a task of the answer's: who breaks off must not get away with what he was shown. One that has not
        begun yet will tell of this, too."""
        if account.next is None:
            account.next = asyncio.get_running_loop().create_task(self._settle(account))
            self._settling.add(account.next)
            account.next.add_done_callback(self._settling.discard)
        return account.next

    async def _settle(self, account: _Account) -> None:
        async with account.settling:
            account.next = None
            account.told, account.untold = account.untold, 0.0
            try:
                account.total = await self._totals.add(account.key, account.told, self._now())
            except StateUnavailable:
                account.known = False
            else:
                account.known, account.told = True, 0.0
            finally:  # not told, or nobody knows: told again
                account.untold += account.told
                account.told = 0.0


class _Account:
    """One caller's hour: the store's total, what it is being told, and what it has not been told yet."""

    def __init__(self, key: str, settle_soon: Callable[[_Account], object]) -> None:
        self.key, self._settle_soon = key, settle_soon
        self.settling = asyncio.Lock()
        self.next: asyncio.Task[None] | None = None  # that will ask the store and has not begun
        self.total = self.told = self.untold = 0.0
        self.known = True

    def spend(self, bits: float) -> None:
        self.untold += bits
        self._settle_soon(self)

    def reaches(self, bits: float) -> bool:
        return not self.known or self.total + self.told + self.untold >= bits


class _Spending:
    """Fulfils `filters.budget.Account` for one answer, and counts for its role."""

    def __init__(self, account: _Account | None, metrics: Metrics, role: str) -> None:
        self._account, self._metrics, self._role = account, metrics, role

    def spend(self, bits: float) -> None:
        self._metrics.leak_bits(self._role, bits)
        if self._account is not None:
            self._account.spend(bits)

    def reaches(self, bits: float) -> bool:
        return self._account is not None and self._account.reaches(bits)


def account_key(principal: Principal, end_user: str | None = None) -> str:
    """The name of a caller's account in a store, or of an end user's behind him. It says nothing of either, and no two
    are alike."""
    names = (principal.issuer, principal.tenant, principal.subject, *(() if end_user is None else (end_user,)))
    return "leak-budget:" + hashlib.sha256(framed(*names)).hexdigest()
