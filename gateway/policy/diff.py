"""What changes between two policies, and what of it weakens: lets somebody do more, or hides less.

Each key of the schema has a direction here; one without is an error, so that a new key can't be forgotten. What can't
be told (another claim names the role, a verdict reads otherwise) counts as weaker: a person should look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from filters.events import Verdict
from filters.pii.types import ON_REQUEST, QUANTITIES
from filters.profile import Action, OnFailure, RefusalCheck, ReleaseUnit
from gateway.auth.tokens import USUAL_TYPES, type_name
from gateway.policy.fields import PATHS
from gateway.policy.limits import RateLimits, RequestLimits
from gateway.policy.schema import (
    DEFAULT_PROFILES,
    HIGHEST_K,
    AdminIssuer,
    AdministrationPolicy,
    BoundedPolicy,
    BudgetPolicy,
    Classification,
    EndUserIssuer,
    HourPolicy,
    IssuerPolicy,
    PersonsPolicy,
    Policy,
    ProfilePolicy,
    Role,
    RulePolicy,
    SignerPolicy,
)
from gateway.types import FieldAction

if TYPE_CHECKING:  # `load` asks what is weaker
    from gateway.policy.load import Rules

Weakens = Callable[[Any, Any], bool]  # (old, new), which differ


@dataclass(frozen=True, slots=True)
class Change:
    """One key that differs."""

    key: str
    text: str
    weakens: bool


def compare(old: Rules, new: Rules) -> list[Change]:
    """What `new` changes, in the order of the file."""
    return [
        *_named("issuers", _by_name(old.policy.issuers), _by_name(new.policy.issuers), ISSUER),
        *_named(
            "end_user_issuers",
            _by_name(old.policy.end_user_issuers),
            _by_name(new.policy.end_user_issuers),
            END_USER_ISSUER,
        ),
        *_named("roles", old.policy.roles, new.policy.roles, ROLE),
        *_named("profiles", _profiles(old), _profiles(new), PROFILE),
        *_administered(old, new),
        *_fields("", old.policy, new.policy, POLICY),
        *_moved(old, new),
        *_cleared(old, new),
    ]


def weaker_than(profile: ProfilePolicy, other: ProfilePolicy) -> list[str]:
    """The keys by which a profile lets pass what the other one would hide. What stands in for a hidden value, and how
    it is hidden, are no such keys: none of that shows it."""
    found = [
        key
        for key, weakens in LETS_PASS.items()
        if (before := getattr(other, key)) != (after := getattr(profile, key)) and weakens(before, after)
    ]
    return found + [key for key in BY_TYPE if _types_let_pass(key, profile, other)]


def tightened(profile: ProfilePolicy, other: ProfilePolicy) -> ProfilePolicy:
    """The same where it is not weaker than the other; where it is, as that one is."""
    keys = {key: getattr(other, key) for key in weaker_than(profile, other)}
    for key in keys.keys() & BY_TYPE:
        types = _types_let_pass(key, profile, other)
        kept = {kind: said for kind, said in getattr(profile, key).items() if kind not in types}
        keys[key] = kept | {kind: said for kind, said in getattr(other, key).items() if kind in types}
    if "verdicts" in keys:
        keys["verdicts"] = tuple(line for line in profile.verdicts if not _lets_pass(line))
    return profile.model_copy(update=keys)


def _types_let_pass(key: str, profile: ProfilePolicy, other: ProfilePolicy) -> set[str]:
    """The finding types of `actions` or `min_scores` by which a profile hides less of what it finds than the other."""
    named: AbstractSet[str] = getattr(other, key).keys() | profile.min_scores.keys()
    if key == "actions":  # which hide alike; but of quantities they also say which are looked for
        named = QUANTITIES & other.actions.keys() - profile.actions.keys()
    return {kind for kind in named if _minimum(profile, kind) > _minimum(other, kind)}


def _minimum(profile: ProfilePolicy, kind: str) -> float:
    """From which score on findings of this type are hidden; infinite where they are not looked for."""
    named = kind in QUANTITIES & (profile.actions.keys() | profile.min_scores.keys())
    if kind in ON_REQUEST | QUANTITIES and not named and not (profile.names and kind in ON_REQUEST):
        return math.inf
    return profile.min_scores.get(kind, 0.0)


# ---- directions ------------------------------------------------------------------------------------------------------


def _more(old: Any, new: Any) -> bool:
    return bool(set(new) - set(old))


def _fewer(old: Any, new: Any) -> bool:
    return bool(set(old) - set(new))


def _more_or_any(old: Any, new: Any) -> bool:
    """Of a list that allows everything when it is empty."""
    return bool(old) and (not new or _more(old, new))


def _types(named: Any) -> frozenset[str | None]:
    """None: a token without a type."""
    return frozenset(map(type_name, named)) or USUAL_TYPES


def _higher(old: Any, new: Any) -> bool:
    """None is no bound."""
    return new is None or (old is not None and new > old)


def _lower(old: Any, new: Any) -> bool:
    return new is None or (old is not None and new < old)


def _fewer_people(old: Any, new: Any) -> bool:
    """None is the number that an index was built with, which no policy knows: only the highest is surely not less."""
    return new != HIGHEST_K and (old is None or new is None or new < old)


def _off(old: Any, new: Any) -> bool:
    return bool(old) and not new


def _later(*strictest_first: Any) -> Weakens:
    return lambda old, new: strictest_first.index(new) > strictest_first.index(old)


def _always(_old: Any, _new: Any) -> bool:
    return True


def _never(_old: Any, _new: Any) -> bool:
    return False


def _later_day(old: Any, new: Any) -> bool:
    """None is for ever, and nothing else has an expiry than what is weak."""
    return old is not None and (new is None or new > old)


def _lets_pass(line: RulePolicy) -> bool:
    """What the caller gave himself passes anyway."""
    return line.then is Verdict.RELEASE and not line.grounded


def _reclassified(old: Classification, new: Classification) -> bool:
    """Something is of a lower level; of other levels nobody can say."""
    if old.levels != new.levels:
        return True
    audiences = old.audiences.keys() | new.audiences.keys()
    before, after = old.clearance(None), new.clearance(None)
    return any(new.rank_of_type(kind) < old.rank_of_type(kind) for kind in old.types.keys() | new.types.keys()) or any(
        after.rank_of(name) < before.rank_of(name) for name in audiences
    )


def _entries(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> bool:
    """Of a table that gives: what is new in it, or another."""
    return any(old.get(key) != value for key, value in new.items())


def _scores(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    """A type of QUANTITIES is looked for once it has an entry; of the others a higher score lets more pass."""
    gone = QUANTITIES & old.keys() - new.keys()
    return bool(gone) or any(value > old.get(kind, 1.0 if kind in QUANTITIES else 0.0) for kind, value in new.items())


def _actions(old: Mapping[str, Action], new: Mapping[str, Action]) -> bool:
    """A mask and nothing at all tell least; of the others nobody can say which tells more."""
    gone = QUANTITIES & old.keys() - new.keys()
    told = {kind for kind, action in new.items() if action not in (Action.MASK, Action.REMOVE)}
    return bool(gone) or any(old.get(kind, Action.MASK) != new[kind] for kind in told)


def _forwarded(fields: Mapping[str, FieldAction]) -> set[str]:
    """What goes on, of all fields that a role says something of and of those that go on by themselves."""
    actions = {path: rule.action for path, rule in PATHS.items()} | dict(fields)
    return {path for path, action in actions.items() if action is FieldAction.FORWARD}


ISSUER: Final[Mapping[str, Weakens]] = {
    "issuer": _always,
    "audience": _more,
    "algorithms": _more,
    "keys": _more,
    "roles": _more,
    "role_claim": _always,
    "role_of_subject": _entries,
    "group_claim": _always,
    "role_of_group": _entries,
    "token_id_claim": _always,
    "types": lambda old, new: _more(_types(old), _types(new)),
    "max_life_seconds": _higher,
    "certificate_binding": _later("required", "checked", "ignored"),
    "client_keys": _always,  # who can read answers
    "tenant": _always,
    "end_user": _always,  # who is counted as whom, and who is stopped by a revocation
}
END_USER_ISSUER: Final[Mapping[str, Weakens]] = {key: ISSUER[key] for key in EndUserIssuer.model_fields}
ADMINISTRATION: Final[Mapping[str, Weakens]] = {"networks": _more_or_any, "certificate_bound": _off}
ROLE: Final[Mapping[str, Weakens]] = {
    "models": _more,
    "endpoints": _more,
    "fields": lambda old, new: bool(_forwarded(new) - _forwarded(old)),
    "request": lambda old, new: _any_weaker(old, new, REQUEST),
    "content_parts": _more,
    "priority": _lower,
    "max_streams": _higher,
    "limits": lambda old, new: _any_weaker(old, new, RATES),
    "total_limits": lambda old, new: _any_weaker(old, new, RATES),
    "end_user_limits": lambda old, new: _any_weaker(old, new, RATES),
    "max_output_tokens": _higher,
    "max_choices": _higher,
    "networks": _more_or_any,
    "certificate_bound": _off,
    "encryption": _later("required", "accepted", "none"),
    "profile": _never,  # what it comes to is compared
    "duties": _more,
}
PROFILE: Final[Mapping[str, Weakens]] = {
    "detect": _off,
    "compare": _off,
    "names": _off,
    "persons": _off,
    "evidence": _off,
    "release": _later(ReleaseUnit.SENTENCE, ReleaseUnit.CLAUSE),
    "memorised_bits": _higher,
    "on_memorised": _later(Verdict.STOP, Verdict.FALL_BACK, Verdict.MASK),
    "on_failure": _later(OnFailure.STOP, OnFailure.MASK),
    "allowed_types": _more,
    "actions": _actions,
    "min_scores": _scores,
    "verdicts": _always,
    "k": _fewer_people,
    "languages": _more_or_any,
    "bounded": lambda old, new: old is not None and (new is None or _any_weaker(old, new, BOUNDED)),
    "budget": lambda old, new: _any_weaker(old, new, BUDGET) or _any_weaker(old.of_all, new.of_all, HOUR),
    "sample": _lower,
    "refusals": _later(RefusalCheck.ALWAYS, RefusalCheck.ON_SUSPICION, RefusalCheck.NEVER),
    "refusal_words": _fewer,
    "reason": _never,
    "expires": _later_day,
}
LETS_PASS: Final[Mapping[str, Weakens]] = {
    **{key: PROFILE[key] for key in ("detect", "compare", "persons", "evidence", "refusals")},
    **{key: PROFILE[key] for key in ("memorised_bits", "allowed_types", "names", "k", "languages", "budget")},
    "verdicts": lambda _old, new: any(map(_lets_pass, new)),
}
BY_TYPE: Final = ("actions", "min_scores")  # what of them lets pass hangs on the rest of the profile
BOUNDED: Final[Mapping[str, Weakens]] = {"ratio": _higher, "answer_bits": _higher, "draft_tokens": _never}
HOUR: Final[Mapping[str, Weakens]] = dict.fromkeys(HourPolicy.model_fields, _higher)
BUDGET: Final[Mapping[str, Weakens]] = {
    **HOUR,
    "answer_bits": _higher,
    "reserve": _never,  # the limit holds with any
    "application": _never,  # what all of it come to is compared, which has a limit without this, too
}
REQUEST: Final[Mapping[str, Weakens]] = dict.fromkeys(RequestLimits.model_fields, _higher)
RATES: Final[Mapping[str, Weakens]] = dict.fromkeys(RateLimits.model_fields, _higher)
POLICY: Final[Mapping[str, Weakens]] = {
    "version": _never,
    "urgent": _never,
    "internal_hosts": _fewer,
    "record_fields": _fewer,
    "persons": lambda old, new: _any_weaker(old, new, PERSONS),
    "classification": _reclassified,
    "duties": _never,
    "forbidden_pairs": _fewer,
}
PERSONS: Final[Mapping[str, Weakens]] = {"k": _lower, "countries": _always, "tables": _always}
COMPARED_APART: Final[Mapping[type[BaseModel], frozenset[str]]] = {
    Policy: frozenset({"issuers", "end_user_issuers", "roles", "profiles", "administration"}),
    AdministrationPolicy: frozenset({"issuers"}),
    Role: frozenset({"clearance"}),
}
DIRECTIONS: Final[Mapping[type[BaseModel], Mapping[str, Weakens]]] = {
    IssuerPolicy: ISSUER,
    EndUserIssuer: END_USER_ISSUER,
    AdminIssuer: ISSUER,
    AdministrationPolicy: ADMINISTRATION,
    PersonsPolicy: PERSONS,
    Role: ROLE,
    ProfilePolicy: PROFILE,
    BoundedPolicy: BOUNDED,
    BudgetPolicy: BUDGET,
    HourPolicy: HOUR,
    RequestLimits: REQUEST,
    RateLimits: RATES,
    Policy: POLICY,
}


def _any_weaker(old: BaseModel, new: BaseModel, directions: Mapping[str, Weakens]) -> bool:
    return any(change.weakens for change in _fields("", old, new, directions))


# ---- walking ---------------------------------------------------------------------------------------------------------


def _by_name(signers: Iterable[SignerPolicy]) -> dict[str, SignerPolicy]:
    return {signer.issuer: signer for signer in signers}


def _administered(old: Rules, new: Rules) -> Iterator[Change]:
    before, after = old.policy.administration, new.policy.administration
    if before is None and after is not None:
        yield Change("administration", "is new", weakens=True)
    elif before is not None and after is None:
        yield Change("administration", "is gone", weakens=False)
    elif before is not None and after is not None:
        yield from _named("administration.issuers", _by_name(before.issuers), _by_name(after.issuers), ISSUER)
        yield from _fields("administration.", before, after, ADMINISTRATION)


def _profiles(rules: Rules) -> dict[str, ProfilePolicy]:
    return {**DEFAULT_PROFILES, **rules.policy.profiles}


def _named(
    kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], directions: Mapping[str, Weakens]
) -> Iterator[Change]:
    for name in sorted(old.keys() - new.keys()):
        yield Change(f"{kind}.{name}", "is gone", weakens=False)
    for name in sorted(new.keys() - old.keys()):
        yield Change(f"{kind}.{name}", "is new", weakens=kind != "profiles")  # a profile that no role has does nothing
    for name in sorted(old.keys() & new.keys()):
        yield from _fields(f"{kind}.{name}.", old[name], new[name], directions)


def _fields(prefix: str, old: BaseModel, new: BaseModel, directions: Mapping[str, Weakens]) -> Iterator[Change]:
    for field in type(old).model_fields:
        before, after = getattr(old, field), getattr(new, field)
        if before != after and field not in COMPARED_APART.get(type(old), ()):
            yield Change(prefix + field, _told(before, after), directions[field](before, after))


def _moved(old: Rules, new: Rules) -> Iterator[Change]:
    """Roles that have another profile: what the two profiles, as each policy has them, differ in."""
    for name in sorted(old.policy.roles.keys() & new.policy.roles.keys()):
        before, after = old.policy.roles[name].profile, new.policy.roles[name].profile
        if before != after:
            profiles = _profiles(old)[before], _profiles(new)[after]
            yield from _fields(f"roles.{name} ({before} → {after}) ", *profiles, PROFILE)


def _cleared(old: Rules, new: Rules) -> Iterator[Change]:
    """Roles of another clearance. Whether that is higher can be told while the levels are the same."""
    same_levels = old.policy.classification.levels == new.policy.classification.levels
    for name in sorted(old.policy.roles.keys() & new.policy.roles.keys()):
        before, after = old.policy.roles[name].clearance, new.policy.roles[name].clearance
        if before != after:
            ranks = [
                rules.policy.classification.clearance(level).rank for rules, level in ((old, before), (new, after))
            ]
            text, higher = _told(before, after), ranks[1] > ranks[0]
            yield Change(f"roles.{name}.clearance", text, weakens=higher or not same_levels)


def _told(old: Any, new: Any) -> str:
    if isinstance(old, Sequence | frozenset) and not isinstance(old, str) and not isinstance(new, str):
        added, gone = [entry for entry in new if entry not in old], [entry for entry in old if entry not in new]
        parts = [f"+ {text}" for text in sorted(map(_short, added))] + [
            f"- {text}" for text in sorted(map(_short, gone))
        ]
        return ", ".join(parts) or "another order"
    return f"{_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    if isinstance(value, BaseModel):
        told = value.model_dump(mode="json", exclude_defaults=True)
        return ", ".join(f"{key}: {entry}" for key, entry in told.items()) or "the defaults"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {entry!s}" for key, entry in value.items()) or "nothing"
    return "nothing" if value is None else str(value)
