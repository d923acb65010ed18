"""From a policy file to the rules in force: all of it, or an error that says where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filters.pii.types import OF_LISTS, TYPES
from filters.profile import HIGHEST_DIRECT_MINIMUM, Profile
from filters.specificity.crowd_tables import Crowds, CrowdTableError, load_crowds, shipped_crowds
from filters.specificity.triggers import SCRIPTS
from filters.verdicts import SUSPICIONS
from gateway.config_file import ConfigError, Document, Problem, check, read
from gateway.policy.fields import PATHS
from gateway.policy.schema import (
    DEFAULT_PROFILES,
    MIN_HOST_CHARS,
    IssuerPolicy,
    PersonsPolicy,
    Policy,
    ProfilePolicy,
    Role,
)
from gateway.types import Endpoint

VERSION_CHARS: Final = 12  # of the content's SHA-256: enough to tell versions apart, short enough to read aloud


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy that checked out. `version` names the content: the same bytes have the same version everywhere."""

    version: str
    issuers: tuple[IssuerPolicy, ...]
    roles: Mapping[str, Role]
    profiles: Mapping[str, Profile]
    persons: PersonsPolicy
    crowds: Crowds
    document: Document
    policy: Policy  # as it stands in the file


def load(path: Path) -> Rules:
    """Raises ConfigError with every problem that the file has."""
    document = read(path)
    policy = check(Policy, document)
    if found := list(_contradictions(policy, document)):
        raise ConfigError(*found)
    crowds = _crowds(policy.persons, document)
    profiles = {**DEFAULT_PROFILES, **policy.profiles}
    return Rules(
        version=hashlib.sha256(document.raw).hexdigest()[:VERSION_CHARS],
        issuers=policy.issuers,
        roles=policy.roles,
        profiles={
            name: profile.profile(name, frozenset(policy.internal_hosts), frozenset(policy.record_fields))
            for name, profile in profiles.items()
        },
        persons=policy.persons,
        crowds=crowds,
        document=document,
        policy=policy,
    )


def check_models(rules: Rules, served: frozenset[str]) -> None:
    """A role that names a model which is not served is a typing error. Raises ConfigError."""
    found = [
        rules.document.problem(("roles", name, "models"), f"{model!r} is not a model of the configuration")
        for name, role in rules.roles.items()
        for model in sorted(role.models - served)
    ]
    if found:
        raise ConfigError(*found)


def check_clearances(rules: Rules, audiences: Mapping[str, Sequence[str]]) -> None:
    """A clearance for an audience that a model's index does not know would be the lowest, or one that nobody meant.
    `audiences` are those of each model that has an index. Raises ConfigError."""
    found = [
        rules.document.problem(("roles", name, "clearance"), f"is none of the audiences of the index of {model!r}")
        for name, role in rules.roles.items()
        for model in sorted(role.models & audiences.keys())
        if role.clearance is not None and role.clearance not in audiences[model]
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


def check_sources(rules: Rules, *, addresses: bool, certificates: bool) -> None:
    """A role for certain networks needs to know where callers are, and a token that has to be bound to a certificate
    needs one to be compared with; each says whether that is known. Raises ConfigError with every place."""
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
    yield from _doubled_issuers(policy, document)
    for index, issuer in enumerate(policy.issuers):
        for role in sorted(issuer.roles - policy.roles.keys()):
            yield document.problem(("issuers", index, "roles"), f"{role!r} is not a role of this policy")
        for table, given in (("role_of_subject", issuer.role_of_subject), ("role_of_group", issuer.role_of_group)):
            for who in sorted(who for who, role in given.items() if role not in issuer.roles):
                text = f"gives {given[who]!r}, which is not one of the issuer's roles"
                yield document.problem(("issuers", index, table, who), text)
    for name, role_policy in policy.roles.items():
        yield from _role_problems(name, role_policy, policy, document)
    for name, profile in policy.profiles.items():
        yield from _profile_problems(name, profile, document)
    for index, host in enumerate(policy.internal_hosts):
        if sum(map(str.isalnum, host)) < MIN_HOST_CHARS:
            text = f"needs {MIN_HOST_CHARS} letters or digits: it would be found in ordinary words"
            yield document.problem(("internal_hosts", index), text)


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


def _doubled_issuers(policy: Policy, document: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, issuer in enumerate(policy.issuers):
        if issuer.issuer in seen:
            yield document.problem(("issuers", index, "issuer"), "stands here twice")
        seen.add(issuer.issuer)


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
    if role.content_parts and profile and profile.bounded:
        text = "a role with a 'bounded' profile can't have content parts: drafts are made of tokens alone"
        yield document.problem(("roles", name, "content_parts"), text)
    if role.certificate_bound:
        for index, issuer in enumerate(policy.issuers):
            if name in issuer.roles and issuer.certificate_binding == "ignored":
                text = f"may not be 'ignored': the role {name!r} is for tokens that are bound"
                yield document.problem(("issuers", index, "certificate_binding"), text)
    if not any(name in issuer.roles for issuer in policy.issuers):
        yield document.problem(("roles", name), "no issuer may give this role")
