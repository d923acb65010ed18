"""Revoking, withdrawing, listing: what the command does, and whoever else administrates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.auth.revocation import Kind, Revocation, understood
from gateway.auth.tokens import MAX_ID_CHARS, MAX_SUBJECT_CHARS, can_be
from gateway.policy.load import Rules
from gateway.policy.schema import ADMIN_PREFIX, SignerPolicy
from gateway.release.standing import ID_PREFIX
from gateway.state import Entry, Store
from gateway.types import AdminRole


class NotAimed(Exception):
    """The wish means nobody, or more than it says; the text tells the operator why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator named; whatever he left out is None."""

    token_id: str | None = None
    subject: str | None = None
    role: str | None = None
    issuer: str | None = None
    tenant: str | None = None
    issued_before: float | None = None  # seconds since the epoch
    administrator: bool = False  # an administrator is meant, and no caller


@dataclass(frozen=True, slots=True)
class Listed:
    """A revocation in force, and when it is forgotten. None: one that this version does not understand."""

    id: str
    revocation: Revocation | None
    expires_at: float | None


async def revoke(store: Store, revocation: Revocation, now: float) -> str:
    """Its id. When this returns the store has acknowledged it, and every replica obeys within a second. Raises
    StateUnavailable: it is not acknowledged."""
    await store.put(Entry(revocation.id, revocation.written(), revocation.expires_at(now)), now)
    return revocation.id


async def withdraw(store: Store, entry_id: str, now: float) -> bool:
    """False: no revocation has this id. Raises StateUnavailable."""
    return _is_one(entry_id) and await store.withdraw(entry_id, now)


async def listed(store: Store, now: float) -> list[Listed]:
    """All that are in force, by id. Raises StateUnavailable."""
    found = [entry for entry in (await store.changes(None)).entries if _is_one(entry.id)]
    in_force = sorted((e for e in found if e.expires_at is None or e.expires_at > now), key=lambda entry: entry.id)
    return [Listed(entry.id, understood(entry.text), entry.expires_at) for entry in in_force]


def whose(issuer: str | None, tenant: str | None, role: str | None, rules: Rules) -> tuple[str | None, ...]:
    """Issuer, tenant and role of the callers that are meant, by the policy in force; None: any. What is of an issuer is
    of one of its tenants, and where there is one it need not be named. Raises NotAimed."""
    wish = Wish(issuer=issuer, tenant=tenant)
    found = _signers(wish, rules.signers, needed=tenant is not None)
    of_tenant = _tenant(wish, found, needed=True)
    of_role = None if role is None else _role(role, rules, administrator=False)
    return found[0].issuer if found else None, of_tenant, of_role


def _is_one(entry_id: str) -> bool:
    """What is said of releases stands in the same store, and is others' to say."""
    return not entry_id.startswith(ID_PREFIX)


def aim(wish: Wish, rules: Rules) -> Revocation:
    """From what was named to what is meant, by the policy in force: a name that it does not know would revoke nothing.
    Where there is one issuer, and one tenant of it, they need not be named. Raises NotAimed."""
    kind, value = _named(wish)
    signers = rules.administrators if wish.administrator else rules.signers
    of_issuer = kind in (Kind.TOKEN_ID, Kind.SUBJECT) or wish.tenant is not None or wish.administrator
    found = _signers(wish, signers, needed=of_issuer)
    tenant = _tenant(wish, found, needed=kind is Kind.SUBJECT or wish.administrator)
    if kind is Kind.TOKEN_ID and all(each.token_id_claim is None for each in found):
        raise NotAimed("tokens of this issuer have no id; revoke by subject, or by time")
    if kind is Kind.ROLE:
        value = _role(value, rules, administrator=wish.administrator)
    if value and not can_be(value, MAX_ID_CHARS if kind is Kind.TOKEN_ID else MAX_SUBJECT_CHARS):
        raise NotAimed("no token has such a text: it is too long, or has characters that can't be printed")
    try:
        return Revocation(kind, value, found[0].issuer if found else None, tenant, wish.issued_before)
    except ValueError as error:
        raise NotAimed(str(error)) from None


def _named(wish: Wish) -> tuple[Kind, str]:
    named = [(Kind.TOKEN_ID, wish.token_id), (Kind.SUBJECT, wish.subject), (Kind.ROLE, wish.role)]
    found = [(kind, value) for kind, value in named if value is not None]
    if len(found) > 1:
        raise NotAimed("name one of a token id, a subject and a role")
    if found:
        return found[0]
    if wish.issued_before is None:
        raise NotAimed("name a token id, a subject, a role, or a time of issue")
    return Kind.EVERYTHING, ""


def _role(value: str, rules: Rules, *, administrator: bool) -> str:
    if value not in (frozenset(AdminRole) if administrator else rules.roles):
        raise NotAimed("this is not a role of administrators" if administrator else "this is not a role of the policy")
    return ADMIN_PREFIX + value if administrator else value


def _signers(wish: Wish, signers: Sequence[SignerPolicy], *, needed: bool) -> Sequence[SignerPolicy]:
    """The entries of the issuer that is meant: two where it signs assertions of end users as well."""
    names = {each.issuer for each in signers}
    if wish.issuer is None:
        if needed and len(names) > 1:
            raise NotAimed("the policy has several issuers; name the one that is meant")
        return signers if needed else ()
    if wish.issuer not in names:
        raise NotAimed("this is not an issuer of the policy")
    return [each for each in signers if each.issuer == wish.issuer]


def _tenant(wish: Wish, signers: Sequence[SignerPolicy], *, needed: bool) -> str | None:
    if not signers:
        return None
    known = {name for each in signers for name in (each.tenant.fixed, *each.tenant.allowed) if name is not None}
    if wish.tenant is None:
        if needed and len(known) > 1:
            raise NotAimed("this issuer has several tenants; name the one that is meant")
        return next(iter(known)) if needed else None
    if wish.tenant not in known:
        raise NotAimed("this is not a tenant of this issuer")
    return wish.tenant
