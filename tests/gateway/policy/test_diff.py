"""What a change of policy weakens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from filters.events import Verdict
from filters.profile import OnFailure
from gateway.config_file import ConfigError
from gateway.policy import schema
from gateway.policy.diff import BY_TYPE, COMPARED_APART, DIRECTIONS, LETS_PASS, Change, compare, tightened, weaker_than
from gateway.policy.limits import RequestLimits
from gateway.policy.load import load
from gateway.policy.schema import ProfilePolicy
from tests.gateway.support import POLICY, write_policy

STRICT = "  strict: {memorised_bits: 12}\n"


def changes(tmp_path: Path, old: str, new: str) -> list[Change]:
    folders = tmp_path / "old", tmp_path / "new"
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return compare(load(write_policy(folders[0], old)), load(write_policy(folders[1], new)))


def test_every_key_of_the_schema_has_a_direction() -> None:
    for model, directions in DIRECTIONS.items():
        assert model.model_fields.keys() - COMPARED_APART.get(model, frozenset()) == directions.keys(), model


def test_every_part_of_a_policy_is_compared() -> None:
    parts = {
        each
        for each in vars(schema).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each.__module__ == schema.__name__
    }
    compared_whole = {"KeySource", "TenantRule", "EndUserPolicy", "RulePolicy", "Classification", "_Strict"}
    bases = {"SignerPolicy"}
    assert {part.__name__ for part in parts - DIRECTIONS.keys()} <= compared_whole | bases


def test_a_field_that_is_taken_away_or_dropped_is_no_weaker(tmp_path: Path) -> None:
    strict = POLICY.replace("fields: {logit_bias: forward}", "fields: {logit_bias: ignore, tools: refuse}")
    [change] = changes(tmp_path, POLICY, strict)
    assert (change.key, change.weakens) == ("roles.support.fields", False)
    [back] = changes(tmp_path, strict, POLICY.replace("    fields: {logit_bias: forward}\n", ""))
    assert (back.key, back.weakens) == ("roles.support.fields", True)  # tools
    assert "tools: refuse" in back.text


def test_every_limit_of_a_request_has_a_direction(tmp_path: Path) -> None:
    assert DIRECTIONS[RequestLimits].keys() == RequestLimits.model_fields.keys()
    fewer = POLICY.replace("max_output_tokens: 100", "max_output_tokens: 100\n    request: {stops: 1}")
    assert not any(change.weakens for change in changes(tmp_path, POLICY, fewer))


def test_a_role_that_is_no_longer_for_bound_tokens_is_weaker(tmp_path: Path) -> None:
    bound = POLICY.replace("  idle: {}", "  idle: {certificate_bound: true}")
    [change] = changes(tmp_path, bound, POLICY)
    assert (change.key, change.weakens) == ("roles.idle.certificate_bound", True)
    assert not any(change.weakens for change in changes(tmp_path, POLICY, bound))


def test_the_same_policy_changes_nothing(tmp_path: Path) -> None:
    assert changes(tmp_path, POLICY, POLICY + "# a remark\n") == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("models: [assistant]", "models: [assistant, second]", "roles.customer.models"),
        ("endpoints: [chat, models]", "endpoints: [chat, completions, models]", "roles.customer.endpoints"),
        ("max_output_tokens: 100", "max_output_tokens: 101", "roles.customer.max_output_tokens"),
        ("max_output_tokens: 100", "max_output_tokens: 100\n    clearance: internal", "roles.customer.clearance"),
        ("fields: {logit_bias: forward}", "fields: {logit_bias: forward, min_tokens: forward}", "roles.support.fields"),
        ("max_output_tokens: 100", "max_output_tokens: 100\n    priority: -1", "roles.customer.priority"),
        ("max_output_tokens: 100", "max_output_tokens: 100\n    content_parts: [file]", "roles.customer.content_parts"),
        ("max_output_tokens: 100", "max_output_tokens: 100\n    request: {stops: 5}", "roles.customer.request"),
        ("algorithms: [ES256]", "algorithms: [ES256, RS256]", "issuers.https://issuer.test.algorithms"),
        ("audience: [tightlip]", "audience: [tightlip, other]", "issuers.https://issuer.test.audience"),
        ("tenant: {fixed: acme}", "tenant: {fixed: other}", "issuers.https://issuer.test.tenant"),
        (
            "tenant: {fixed: acme}",
            "tenant: {fixed: acme}\n    max_life_seconds: 7200",
            "issuers.https://issuer.test.max_life_seconds",
        ),
        (
            "tenant: {fixed: acme}",
            "tenant: {fixed: acme}\n    role_of_subject: {robot: support}",
            "issuers.https://issuer.test.role_of_subject",
        ),
        (
            "tenant: {fixed: acme}",
            "tenant: {fixed: acme}\n    certificate_binding: ignored",
            "issuers.https://issuer.test.certificate_binding",
        ),
        ("memorised_bits: 12", "memorised_bits: 20", "profiles.strict.memorised_bits"),
        ("memorised_bits: 12", "on_memorised: mask", "profiles.strict.on_memorised"),
        ("memorised_bits: 12", "release: clause", "profiles.strict.release"),
        ("memorised_bits: 12", "min_scores: {PHONE: 0.5}", "profiles.strict.min_scores"),
        ("min_scores: {AGE: 0.5}", "memorised_bits: 12", "profiles.strict.min_scores"),
        ("memorised_bits: 12", "actions: {PHONE: surrogate}", "profiles.strict.actions"),
        ("memorised_bits: 12", "verdicts: [{types: [SECRET], then: mask}]", "profiles.strict.verdicts"),
        ("k: 10", "k: 5", "profiles.strict.k"),
        ("k: 10", "memorised_bits: 12", "profiles.strict.k"),
        ("languages: [en]", "languages: [en, zh]", "profiles.strict.languages"),
        ("languages: [en]", "memorised_bits: 12", "profiles.strict.languages"),
        ("bounded: {ratio: 2, answer_bits: 20}", "bounded: {ratio: 3, answer_bits: 20}", "profiles.strict.bounded"),
        ("bounded: {ratio: 2, answer_bits: 20}", "memorised_bits: 12", "profiles.strict.bounded"),
        ("refusals: always", "memorised_bits: 12", "profiles.strict.refusals"),
        ("refusal_words: [lockpick]", "memorised_bits: 12", "profiles.strict.refusal_words"),
        ("budget: {answer_bits: 50}", "budget: {answer_bits: 60}", "profiles.strict.budget"),
        ("budget: {answer_bits: 50}", "memorised_bits: 12", "profiles.strict.budget"),
        (
            "budget: {refuse_findings_per_hour: 5}",
            "budget: {refuse_findings_per_hour: 5, application: {refuse_findings_per_hour: 50}}",
            "profiles.strict.budget",
        ),
        (
            "budget: {refuse_findings_per_hour: 5, application: {refuse_findings_per_hour: 50}}",
            "budget: {refuse_findings_per_hour: 5, application: {refuse_findings_per_hour: 60}}",
            "profiles.strict.budget",
        ),
    ],
)
def test_what_weakens_is_named_and_the_way_back_does_not(tmp_path: Path, old: str, new: str, key: str) -> None:
    whole = POLICY + STRICT
    before, after = whole.replace("memorised_bits: 12", old, 1), whole.replace("memorised_bits: 12", new, 1)
    if "memorised_bits: 12" not in (old, new) and old in whole:
        before, after = whole, whole.replace(old, new, 1)
    assert [change.key for change in changes(tmp_path, before, after) if change.weakens] == [key]
    ways_back = [change for change in changes(tmp_path, after, before) if change.weakens]
    unknown = key.endswith((".tenant", ".verdicts")) or (new == "memorised_bits: 12" and key.endswith(".k"))
    assert [change.key for change in ways_back] in ([], [key] if unknown else [])


@pytest.mark.parametrize(("k", "weakens"), [("3", True), ("254", True), ("255", False)])
def test_a_k_where_none_was_may_be_less_than_the_index_s(tmp_path: Path, k: str, weakens: bool) -> None:
    (change,) = changes(tmp_path, POLICY + STRICT, POLICY + STRICT.replace("12", f"12, k: {k}"))
    assert (change.key, change.weakens) == ("profiles.strict.k", weakens)


@pytest.mark.parametrize("key", ["limits", "total_limits", "end_user_limits"])
@pytest.mark.parametrize(("less", "more"), [("{streams: 2}", "{streams: 3}"), ("{tokens_per_day: 5000}", "{}")])
def test_who_may_ask_more_is_less_restricted(tmp_path: Path, key: str, less: str, more: str) -> None:
    before, after = (POLICY.replace("  idle: {}", f"  idle: {{{key}: {each}}}") for each in (less, more))
    assert [(each.key, each.weakens) for each in changes(tmp_path, before, after)] == [(f"roles.idle.{key}", True)]
    assert not any(each.weakens for each in changes(tmp_path, after, before))


def test_a_new_role_and_a_new_issuer_weaken_and_one_that_is_gone_does_not(tmp_path: Path) -> None:
    less = POLICY.replace("  idle: {}\n", "").replace(", idle]", "]")
    assert [(change.key, change.weakens) for change in changes(tmp_path, less, POLICY)] == [
        ("issuers.https://issuer.test.roles", True),
        ("roles.idle", True),
    ]
    assert not any(change.weakens for change in changes(tmp_path, POLICY, less))


def test_a_role_that_moves_to_another_profile_is_compared_by_what_that_comes_to(tmp_path: Path) -> None:
    moved = changes(tmp_path, POLICY.replace("profile: off", "profile: strict"), POLICY)
    weaker = {change.key: change.text for change in moved if change.weakens}
    assert weaker["roles.support (strict → off) detect"] == "True → False"


def test_lists_tell_what_came_and_went(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, POLICY, POLICY.replace("[assistant, second]", "[assistant, third]"))
    assert (change.key, change.text) == ("roles.support.models", "+ third, - second")


HOUSE = """\
  ward: {allowed_types: [AGE], reason: nurses ask for ages, expires: 2099-01-01}
duties: [security, privacy]
forbidden_pairs: [[security, privacy]]
classification: {types: {AGE: public, EMAIL: sensitive}, audiences: {staff: internal}}
"""


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("2099-01-01}\nduties", "2100-01-01}\nduties", "profiles.ward.expires"),
        ("[AGE]", "[AGE, NUMBER]", "profiles.ward.allowed_types"),
        ("  idle: {}", "  idle: {duties: [privacy]}", "roles.idle.duties"),
        ("  idle: {}", "  idle: {clearance: internal}", "roles.idle.clearance"),
        ("  idle: {clearance: internal}", "  idle: {clearance: core}", "roles.idle.clearance"),
        ("EMAIL: sensitive", "EMAIL: internal", "classification"),
        ("AGE: public, EMAIL: sensitive", "AGE: public, EMAIL: sensitive, DATE: sensitive", "classification"),
        ("staff: internal", "staff: public", "classification"),
        ("forbidden_pairs: [[security, privacy]]\n", "", "forbidden_pairs"),
    ],
)
def test_what_the_house_decides_has_a_direction_too(tmp_path: Path, old: str, new: str, key: str) -> None:
    before = POLICY + HOUSE
    if old not in before:
        before = before.replace("  idle: {}", old)
    after = before.replace(old, new, 1)
    assert [change.key for change in changes(tmp_path, before, after) if change.weakens] == [key]
    assert not any(change.weakens for change in changes(tmp_path, after, before))


def test_of_other_levels_nobody_can_tell_what_is_higher(tmp_path: Path) -> None:
    before = POLICY.replace("  idle: {}", "  idle: {clearance: core}")
    after = POLICY.replace("  idle: {}", "  idle: {clearance: a}") + "classification: {levels: [a, b]}\n"
    assert {change.key: change.weakens for change in changes(tmp_path, before, after)} == {
        "classification": True,
        "roles.idle.clearance": True,
    }


def test_a_profile_that_expires_sooner_or_at_all_is_no_weaker(tmp_path: Path) -> None:
    assert [change.key for change in changes(tmp_path, POLICY, POLICY.replace("2099-01-01", "2027-01-01"))] == [
        "profiles.off.expires"
    ]


WEAKER = {
    "detect": "detect: false, compare: false",
    "compare": "compare: false",
    "persons": "persons: false",
    "evidence": "compare: false, evidence: false",
    "refusals": "refusals: never",
    "memorised_bits": "memorised_bits: 13",
    "allowed_types": "allowed_types: [AGE]",
    "verdicts": "verdicts: [{types: [CODE], bits: [memorised], then: release}]",
    "k": "k: 3",
    "min_scores": "min_scores: {US_SSN: 0.5}",
}
THAN_STRICT = {  # what the policy's strict profile says, and what a weaker one says or leaves out
    "names": ("names: true", ""),
    "k": ("k: 10", "k: 9"),
    "languages": ("languages: [en]", "languages: [en, zh]"),
    "budget": ("budget: {answer_bits: 50}", ""),
    "actions": ("actions: {AGE: generalise}", "actions: {EMAIL: remove}"),
    "min_scores": ("min_scores: {AGE: 0.3}", "min_scores: {AGE: 0.6, AMOUNT: 0.5}"),
}
NOT_WEAKER = [
    "release: clause",
    "on_memorised: mask",
    "on_failure: stop",
    "names: true",
    "memorised_bits: 11",
    "actions: {EMAIL: generalise}",
    "min_scores: {AGE: 0.5}",
    "names: true, min_scores: {PERSON: 0.9}",
    "k: 255",
    "languages: [en]",
    "verdicts: [{types: [SECRET], then: stop}, {types: [CARD], grounded: true, then: release}]",
    "refusals: always",
    "budget: {answer_bits: 50}",
    "bounded: {ratio: 2, answer_bits: 20}",
    "sample: 0",
]


def test_every_key_that_lets_more_pass_is_known_as_one() -> None:
    assert WEAKER.keys() | THAN_STRICT.keys() == LETS_PASS.keys() | set(BY_TYPE)


@pytest.mark.parametrize(("key", "said"), WEAKER.items())
def test_who_lets_more_pass_says_why_and_until_when(tmp_path: Path, key: str, said: str) -> None:
    for lapse, missing in (("", {"reason", "expires"}), (", reason: so it was agreed", {"expires"})):
        with pytest.raises(ConfigError) as refused:
            load(write_policy(tmp_path, POLICY + f"  loose: {{{said}{lapse}}}\n"))
        assert {problem.key for problem in refused.value.problems} == {f"profiles.loose.{name}" for name in missing}
        assert all(repr(key) in problem.text and problem.line == 22 for problem in refused.value.problems)
    whole = f"{{{said}, on_failure: stop, reason: so it was agreed, expires: 2027-01-01}}"
    rules = load(write_policy(tmp_path, POLICY + f"  loose: {whole}\n"))
    until = next(each.until for each in rules.exemptions() if each.profile == "loose")
    written, left = rules.profile("loose", until - 1), rules.profile("loose", until)
    assert getattr(written, key) != getattr(rules.profiles["strict"], key)
    for each in LETS_PASS:
        assert getattr(left, each) == getattr(rules.profiles["strict"], each)
    assert (left.on_failure, left.name) == (OnFailure.STOP, "loose (expired)")


@pytest.mark.parametrize(("key", "strict", "said"), [(key, *said) for key, said in THAN_STRICT.items()])
def test_the_policy_s_own_strict_profile_is_the_measure(tmp_path: Path, key: str, strict: str, said: str) -> None:
    lapse = "reason: so it was agreed, expires: 2027-01-01"
    more = POLICY + f"  strict: {{{strict}}}\n  same: {{{strict}}}\n"
    assert [each.profile for each in load(write_policy(tmp_path, more)).exemptions()] == ["off"]
    with pytest.raises(ConfigError, match=rf"profiles\.loose\.reason: .* weaker than 'strict' in '{key}'"):
        load(write_policy(tmp_path, more + f"  loose: {{{said}}}\n"))
    left = load(write_policy(tmp_path, more + f"  loose: {{{', '.join(filter(None, (said, lapse)))}}}\n"))
    strict_one, lapsed = left.profiles["strict"], left.expired["loose"]
    if key not in BY_TYPE:
        assert getattr(lapsed, key) == getattr(strict_one, key)
    else:  # the rest of it stays
        assert getattr(lapsed, key).items() >= getattr(strict_one, key).items()
        assert getattr(lapsed, key).keys() - {"AGE"} == getattr(left.profiles["loose"], key).keys() - {"AGE"}


TYPES_SAID = st.sampled_from(["PERSON", "DATE", "AGE", "PHONE"])
PROFILES = st.builds(
    ProfilePolicy,
    names=st.booleans(),
    k=st.none() | st.integers(3, 255),
    actions=st.dictionaries(TYPES_SAID, st.sampled_from(["mask", "remove"])),
    min_scores=st.dictionaries(TYPES_SAID, st.sampled_from([0.0, 0.2, 0.5])),
    languages=st.frozensets(st.sampled_from(["en", "zh"])),
)


@settings(max_examples=100)
@given(PROFILES, PROFILES)
def test_what_has_expired_is_in_nothing_weaker(profile: ProfilePolicy, strict: ProfilePolicy) -> None:
    assert weaker_than(tightened(profile, strict), strict) == []


@pytest.mark.parametrize("said", NOT_WEAKER)
def test_what_hides_as_much_needs_no_reason_and_has_no_expiry(tmp_path: Path, said: str) -> None:
    rules = load(write_policy(tmp_path, POLICY + f"  other: {{{said}}}\n"))
    assert [each.profile for each in rules.exemptions()] == ["off"]
    with pytest.raises(ConfigError, match=r"profiles\.other\.expires: the profile is not weaker"):
        load(write_policy(tmp_path, POLICY + f"  other: {{{said}, expires: 2027-01-01}}\n"))


def test_a_line_that_releases_goes_with_the_expiry_and_those_that_stop_stay(tmp_path: Path) -> None:
    lines = "[{types: [CODE], bits: [memorised], then: release}, {types: [SECRET], then: stop}]"
    said = f"{{verdicts: {lines}, reason: so it was agreed, expires: 2027-01-01}}"
    left = load(write_policy(tmp_path, POLICY + f"  loose: {said}\n")).expired["loose"]
    assert [line.then for line in left.verdicts] == [Verdict.STOP]


def test_the_strict_profile_lets_nothing_more_pass_and_measures_the_others(tmp_path: Path) -> None:
    """Its threshold is calibrated: it is the policy's."""
    lapse = "reason: so it was agreed, expires: 2027-01-01"
    with pytest.raises(ConfigError, match=r"policy\.yaml:22: profiles\.strict: 'refusals': the strict profile can't"):
        load(write_policy(tmp_path, POLICY + f"  strict: {{refusals: never, {lapse}}}\n"))
    more = "  strict: {memorised_bits: 20}\n  same: {memorised_bits: 20}\n"
    assert [each.profile for each in load(write_policy(tmp_path, POLICY + more)).exemptions()] == ["off"]
    more += f"  loose: {{memorised_bits: 30, {lapse}}}\n"
    assert load(write_policy(tmp_path, POLICY + more)).expired["loose"].memorised_bits == 20


@pytest.mark.parametrize(
    "day", ["20270101", "2027-13-01", "tomorrow", "2027-01-01T00:00", "'20270101'", "null", "[2027-01-01]"]
)
def test_an_expiry_is_a_day(tmp_path: Path, day: str) -> None:
    with pytest.raises(ConfigError, match=r"policy\.yaml:2[12]: profiles\.off\.expires"):
        load(write_policy(tmp_path, POLICY.replace("2099-01-01", day)))
