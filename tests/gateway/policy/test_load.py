"""Policy files: what is checked, and that each problem has its line and key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from filters.budget import NO_LIMITS, Hour, Limits, Steps
from filters.events import Verdict
from filters.profile import Action, OnFailure, RefusalCheck, ReleaseUnit
from filters.specificity.crowd_tables import SHIPPED, shipped_crowds
from filters.verdicts import Bits, Known, Rule
from gateway.config_file import ConfigError
from gateway.policy.load import check_models, check_priorities, check_sources, load
from gateway.policy.schema import MAX_OUTPUT_TOKENS
from tests.gateway.support import POLICY, write_policy


def problems(folder: Path, old: str, new: str) -> set[tuple[int | None, str]]:
    assert old in POLICY
    with pytest.raises(ConfigError) as refused:
        load(write_policy(folder, POLICY.replace(old, new, 1)))
    return {(problem.line, problem.key) for problem in refused.value.problems}


def test_a_good_policy_becomes_rules(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path))
    assert rules.roles.keys() == {"customer", "support", "idle"}
    assert rules.profiles.keys() == {"strict", "off"}
    strict = rules.profiles["strict"]
    assert (strict.detect, strict.compare, strict.evidence) == (True, True, True)
    assert (strict.release, strict.on_memorised, strict.on_failure) == (
        ReleaseUnit.SENTENCE,
        Verdict.FALL_BACK,
        OnFailure.MASK,
    )


def test_the_version_is_the_contents(tmp_path: Path) -> None:
    first = load(write_policy(tmp_path)).version
    assert load(write_policy(tmp_path)).version == first
    assert load(write_policy(tmp_path, POLICY + "# a comment\n")).version != first


def test_a_policys_strict_profile_replaces_the_default(tmp_path: Path) -> None:
    more = "  strict: {release: clause, memorised_bits: 20, on_memorised: stop}\n"
    strict = load(write_policy(tmp_path, POLICY + more)).profiles["strict"]
    assert (strict.release, strict.memorised_bits, strict.on_memorised) == (ReleaseUnit.CLAUSE, 20, Verdict.STOP)


def test_a_profile_says_what_stands_in_by_type_and_from_which_score_on(tmp_path: Path) -> None:
    more = "  strict:\n    actions: {EMAIL: generalise, SECRET: remove}\n    min_scores: {PHONE: 0.5}\n"
    strict = load(write_policy(tmp_path, POLICY + more)).profiles["strict"]
    assert strict.actions == {"EMAIL": Action.GENERALISE, "SECRET": Action.REMOVE}
    assert strict.min_scores == {"PHONE": 0.5}


def test_a_profile_has_verdicts_of_its_own(tmp_path: Path) -> None:
    more = """\
  strict:
    k: 10
    languages: [en, zh]
    verdicts:
      - {types: [FEW_SUBJECTS], bits: [memorised], then: mask}
      - {index: [above], min_bits: 60, then: stop}
      - {types: [CARD], grounded: true, then: mask}
"""
    strict = load(write_policy(tmp_path, POLICY + more)).profiles["strict"]
    assert (strict.k, strict.languages) == (10, {"en", "zh"})
    assert strict.verdicts == (
        Rule(Verdict.MASK, types=frozenset({"FEW_SUBJECTS"}), bits=frozenset({Bits.MEMORISED})),
        Rule(Verdict.STOP, known=frozenset({Known.ABOVE}), min_bits=60.0),
        Rule(Verdict.MASK, types=frozenset({"CARD"}), grounded=True),
    )


def test_a_profile_has_budgets_and_a_share_that_is_sampled(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path))
    assert (rules.profiles["strict"].budget, rules.profiles["strict"].sample) == (NO_LIMITS, 0.02)
    more = "  strict: {sample: 0.5, budget: {answer_bits: 60, caller_bits_per_hour: 300, refuse_bits_per_hour: 900}}\n"
    strict = load(write_policy(tmp_path, POLICY + more)).profiles["strict"]
    assert (strict.budget, strict.sample) == (Limits(60, Hour(Steps(300, 900))), 0.5)
    budget = "refuse_findings_per_hour: 9, reserve: 2, application: {refuse_findings_per_hour: 90}"
    more = f"  strict: {{budget: {{{budget}}}}}\n"
    strict = load(write_policy(tmp_path, POLICY + more)).profiles["strict"]
    assert strict.budget == Limits(None, Hour(findings=Steps(None, 9)), Hour(findings=Steps(None, 90)), 2)


def test_a_weaker_profile_has_a_strict_form_until_it_is_that_itself(tmp_path: Path) -> None:
    more = "  loose: {persons: false, on_failure: stop, reason: so it was agreed, expires: 2027-01-01}\n"
    rules = load(write_policy(tmp_path, POLICY + more))
    until = next(each.until for each in rules.exemptions() if each.profile == "loose")
    tightened = rules.tightened("loose", until - 1)
    assert tightened == rules.profile("loose", until)
    assert tightened is not None
    assert (tightened.persons, tightened.on_failure, rules.profile("loose", until - 1).persons) == (True, "stop", False)
    assert rules.tightened("loose", until) is None
    assert rules.tightened("strict", until) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "{budget: {answer_bits: 0}}",
        "{budget: {answer_bits: .inf}}",
        "{budget: {caller_bits: 5}}",
        "{budget: {caller_bits_per_hour: 900, refuse_bits_per_hour: 300}}",
        "{budget: {caller_findings_per_hour: 9, refuse_findings_per_hour: 9}}",
        "{budget: {refuse_findings_per_hour: 0}}",
        "{budget: {refuse_findings_per_hour: 1.5}}",
        "{budget: {reserve: 0}}",
        "{budget: {application: {refuse_findings_per_hour: 9}}}",
        "{budget: {refuse_findings_per_hour: 9, application: {}}}",
        "{budget: {refuse_findings_per_hour: 9, application: {caller_findings_per_hour: 9}}}",
        "{budget: {caller_findings_per_hour: 5, application: {caller_findings_per_hour: 9}}}",
        "{budget: {refuse_findings_per_hour: 9, refuse_bits_per_hour: 90, application: {refuse_bits_per_hour: 100}}}",
        "{budget: {refuse_findings_per_hour: 9, application: {answer_bits: 5, refuse_findings_per_hour: 10}}}",
        "{budget: {answer_bits: 60}, compare: false, reason: the base is not there yet, expires: 2099-01-01}",
        "{sample: 1.5}",
    ],
)
def test_budgets_that_contradict_themselves_are_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, POLICY + f"  strict: {wrong}\n"))
    assert {key.partition(".strict")[0] for _, key in ((p.line, p.key) for p in refused.value.problems)} == {"profiles"}


def test_when_parts_add_up_to_a_person_is_the_policys_to_say(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path))
    assert (rules.persons.k, rules.persons.countries) == (5, frozenset())
    assert rules.crowds is shipped_crowds()
    assert all(profile.persons for profile in rules.profiles.values())

    shutil.copytree(SHIPPED, tmp_path / "tables")
    country = json.loads((SHIPPED / "NZ.json").read_text(encoding="utf-8"))
    (tmp_path / "tables" / "NZ.json").write_text(json.dumps(country | {"population": 6_000_000}))
    more = "  loose: {persons: false, reason: describes invented people only, expires: 2099-01-01}\n"
    more += "persons: {k: 20, countries: [NZ], tables: tables}\n"
    rules = load(write_policy(tmp_path, POLICY + more))
    assert (rules.persons.k, rules.persons.countries) == (20, {"NZ"})
    assert rules.crowds.population("NZ") == 6_000_000
    assert not rules.profiles["loose"].persons


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("persons: {k: 2}\n", "persons.k"),
        ("persons: {countries: [ZZ]}\n", "persons.countries"),
        ("persons: {tables: nowhere}\n", "persons.tables"),
    ],
)
def test_a_wrong_word_about_persons_has_its_line(tmp_path: Path, more: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, POLICY + more))
    line = POLICY.count("\n") + 1
    assert {(problem.line, problem.key) for problem in refused.value.problems} == {(line, key)}


def test_what_is_internal_holds_for_every_profile(tmp_path: Path) -> None:
    more = "internal_hosts: [plimsol.example, 'db-*.kipmora.example']\nrecord_fields: [risk score, 内部评级]\n"
    for profile in load(write_policy(tmp_path, POLICY + more)).profiles.values():
        assert profile.internal_hosts == {"plimsol.example", "db-*.kipmora.example"}
        assert profile.record_fields == {"risk score", "内部评级"}


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("internal_hosts: plimsol.example", "internal_hosts"),
        ("internal_hosts: ['*']", "internal_hosts[0]"),
        ("internal_hosts: [plimsol.example, '*.a']", "internal_hosts[1]"),
        ("internal_hosts: ['https://plimsol.example']", "internal_hosts[0]"),
        ("internal_hosts: ['plimsol..example']", "internal_hosts[0]"),
        ("internal_hosts: ['(a+)+b']", "internal_hosts[0]"),
        ("internal_hosts: {a: b}", "internal_hosts"),
        ("record_fields: ['']", "record_fields[0]"),
        ("record_fields: ['a\"b']", "record_fields[0]"),
        ("record_fields: [{a: b}]", "record_fields[0]"),
    ],
)
def test_what_is_no_host_or_field_is_refused(tmp_path: Path, more: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, f"{POLICY}{more}\n"))
    assert [(problem.line, problem.key) for problem in refused.value.problems] == [(22, key)]


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("version: 1", "version: 2", 1, "version"),
        ("version: 1\n", "", None, "version"),
        ("    audience: [tightlip]\n", "", 3, "issuers[0].audience"),
        ("audience: [tightlip]", "audience: []", 4, "issuers[0].audience"),
        ("algorithms: [ES256]", "algorithms: [HS256]", 5, "issuers[0].algorithms[0]"),
        ("algorithms: [ES256]", "algorithms: [none]", 5, "issuers[0].algorithms[0]"),
        ("roles: [customer", "roles: [admin, customer", 7, "issuers[0].roles"),
        ("tenant: {fixed: acme}", "tenant: {}", 8, "issuers[0].tenant"),
        ("tenant: {fixed: acme}", "tenant: {fixed: acme, claim: tid}", 8, "issuers[0].tenant"),
        ("tenant: {fixed: acme}", "tenant: {claim: tid}", 8, "issuers[0].tenant"),
        (
            "tenant: {fixed: acme}",
            "tenant: {fixed: acme}\n    max_life_seconds: 90000",
            9,
            "issuers[0].max_life_seconds",
        ),
        ("endpoints: [chat, models]", "endpoints: [chat, embeddings]", 12, "roles.customer.endpoints[1]"),
        ("max_output_tokens: 100", "max_output_tokens: 0", 13, "roles.customer.max_output_tokens"),
        (
            "max_output_tokens: 100",
            f"max_output_tokens: {MAX_OUTPUT_TOKENS + 1}",
            13,
            "roles.customer.max_output_tokens",
        ),
        ("max_output_tokens: 100", "max_outputs: 100", 13, "roles.customer.max_outputs"),
        ("fields: {logit_bias: forward}", "fields: {top_logprobs: forward}", 17, "roles.support.fields.top_logprobs"),
        ("fields: {logit_bias: forward}", "fields: {temprature: refuse}", 17, "roles.support.fields.temprature"),
        ("fields: {logit_bias: forward}", "fields: {model: refuse}", 17, "roles.support.fields.model"),
        ("fields: {logit_bias: forward}", "fields: {user: forward}", 17, "roles.support.fields.user"),
        ("fields: {logit_bias: forward}", "fields: {tools.type: ignore}", 17, "roles.support.fields.tools.type"),
        ("fields: {logit_bias: forward}", "fields: {seed: drop}", 17, "roles.support.fields.seed"),
        ("fields: {logit_bias: forward}", "fields: [logit_bias]", 17, "roles.support.fields"),
        ("fields: {logit_bias: forward}", "content_parts: [video_url]", 17, "roles.support.content_parts[0]"),
        ("fields: {logit_bias: forward}", "request: {message: 5}", 17, "roles.support.request.message"),
        ("fields: {logit_bias: forward}", "request: {prompt_chars: 0}", 17, "roles.support.request.prompt_chars"),
        ("fields: {logit_bias: forward}", "max_streams: 0", 17, "roles.support.max_streams"),
        ("fields: {logit_bias: forward}", "priority: soon", 17, "roles.support.priority"),
        ("profile: off", "profile: of", 18, "roles.support.profile"),
        ("  idle: {}", "  other: {}", 19, "roles.other"),
        ("reason: raw answers for the tests", "reason: n/a", 21, "profiles.off.reason"),
        (", reason: raw answers for the tests", "", 21, "profiles.off.reason"),
        ("compare: false, ", "", 21, "profiles.off"),
        ("detect: false", "allowed_types: [NOTHING], detect: false", 21, "profiles.off.allowed_types"),
        ("detect: false", "on_memorised: release, detect: false", 21, "profiles.off.on_memorised"),
        ("detect: false", "on_failure: release, detect: false", 21, "profiles.off.on_failure"),
        ("detect: false", "memorised_bits: 0, detect: false", 21, "profiles.off.memorised_bits"),
        ("detect: false", "actions: {EMAILS: mask}, detect: false", 21, "profiles.off.actions.EMAILS"),
        ("detect: false", "actions: {EMAIL: release}, detect: false", 21, "profiles.off.actions.EMAIL"),
        ("detect: false", "actions: mask, detect: false", 21, "profiles.off.actions"),
        ("detect: false", "verdicts: [{then: mask, types: [NO]}], detect: false", 21, "profiles.off.verdicts[0].types"),
        ("detect: false", "verdicts: [{then: release}], detect: false", 21, "profiles.off.verdicts[0]"),
        ("detect: false", "verdicts: [{then: hide}], detect: false", 21, "profiles.off.verdicts[0].then"),
        ("detect: false", "verdicts: [{types: [CARD]}], detect: false", 21, "profiles.off.verdicts[0].then"),
        ("detect: false", "languages: [tlh], detect: false", 21, "profiles.off.languages"),
        ("detect: false", "k: 2, detect: false", 21, "profiles.off.k"),
        ("detect: false", "min_scores: {PHONES: 0.5}, detect: false", 21, "profiles.off.min_scores.PHONES"),
        ("detect: false", "min_scores: {PHONE: 0.51}, detect: false", 21, "profiles.off.min_scores.PHONE"),
        ("detect: false", "min_scores: {PHONE: -0.1}, detect: false", 21, "profiles.off.min_scores.PHONE"),
        ("detect: false", "min_scores: {PHONE: 1.1}, detect: false", 21, "profiles.off.min_scores.PHONE"),
        ("detect: false", "refusals: always, detect: false", 21, "profiles.off"),
        ("detect: false", "refusals: sometimes, detect: false", 21, "profiles.off.refusals"),
        ("detect: false", "refusal_words: [a], detect: false", 21, "profiles.off.refusal_words[0]"),
        ("detect: false", "refusal_words: bomb, detect: false", 21, "profiles.off.refusal_words"),
    ],
)
def test_problems_have_their_line_and_key(tmp_path: Path, old: str, new: str, line: int | None, key: str) -> None:
    assert (line, key) in problems(tmp_path, old, new)


def test_refusals_are_checked_on_suspicion_unless_a_profile_says_otherwise(tmp_path: Path) -> None:
    text = f"{POLICY}  wary: {{refusals: always, refusal_words: [Plimsol vault, 窖]}}\n"
    rules = load(write_policy(tmp_path, text))
    wary = rules.profiles["wary"]
    assert (wary.refusals, wary.refusal_words) == (RefusalCheck.ALWAYS, {"Plimsol vault", "窖"})
    assert rules.profiles["strict"].refusals is RefusalCheck.ON_SUSPICION
    assert rules.profiles["strict"].checks_refusals(suspicious=True)
    assert not rules.profiles["off"].checks_refusals(suspicious=True)


def test_a_policy_of_a_newer_format_is_refused_by_name_and_for_nothing_else(tmp_path: Path) -> None:
    newer = POLICY.replace("version: 1", "version: 2") + "what_came_since: {}\n"
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, newer))
    (problem,) = refused.value.problems
    assert (problem.line, problem.key) == (1, "version")
    assert "a newer version of tightlip: this one reads 1" in problem.text


def test_an_issuer_stands_there_once(tmp_path: Path) -> None:
    issuer = POLICY[POLICY.index("  - issuer") : POLICY.index("roles:\n")]
    assert (9, "issuers[1].issuer") in problems(tmp_path, "roles:\n  customer", issuer + "roles:\n  customer")


def test_a_role_can_only_name_served_models(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path))
    check_models(rules, frozenset({"assistant", "second"}))
    with pytest.raises(ConfigError, match=r"policy\.yaml:15: roles\.support\.models: 'second'"):
        check_models(rules, frozenset({"assistant"}))


def test_a_priority_needs_servers_that_look_at_it_or_a_number_of_streams(tmp_path: Path) -> None:
    late = POLICY.replace("    max_output_tokens: 100\n", "    max_output_tokens: 100\n    priority: 5\n")
    rules = load(write_policy(tmp_path, late))
    check_priorities(rules, frozenset({"assistant"}))
    with pytest.raises(ConfigError, match=r"policy.yaml:14: roles.customer.priority: the servers of 'assistant'"):
        check_priorities(rules, frozenset({"second"}))
    bounded = late.replace("priority: 5", "priority: 5\n    max_streams: 2")
    check_priorities(load(write_policy(tmp_path, bounded)), frozenset())


def test_drafts_have_no_pictures(tmp_path: Path) -> None:
    bounded = POLICY.replace("  idle: {}", "  idle: {profile: close, content_parts: [image_url]}")
    with pytest.raises(ConfigError, match=r"roles.idle.content_parts: .*'bounded'"):
        load(write_policy(tmp_path, bounded + "  close: {bounded: {ratio: 3, answer_bits: 12}}\n"))


def test_what_a_policy_needs_to_know_of_callers_has_to_be_known(tmp_path: Path) -> None:
    text = POLICY.replace("  idle: {}", "  idle: {networks: [192.0.2.0/24], certificate_bound: true}")
    text = text.replace("    tenant: {fixed", "    certificate_binding: required\n    tenant: {fixed")
    rules = load(write_policy(tmp_path, text))
    network, role, issuer = "roles.idle.networks", "roles.idle.certificate_bound", "issuers[0].certificate_binding"
    for addresses, certificates, keys in (
        (True, True, []),
        (False, True, [network]),
        (True, False, [issuer, role]),
        (False, False, [network, issuer, role]),
    ):
        if not keys:
            check_sources(rules, addresses=addresses, certificates=certificates, vault=True, encryption=False)
            continue
        with pytest.raises(ConfigError) as refused:
            check_sources(rules, addresses=addresses, certificates=certificates, vault=True, encryption=False)
        assert [problem.key for problem in refused.value.problems] == keys
    check_sources(load(write_policy(tmp_path)), addresses=False, certificates=False, vault=False, encryption=False)


def test_keys_in_vault_need_one(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path, POLICY.replace("{file: key.pem}", "{vault: 'issuer#key'}")))
    with pytest.raises(ConfigError, match=r"policy.yaml:\d+: issuers\[0\].keys\[0\].vault: needs the setting 'vault'"):
        check_sources(rules, addresses=True, certificates=True, vault=False, encryption=False)
    check_sources(rules, addresses=True, certificates=True, vault=True, encryption=False)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{vault: 'issuer'}", "must be PATH#KEY"),
        ("{vault: 'issuer#key', file: key.pem}", "needs one of"),
        ("{vault: 'issuer#key', ca_file: ca.pem}", "ca_file: not with vault"),
        ("{file: key.pem, refresh_seconds: 5}", "refresh_seconds: not with file"),
    ],
)
def test_one_place_for_keys_and_what_goes_with_it(tmp_path: Path, source: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(write_policy(tmp_path, POLICY.replace("{file: key.pem}", source)))


def test_a_role_for_bound_tokens_can_t_come_from_an_issuer_whose_binding_is_ignored(tmp_path: Path) -> None:
    text = POLICY.replace("  idle: {}", "  idle: {certificate_bound: true}")
    text = text.replace("    tenant: {fixed", "    certificate_binding: ignored\n    tenant: {fixed")
    with pytest.raises(ConfigError, match=r"policy.yaml:8: issuers\[0\].certificate_binding: .*'idle'"):
        load(write_policy(tmp_path, text))


@pytest.mark.parametrize("key", ["limits", "total_limits"])
def test_a_limit_of_tokens_lets_the_longest_answer_fit(tmp_path: Path, key: str) -> None:
    text = POLICY.replace("max_output_tokens: 100", f"max_output_tokens: 100\n    {key}: {{tokens_per_minute: 100}}")
    with pytest.raises(ConfigError, match=rf"roles.customer.{key}.tokens_per_minute: must be more than"):
        load(write_policy(tmp_path, text))
    assert load(write_policy(tmp_path, text.replace("minute: 100", "minute: 101"))).roles["customer"]


def test_the_demos_policy_is_good() -> None:
    rules = load(Path("deploy/demo/policy.yaml"))
    assert rules.roles.keys() == {"customer", "support", "developer"}
    assert not rules.profiles["off"].detect


def test_nobody_can_be_cleared_for_what_was_denied(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy.yaml:22: profiles.open.allowed_types: 'DENIED' is for nobody"):
        load(write_policy(tmp_path, POLICY + "  open: {allowed_types: [EMAIL, DENIED]}\n"))


def test_a_clearance_is_one_name(tmp_path: Path) -> None:
    assert problems(tmp_path, "    max_output_tokens: 100\n", "    clearance: [internal]\n") == {
        (13, "roles.customer.clearance")
    }
