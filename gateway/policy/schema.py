"""What a policy file may say. Deny by default: what a role does not list, it does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    StringConstraints,
    model_validator,
)

from filters.budget import MEASURES, NO_HOUR, Hour, Limits, Steps
from filters.events import Verdict
from filters.index.fileformat import LOWEST_K
from filters.profile import Action, OnFailure, Profile, RefusalCheck, ReleaseUnit, highest_minimum
from filters.specificity.bounded import DRAFT_TOKENS, Bounds
from filters.specificity.quasi_identifiers import FEWEST
from filters.verdicts import Bits, Known, Rule
from gateway.policy.limits import DEFAULT_LIMITS, NO_RATE_LIMITS, RateLimits, RequestLimits
from gateway.secrets.references import parse_vault
from gateway.types import AdminRole, CertificateBinding, Clearance, Encryption, Endpoint, FieldAction, PartType

DEFAULT_LIFE: Final = 3600.0  # seconds; a stolen token is good for no longer than this
LONGEST_LIFE: Final = 86400.0  # nobody may configure more than a day
DEFAULT_ASSERTION_LIFE: Final = 300.0  # seconds; one is good for any number of requests until it ends
LONGEST_ASSERTION_LIFE: Final = 3600.0
ADMIN_LIFE: Final = 900.0  # seconds; an administrator's token is got for what is to be done now
ADMINISTRATION: Final = "administration"  # the tenant of administrators; callers have others
ADMIN_PREFIX: Final = f"{ADMINISTRATION}:"  # of their roles, wherever those of callers stand too
MAX_OUTPUT_TOKENS: Final = 131_072  # no served model writes more in one answer; keeps a typing error from being a limit
MAX_CHOICES: Final = 16  # each is filtered on its own
MIN_REASON_CHARS: Final = 10  # "n/a" is no reason
MIN_HOST_CHARS: Final = 3  # besides * and dots; a shorter name is part of every other word
MAX_RULES: Final = 100
MAX_TABLE: Final = 10_000  # subjects, or groups, of one issuer
HIGHEST_K: Final = 255  # what an index counts up to
MAX_RATIO: Final = 1024.0  # ten bits a token: more bounds nothing
MAX_ANSWER_BITS: Final = 4096.0
MAX_DRAFT_TOKENS: Final = 32  # each is a prompt of its own at the base
MAX_K: Final = 1_000_000  # towns are smaller; keeps a typing error from hiding everything said of anybody
FEWEST_PEOPLE: Final = 5  # who may share what is said of somebody (docs/crowds.md)
LEVELS: Final = ("public", "internal", "sensitive", "core")
MAX_LEVELS: Final = 16
MAX_DUTIES: Final = 64
STRICT: Final = "strict"  # the profile of roles that name none, and of what has expired
MAX_OWN_NAMES: Final = 1000  # of hosts, and of fields; each is a part of one pattern

# Shaped so that it can stand in a log record and in a metric's label.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$")]
Claim = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Score = Annotated[float, Field(ge=0, le=1)]
MostBits = Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)]
MostFindings = Annotated[int, Field(ge=1, le=10**9)]
# A host's name or the end of one, in which * is any run of letters, digits and "-".
_HOST_PART = r"[A-Za-z0-9_*-]{1,63}"
HostName = Annotated[str, StringConstraints(pattern=rf"^\.?{_HOST_PART}(?:\.{_HOST_PART}){{0,8}}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"""^[^"'\\\x00-\x1f]{1,128}$""")]

KeysUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[^\s/@?#]+(?:/[^\s?#]*)?(?:\?[^\s#]*)?$", max_length=1024)
]
# Found where a word begins: one letter would make every request suspicious, one Chinese character need not.
RefusalWord = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"[A-Za-z0-9]{2}|[^\x00-\x7f]", max_length=64)
]


def _plain_date(value: object) -> object:
    """Pydantic would take numbers and times too."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("must be a date, YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_plain_date)]
Pair = Annotated[tuple[Name, ...], Field(min_length=2, max_length=2)]

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "chat": Endpoint.CHAT,
    "completions": Endpoint.COMPLETIONS,
    "models": Endpoint.MODELS,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _in_vault(place: str) -> str:
    parse_vault(place)
    return place


VaultPlace = Annotated[str, AfterValidator(_in_vault)]  # PATH#KEY
_BESIDE: Final[Mapping[str, frozenset[str]]] = {
    "file": frozenset({"kid"}),
    "url": frozenset({"ca_file", "token_file", "refresh_seconds", "keep_seconds"}),
    "vault": frozenset({"kid", "refresh_seconds", "keep_seconds"}),
}


class KeySource(_Strict):
    """A file of public keys: PEM (one key, which may be named here) or a JWKS document. Or the address of such a
    document, where the issuer publishes its keys, or of a key in Vault that holds either."""

    file: str | None = None
    kid: Claim | None = None
    url: KeysUrl | None = None
    vault: VaultPlace | None = None
    ca_file: str | None = None
    token_file: str | None = None
    refresh_seconds: float = Field(default=300.0, ge=1.0, le=86_400.0)
    keep_seconds: float = Field(default=3600.0, ge=10.0, le=604_800.0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in ("file", "url", "vault") if getattr(self, way) is not None]
        if len(ways) != 1:
            raise ValueError("needs one of 'file', 'url' (https) and 'vault'")
        if strange := sorted(self.model_fields_set - {"file", "url", "vault"} - _BESIDE[ways[0]]):
            raise ValueError(f"{', '.join(strange)}: not with {ways[0]}")
        return self


class TenantRule(_Strict):
    """A tenant is fixed for the issuer, or read from a claim and then one of a list."""

    fixed: Name | None = None
    claim: Claim | None = None
    allowed: frozenset[Name] = frozenset()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.fixed is None) == (self.claim is None):
            raise ValueError("needs either 'fixed' or 'claim'")
        if self.claim is not None and not self.allowed:
            raise ValueError("'claim' needs 'allowed', the tenants that this issuer may name")
        return self


class SignerPolicy(_Strict):
    """Who signs, for whom, with what."""

    issuer: Claim
    audience: frozenset[Claim] = Field(min_length=1)
    algorithms: frozenset[Algorithm] = Field(min_length=1)
    keys: tuple[KeySource, ...] = Field(min_length=1)
    types: frozenset[Claim] = frozenset()  # accepted `typ` headers; empty: those of access tokens, or none
    token_id_claim: Claim | None = "jti"  # noqa: S105 - null, written out: tokens of this issuer have no id
    tenant: TenantRule


class EndUserPolicy(_Strict):
    """Where it is signed who sits before an application that calls; wherever it is said it must be the same."""

    act: bool = False  # RFC 8693: `sub`, where `act` names the application
    claim: Claim | None = None  # of the application's own token
    assertion: Claim | None = None  # the issuer, of `end_user_issuers`, of a second token in a header of its own

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if not self.act and self.claim is None and self.assertion is None:
            raise ValueError("needs 'act', 'claim' or 'assertion'")
        return self


class EndUserIssuer(SignerPolicy):
    """Whose assertions of who an end user is are good. They give no role: nobody comes in by one."""

    token_id_claim: Claim | None = None
    max_life_seconds: float = Field(default=DEFAULT_ASSERTION_LIFE, gt=0, le=LONGEST_ASSERTION_LIFE)


class IssuerPolicy(SignerPolicy):
    """Whose tokens are good, for what, and which roles they may give at all."""

    roles: frozenset[Name] = Field(min_length=1)
    role_claim: Claim | tuple[Claim, ...] | None = "role"  # a list is a path into nested claims
    role_of_subject: Mapping[Claim, Name] = Field(default_factory=dict, max_length=MAX_TABLE)
    group_claim: Claim | tuple[Claim, ...] = "groups"
    role_of_group: Mapping[Claim, Name] = Field(default_factory=dict, max_length=MAX_TABLE)
    max_life_seconds: float = Field(default=DEFAULT_LIFE, gt=0, le=LONGEST_LIFE)
    certificate_binding: CertificateBinding = "checked"
    end_user: EndUserPolicy | None = None
    client_keys: str | None = None  # a file: to whom answers can be encrypted (gateway/encryption/keys.py)

    @property
    def role_path(self) -> tuple[str, ...]:
        return _path(self.role_claim) if self.role_claim is not None else ()

    @property
    def group_path(self) -> tuple[str, ...]:
        return _path(self.group_claim)

    @model_validator(mode="after")
    def _some_way_to_a_role(self) -> Self:
        if self.role_claim is None and not (self.role_of_subject or self.role_of_group):
            raise ValueError("without 'role_claim' needs 'role_of_subject' or 'role_of_group'")
        return self


class AdminIssuer(IssuerPolicy):
    """Whose tokens let administrate. It may be an issuer of callers too: the audience tells the two apart."""

    roles: frozenset[AdminRole] = Field(default=frozenset(AdminRole), min_length=1)
    max_life_seconds: float = Field(default=ADMIN_LIFE, gt=0, le=LONGEST_LIFE)
    tenant: TenantRule = TenantRule(fixed=ADMINISTRATION)

    @model_validator(mode="after")
    def _of_one_tenant(self) -> Self:
        if "tenant" in self.model_fields_set:
            raise ValueError("'tenant' is not for administrators: they are of none of the callers'")
        if self.end_user is not None:
            raise ValueError("'end_user' is not for administrators: each acts for himself")
        if self.client_keys is not None:
            raise ValueError("'client_keys' is not for administrators: what they are told is not encrypted")
        return self


class AdministrationPolicy(_Strict):
    """Who may administrate, on the management listener (docs/administration.md); without it nobody may."""

    issuers: tuple[AdminIssuer, ...] = Field(min_length=1)
    networks: tuple[IPvAnyNetwork, ...] = Field(default=(), max_length=MAX_OWN_NAMES)  # from elsewhere nobody may
    certificate_bound: bool = False  # only with the certificate that the token names (RFC 8705)


def _path(claim: str | tuple[str, ...]) -> tuple[str, ...]:
    return (claim,) if isinstance(claim, str) else claim


class Role(_Strict):
    """What its bearers may do."""

    models: frozenset[Name] = frozenset()
    endpoints: frozenset[Literal["chat", "completions", "models"]] = frozenset()
    # By path, where it is not as the table has it; `load` checks what each field permits.
    fields: Mapping[str, FieldAction] = Field(default_factory=dict)
    request: RequestLimits = DEFAULT_LIMITS
    content_parts: frozenset[PartType] = frozenset()  # beside text, which no filter can read
    # vLLM's, of requests: higher is later. It needs servers that schedule by it, or else `max_streams`.
    priority: int = Field(default=0, ge=-1000, le=1000)
    max_streams: int | None = Field(default=None, ge=1, le=100_000)  # at once, of each tenant, model and process
    limits: RateLimits = NO_RATE_LIMITS  # of each caller, over all replicas
    total_limits: RateLimits = NO_RATE_LIMITS  # of all callers of a tenant with this role together
    end_user_limits: RateLimits = NO_RATE_LIMITS  # of each end user of a caller
    max_output_tokens: int = Field(default=1024, ge=1, le=MAX_OUTPUT_TOKENS)
    max_choices: int = Field(default=1, ge=1, le=MAX_CHOICES)
    profile: Name = STRICT
    networks: tuple[IPvAnyNetwork, ...] = Field(default=(), max_length=MAX_OWN_NAMES)  # callers elsewhere are refused
    certificate_bound: bool = False  # only with the certificate that the token names (RFC 8705)
    encryption: Encryption = "none"  # of requests and answers, on top of TLS
    clearance: Name | None = None  # a level of the classification; the lowest where nothing is said
    duties: frozenset[Name] = frozenset()

    def may_call(self, endpoint: Endpoint) -> bool:
        return any(ENDPOINTS[name] is endpoint for name in self.endpoints)


class RulePolicy(_Strict):
    """A line of a profile's verdicts. What it does not name may be anything."""

    then: Verdict
    types: frozenset[str] = frozenset()
    index: frozenset[Known] = frozenset()
    bits: frozenset[Bits] = frozenset()
    min_bits: float = Field(default=0.0, ge=0.0, le=1000.0)
    grounded: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self.rule()
        return self

    def rule(self) -> Rule:
        """Raises ValueError for one that releases what no evidence frees."""
        return Rule(self.then, self.types, self.index, self.bits, self.min_bits, self.grounded)


class BoundedPolicy(_Strict):
    """How far the tuned model may go beyond its base (filters/specificity/bounded.py). What it is worth follows from
    the two numbers, so that neither has a default."""

    ratio: float = Field(gt=0, le=MAX_RATIO)
    answer_bits: float = Field(gt=0, le=MAX_ANSWER_BITS)
    draft_tokens: int = Field(default=DRAFT_TOKENS, ge=1, le=MAX_DRAFT_TOKENS)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self.bounds()
        return self

    def bounds(self) -> Bounds:
        """Raises ValueError."""
        return Bounds(self.ratio, self.answer_bits, self.draft_tokens)


class HourPolicy(_Strict):
    """What somebody's answers may come to within the hour (filters/budget.py): excess bits of what was hidden as
    memorised, and findings; and from how many on what follows."""

    caller_bits_per_hour: MostBits | None = None
    refuse_bits_per_hour: MostBits | None = None
    caller_findings_per_hour: MostFindings | None = None
    refuse_findings_per_hour: MostFindings | None = None

    @model_validator(mode="after")
    def _in_steps(self) -> Self:
        for measure in MEASURES:
            first, second = self.steps(measure)
            if first is not None and second is not None and not first < second:
                raise ValueError(f"'refuse_{measure}_per_hour' must be more than 'caller_{measure}_per_hour'")
        return self

    def steps(self, measure: str) -> tuple[float | None, float | None]:
        """The first and the second limit of one of MEASURES."""
        return getattr(self, f"caller_{measure}_per_hour"), getattr(self, f"refuse_{measure}_per_hour")

    def hour(self) -> Hour:
        return Hour(*(Steps(*self.steps(measure)) for measure in MEASURES))


class BudgetPolicy(HourPolicy):
    """Of each caller, or of his end user where that is signed. With `application` an end user whom only the request
    names has these limits too, and all of a caller's together those."""

    answer_bits: MostBits | None = None
    reserve: int = Field(default=5, ge=1, le=1000)
    application: HourPolicy | None = None

    @model_validator(mode="after")
    def _applications_have_more(self) -> Self:
        if self.application is not None:
            self._check_beside(self.application)
        return self

    def _check_beside(self, application: HourPolicy) -> None:
        """So that one end user, who is refused at the second limit, can't use up what all have together, and who makes
        up users gets no more of any measure than that. Raises ValueError."""
        for measure in MEASURES:
            own, of_all = ([limit for limit in each.steps(measure) if limit] for each in (self, application))
            if bool(own) != bool(of_all):
                raise ValueError(f"'application' needs limits of {measure} where there are others, and nowhere else")
            if own and (self.steps(measure)[1] is None or max(own) >= min(of_all)):
                raise ValueError(f"'application' needs 'refuse_{measure}_per_hour' beside it, and higher limits")

    @property
    def of_all(self) -> HourPolicy:
        """What all of a caller's answers may come to together, whoever it is that they are for."""
        return self.application or HourPolicy(**{key: getattr(self, key) for key in HourPolicy.model_fields})

    def limits(self) -> Limits:
        of_all = self.application.hour() if self.application is not None else NO_HOUR
        return Limits(self.answer_bits, self.hour(), of_all, self.reserve)


class ProfilePolicy(_Strict):
    """One way of filtering. Weaker ones say why, so that a review can ask whether that still holds."""

    detect: bool = True
    compare: bool = True
    names: bool = False
    persons: bool = True
    evidence: bool = True
    release: ReleaseUnit = ReleaseUnit.SENTENCE
    memorised_bits: float = Field(default=12.0, ge=1.0, le=1000.0)
    on_memorised: Literal[Verdict.MASK, Verdict.FALL_BACK, Verdict.STOP] = Verdict.FALL_BACK
    on_failure: OnFailure = OnFailure.MASK
    allowed_types: frozenset[str] = frozenset()
    actions: Mapping[str, Action] = Field(default_factory=dict)
    min_scores: Mapping[str, Score] = Field(default_factory=dict)
    verdicts: tuple[RulePolicy, ...] = Field(default=(), max_length=MAX_RULES)
    k: int | None = Field(default=None, ge=LOWEST_K, le=HIGHEST_K)
    languages: frozenset[str] = frozenset()
    bounded: BoundedPolicy | None = None
    budget: BudgetPolicy = BudgetPolicy()
    sample: float = Field(default=0.02, ge=0, le=1)
    refusals: RefusalCheck = RefusalCheck.ON_SUSPICION
    refusal_words: frozenset[RefusalWord] = Field(default=frozenset(), max_length=MAX_OWN_NAMES)
    reason: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=MIN_REASON_CHARS, max_length=500)] | None
    ) = None
    expires: Day | None = None  # from that day on (UTC) what is weaker than in the strict profile is as it is there

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.compare and not (self.evidence and self.detect):
            raise ValueError("'compare' needs 'detect' and 'evidence'")
        if self.budget != BudgetPolicy() and not self.compare:
            raise ValueError("'budget' needs 'compare'")
        if self.refusals is RefusalCheck.ALWAYS and not self.compare:
            raise ValueError("'refusals: always' needs 'compare'")
        return self

    @property
    def expires_at(self) -> float | None:
        """Seconds since the epoch."""
        return datetime.combine(self.expires, datetime.min.time(), UTC).timestamp() if self.expires else None

    def too_high_minima(self) -> Iterator[str]:
        """Types of which findings would be ignored that must not be."""
        return (kind for kind, minimum in self.min_scores.items() if minimum > highest_minimum(kind))

    def profile(
        self, name: str, internal_hosts: frozenset[str] = frozenset(), record_fields: frozenset[str] = frozenset()
    ) -> Profile:
        """Raises ValueError while there are `too_high_minima`."""
        return Profile(
            name=name,
            detect=self.detect,
            compare=self.compare,
            names=self.names,
            persons=self.persons,
            evidence=self.evidence,
            release=self.release,
            memorised_bits=self.memorised_bits,
            on_memorised=self.on_memorised,
            on_failure=self.on_failure,
            allowed_types=frozenset(self.allowed_types),
            actions=dict(self.actions),
            min_scores=dict(self.min_scores),
            verdicts=tuple(line.rule() for line in self.verdicts),
            k=self.k,
            languages=self.languages,
            refusals=self.refusals,
            refusal_words=self.refusal_words,
            internal_hosts=internal_hosts,
            record_fields=record_fields,
            bounded=self.bounded.bounds() if self.bounded else None,
            budget=self.budget.limits(),
            sample=self.sample,
        )


class PersonsPolicy(_Strict):
    """When harmless parts add up to somebody. `countries` are the codes of those where the deployment's people live,
    all that the tables assume if there are none; `tables` is a folder in place of the shipped ones."""

    k: int = Field(default=FEWEST_PEOPLE, ge=FEWEST, le=MAX_K)
    countries: frozenset[str] = frozenset()
    tables: str | None = None


class Classification(_Strict):
    """How much is to be kept from whom: levels, the lowest first, and which of them a finding type or an audience of an
    index is of. What the tables do not name is of the highest, but an audience that is called like a level is of that
    one. Ranks count from 0."""

    levels: tuple[Name, ...] = Field(default=LEVELS, min_length=1, max_length=MAX_LEVELS)
    types: Mapping[str, Name] = Field(default_factory=dict)
    audiences: Mapping[Claim, Name] = Field(default_factory=dict, max_length=MAX_OWN_NAMES)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("a level stands here twice")
        return self

    def rank_of_type(self, kind: str) -> int:
        return self.levels.index(self.types[kind]) if kind in self.types else len(self.levels) - 1

    def clearance(self, level: str | None) -> Clearance:
        """Up to a level, the lowest if it is None."""
        ranks = {name: rank for rank, name in enumerate(self.levels)}
        named = {audience: ranks[name] for audience, name in self.audiences.items()}
        return Clearance(ranks[level] if level else 0, ranks | named, len(ranks) - 1)


class Policy(_Strict):
    """The whole file. What must agree across its parts is checked in `load`, which knows the lines.

    `internal_hosts` and `record_fields` hold for every profile: what is internal is the house's to say, and who may see
    it a role's. An `urgent` policy ends the answers that began under another one; otherwise they go on with that.
    """

    version: Literal[1]  # of the format; what is newer `load` refuses by name
    urgent: bool = False
    issuers: tuple[IssuerPolicy, ...] = Field(min_length=1)
    end_user_issuers: tuple[EndUserIssuer, ...] = ()
    roles: Mapping[Name, Role] = Field(min_length=1)
    profiles: Mapping[Name, ProfilePolicy] = Field(default_factory=dict)
    internal_hosts: tuple[HostName, ...] = Field(default=(), max_length=MAX_OWN_NAMES)
    record_fields: tuple[FieldName, ...] = Field(default=(), max_length=MAX_OWN_NAMES)
    persons: PersonsPolicy = PersonsPolicy()
    classification: Classification = Classification()
    administration: AdministrationPolicy | None = None
    duties: frozenset[Name] = Field(default=frozenset(), max_length=MAX_DUTIES)
    forbidden_pairs: tuple[Pair, ...] = Field(default=(), max_length=MAX_DUTIES)  # of duties, for one role or subject


DEFAULT_PROFILES: Final[Mapping[str, ProfilePolicy]] = {STRICT: ProfilePolicy()}
