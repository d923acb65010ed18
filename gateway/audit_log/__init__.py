"""Who administrated what, and when: what an audit record says, and the one way to write it.

1. A record is made from closed sets, names that the configuration knows, marks and numbers. There is no free text in
   it, so that whoever asks can't put any there: of a call whose token is not good nothing that it said is recorded.
2. Each action has two records, ASKED before it is done and its outcome after. `write` returns once the record is on the
   disk; where it raises, the action is not done. An ASKED without an outcome is a process that ended in between.
3. Records form a chain of hashes (gateway/audit_log/lines.py), which `tightlip audit-log verify` checks.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.auth.revocation import Revocation
from gateway.errors import GatewayError, NotAuthenticated
from gateway.types import Principal, RequestId


class AuditUnavailable(Exception):
    """The record could not be made durable: what it is about must not be done. The text is fixed, names files at most,
    and may be shown to an operator."""


class AuditUnfit(AuditUnavailable):
    """The place for records is not what it must be; asking again won't help."""


class Action(enum.StrEnum):
    """What was to be done."""

    REVOKE = "revoke"
    WITHDRAW_REVOCATION = "withdraw_revocation"
    LIST_REVOCATIONS = "list_revocations"
    RELOAD_POLICY = "reload_policy"
    REVIEW = "review"
    STATUS = "status"
    LIST_RELEASES = "list_releases"
    SWITCH_RELEASE = "switch_release"
    WITHDRAW_RELEASE = "withdraw_release"
    REINSTATE_RELEASE = "reinstate_release"
    READ_AUDIT_HEAD = "read_audit_head"
    EXPORT_SUBJECT = "export_subject"
    ERASE_SUBJECT = "erase_subject"
    UNKNOWN = "unknown"  # nothing that there is


class Outcome(enum.StrEnum):
    """How far it came."""

    ASKED = "asked"  # allowed, and not done yet
    DONE = "done"
    REFUSED = "refused"  # not done
    FAILED = "failed"  # it may have been done or not


class By(enum.StrEnum):
    """What kind of actor it was."""

    TOKEN = "token"  # noqa: S105 - a principal whom a token proved
    NOBODY = "nobody"  # a call whose token was not good
    FILE = "file"  # whoever changed a file that the gateway reads again
    COMMAND = "command"  # a command on the gateway's own machine


@dataclass(frozen=True, slots=True)
class OfRevocation:
    """A revocation to be made. Written are its id, its kind and whose it is; a subject or a token id as a mark."""

    revocation: Revocation


@dataclass(frozen=True, slots=True)
class OfId:
    """A revocation by its id; what can be none is not written."""

    revocation_id: str


@dataclass(frozen=True, slots=True)
class OfRelease:
    """A release of a model, several with their shares (`blue=9+green=1`), or all of them (None). Names that the
    configuration, the policy or the store knows, nobody else's."""

    model: str
    release: str | None = None
    before: str | None = None  # what it replaces
    issuer: str | None = None  # whose requests it is about: everybody's, if nothing is said
    tenant: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class OfSubject:
    """A person, as a tenant knows him. Written as a mark."""

    issuer: str
    tenant: str
    subject: str


Target = OfRevocation | OfId | OfRelease | OfSubject


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One administrative call, or what became of it. `principal` is whom a good token proved, and nobody else.

    `code` is why it was refused or failed: `code_of` an error, which for a token is a `Reason`. Policies are versions.
    """

    action: Action
    outcome: Outcome
    by: By
    request_id: RequestId  # the same for all records of one call
    principal: Principal | None = None
    address: str | None = None  # the caller's, full; written as `log.address` says
    target: Target | None = None
    code: str | None = None
    policy_before: str | None = None
    policy_after: str | None = None
    count: int = 1  # of calls that this record stands for

    def __post_init__(self) -> None:
        """Raises ValueError for what contradicts itself: a mistake in our code."""
        if (self.by is By.TOKEN) != (self.principal is not None):
            raise ValueError("a principal is who came with a good token")
        if (self.outcome in (Outcome.REFUSED, Outcome.FAILED)) != (self.code is not None):
            raise ValueError("what was refused or failed has a code, and nothing else has")


class AuditLog(Protocol):
    """Where audit records go."""

    async def write(self, record: AuditRecord) -> None:
        """Returns when the record is durable. Raises AuditUnavailable: then what it is about must not be done."""
        ...


class NoAuditLog:
    """Where none is configured: nothing can be recorded, so nothing can be administrated."""

    async def write(self, record: AuditRecord) -> None:
        """As `AuditLog.write`; always raises."""
        raise AuditUnavailable("no audit log is configured")


NO_AUDIT_LOG: Final = NoAuditLog()


def code_of(error: GatewayError) -> str:
    """Why a call was refused: the reason where it is one of a token's, else the error's own code."""
    return error.reason if isinstance(error, NotAuthenticated) else error.code or error.type
