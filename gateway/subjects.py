"""Whose is what the store keeps of callers and end users, and under which names it stands there.

Most of it stands under hashes, which can be made from a name and not read back: so what somebody has is found by asking
for all that he could have. A caller's limits are counted by role, so that the policy's roles are looked at, and those
in which he was seen last. An end user has no place of his own without the application that he sits before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from gateway import budgets, limits, revoke
from gateway.auth.revocation import Kind
from gateway.auth.tokens import MAX_SUBJECT_CHARS, can_be
from gateway.last_use import Caller, read
from gateway.policy.load import Rules
from gateway.state import KEEP_USES, Kept, Names, Store
from gateway.state.holds import MINUTES
from gateway.state.windows import Window
from gateway.types import EndUser, Principal

LIMITS, LEAK_BUDGET, LAST_USES, REVOCATIONS = "limits", "leak_budget", "last_uses", "revocations"


@dataclass(frozen=True, slots=True)
class Person:
    """A caller; or who sits before that application: `end_users` are then whom it may be, by who signed it. `known`:
    the policy has this issuer and tenant."""

    caller: Principal
    end_users: Sequence[EndUser] = ()
    known: bool = True

    @property
    def name(self) -> str:
        return self.end_users[0].name if self.end_users else self.caller.subject

    @property
    def issuer(self) -> str:
        """That knows him by his name: who signed it, or the application's."""
        return next((each.issuer for each in self.end_users if each.issuer), self.caller.issuer)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is kept of a person: what it is and of which role, how much; since when or at what time, and when
    it goes by itself, in seconds since the epoch."""

    place: str
    what: str
    role: str | None = None
    signed_by: str | None = None  # of an end user
    amount: float | None = None
    time: float | None = None
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """All names under which a store may have something of a person, and what each of them means."""

    names: Names
    _meaning: Mapping[str, Callable[[Kept], Item]]

    def item(self, kept: Kept) -> Item:
        return self._meaning[kept.name](kept)


def person(
    subject: str,
    issuer: str | None,
    tenant: str | None,
    end_user: str | None,
    signed_by: str | None,
    rules: Rules,
) -> Person:
    """Whom an administrator means, by the policy in force; one whom it has no more must be named in full. Where nobody
    says who signed for an end user, he is looked for under all who may. Raises NotAimed."""
    if end_user is None and signed_by is not None:
        raise revoke.NotAimed("who signed belongs to an end user")
    given = (subject, issuer, tenant, end_user)
    if not all(can_be(name, MAX_SUBJECT_CHARS) for name in given if name is not None):
        raise revoke.NotAimed("no token has such a text: it is too long, or has characters that can't be printed")
    named, known = _named(subject, issuer, tenant, rules)
    caller = Principal(*named, subject, None, "", 0.0)
    if end_user is None:
        return Person(caller, known=known)
    signers = (signed_by,) if signed_by is not None else (None, *sorted({each.issuer for each in rules.signers}))
    return Person(caller, [EndUser(signer, end_user) for signer in signers], known)


def _named(subject: str, issuer: str | None, tenant: str | None, rules: Rules) -> tuple[tuple[str, str], bool]:
    """Issuer and tenant, and whether the policy has them. Raises NotAimed."""
    try:
        aimed = revoke.aim(revoke.Wish(subject=subject, issuer=issuer, tenant=tenant), rules)
    except revoke.NotAimed:
        if issuer is None or tenant is None:
            raise
        return (issuer, tenant), False
    return (aimed.issuer or "", aimed.tenant or ""), True


def is_alone(caller: Principal, rules: Rules) -> bool:
    """Whether no other issuer of the policy has a tenant that is called like his."""
    others = (each for each in rules.signers if each.issuer != caller.issuer)
    return all(caller.tenant not in (each.tenant.fixed, *each.tenant.allowed) for each in others)


async def whereabouts(store: Store, who: Person, rules: Rules, mark: str | None) -> Whereabouts:
    """`mark` is the caller's in last uses, None if he has none of his own there. Raises StateUnavailable."""
    uses = {} if who.end_users or mark is None else await _uses(store, who.caller.tenant, mark)
    roles = sorted({*rules.roles, *(use.role for use in uses.values())})
    counts = [
        (role, behind, limits.counted(replace(who.caller, role=role), behind))
        for role in roles
        for behind in who.end_users or (None,)
    ]
    meaning: dict[str, Callable[[Kept], Item]] = {name: _use(caller) for name, caller in uses.items()}
    for role, behind, counted in counts:
        meaning |= {name: _window(role, behind, *limit) for name, limit in counted.windows.items()}
        meaning[counted.places] = _lease(role, behind)
    totals: list[str] = []
    for behind in who.end_users or (None,):
        accounts = budgets.accounts(who.caller, behind)
        meaning |= {name: _total(measure, behind) for name, measure in accounts.items()}
        totals += accounts
    windows = [name for _, _, counted in counts for name in counted.windows]
    names = Names(windows, [counted.places for _, _, counted in counts], totals, list(uses))
    return Whereabouts(names, meaning)


async def revocations(store: Store, who: Person, now: float) -> list[Item]:
    """Those in force that name him. Raises StateUnavailable."""
    issuers = {behind.issuer for behind in who.end_users} if who.end_users else {who.caller.issuer}
    return [
        Item(REVOCATIONS, each.id, time=each.revocation.issued_before, ends=each.expires_at)
        for each in await revoke.listed(store, now)
        if each.revocation is not None
        and each.revocation.kind is Kind.SUBJECT
        and each.revocation.value == who.name
        and each.revocation.issuer in issuers
        and each.revocation.tenant == who.caller.tenant
    ]


# ---- what it means ---------------------------------------------------------------------------------------------------


async def _uses(store: Store, tenant: str, mark: str) -> Mapping[str, Caller]:
    named = {name: read(name) for name in await store.uses_with(msgspec.json.encode(mark).decode())}
    callers = {name: caller for name, caller in named.items() if isinstance(caller, Caller)}
    return {name: caller for name, caller in callers.items() if (caller.tenant, caller.mark) == (tenant, mark)}


def _signed_by(behind: EndUser | None) -> str | None:
    return behind.issuer if behind is not None else None


def _window(role: str, behind: EndUser | None, limit: str, seconds: int) -> Callable[[Kept], Item]:
    def item(kept: Kept) -> Item:
        over = Window(kept.name, seconds, 0, 0).over(int(kept.at))
        return Item(LIMITS, limit, role, _signed_by(behind), kept.amount, ends=over)

    return item


def _lease(role: str, behind: EndUser | None) -> Callable[[Kept], Item]:
    return lambda kept: Item(LIMITS, "streams", role, _signed_by(behind), ends=kept.at)


def _total(measure: str, behind: EndUser | None) -> Callable[[Kept], Item]:
    def item(kept: Kept) -> Item:
        if kept.kind == "hold":
            return Item(LEAK_BUDGET, f"{measure}_held", None, _signed_by(behind), kept.amount, ends=kept.at)
        began = kept.at * 60.0
        over = began + 60.0 * (MINUTES + 1)
        return Item(LEAK_BUDGET, measure, None, _signed_by(behind), kept.amount, began, over)

    return item


def _use(caller: Caller) -> Callable[[Kept], Item]:
    def item(kept: Kept) -> Item:
        ends = kept.amount + KEEP_USES if kept.amount is not None else None
        return Item(LAST_USES, "last_use", caller.role, None, None, kept.amount, ends)

    return item
