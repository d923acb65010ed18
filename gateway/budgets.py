"""Budgets of excess bits and of findings: what somebody's answers came to within the hour, and what follows from it.

Over the first limit he is served by the strict profile: his own, tightened wherever it is weaker (`Rules.tightened`);
or by the base model, where there is nothing to tighten. Over the second he is refused. An answer that is under way
can't change its profile: the base model says the rest of it.

Whose account it is: the end user's, where a token or an assertion signs who that is, and nobody else's, so that he
can't lock out the application's others, and an application can't make him up. Where only the request names him, his own
and the application's, which has limits of its own: it could name another one each time. Else the caller's.

All answers to one account that are under way in this process share it, and see each other's findings at their next
segment's end. Other processes see them when the store does. So that many streams over many processes get nobody past a
limit, each process holds some of what is left in the store, for `reserve` findings of each answer that it has under
way, each of BITS_OF_FINDING times the bits from which one is memorised. What it has not told the store yet must fit
into what it holds; otherwise its answers are the base's from their next segment on. So an account is over a limit by at
most what, in each process, one segment hides beyond its first finding (of bits: what one segment hides). What a process
held that was killed is free again after LEASE_SECONDS.

The store is told behind the stream. While it does not answer, who has a budget is served by the base model; nobody
waits for it longer than PATIENCE, and however many ask at once, one question of an account is under way and one waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from weakref import WeakValueDictionary

from filters.budget import BITS, FINDINGS, MEASURES, Budget, Cost, Hour
from gateway.errors import LeakBudgetSpent
from gateway.framing import framed
from gateway.observe.metrics import Metrics
from gateway.state import LAST_WORDS, PATIENCE, HourlyTotals, StateUnavailable
from gateway.state.holds import Draw, Drawn, Hold
from gateway.types import EndUser, Plan, Principal

LEASE_SECONDS: Final = 30.0  # that something is held
RENEW_EVERY: Final = 10.0  # seconds
BITS_OF_FINDING: Final = 4  # times the bits from which one is memorised: about those of a telephone number


class Admitted:
    """An answer that may begin. `plan` is the one to follow: of somebody over his first limit, under the strict
    profile."""

    def __init__(self, plan: Plan, budget: Budget, shares: Sequence[_Share] = ()) -> None:
        self.plan, self.budget, self._shares = plan, budget, shares

    def end(self) -> None:
        """The answer has ended, and holds nothing any more. Does not wait."""
        for share in self._shares:
            share.close()


class Budgets:
    """All callers of the process. For one event loop."""

    def __init__(self, totals: HourlyTotals, metrics: Metrics, now: Callable[[], float] = time.time) -> None:
        """`now` gives seconds since the epoch."""
        self._totals, self._metrics, self._now = totals, metrics, now
        self._holder = secrets.token_hex(8)
        self._accounts: WeakValueDictionary[str, _Account] = WeakValueDictionary()
        self._owing: set[_Account] = set()  # what the store did not hear
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, plan: Plan) -> Admitted:
        """The budget of a new answer; its `end` is owed. Raises LeakBudgetSpent."""
        profile = plan.grant.profile
        shares: list[_Share] = []
        for key, hour in _hours(plan):
            own = shares[0] if shares else None
            shares.append(_Share(self._account(key), hour, profile.budget.reserve, profile.memorised_bits, own))
        try:
            return await self._admit(plan, shares)
        except BaseException:
            for share in shares:
                share.close()
            raise

    async def watch(self) -> None:
        """Renew for ever what is held."""
        while True:
            await asyncio.sleep(RENEW_EVERY)
            self.renew()

    def renew(self) -> None:
        """Once, behind whatever else goes on; what the store has not heard is told again."""
        for account in {*self._accounts.values(), *self._owing}:
            if account.shares or account in self._owing:
                self._settle_soon(account)

    async def aclose(self) -> None:
        """Waits until the store knows everything, if it answers."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=LAST_WORDS)

    # ---- which step --------------------------------------------------------------------------------------------------

    async def _admit(self, plan: Plan, shares: Sequence[_Share]) -> Admitted:
        role, strict = plan.grant.principal.role, plan.grant.strict
        await self._ask(shares)
        if any(share.refused for share in shares):
            self._metrics.leak_budget(role, "refused")
            raise LeakBudgetSpent
        if any(share.spent for share in shares) and strict is not None and all(share.known for share in shares):
            for share in shares:
                share.tighten()
            await self._ask(shares)
            if not any(share.spent for share in shares):
                self._metrics.leak_budget(role, "strict")
                plan = replace(plan, grant=replace(plan.grant, profile=strict))
        budget = Budget(plan.grant.profile.budget, _Spending(shares, self._metrics, role))
        if any(share.spent for share in shares):
            budget.end()  # whatever is free again by the time that it begins
            for share in shares:
                share.let_go()
        return Admitted(plan, budget, shares)

    async def _ask(self, shares: Iterable[_Share]) -> None:
        """What others have spent and hold. Of who waits in vain nobody knows."""
        accounts = [share.account for share in shares]
        asked = [self._settle_soon(account) for account in accounts]
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*map(asyncio.shield, asked))
        except TimeoutError:
            for account, task in zip(accounts, asked, strict=True):
                account.known = account.known and task.done()

    # ---- the store ---------------------------------------------------------------------------------------------------

    def _account(self, key: str) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            self._accounts[key] = account = _Account(key, self._settle_soon, self._now)
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
            now = self._now()
            draws = account.draws(self._holder, now + LEASE_SECONDS)
            try:
                told = await self._totals.draw(list(draws.values()), now) if draws else []
            except StateUnavailable:
                account.known = False
            else:
                account.take(dict(zip(draws, told, strict=True)), now + LEASE_SECONDS)
            finally:  # not told, or nobody knows: told again
                account.take_back()
                (self._owing.add if account.owes else self._owing.discard)(account)


class _Sum:
    """One measure of an account: the store's total, what others hold of it and what is held here; what the store is
    being told, and what it has not been told yet."""

    def __init__(self) -> None:
        self.total = self.others = self.held = self.told = self.untold = 0.0

    @property
    def now(self) -> float:
        return self.total + self.told + self.untold

    def has_room(self, limit: float, held: float) -> bool:
        """Whether another finding fits below the limit, whatever others spend meanwhile."""
        return self.told + self.untold < min(held, limit - self.total - self.others)


class _Account:
    """Somebody's hour."""

    def __init__(self, key: str, settle_soon: Callable[[_Account], object], now: Callable[[], float]) -> None:
        self.key, self._settle_soon, self._now = key, settle_soon, now
        self.settling = asyncio.Lock()
        self.next: asyncio.Task[None] | None = None  # that will ask the store and has not begun
        self.shares: set[_Share] = set()  # of the answers under way
        self.sums = {measure: _Sum() for measure in MEASURES}
        self.known = True
        self._held_until = 0.0

    def spend(self, cost: Cost) -> None:
        self.sums[BITS].untold += cost.bits
        self.sums[FINDINGS].untold += cost.findings
        self._settle_soon(self)

    def changed(self) -> None:
        """There is another answer, or one less, or one with other limits."""
        self._settle_soon(self)

    def has_room(self, measure: str, limit: float) -> bool:
        found = self.sums[measure]
        return found.has_room(limit, found.held if self._now() < self._held_until else 0.0)

    @property
    def owes(self) -> bool:
        """Whether there is something that the store could not be told."""
        return not self.known and any(found.untold for found in self.sums.values())

    def draws(self, holder: str, ends: float) -> Mapping[str, Draw]:
        """What to tell and ask, by measure; from here on it is being told."""
        draws = {}
        for measure, found in self.sums.items():
            found.told, found.untold = found.untold, 0.0
            limits = [limit for share in self.shares if (limit := share.limits[measure]) is not None]
            hold = None
            if limits:
                hold = Hold(holder, self._wish(measure), max(limits), ends)
            elif found.held:
                hold = Hold(holder, 0.0, 0.0, ends)
            if found.told or hold is not None:
                draws[measure] = Draw(f"{_PREFIXES[measure]}{self.key}", found.told, hold)
        return draws

    def _wish(self, measure: str) -> float:
        """For all answers that are held to a limit. Who has an account of his own beside this one holds no more of this
        than that may come to: however many answers he has, one alone does not hold what all have together."""
        wishes: dict[_Account, tuple[float, float]] = {}
        for share in self.shares:
            if share.limits[measure] is not None:
                wished, most = wishes.get(share.own.account, (0.0, 0.0))
                wishes[share.own.account] = wished + share.reserve[measure], max(most, share.own.most(measure))
        return sum(min(wish) for wish in wishes.values())

    def take(self, told: Mapping[str, Drawn], held_until: float) -> None:
        """The store's answer."""
        for measure, drawn in told.items():
            found = self.sums[measure]
            found.total, found.others, found.held, found.told = drawn.total, drawn.others, drawn.held, 0.0
        self.known, self._held_until = True, held_until

    def take_back(self) -> None:
        """What was not told is to be told."""
        for found in self.sums.values():
            found.untold, found.told = found.untold + found.told, 0.0


class _Share:
    """One answer's part in an account. `limits` are those that it is held to, by measure; `own` is its part in that of
    his whom it is for, where this one is of many."""

    def __init__(
        self, account: _Account, hour: Hour, reserve: int, memorised_bits: float, own: _Share | None = None
    ) -> None:
        steps = {BITS: hour.bits, FINDINGS: hour.findings}
        self.account, self.own = account, own or self
        self.reserve = {BITS: reserve * BITS_OF_FINDING * memorised_bits, FINDINGS: float(reserve)}
        self._refuse = {measure: each.refuse for measure, each in steps.items()}
        self.limits = {measure: each.refuse if each.strict is None else each.strict for measure, each in steps.items()}
        account.shares.add(self)

    @property
    def known(self) -> bool:
        return self.account.known

    @property
    def refused(self) -> bool:
        """Whether it has come to the second limit."""
        found = self.account.sums
        return self.known and any(most is not None and found[of].now >= most for of, most in self._refuse.items())

    @property
    def spent(self) -> bool:
        """Whether another finding might be one too many; True as well while nobody can tell."""
        limits = [(measure, limit) for measure, limit in self.limits.items() if limit is not None]
        return not self.known or any(not self.account.has_room(measure, limit) for measure, limit in limits)

    def most(self, measure: str) -> float:
        """What its account may come to."""
        refuse = self._refuse[measure]
        return math.inf if refuse is None else refuse

    def tighten(self) -> None:
        """From here on the second limit alone holds."""
        self.limits = self._refuse

    def let_go(self) -> None:
        """The base answers, so that nothing need be held."""
        self.limits = dict.fromkeys(MEASURES)
        self.account.changed()

    def close(self) -> None:
        self.account.shares.discard(self)
        self.account.changed()


class _Spending:
    """Fulfils `filters.budget.Account` for one answer, and counts for its role."""

    def __init__(self, shares: Sequence[_Share], metrics: Metrics, role: str) -> None:
        self._shares, self._metrics, self._role = shares, metrics, role

    def spend(self, cost: Cost) -> None:
        self._metrics.leaks(self._role, cost.bits, cost.findings)
        for share in self._shares:
            share.account.spend(cost)

    @property
    def spent(self) -> bool:
        return any(share.spent for share in self._shares)


# ---- whose account ---------------------------------------------------------------------------------------------------

_PREFIXES: Final = {BITS: "leak-budget:", FINDINGS: "leak-findings:"}


def _hours(plan: Plan) -> list[tuple[str, Hour]]:
    """The accounts that an answer is charged to, and what each may come to; none where nothing is limited."""
    who, end_user, limits = plan.grant.principal, plan.end_user, plan.grant.profile.budget
    caller, application = account_key(who), limits.application
    if end_user is not None and end_user.signed:
        hours = [(account_key(who, end_user), limits.caller)]
    elif not application.limited:
        hours = [(caller, limits.caller)]
    elif end_user is None:
        hours = [(caller, application)]
    else:
        hours = [(account_key(who, end_user), limits.caller), (caller, application)]
    return [(key, hour) for key, hour in hours if hour.limited]


def accounts(principal: Principal, end_user: EndUser | None = None) -> Mapping[str, str]:
    """The names of his totals in a store, each with its measure."""
    key = account_key(principal, end_user)
    return {f"{prefix}{key}": measure for measure, prefix in _PREFIXES.items()}


def account_key(principal: Principal, end_user: EndUser | None = None) -> str:
    """The name of a caller's account in a store, or of an end user's behind him. It says nothing of either, and no two
    are alike."""
    behind = () if end_user is None else (end_user.issuer or "", end_user.name)
    names = framed(principal.issuer, principal.tenant, principal.subject, *behind)
    return hashlib.sha256(names).hexdigest()
