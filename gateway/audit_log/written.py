"""From an audit record to what is written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.audit_log import AuditRecord, OfId, OfRelease, OfRevocation, OfSubject, Target
from gateway.auth.revocation import Kind, can_be_id
from gateway.errors import Reason, error_codes
from gateway.observe.logs import name
from gateway.observe.pseudonyms import AddressForm, Pseudonyms
from gateway.types import Principal

AuditSubject = Literal["plain", "hashed"]
TEXT_CHARS: Final = 256  # of an issuer, a tenant or a subject; none that a token may have is longer


@dataclass(frozen=True, slots=True)
class Marks:
    """How persons and addresses are written."""

    own: AuditSubject  # those who administrate
    pseudonyms: Pseudonyms  # hashed, and lasting: a record here has to be whose it is for as long as it is kept

    @classmethod
    def of(cls, root: bytes, subject: AuditSubject, address: AddressForm) -> Marks:
        """Raises ValueError for a root that is too short."""
        return cls(subject, Pseudonyms(root, subject="hashed", address=address))

    def actor(self, principal: Principal) -> str | None:
        return _text(principal.subject) if self.own == "plain" else self.pseudonyms.lasting(principal)

    def subject(self, issuer: str, tenant: str, subject: str) -> str | None:
        return self.pseudonyms.lasting(Principal(issuer, tenant, subject, None, "", 0.0))


def written(record: AuditRecord, marks: Marks) -> dict[str, Any]:
    """The members of a `Call` but for its place in the chain."""
    principal = record.principal
    return {
        "request_id": name(record.request_id),
        "action": record.action.value,
        "outcome": record.outcome.value,
        "code": _code(record.code),
        "by": record.by.value,
        "issuer": _text(principal.issuer) if principal else None,
        "tenant": _text(principal.tenant) if principal else None,
        "subject": marks.actor(principal) if principal else None,
        "role": _text(principal.role) if principal else None,
        "address": marks.pseudonyms.lasting_address(record.address),
        "count": record.count,
        "policy_before": name(record.policy_before),
        "policy_after": name(record.policy_after),
        **_target(record.target, marks),
    }


def _target(target: Target | None, marks: Marks) -> dict[str, Any]:
    if isinstance(target, OfRevocation):
        return _revocation(target, marks)
    if isinstance(target, OfId):
        return {"revocation": target.revocation_id if can_be_id(target.revocation_id) else None}
    if isinstance(target, OfRelease):
        return _release(target)
    if isinstance(target, OfSubject):
        mark = marks.subject(target.issuer, target.tenant, target.subject)
        return {"target_issuer": _text(target.issuer), "target_tenant": _text(target.tenant), "target_mark": mark}
    return {}


def _release(target: OfRelease) -> dict[str, Any]:
    return {
        "model": name(target.model),
        "release": _names(target.release),
        "release_before": _names(target.before),
        "target_issuer": _text(target.issuer),
        "target_tenant": _text(target.tenant),
        "target_role": _text(target.role),
    }


def _names(text: str | None) -> str | None:
    """Of releases with their shares (`gateway.release.standing.told`): as many as there is room for."""
    return "+".join(name(each) or "" for each in text.split("+"))[:TEXT_CHARS] if text is not None else None


def _revocation(target: OfRevocation, marks: Marks) -> dict[str, Any]:
    revocation = target.revocation
    personal = revocation.kind in (Kind.SUBJECT, Kind.TOKEN_ID)
    mark = marks.subject(revocation.issuer or "", revocation.tenant or "", revocation.value) if personal else None
    return {
        "revocation": revocation.id,
        "revokes": revocation.kind.value,
        "issued_before": revocation.issued_before,
        "target_issuer": _text(revocation.issuer),
        "target_tenant": _text(revocation.tenant),
        "target_role": _text(revocation.value) if revocation.kind is Kind.ROLE else None,
        "target_mark": mark,
    }


def _text(text: str | None) -> str | None:
    """What a token or the policy names; what can't be printed is no part of such a name."""
    if not text:
        return None
    return "".join(character if character.isprintable() else "?" for character in text[:TEXT_CHARS])


def _code(code: str | None) -> str | None:
    """One of the closed set."""
    return code if code is None or code in _CODES else "other"


_CODES: Final = frozenset(Reason) | error_codes()
