"""From a policy file to the rules in force: all of it, or an error that says where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filters.pii.types import OF_LISTS, TYPES
from filters.profile import HIGHEST_DIRECT_MINIMUM, Profile
from filters.specificity.crowd_tables import Crowds, CrowdTableError, load_crowds, shipped_crowds
from filters.specificity.triggers import SCRIPTS
from filters.verdicts import SUSPICIONS
from gateway.config_file import ConfigError, Document, Problem, check, read
from gateway.policy.diff import tightened, weaker_than
from gateway.policy.fields import PATHS
from gateway.policy.limits import RateLimits
from gateway.policy.schema import (
    ADMIN_PREFIX,
    ADMINISTRATION,
    DEFAULT_PROFILES,
    MIN_HOST_CHARS,
    STRICT,
    AdminIssuer,
    AdministrationPolicy,
    IssuerPolicy,
    PersonsPolicy,
    Policy,
    ProfilePolicy,
    Role,
    SignerPolicy,
)
from gateway.types import Endpoint

if TYPE_CHECKING:
    from gateway.settings import Settings

FORMAT: Final = 1  # what `version` says in a file that this reads
EXPIRED: Final = " (expired)"  # behind the profile's name; no other name can end so
VERSION_CHARS: Final = 12  # of the content's SHA-256: enough to tell versions apart, short enough to read aloud


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy that checked out. `version` names the content: the same bytes have the same version everywhere.

    `profiles` are as the file has them; `expired` what becomes of those that have an expiry, by the same names. Which
    of the two is in force is `profile`'s to say.
    """

    version: str
    issuers: tuple[IssuerPolicy, ...]
    roles: Mapping[str, Role]
    profiles: Mapping[str, Profile]
    expired: Mapping[str, Profile]
    persons: PersonsPolicy
    crowds: Crowds
    document: Document
    policy: Policy  # as it stands in the file

    @property
    def signers(self) -> Sequence[SignerPolicy]:
        """All whose signatures are good for something, but those of administrators."""
        return [*self.issuers, *self.policy.end_user_issuers]

    @property
    def administrators(self) -> tuple[AdminIssuer, ...]:
        """Whose tokens let administrate; none: nobody's do."""
        return self.policy.administration.issuers if self.policy.administration else ()

    def profile(self, name: str, now: float) -> Profile:
        """The one in force under a name. `now` is seconds since the epoch. Raises KeyError: there is none."""
        return self.expired[name] if self._over(name, now) else self.profiles[name]

    def tightened(self, name: str, now: float) -> Profile | None:
        """The one under this name as it is when it has expired: as strict as the strict one wherever it is weaker.
        None where it is so already."""
        return None if self._over(name, now) else self.expired.get(name)

    def _over(self, name: str, now: float) -> bool:
        written = self.policy.profiles.get(name)
        return written is not None and written.expires_at is not None and now >= written.expires_at

    def exemptions(self) -> list[Exemption]:
        """The profiles that are weaker than the strict one, by name."""
        return [
            Exemption(name, tuple(keys), profile.expires_at or 0.0)
            for name, profile in sorted(self.policy.profiles.items())
            if (keys := weaker_than(profile, _measure(name, self.policy)))
        ]


@dataclass(frozen=True, slots=True)
class Exemption:
    """A profile that is weaker than the strict one, by which keys, and until when (seconds since the epoch)."""

    profile: str
    keys: tuple[str, ...]
    until: float


def load(path: Path) -> Rules:
    """Raises ConfigError with every problem that the file has."""
    document = read(path)
    _check_format(document)
    policy = check(Policy, document)
    if found := list(_contradictions(policy, document)):
        raise ConfigError(*found)
    crowds = _crowds(policy.persons, document)
    profiles = {**DEFAULT_PROFILES, **policy.profiles}
    expiring = {
        f"{name}{EXPIRED}": tightened(profile, profiles[STRICT])
        for name, profile in profiles.items()
        if profile.expires is not None
    }
    hosts, fields = frozenset(policy.internal_hosts), frozenset(policy.record_fields)
    return Rules(
        version=hashlib.sha256(document.raw).hexdigest()[:VERSION_CHARS],
        issuers=policy.issuers,
        roles=policy.roles,
        profiles={name: profile.profile(name, hosts, fields) for name, profile in profiles.items()},
        expired={
            name.removesuffix(EXPIRED): profile.profile(name, hosts, fields) for name, profile in expiring.items()
        },
        persons=policy.persons,
        crowds=crowds,
        document=document,
        policy=policy,
    )


def _check_format(document: Document) -> None:
    """A newer one is told to be so, and not that each key of it that came since is unknown. Raises ConfigError."""
    written = document.data.get("version")
    if isinstance(written, int) and written > FORMAT:
        raise document.error(("version",), f"is that of a newer version of tightlip: this one reads {FORMAT}")


def check_fit(rules: Rules, settings: Settings) -> None:
    """Whether the gateway of this configuration can serve the policy. Raises ConfigError."""
    check_models(rules, frozenset(settings.models))
    check_priorities(rules, frozenset(name for name, model in settings.models.items() if model.schedules))
    check_sources(
        rules,
        addresses=settings.knows_addresses,
        certificates=settings.knows_certificates,
        vault=settings.vault is not None,
        encryption=settings.encryption_keys_file is not None,
    )
    check_administration(rules, settings)


def check_models(rules: Rules, served: frozenset[str]) -> None:
    """A role that names a model which is not served is a typing error. Raises ConfigError."""
    found = [
        rules.document.problem(("roles", name, "models"), f"{model!r} is not a model of the configuration")
        for name, role in rules.roles.items()
        for model in sorted(role.models - served)
    ]
    if found:
        raise ConfigError(*found)


def _crowds(persons: PersonsPolicy, document: Document) -> Crowds:
    """Raises ConfigError."""
    try:
        folder = persons.tables
        crowds = shipped_crowds() if folder is None else load_crowds(document.path.parent / folder)
    except CrowdTableError as error:
        raise document.error(("persons", "tables"), str(error)) from None
    if unknown := sorted(persons.countries - crowds.countries):
        raise document.error(("persons", "countries"), f"no table for {unknown[0]!r}")
    return crowds


def check_sources(rules: Rules, *, addresses: bool, certificates: bool, vault: bool, encryption: bool) -> None:
    """A role for certain networks needs to know where callers are, a token that has to be bound to a certificate needs
    one to be compared with, keys in Vault need one, and a role that encrypts needs keys of ours; each says whether that
    is known. Raises ConfigError with every place."""
    found: list[Problem] = []
    if not addresses:
        text = "needs the setting 'trusted_proxies': what stands before the gateway, or {networks: []} for nothing"
        found += [
            rules.document.problem(("roles", name, "networks"), text)
            for name, role in rules.roles.items()
            if role.networks
        ]
    if not certificates:
        text = "needs the setting 'client_certificates' of 'public.tls', or 'client_cert_header' of 'trusted_proxies'"
        found += [rules.document.problem(place, text) for place in _bound(rules)]
    if not encryption:
        found += [
            rules.document.problem(("roles", name, "encryption"), "needs the setting 'encryption_keys_file'")
            for name, role in rules.roles.items()
            if _encrypts(role)
        ]
    if not vault:
        found += [rules.document.problem(place, "needs the setting 'vault'") for place in _in_vault(rules)]
    if found:
        raise ConfigError(*found)


def _bound(rules: Rules) -> Iterator[tuple[str | int, ...]]:
    """Where the policy wants tokens that are bound to a certificate."""
    for index, issuer in enumerate(rules.issuers):
        if issuer.certificate_binding == "required":
            yield "issuers", index, "certificate_binding"
    for name, role in rules.roles.items():
        if role.certificate_bound:
            yield "roles", name, "certificate_bound"


def _in_vault(rules: Rules) -> Iterator[tuple[str | int, ...]]:
    """Where the policy takes keys from Vault."""
    for at, issuer in _everybodys_issuers(rules):
        yield from ((*at, "keys", each, "vault") for each, key in enumerate(issuer.keys) if key.vault)


def _everybodys_issuers(rules: Rules) -> Iterator[tuple[tuple[str | int, ...], SignerPolicy]]:
    """With their places."""
    yield from ((("issuers", index), each) for index, each in enumerate(rules.issuers))
    yield from ((("end_user_issuers", index), each) for index, each in enumerate(rules.policy.end_user_issuers))
    yield from ((("administration", "issuers", index), each) for index, each in enumerate(rules.administrators))


def check_administration(rules: Rules, settings: Settings) -> None:
    """Who administrates has to be written down, and not to be listened to. Raises ConfigError with every problem."""
    administration, at = rules.policy.administration, ("administration",)
    if administration is None:
        return
    found: list[Problem] = []
    if settings.audit is None:
        found.append(rules.document.problem(at, "needs the setting 'audit': where every call is written down"))
    if not settings.management_is_private:
        text = "needs 'management.tls', a loopback address, or the setting 'allow_plaintext_administration'"
        found.append(rules.document.problem(at, text))
    if not settings.management.verifies_callers:
        text = "needs the setting 'client_certificates' of 'management.tls'"
        found += [rules.document.problem(place, text) for place in _bound_administrators(administration)]
    if found:
        raise ConfigError(*found)


def _bound_administrators(administration: AdministrationPolicy) -> Iterator[tuple[str | int, ...]]:
    """Where the policy wants their tokens to be bound to a certificate."""
    if administration.certificate_bound:
        yield "administration", "certificate_bound"
    for index, issuer in enumerate(administration.issuers):
        if issuer.certificate_binding == "required":
            yield "administration", "issuers", index, "certificate_binding"


def check_priorities(rules: Rules, scheduled: frozenset[str]) -> None:
    """Servers that don't schedule by priority take every request in its turn, so that a role with a priority has to be
    held back otherwise. `scheduled` are the models whose servers do. Raises ConfigError."""
    found = [
        rules.document.problem(
            ("roles", name, "priority"),
            f"the servers of {model!r} don't say 'priority_scheduling: true'; 'max_streams' holds a role back anyway",
        )
        for name, role in rules.roles.items()
        for model in sorted(role.models - scheduled)
        if role.priority and role.max_streams is None
    ]
    if found:
        raise ConfigError(*found)


def _contradictions(policy: Policy, document: Document) -> Iterator[Problem]:
    yield from _doubled_issuers(("issuers",), policy.issuers, document)
    yield from _doubled_issuers(("end_user_issuers",), policy.end_user_issuers, document)
    yield from _end_user_problems(policy, document)
    for index, issuer in enumerate(policy.issuers):
        for role in sorted(issuer.roles - policy.roles.keys()):
            yield document.problem(("issuers", index, "roles"), f"{role!r} is not a role of this policy")
        yield from _table_problems(("issuers", index), issuer, document)
        encrypting = sorted(name for name in issuer.roles & policy.roles.keys() if _encrypts(policy.roles[name]))
        if encrypting and issuer.client_keys is None:
            text = f"is missing: the role {encrypting[0]!r} encrypts, and nobody would know to whom"
            yield document.problem(("issuers", index, "client_keys"), text)
    yield from _administration_problems(policy, document)
    yield from _unknown_levels(policy, document)
    yield from _duty_problems(policy, document)
    for name, role_policy in policy.roles.items():
        yield from _role_problems(name, role_policy, policy, document)
    for name, profile in policy.profiles.items():
        yield from _profile_problems(name, profile, document)
        yield from _weakness_problems(name, profile, policy, document)
    for index, host in enumerate(policy.internal_hosts):
        if sum(map(str.isalnum, host)) < MIN_HOST_CHARS:
            text = f"needs {MIN_HOST_CHARS} letters or digits: it would be found in ordinary words"
            yield document.problem(("internal_hosts", index), text)


def _encrypts(role: Role) -> bool:
    return role.encryption != "none"


def _profile_problems(name: str, profile: ProfilePolicy, document: Document) -> Iterator[Problem]:
    at = ("profiles", name)
    for kind in sorted(profile.allowed_types - TYPES.keys()):
        yield document.problem((*at, "allowed_types"), f"{kind!r} is not a finding type")
    for kind in sorted(profile.allowed_types & OF_LISTS):
        yield document.problem((*at, "allowed_types"), f"{kind!r} is for nobody: it was denied whoever asks")
    for field, kinds in (("actions", profile.actions), ("min_scores", profile.min_scores)):
        for kind in sorted(kinds.keys() - TYPES.keys()):
            yield document.problem((*at, field, kind), "is not a finding type")
    for language in sorted(profile.languages - SCRIPTS.keys()):
        yield document.problem(
            (*at, "languages"), f"{language!r} is not a language: one of {', '.join(sorted(SCRIPTS))}"
        )
    for index, line in enumerate(profile.verdicts):
        for kind in sorted(line.types - TYPES.keys() - SUSPICIONS):
            yield document.problem((*at, "verdicts", index, "types"), f"{kind!r} is not a finding type")
    for kind in sorted(profile.too_high_minima()):
        text = f"may be at most {HIGHEST_DIRECT_MINIMUM}: higher, it would let direct identifiers pass"
        yield document.problem((*at, "min_scores", kind), text)


def _weakness_problems(name: str, profile: ProfilePolicy, policy: Policy, document: Document) -> Iterator[Problem]:
    """Whoever is less protected than by the strict profile, for whatever role, is so for a reason and for a time."""
    at, keys = ("profiles", name), weaker_than(profile, _measure(name, policy))
    told = ", ".join(map(repr, keys))
    if name == STRICT and keys:
        yield document.problem(at, f"{told}: the strict profile can't let more pass, since it is what others fall to")
    elif keys:
        for missing in (key for key in ("reason", "expires") if getattr(profile, key) is None):
            yield document.problem((*at, missing), f"is missing: the profile is weaker than 'strict' in {told}")
    elif profile.expires is not None:
        yield document.problem((*at, "expires"), "the profile is not weaker than 'strict': nothing of it expires")


def _measure(name: str, policy: Policy) -> ProfilePolicy:
    """What a profile is weaker than. The strict one's thresholds are the policy's own: all are measured by them."""
    if name != STRICT:
        return policy.profiles.get(STRICT, DEFAULT_PROFILES[STRICT])
    own = {key: getattr(policy.profiles[STRICT], key) for key in ("memorised_bits", "k", "min_scores")}
    return DEFAULT_PROFILES[STRICT].model_copy(update=own)


def _unknown_levels(policy: Policy, document: Document) -> Iterator[Problem]:
    table = policy.classification
    given = [(("classification", "types", kind), level) for kind, level in table.types.items()]
    given += [(("classification", "audiences", name), level) for name, level in table.audiences.items()]
    for role, each in policy.roles.items():
        given += [(("roles", role, "clearance"), each.clearance)] if each.clearance is not None else []
    for at, level in given:
        if level not in table.levels:
            yield document.problem(at, f"{level!r} is not a level: one of {', '.join(table.levels)}")
    for kind in sorted(table.types.keys() - TYPES.keys()):
        yield document.problem(("classification", "types", kind), "is not a finding type")


def _clearance_problems(name: str, role: Role, policy: Policy, document: Document) -> Iterator[Problem]:
    """A profile that lets a type pass is for roles that are cleared for it."""
    table, profile = policy.classification, policy.profiles.get(role.profile)
    if profile is None or role.clearance not in (None, *table.levels):
        return
    rank = table.levels.index(role.clearance) if role.clearance else 0
    for kind in sorted(profile.allowed_types & TYPES.keys()):
        level = table.types.get(kind, table.levels[-1])
        if level in table.levels and table.levels.index(level) > rank:
            text = f"{kind!r} is of the level {level!r}, above the clearance of the role {name!r}"
            yield document.problem(("profiles", role.profile, "allowed_types"), text)


def _duty_problems(policy: Policy, document: Document) -> Iterator[Problem]:
    for index, pair in enumerate(policy.forbidden_pairs):
        for duty in sorted(set(pair) - policy.duties):
            yield document.problem(("forbidden_pairs", index), f"{duty!r} is not one of 'duties'")
        if len(set(pair)) < len(pair):
            yield document.problem(("forbidden_pairs", index), "needs two different duties")
    for name, role in policy.roles.items():
        for duty in sorted(role.duties - policy.duties):
            yield document.problem(("roles", name, "duties"), f"{duty!r} is not one of 'duties'")
        for first, second in (pair for pair in policy.forbidden_pairs if role.duties.issuperset(pair)):
            yield document.problem(("roles", name, "duties"), f"{first!r} and {second!r} are not for one role")
    yield from _shared_duties(policy, document)


def _shared_duties(policy: Policy, document: Document) -> Iterator[Problem]:
    """One name in the tables of two issuers may be one person; in one issuer's tables a name has one role, and a token
    that comes to two is refused."""
    for table in ("role_of_subject", "role_of_group"):
        held: dict[str, frozenset[str]] = {}
        for index, issuer in enumerate(policy.issuers):
            for who, role in getattr(issuer, table).items():
                duties = policy.roles[role].duties if role in policy.roles else frozenset()
                before, held[who] = held.get(who, frozenset()), held.get(who, frozenset()) | duties
                for first, second in _both(policy.forbidden_pairs, before, duties):
                    text = f"gives {second!r} to whom another issuer's table gives {first!r}"
                    yield document.problem(("issuers", index, table, who), text)


def _both(pairs: Iterable[Sequence[str]], before: frozenset[str], new: frozenset[str]) -> Iterator[tuple[str, str]]:
    for one, other in pairs:
        for first, second in ((one, other), (other, one)):
            if first in before and second in new:
                yield first, second


def _end_user_problems(policy: Policy, document: Document) -> Iterator[Problem]:
    """What lets somebody in must not say who an end user is, nor the other way round: one that has both in its hands
    could take the one for the other."""
    asserting = {issuer.issuer: issuer for issuer in policy.end_user_issuers}
    asked = set()
    for index, issuer in enumerate(policy.issuers):
        name = issuer.end_user.assertion if issuer.end_user is not None else None
        asked.add(name)
        if name is not None and name not in asserting:
            yield document.problem(("issuers", index, "end_user", "assertion"), "is not one of 'end_user_issuers'")
        if issuer.end_user is not None and issuer.end_user.act and issuer.role_of_group:
            text = "can't go with 'end_user.act': the groups of such a token are the end user's, who brings no role"
            yield document.problem(("issuers", index, "role_of_group"), text)
        same = asserting.get(issuer.issuer)
        if same is not None and not issuer.audience.isdisjoint(same.audience):
            at = policy.end_user_issuers.index(same)
            text = "must be another than that of the issuer's access tokens"
            yield document.problem(("end_user_issuers", at, "audience"), text)
    for index, each in enumerate(policy.end_user_issuers):
        if each.issuer not in asked:
            yield document.problem(("end_user_issuers", index, "issuer"), "no issuer names it under 'end_user'")


def _doubled_issuers(
    at: tuple[str | int, ...], issuers: Iterable[SignerPolicy], document: Document
) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, issuer in enumerate(issuers):
        if issuer.issuer in seen:
            yield document.problem((*at, index, "issuer"), "stands here twice")
        seen.add(issuer.issuer)


def _table_problems(at: tuple[str | int, ...], issuer: IssuerPolicy, document: Document) -> Iterator[Problem]:
    for table, given in (("role_of_subject", issuer.role_of_subject), ("role_of_group", issuer.role_of_group)):
        for who in sorted(who for who, role in given.items() if role not in issuer.roles):
            text = f"gives {given[who]!r}, which is not one of the issuer's roles"
            yield document.problem((*at, table, who), text)


def _administration_problems(policy: Policy, document: Document) -> Iterator[Problem]:
    """Administrators and callers are kept apart: by the audience of tokens, and by the names that revocations go by."""
    if policy.administration is None:
        return
    at = ("administration",)
    yield from _doubled_issuers((*at, "issuers"), policy.administration.issuers, document)
    of_callers = frozenset().union(*(each.audience for each in (*policy.issuers, *policy.end_user_issuers)))
    for index, issuer in enumerate(policy.administration.issuers):
        for name in sorted(issuer.audience & of_callers):
            text = f"{name!r} is an audience of callers: their tokens must not let administrate"
            yield document.problem((*at, "issuers", index, "audience"), text)
        yield from _table_problems((*at, "issuers", index), issuer, document)
    for table in ("role_of_subject", "role_of_group"):
        yield from _two_roles(policy.administration.issuers, table, document)
    for name in sorted(name for name in policy.roles if name.startswith(ADMIN_PREFIX)):
        yield document.problem(("roles", name), f"names that begin with {ADMIN_PREFIX!r} are administrators'")
    for name, signers in (("issuers", policy.issuers), ("end_user_issuers", policy.end_user_issuers)):
        for index, signer in enumerate(signers):
            if ADMINISTRATION in {signer.tenant.fixed, *signer.tenant.allowed}:
                yield document.problem((name, index, "tenant"), f"{ADMINISTRATION!r} is the tenant of administrators")


def _two_roles(issuers: Sequence[AdminIssuer], table: str, document: Document) -> Iterator[Problem]:
    """One name in the tables of two issuers may be one person, who would have two roles."""
    held: dict[str, str] = {}
    for index, issuer in enumerate(issuers):
        for who, role in getattr(issuer, table).items():
            if held.setdefault(who, role) != role:
                text = f"gives {role!r} to whom another issuer's table gives {held[who]!r}: nobody has two of the roles"
                yield document.problem(("administration", "issuers", index, table, who), text)


def _field_problems(name: str, role: Role, document: Document) -> Iterator[Problem]:
    for path, action in role.fields.items():
        rule = PATHS.get(path)
        if rule is None:
            yield document.problem(("roles", name, "fields", path), "is not a field of a request")
        elif action not in rule.permits:
            others = ", ".join(sorted(rule.permits)) or "nothing else"
            text = f"{action!s} is not for roles to say of this field: {others}"
            yield document.problem(("roles", name, "fields", path), text)


def _role_problems(name: str, role: Role, policy: Policy, document: Document) -> Iterator[Problem]:
    if role.profile not in policy.profiles and role.profile not in DEFAULT_PROFILES:
        yield document.problem(("roles", name, "profile"), f"{role.profile!r} is not a profile of this policy")
    profile = policy.profiles.get(role.profile)
    if profile and profile.bounded and role.may_call(Endpoint.COMPLETIONS):
        text = "a role with a 'bounded' profile can't have 'completions': it is for the content of chats"
        yield document.problem(("roles", name, "endpoints"), text)
    yield from _field_problems(name, role, document)
    for key in ("limits", "total_limits", "end_user_limits"):
        rates: RateLimits = getattr(role, key)
        for of in ("tokens_per_minute", "tokens_per_day"):
            most = getattr(rates, of)
            if most is not None and most <= role.max_output_tokens:
                text = "must be more than 'max_output_tokens': a request that names no 'max_tokens' would never fit"
                yield document.problem(("roles", name, key, of), text)
    if role.content_parts and profile and profile.bounded:
        text = "a role with a 'bounded' profile can't have content parts: drafts are made of tokens alone"
        yield document.problem(("roles", name, "content_parts"), text)
    if role.certificate_bound:
        for index, issuer in enumerate(policy.issuers):
            if name in issuer.roles and issuer.certificate_binding == "ignored":
                text = f"may not be 'ignored': the role {name!r} is for tokens that are bound"
                yield document.problem(("issuers", index, "certificate_binding"), text)
    yield from _clearance_problems(name, role, policy, document)
    if not any(name in issuer.roles for issuer in policy.issuers):
        yield document.problem(("roles", name), "no issuer may give this role")
