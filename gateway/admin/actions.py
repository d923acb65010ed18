"""What administrators can do: one ordered table of actions, each with the role that may.

An action first says what it is about to do, from what it was asked, and does nothing yet; whoever calls it writes that
down, and does it then (gateway/admin/api.py). To add one: a function from `Parts` and `Asked` to `Prepared`, and its
line in ACTIONS.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec

from gateway import revoke, subjects
from gateway.admin.shapes import (
    AuditHead,
    CallerUse,
    ChoiceShown,
    GrantUse,
    ModelReleases,
    Receipt,
    ReleaseAsked,
    ReleaseDone,
    Releases,
    ReleaseShown,
    Reloaded,
    Reviewed,
    RevocationAsked,
    Revocations,
    RevocationShown,
    Revoked,
    Status,
    SubjectAsked,
    SwitchAsked,
    Withdrawn,
)
from gateway.audit_log import Action as Name
from gateway.audit_log import OfId, OfRelease, OfRevocation, OfSubject, Target
from gateway.auth.revocation import Revocation, can_be_id
from gateway.auth.revocation import Revocations as RevocationBook
from gateway.errors import (
    BadField,
    MeansNobody,
    NotAcknowledged,
    NotAuthenticated,
    PolicyRefused,
    ReleaseRefused,
    RevocationNotFound,
    ShutsOutMyself,
    UnknownField,
)
from gateway.in_force import InForce
from gateway.last_use import Caller, Grant
from gateway.policy.load import Rules
from gateway.receipts import Subjects
from gateway.release.desk import ModelStanding, Refused, ReleaseDesk
from gateway.release.standing import Scope, told
from gateway.reload import Policies
from gateway.review import Line, review
from gateway.state import StateUnavailable, Store
from gateway.types import AdminRole, Principal

STORE_SECONDS: Final = 10.0  # that the store may take; what it has not said by then is not acknowledged
IDLE_DAYS: Final = 90.0
MOST_IDLE_DAYS: Final = 400.0  # last uses are not remembered for longer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What actions work with. `audit_head` is how far this process knows the audit log to have come. `shared`: other
    processes see the store too. `marks_kept`: callers' marks in records stay the same over a restart."""

    store: Store
    policies: Policies
    desk: ReleaseDesk
    subjects: Subjects
    status: Callable[[], Status]
    audit_head: Callable[[], str | None]
    shared: bool
    marks_kept: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One call, whose caller may do it. `body` is {} where the action takes none."""

    administrator: Principal
    policy: InForce
    body: Mapping[str, Any]
    path: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is about to be done. `run` does it, and returns the answer; it raises GatewayError."""

    run: Callable[[], Awaitable[object]]
    target: Target | None = None


Prepare = Callable[[Parts, Asked], Prepared]  # raises GatewayError


@dataclass(frozen=True, slots=True)
class Action:
    """`path` is below the API's prefix. `query` are the names that it may have."""

    name: Name
    role: AdminRole
    method: str
    path: str
    prepare: Prepare
    takes_body: bool = False
    query: frozenset[str] = frozenset()


# ---- revocations -----------------------------------------------------------------------------------------------------


def _revoke(parts: Parts, asked: Asked) -> Prepared:
    wish = _read(asked.body, RevocationAsked)
    now = time.time()
    revocation = _aimed(wish, asked.policy)
    may_shut_out = wish.including_myself and revocation.issuer is not None
    if not may_shut_out and _shuts_out(revocation, asked.administrator, now):
        raise ShutsOutMyself

    async def run() -> Revoked:
        await _acknowledged(revoke.revoke(parts.store, revocation, now))
        return Revoked(_shown(revocation.id, revocation, revocation.expires_at(now)), parts.shared)

    return Prepared(run, OfRevocation(revocation))


def _aimed(wish: RevocationAsked, policy: InForce) -> Revocation:
    names = wish.token_id, wish.subject, wish.role, wish.issuer, wish.tenant
    try:
        return revoke.aim(revoke.Wish(*names, wish.issued_before, wish.administrator), policy.rules)
    except revoke.NotAimed as error:
        raise MeansNobody(str(error)) from None


def _shuts_out(revocation: Revocation, administrator: Principal, now: float) -> bool:
    """Whether the tokens that he gets from now on would be refused, so that he could not take it back."""
    revocations = RevocationBook()
    revocations.put(revocation.id, revocation, None)
    try:
        revocations.check(replace(administrator, token_id=None, issued_at=now))
    except NotAuthenticated:
        return True
    return False


def _withdraw_revocation(parts: Parts, asked: Asked) -> Prepared:
    revocation_id = asked.path["id"]

    async def run() -> Withdrawn:
        is_id = can_be_id(revocation_id)
        if not is_id or not await _acknowledged(revoke.withdraw(parts.store, revocation_id, time.time())):
            raise RevocationNotFound
        return Withdrawn(revocation_id, parts.shared)

    return Prepared(run, OfId(revocation_id))


def _list_revocations(parts: Parts, _asked: Asked) -> Prepared:
    async def run() -> Revocations:
        found = await _acknowledged(revoke.listed(parts.store, time.time()))
        return Revocations([_shown(each.id, each.revocation, each.expires_at) for each in found])

    return Prepared(run)


def _shown(entry_id: str, revocation: Revocation | None, expires_at: float | None) -> RevocationShown:
    if revocation is None:
        return RevocationShown(entry_id, None, expires_at=expires_at)
    return RevocationShown(
        entry_id,
        revocation.kind.value,
        revocation.value,
        revocation.issuer,
        revocation.tenant,
        revocation.issued_before,
        expires_at,
    )


# ---- the process -----------------------------------------------------------------------------------------------------


def _reload(parts: Parts, _asked: Asked) -> Prepared:
    async def run() -> Reloaded:
        reload = await parts.policies.reload()
        if not reload.done:
            raise PolicyRefused([str(problem) for problem in reload.problems])
        return Reloaded(reload.before, reload.now)

    return Prepared(run)


def _status(parts: Parts, _asked: Asked) -> Prepared:
    async def run() -> Status:
        return parts.status()

    return Prepared(run)


def _audit_head(parts: Parts, _asked: Asked) -> Prepared:
    """As it stands with the record that this was asked."""

    async def run() -> AuditHead:
        return AuditHead(parts.audit_head())

    return Prepared(run)


# ---- releases --------------------------------------------------------------------------------------------------------


def _switch(parts: Parts, asked: Asked) -> Prepared:
    wish = _read(asked.body, SwitchAsked)
    scope = _scope(wish, asked.policy, parts.desk)

    async def run() -> ReleaseDone:
        if wish.shares is None:
            return await _done(parts, parts.desk.unswitch(wish.model, scope))
        return await _done(parts, parts.desk.switch(wish.model, wish.shares, scope))

    if not parts.desk.known(wish.model, wish.shares or ()):
        return Prepared(run)
    before = parts.desk.in_force(wish.model, scope)
    names = told(wish.shares) if wish.shares else None
    return Prepared(run, OfRelease(wish.model, names, told(before) if before else None, *scope))


def _scope(wish: SwitchAsked, policy: InForce, desk: ReleaseDesk) -> Scope:
    """What is taken back may be about an issuer, a tenant or a role that the policy has no more."""
    named = Scope(wish.issuer, wish.tenant, wish.role)
    if wish.shares is None and desk.in_force(wish.model, named) is not None:
        return named
    try:
        return Scope(*revoke.whose(wish.issuer, wish.tenant, wish.role, policy.rules))
    except revoke.NotAimed as error:
        raise MeansNobody(str(error)) from None


def _withdraw_release(parts: Parts, asked: Asked) -> Prepared:
    return _one_release(parts, asked, parts.desk.withdraw)


def _reinstate_release(parts: Parts, asked: Asked) -> Prepared:
    return _one_release(parts, asked, parts.desk.reinstate)


def _one_release(parts: Parts, asked: Asked, work: Callable[[str, str], Awaitable[None]]) -> Prepared:
    wish = _read(asked.body, ReleaseAsked)

    async def run() -> ReleaseDone:
        return await _done(parts, work(wish.model, wish.release))

    is_known = parts.desk.known(wish.model, [wish.release])
    return Prepared(run, OfRelease(wish.model, wish.release) if is_known else None)


async def _done(parts: Parts, work: Awaitable[None]) -> ReleaseDone:
    """Raises ReleaseRefused."""
    try:
        await _acknowledged(work)
    except Refused as refused:
        raise ReleaseRefused(str(refused)) from None
    return ReleaseDone(parts.shared)


def _list_releases(parts: Parts, _asked: Asked) -> Prepared:
    async def run() -> Releases:
        return Releases([_model(each) for each in parts.desk.status()])

    return Prepared(run)


def _model(status: ModelStanding) -> ModelReleases:
    releases = [
        ReleaseShown(each.name, each.released_as, each.open, each.withdrawn, each.part) for each in status.releases
    ]
    choices = [ChoiceShown(dict(each.shares), *each.scope, list(each.unknown)) for each in status.choices]
    return ModelReleases(status.model, releases, choices, list(status.withdrawn))


# ---- reviews ---------------------------------------------------------------------------------------------------------


def _review(parts: Parts, asked: Asked) -> Prepared:
    idle_days = _days(asked.query.get("idle_days"))

    async def run() -> Reviewed:
        uses = await _acknowledged(parts.store.uses())
        found = review(asked.policy.rules, uses, time.time(), idle_days)
        grants = [_grant(line.what, line) for line in found.grants if isinstance(line.what, Grant)]
        callers = [_caller(line.what, line) for line in found.callers if isinstance(line.what, Caller)]
        return Reviewed(grants, callers, list(found.removable), parts.marks_kept)

    return Prepared(run)


def _grant(what: Grant, line: Line) -> GrantUse:
    return GrantUse(what.role, what.endpoint, what.model, line.since, line.last, line.idle)


def _caller(what: Caller, line: Line) -> CallerUse:
    return CallerUse(what.tenant, what.role, what.mark, line.since, line.last, line.idle)


def _days(text: str | None) -> float:
    if text is None:
        return IDLE_DAYS
    try:
        days = float(text)
    except ValueError:
        raise BadField(param="idle_days") from None
    if not (math.isfinite(days) and 0 <= days <= MOST_IDLE_DAYS):
        raise BadField(param="idle_days")
    return days


# ---- persons ---------------------------------------------------------------------------------------------------------


def _export_subject(parts: Parts, asked: Asked) -> Prepared:
    return _of_subject(asked, parts.subjects.export)


def _erase_subject(parts: Parts, asked: Asked) -> Prepared:
    return _of_subject(asked, parts.subjects.erase)


def _of_subject(asked: Asked, work: Callable[[subjects.Person, Rules, float], Awaitable[Receipt]]) -> Prepared:
    wish, rules = _read(asked.body, SubjectAsked), asked.policy.rules
    try:
        who = subjects.person(wish.subject, wish.issuer, wish.tenant, wish.end_user, wish.end_user_issuer, rules)
    except revoke.NotAimed as error:
        raise MeansNobody(str(error)) from None

    async def run() -> Receipt:
        return await _acknowledged(work(who, rules, time.time()))

    return Prepared(run, OfSubject(who.issuer, who.caller.tenant, who.name))


# ---- all of them -----------------------------------------------------------------------------------------------------

ACTIONS: Final[Sequence[Action]] = (
    Action(Name.REVOKE, AdminRole.SECURITY, "POST", "/revocations", _revoke, takes_body=True),
    Action(Name.LIST_REVOCATIONS, AdminRole.SECURITY, "GET", "/revocations", _list_revocations),
    Action(Name.WITHDRAW_REVOCATION, AdminRole.SECURITY, "DELETE", "/revocations/{id}", _withdraw_revocation),
    Action(Name.RELOAD_POLICY, AdminRole.OPERATIONS, "POST", "/policy/reload", _reload),
    Action(Name.LIST_RELEASES, AdminRole.OPERATIONS, "GET", "/releases", _list_releases),
    Action(Name.SWITCH_RELEASE, AdminRole.OPERATIONS, "POST", "/releases/switch", _switch, takes_body=True),
    Action(
        Name.WITHDRAW_RELEASE, AdminRole.OPERATIONS, "POST", "/releases/withdraw", _withdraw_release, takes_body=True
    ),
    Action(
        Name.REINSTATE_RELEASE, AdminRole.OPERATIONS, "POST", "/releases/reinstate", _reinstate_release, takes_body=True
    ),
    Action(Name.STATUS, AdminRole.OPERATIONS, "GET", "/status", _status),
    Action(Name.READ_AUDIT_HEAD, AdminRole.PRIVACY, "GET", "/audit/head", _audit_head),
    Action(Name.REVIEW, AdminRole.PRIVACY, "GET", "/review", _review, query=frozenset({"idle_days"})),
    Action(Name.EXPORT_SUBJECT, AdminRole.PRIVACY, "POST", "/subjects/export", _export_subject, takes_body=True),
    Action(Name.ERASE_SUBJECT, AdminRole.PRIVACY, "POST", "/subjects/erase", _erase_subject, takes_body=True),
)


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _read(body: Mapping[str, Any], kind: type[T]) -> T:
    """Raises UnknownField, BadField; whose own texts would quote the body."""
    if body.keys() - {field.name for field in msgspec.structs.fields(kind)}:  # type: ignore[arg-type]
        raise UnknownField
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError:
        raise BadField from None


async def _acknowledged(asking: Awaitable[T]) -> T:
    """What the store says. Raises NotAcknowledged."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await asking
    except (StateUnavailable, TimeoutError):
        raise NotAcknowledged from None
