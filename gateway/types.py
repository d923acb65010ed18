"""The values that a request turns into on its way, in order: Principal, Grant, Plan."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, NewType

from filters.index.lookup import NO_AUDIENCE
from filters.knowledge import Knowledge
from filters.profile import Profile
from filters.specificity.described import Turn
from gateway.policy.limits import DEFAULT_LIMITS, NO_RATE_LIMITS, RateLimits, RequestLimits

RequestId = NewType("RequestId", str)
ONLY: Final = "default"  # the release of a model that the configuration gives one without a name

# What is done with a token's certificate: it must name one, one that it names is checked, or nobody looks.
CertificateBinding = Literal["required", "checked", "ignored"]
# Of requests and answers, on top of TLS (docs/encryption.md): they must be, they may be, they are not.
Encryption = Literal["required", "accepted", "none"]


class Endpoint(enum.StrEnum):
    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    MODELS = "/v1/models"
    KEYS = "/v1/encryption-keys"


class AdminRole(enum.StrEnum):
    """What an administrator may do (gateway/admin/actions.py). None has all, and a token has one."""

    SECURITY = "security"
    OPERATIONS = "operations"
    PRIVACY = "privacy"


class Release(NamedTuple):
    """One of a served model's releases, both as the configuration calls them."""

    model: str
    name: str = ONLY

    def __str__(self) -> str:
        return self.model if self.name == ONLY else f"{self.model}, release {self.name}"


class FieldAction(enum.StrEnum):
    """What becomes of a request's field (gateway/policy/fields.py)."""

    FORWARD = "forward"
    IGNORE = "ignore"
    REFUSE = "refuse"


class PartType(enum.StrEnum):
    """Of a message's content parts, beside text."""

    IMAGE = "image_url"
    AUDIO = "input_audio"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class EndUser:
    """Who sits before the application that calls. He has a budget and limits of his own, and never another role or
    clearance than the application's.

    `issuer` signed that it is he; None: the application says so, in a field that nobody signed.
    """

    issuer: str | None
    name: str
    issued_at: float = 0.0  # seconds since the epoch, of what was signed
    token_id: str | None = None  # of an assertion

    @property
    def signed(self) -> bool:
        return self.issuer is not None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as the token proved it. `end_user` is one that was signed."""

    issuer: str
    tenant: str
    subject: str
    token_id: str | None
    role: str
    expires_at: float  # seconds since the epoch, as the token says it
    issued_at: float = 0.0  # likewise; what doesn't say is as old as can be
    bound_to: bytes | None = None  # the SHA-256 of the certificate that the token is good with; None: with any or none
    end_user: EndUser | None = None


@dataclass(frozen=True, slots=True)
class Clearance:
    """How far a role may see: the rank of its level, and those of audiences by their names; nothing, by default."""

    rank: int = -1
    audiences: Mapping[str, int] = field(default_factory=dict)
    unmapped: int = 0  # of an audience that is not among them

    def rank_of(self, audience: str) -> int:
        """That of an audience's level."""
        return self.audiences.get(audience, self.unmapped)

    def covers(self, audience: str) -> bool:
        """Whether what is for this audience may be seen."""
        return self.rank_of(audience) <= self.rank

    def highest(self, audiences: Sequence[str]) -> str:
        """The last of an index's audiences, the lowest first, up to which all are covered; NO_AUDIENCE if the first is
        not."""
        covered = list(itertools.takewhile(self.covers, audiences))
        return covered[-1] if covered else NO_AUDIENCE

    def audience(self, knowledge: Knowledge) -> str | None:
        """That of what is known of a model; None where it has no index."""
        return self.highest(knowledge.index.header.audiences) if knowledge.index else None


@dataclass(frozen=True, slots=True)
class Grant:
    """What that principal may do with this endpoint and model. Made by `rbac.authorize` only."""

    principal: Principal
    endpoint: Endpoint
    model: str
    profile: Profile
    policy_version: str
    max_output_tokens: int  # of each choice
    max_choices: int
    fields: Mapping[str, FieldAction] = field(default_factory=dict)  # by path, where not as the table has it
    request: RequestLimits = DEFAULT_LIMITS
    content_parts: frozenset[PartType] = frozenset()
    priority: int = 0  # vLLM's: higher is later
    max_streams: int | None = None  # of a tenant's answers in the role from this model at once; None: any number
    clearance: Clearance = Clearance()
    limits: RateLimits = NO_RATE_LIMITS  # of the caller
    total_limits: RateLimits = NO_RATE_LIMITS  # of all of his tenant in his role
    end_user_limits: RateLimits = NO_RATE_LIMITS  # of each end user of the caller's
    strict: Profile | None = None  # in place of `profile`, once he has spent his budget; None: there is none stricter
    encryption: Encryption = "none"

    def forwards(self, name: str) -> bool:
        """Whether this role was given a field that is refused by default."""
        return self.fields.get(name) is FieldAction.FORWARD


@dataclass(frozen=True, slots=True)
class Tells:
    """What the answer says of the tokens that its released text was written with."""

    logprobs: bool = False
    token_ids: bool = False

    @property
    def anything(self) -> bool:
        return self.logprobs or self.token_ids


@dataclass(frozen=True, slots=True)
class Plan:
    """One admitted request: what goes upstream, and what the filters must know of it. Made by `parameters.admit` only.

    `body` is the upstream request without the fields that the gateway sets itself (model, stream, stream_options,
    logprobs, return_token_ids, stop). It is built from nothing by the field table.
    """

    grant: Grant
    body: Mapping[str, Any]
    stream: bool
    include_usage: bool
    n: int
    max_tokens: int | None
    stop: tuple[str, ...]
    own_texts: tuple[str, ...]  # what the end user wrote, and tool results: these ground
    turns: tuple[Turn, ...]  # all messages in their order, and what of earlier answers stands beside them
    continued: str  # the tail of what the model continues: a completion's prompt; "" for a chat
    json_keys: frozenset[str]  # keys that stand in the request's tools, schema or messages
    tool_names: frozenset[str]
    json_mode: bool
    answer_schema: Mapping[str, Any] | None  # that the document in JSON mode follows
    tool_schemas: Mapping[str, Mapping[str, Any]]  # of the arguments of each tool that says so, by its name
    tells: Tells
    end_user: EndUser | None = None  # the principal's, or else one whom only the request names
