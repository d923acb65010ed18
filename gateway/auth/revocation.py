"""What is revoked, and whether a caller is. Pure: no clock, no store.

A revocation says which tokens it means: those with an id, of a subject, of a role, or all; of one issuer, of one of
its tenants, or of everybody; and, where it names a time, only those issued before it (by the token's own `iat`). Two
tenants that know the same subject or token id have nothing to do with each other: a subject is one of a tenant, a token
id one of an issuer, and of a tenant where one is named.

It can be forgotten once no token that it means can live. A token id is given out once, so that is a longest life after
the revocation; with a time it is a longest life after that time. What means a subject's or a role's tokens whenever
they are issued stays until it is withdrawn. The longest life is the one that no policy may exceed, not the issuer's of
today: a policy that allows longer lives tomorrow must not bring a token back.
"""

from __future__ import annotations

import enum
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.auth.tokens import LEEWAY, MAX_TIME
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.schema import LONGEST_LIFE
from gateway.types import Principal

ALWAYS: Final = math.inf  # "issued before" of what names no time
ID_CHARS: Final = 16  # of a hash: 64 bits name a revocation well enough to type

_ID: Final = re.compile(rf"[0-9a-f]{{{ID_CHARS}}}", re.ASCII)
_Target = tuple["Kind", str, str | None, str | None]


class Kind(enum.StrEnum):
    """What a revocation names its tokens by."""

    TOKEN_ID = "token_id"  # noqa: S105 - the name of a kind
    SUBJECT = "subject"
    ROLE = "role"
    EVERYTHING = "everything"


_REASONS: Final[Mapping[Kind, Reason]] = {
    Kind.TOKEN_ID: Reason.REVOKED_TOKEN,
    Kind.SUBJECT: Reason.REVOKED_SUBJECT,
    Kind.ROLE: Reason.REVOKED_ROLE,
    Kind.EVERYTHING: Reason.REVOKED_TIME,
}


@dataclass(frozen=True, slots=True)
class Revocation:
    """The tokens that are no longer good. Raises ValueError, with a text for an operator, where it means nothing."""

    kind: Kind
    value: str = ""  # the token id, subject or role
    issuer: str | None = None
    tenant: str | None = None
    issued_before: float | None = None  # seconds since the epoch

    def __post_init__(self) -> None:
        if (self.kind is Kind.EVERYTHING) != (self.value == ""):
            raise ValueError("needs a token id, a subject or a role, or a time alone")
        if self.kind is Kind.EVERYTHING and self.issued_before is None:
            raise ValueError("everything needs a time before which it was issued")
        if self.issuer is None and (self.tenant is not None or self.kind in (Kind.TOKEN_ID, Kind.SUBJECT)):
            raise ValueError("a token id, a subject or a tenant is one of an issuer")
        if self.kind is Kind.SUBJECT and self.tenant is None:
            raise ValueError("a subject is one of a tenant")
        if self.issued_before is not None and not 0 < self.issued_before < MAX_TIME:
            raise ValueError("the time must be seconds since the epoch")

    @property
    def id(self) -> str:
        """The same for the same revocation, so that saying it twice makes one."""
        return hashlib.sha256(self.written().encode()).hexdigest()[:ID_CHARS]

    @property
    def threshold(self) -> float:
        """Tokens issued before are meant."""
        return ALWAYS if self.issued_before is None else self.issued_before

    def expires_at(self, now: float) -> float | None:
        """When no token that it means can live, if it is made `now`. None: never. A token's clock may be off by
        LEEWAY at its beginning and again at its end."""
        if self.issued_before is not None:
            return self.issued_before + LONGEST_LIFE + LEEWAY
        return now + LONGEST_LIFE + 2 * LEEWAY if self.kind is Kind.TOKEN_ID else None

    def written(self) -> str:
        """As a store keeps it."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def read(cls, text: str) -> Revocation:
        """Raises ValueError for what is none: a kind that only a newer version knows can't be obeyed here. A condition
        that only a newer version knows is left out, so that more is refused and never less."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError:
            raise ValueError("is no revocation") from None


def can_be_id(text: str) -> bool:
    """Whether a revocation may have this id."""
    return _ID.fullmatch(text) is not None


def understood(text: str) -> Revocation | None:
    """None: a newer version wrote it, and it can't be obeyed here."""
    try:
        return Revocation.read(text)
    except ValueError:
        return None


class Revocations:
    """The full copy that every replica holds. Fulfils `gateway.revocations.Book`. A look-up is a dozen of
    dictionary's, however many there are."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Revocation, float | None]] = {}
        self._by_target: dict[_Target, dict[str, float]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[str]:
        """Their ids."""
        return iter(self._known)

    def put(self, entry_id: str, revocation: Revocation, expires_at: float | None) -> None:
        self.drop(entry_id)
        self._known[entry_id] = revocation, expires_at
        self._by_target.setdefault(_target(revocation), {})[entry_id] = revocation.threshold

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._known

    def drop(self, entry_id: str) -> None:
        """As `Book.drop`."""
        revocation, _ = self._known.pop(entry_id, (None, None))
        if revocation is None:
            return
        target = _target(revocation)
        del self._by_target[target][entry_id]
        if not self._by_target[target]:
            del self._by_target[target]

    def learn(self, entry_id: str, text: str, expires_at: float | None) -> bool:
        """As `Book.learn`."""
        revocation = understood(text)
        if revocation is not None:
            self.put(entry_id, revocation, expires_at)
        return revocation is not None

    def is_ahead(self, entry_id: str, text: str) -> bool:
        """As `Book.is_ahead`: a revocation has one state."""
        return False

    def written(self, entry_id: str) -> tuple[str, float | None]:
        """As `Book.written`."""
        revocation, expires_at = self._known[entry_id]
        return revocation.written(), expires_at

    def expire(self, now: float) -> None:
        """As `Book.expire`: forget what no living token can match."""
        for entry_id in [name for name, (_, ends) in self._known.items() if ends is not None and ends <= now]:
            self.drop(entry_id)

    def check(self, principal: Principal) -> None:
        """Raises NotAuthenticated: his token is revoked."""
        if not self._by_target:
            return
        for kind, value, issuer, issued in _named(principal):
            for scope in ((issuer, principal.tenant), (issuer, None), (None, None)):
                found = self._by_target.get((kind, value, *scope))
                if found is not None and any(issued < threshold for threshold in found.values()):
                    raise NotAuthenticated(_REASONS[kind])


def _named(principal: Principal) -> Iterator[tuple[Kind, str, str, float]]:
    """By what a revocation may mean him, of whose issuer, and when that was issued. It may mean the end user as well,
    whom an issuer knows as a subject, or the assertion that said who he is."""
    issuer, issued = principal.issuer, principal.issued_at
    if principal.token_id is not None:
        yield Kind.TOKEN_ID, principal.token_id, issuer, issued
    yield Kind.SUBJECT, principal.subject, issuer, issued
    yield Kind.ROLE, principal.role, issuer, issued
    yield Kind.EVERYTHING, "", issuer, issued
    end_user = principal.end_user
    if end_user is not None and end_user.issuer is not None:
        yield Kind.SUBJECT, end_user.name, end_user.issuer, end_user.issued_at
        yield Kind.EVERYTHING, "", end_user.issuer, end_user.issued_at
        if end_user.token_id is not None:
            yield Kind.TOKEN_ID, end_user.token_id, end_user.issuer, end_user.issued_at


def _target(revocation: Revocation) -> _Target:
    return revocation.kind, revocation.value, revocation.issuer, revocation.tenant
