"""What a change of policy weakens."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.policy import schema
from gateway.policy.diff import COMPARED_APART, DIRECTIONS, Change, compare
from gateway.policy.load import load
from tests.gateway.support import POLICY, write_policy

STRICT = "  strict: {memorised_bits: 12}\n"


def changes(tmp_path: Path, old: str, new: str) -> list[Change]:
    folders = tmp_path / "old", tmp_path / "new"
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return compare(load(write_policy(folders[0], old)), load(write_policy(folders[1], new)))


def test_every_key_of_the_schema_has_a_direction() -> None:
    for model, directions in DIRECTIONS.items():
        apart = COMPARED_APART if model is schema.Policy else frozenset()
        assert model.model_fields.keys() - apart == directions.keys(), model


def test_every_part_of_a_policy_is_compared() -> None:
    parts = {
        each
        for each in vars(schema).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each.__module__ == schema.__name__
    }
    compared_whole = {"KeySource", "TenantRule", "RulePolicy", "_Strict"}
    assert {part.__name__ for part in parts - DIRECTIONS.keys()} <= compared_whole


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
        ("memorised_bits: 12", "allowed_types: [EMAIL]", "profiles.strict.allowed_types"),
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
    ],
)
def test_what_weakens_is_named_and_the_way_back_does_not(tmp_path: Path, old: str, new: str, key: str) -> None:
    whole = POLICY + STRICT
    before, after = whole.replace("memorised_bits: 12", old, 1), whole.replace("memorised_bits: 12", new, 1)
    if "memorised_bits: 12" not in (old, new) and old in whole:
        before, after = whole, whole.replace(old, new, 1)
    assert [change.key for change in changes(tmp_path, before, after) if change.weakens] == [key]
    ways_back = [change for change in changes(tmp_path, after, before) if change.weakens]
    assert [change.key for change in ways_back] in ([], [key] if key.endswith((".tenant", ".verdicts")) else [])


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
