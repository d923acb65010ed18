"""What the administration API takes and answers, for the API and its clients: bodies with these members and no others,
answers to which a newer version may add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

PREFIX: Final = "/admin/v1"


# ---- bodies ----------------------------------------------------------------------------------------------------------


class RevocationAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom an administrator means; what he leaves out is None."""

    token_id: str | None = None
    subject: str | None = None
    role: str | None = None
    issuer: str | None = None
    tenant: str | None = None
    issued_before: float | None = None  # seconds since the epoch
    administrator: bool = False  # what is named is administrators' and not callers'
    including_myself: bool = False  # also if who asks is shut out by it


class SwitchAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which releases of a model are to answer whose requests. `shares` are parts of the callers by release; null takes
    the choice for these requests back."""

    model: str
    shares: dict[str, int] | None
    issuer: str | None = None
    tenant: str | None = None
    role: str | None = None


class ReleaseAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    release: str


class SubjectAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom an administrator means: a caller, or whoever sits before that application."""

    subject: str
    issuer: str | None = None
    tenant: str | None = None
    end_user: str | None = None
    end_user_issuer: str | None = None  # that signed who he is; None: any, or nobody


# ---- answers ---------------------------------------------------------------------------------------------------------


class RevocationShown(msgspec.Struct, frozen=True):
    """A revocation in force. `kind` is None where a newer version made it; times are seconds since the epoch."""

    id: str
    kind: str | None
    value: str = ""
    issuer: str | None = None
    tenant: str | None = None
    issued_before: float | None = None
    expires_at: float | None = None


class Revoked(msgspec.Struct, frozen=True):
    """`shared`: every gateway on the store obeys; otherwise this process alone, until it ends."""

    revocation: RevocationShown
    shared: bool


class Revocations(msgspec.Struct, frozen=True):
    """All that are in force, by id."""

    revocations: list[RevocationShown]


class Withdrawn(msgspec.Struct, frozen=True):
    id: str
    shared: bool


class Reloaded(msgspec.Struct, frozen=True):
    """Versions of the policy."""

    before: str
    now: str


class AuditHead(msgspec.Struct, frozen=True):
    """How far the audit log of a process has come, as `tightlip audit-log verify --head` takes it; None where it is not
    known yet."""

    head: str | None


class GrantUse(msgspec.Struct, frozen=True):
    """Times are seconds since the epoch; `last` is None for what was never used, `since` where nobody has told yet."""

    role: str
    endpoint: str
    model: str | None
    since: float | None
    last: float | None
    idle: bool


class CallerUse(msgspec.Struct, frozen=True):
    """A caller under the mark that the store has for him."""

    tenant: str
    role: str
    caller: str
    since: float | None
    last: float | None
    idle: bool


class Reviewed(msgspec.Struct, frozen=True):
    """`marks_kept`: callers have the same marks after the next start."""

    grants: list[GrantUse]
    callers: list[CallerUse]
    removable: list[str]
    marks_kept: bool


class ItemShown(msgspec.Struct, frozen=True):
    """Something that is kept of a person. Of a limit or a measure `amount` was taken; `time` is when that was, `ends`
    when it goes by itself, in seconds since the epoch."""

    what: str  # a limit's name in the policy, a measure, `last_use`, a revocation's id
    role: str | None = None
    signed_by: str | None = None  # of an end user
    amount: float | None = None
    time: float | None = None
    ends: float | None = None


class PlaceShown(msgspec.Struct, frozen=True):
    """A place where something of a person could be. `why` something stays there, or nobody looked, and until when."""

    place: str
    why: str | None = None
    until: str | None = None
    searched: bool = False
    found: int = 0
    erased: int = 0
    values: list[ItemShown] = []


class MarkShown(msgspec.Struct, frozen=True):
    """Somebody's mark in records from the `first` of these days (UTC) to the `last`; None: whenever they were."""

    mark: str
    first: str | None
    last: str | None


class Receipt(msgspec.Struct, frozen=True):
    """What was looked at for one person, and what came of it.

    `known`: the policy has this issuer and tenant. `mark` is his in last uses, `audit_mark` that in the audit log; None
    where he has none of his own. `record_marks` are his in records of requests and security events, a period's each, as
    far back as any are kept. `audit_head` is how far the audit log had come, with the record that
    this was asked. `left` says in which files copies of what was erased may be. Gateways that had him among their
    last uses tell of it up to `again_after` seconds later. `shared`: what every gateway on the store knows; else what
    this process does.
    """

    call: str
    at: float
    issuer: str
    tenant: str
    subject: str
    end_user: str | None
    known: bool
    mark: str | None
    record_marks: list[MarkShown]
    marks_kept: bool
    audit_mark: str | None
    audit_head: str | None
    shared: bool
    places: list[PlaceShown]
    left: list[str]
    again_after: float


class ReleaseDone(msgspec.Struct, frozen=True):
    """`shared`: every gateway on the store obeys; otherwise this process alone, until it ends."""

    shared: bool


class ReleaseShown(msgspec.Struct, frozen=True):
    """`released_as`: its name in the signed release file; None: it is served without one. `open`: it checks out here.
    `part`: of the callers about whose role and tenant nothing is chosen."""

    name: str
    released_as: str | None
    open: bool
    withdrawn: bool
    part: float


class ChoiceShown(msgspec.Struct, frozen=True):
    """`unknown`: those of its releases that this gateway does not have."""

    shares: dict[str, int]
    issuer: str | None
    tenant: str | None
    role: str | None
    unknown: list[str]


class ModelReleases(msgspec.Struct, frozen=True):
    """`withdrawn` are names, of releases that this gateway does not have too."""

    model: str
    releases: list[ReleaseShown]
    choices: list[ChoiceShown]
    withdrawn: list[str]


class Releases(msgspec.Struct, frozen=True):
    """As one process knows them."""

    models: list[ModelReleases]


class ModelStatus(msgspec.Struct, frozen=True):
    """`open`: a release that is in service answers. `released`: all of its releases are checked against what they were
    signed as."""

    open: bool
    released: bool


class Status(msgspec.Struct, frozen=True):
    """Of one process. `not_ready` are the reasons, of a closed set; ages are seconds, None before the first time."""

    version: str
    ready: bool
    not_ready: list[str]
    policy: str
    revocations: int
    revocations_age: float | None
    shared: bool
    models: Mapping[str, ModelStatus]
