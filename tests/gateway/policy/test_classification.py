"""Levels: who is cleared for what, and what a profile may let pass for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from filters.index.lookup import NO_AUDIENCE
from gateway.config_file import ConfigError
from gateway.policy.load import load
from gateway.policy.schema import Classification
from gateway.types import Clearance
from tests.gateway.support import POLICY, write_policy

AUDIENCES = ("everyone", "staff", "board")
TABLE = Classification(audiences={"everyone": "public", "staff": "internal"})


def cleared(level: str, types: str = "AGE", table: str = "types: {AGE: internal}") -> str:
    role = POLICY.replace("  idle: {}", f"  idle: {{clearance: {level}, profile: ward}}")
    ward = f"  ward: {{allowed_types: [{types}], reason: nurses ask for ages, expires: 2099-01-01}}\n"
    return f"{role}{ward}classification: {{{table}}}\n"


def problems(folder: Path, text: str) -> set[tuple[int | None, str]]:
    with pytest.raises(ConfigError) as refused:
        load(write_policy(folder, text))
    return {(problem.line, problem.key) for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("level", "highest"),
    [(None, "everyone"), ("public", "everyone"), ("internal", "staff"), ("sensitive", "staff"), ("core", "board")],
)
def test_audiences_have_levels_and_an_unmapped_one_the_highest(level: str | None, highest: str) -> None:
    assert TABLE.clearance(level).highest(AUDIENCES) == highest


def test_an_audience_that_is_called_like_a_level_is_of_that_one_unless_the_table_says_otherwise() -> None:
    names = ("public", "internal", "sensitive")
    assert Classification().clearance("internal").highest(names) == "internal"
    assert Classification(audiences={"internal": "core"}).clearance("internal").highest(names) == "public"


def test_what_stands_behind_an_audience_that_is_not_covered_is_not_either() -> None:
    """The index says of a text the lowest audience that may see it; another order in the table frees nothing."""
    turned = Classification(audiences={"everyone": "sensitive", "staff": "public"})
    assert turned.clearance("internal").highest(AUDIENCES) == NO_AUDIENCE
    assert turned.clearance("sensitive").highest(AUDIENCES) == "staff"


def test_who_has_no_clearance_at_all_sees_nothing() -> None:
    assert Clearance().highest(AUDIENCES) == NO_AUDIENCE


@pytest.mark.parametrize("level", ["internal", "sensitive", "core"])
def test_a_type_passes_for_roles_that_are_cleared_for_its_level_where_their_profile_says_so(
    tmp_path: Path, level: str
) -> None:
    rules = load(write_policy(tmp_path, cleared(level)))
    assert rules.profiles["ward"].allowed_types == {"AGE"}
    assert rules.profiles["strict"].allowed_types == frozenset()  # a clearance alone frees no type


@pytest.mark.parametrize(
    ("level", "types", "table"),
    [
        ("public", "AGE", "types: {AGE: internal}"),
        ("sensitive", "EMAIL", "types: {AGE: internal}"),  # unmapped: the highest
        ("internal", "AGE, EMAIL", "types: {AGE: internal, EMAIL: sensitive}"),
        ("low", "AGE", "levels: [low, high]"),
    ],
)
def test_a_profile_lets_nothing_pass_that_one_of_its_roles_is_not_cleared_for(
    tmp_path: Path, level: str, types: str, table: str
) -> None:
    assert problems(tmp_path, cleared(level, types, table)) == {(22, "profiles.ward.allowed_types")}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (cleared("royal"), (19, "roles.idle.clearance")),
        (cleared("core", table="types: {AGE: royal}"), (23, "classification.types.AGE")),
        (cleared("core", table="types: {AEG: core}"), (23, "classification.types.AEG")),
        (cleared("core", table="audiences: {staff: royal}"), (23, "classification.audiences.staff")),
        (cleared("core", table="levels: [core, core]"), (23, "classification")),
        (cleared("core", table="levels: []"), (23, "classification.levels")),
    ],
)
def test_what_is_no_level_has_its_line(tmp_path: Path, text: str, place: tuple[int, str]) -> None:
    assert place in problems(tmp_path, text)


HOUSE = """\
duties: [security, operations, privacy]
forbidden_pairs: [[security, operations], [privacy, security]]
"""
SECOND = """\
  - issuer: https://second.test
    audience: [tightlip]
    algorithms: [ES256]
    keys: [{file: key.pem}]
    role_claim: null
    role_of_TABLE: {NAME: support}
    roles: [support]
    tenant: {fixed: second}
roles:
"""


def on_duty(customer: str, support: str) -> str:
    text = POLICY.replace("max_output_tokens: 100", f"duties: [{customer}]")
    return text.replace("profile: off", f"profile: off\n    duties: [{support}]") + HOUSE


@pytest.mark.parametrize(
    ("customer", "support", "place"),
    [
        ("security, privacy", "", (13, "roles.customer.duties")),
        ("operations", "operations, security", (19, "roles.support.duties")),
        ("cooking", "", (13, "roles.customer.duties")),
    ],
)
def test_one_role_has_no_two_duties_of_a_forbidden_pair(
    tmp_path: Path, customer: str, support: str, place: tuple[int, str]
) -> None:
    assert problems(tmp_path, on_duty(customer, support)) == {place}
    load(write_policy(tmp_path, on_duty("operations, privacy", "security")))


@pytest.mark.parametrize("table", ["subject", "group"])
@pytest.mark.parametrize("name", ["ada", "bertha"])
def test_one_name_has_no_two_such_roles_either(tmp_path: Path, table: str, name: str) -> None:
    first = POLICY.replace("    keys:", f"    role_of_{table}: {{ada: customer}}\n    keys:")
    second = SECOND.replace("TABLE", table).replace("NAME", name)
    for support, fits in (("operations, privacy", True), ("security", name != "ada")):
        text = on_duty("privacy", support).replace(POLICY[:60], first[:60])
        text = text.replace("    keys:", f"    role_of_{table}: {{ada: customer}}\n    keys:", 1)
        text = text.replace("roles:\n  customer", second + "  customer")
        if fits:
            load(write_policy(tmp_path, text))
        else:
            assert problems(tmp_path, text) == {(15, f"issuers[1].role_of_{table}.ada")}


@pytest.mark.parametrize("pair", ["[security]", "[security, cooking]", "[security, security]", "[a, b, c]", "security"])
def test_a_pair_is_of_two_duties(tmp_path: Path, pair: str) -> None:
    found = problems(tmp_path, POLICY + HOUSE.replace("[security, operations]", pair))
    assert {key.partition("[")[0] for _, key in found} == {"forbidden_pairs"}
    assert {line for line, _ in found} == {23}
