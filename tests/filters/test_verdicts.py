"""The table, and that no rule of a policy frees a direct identifier."""

from __future__ import annotations

import itertools

import pytest

from filters.events import Verdict
from filters.pii.types import DENIED, INDIRECT, TYPES
from filters.specificity.triggers import CODE
from filters.strewn import STREWN
from filters.verdicts import (
    CONFIRMATION,
    FEW_SUBJECTS,
    SUSPICIONS,
    Bits,
    Known,
    Rule,
    VerdictTable,
    suspicion,
)

BACK = Verdict.FALL_BACK


def table(*rules: Rule, on_memorised: Verdict = BACK) -> VerdictTable:
    return VerdictTable(rules, on_memorised, SUSPICIONS)


@pytest.mark.parametrize(
    ("kind", "known", "bits", "verdict"),
    [
        ("PHONE", Known.NOTHING, Bits.PLAUSIBLE, Verdict.MASK),
        ("PHONE", Known.NOTHING, Bits.UNKNOWN, Verdict.MASK),
        ("PHONE", Known.NOTHING, Bits.MEMORISED, BACK),
        ("PHONE", Known.MANY, Bits.MEMORISED, Verdict.MASK),
        ("PHONE", Known.FEW, Bits.PLAUSIBLE, BACK),
        ("PHONE", Known.ABOVE, Bits.UNKNOWN, BACK),
        (CODE, Known.NOTHING, Bits.PLAUSIBLE, Verdict.RELEASE),
        (CODE, Known.NOTHING, Bits.UNKNOWN, Verdict.MASK),
        (CODE, Known.NOTHING, Bits.MEMORISED, BACK),
        (CODE, Known.MANY, Bits.MEMORISED, Verdict.RELEASE),
        (CODE, Known.FEW, Bits.PLAUSIBLE, Verdict.RELEASE),
        (CODE, Known.FEW, Bits.UNKNOWN, BACK),
        (FEW_SUBJECTS, Known.FEW, Bits.PLAUSIBLE, Verdict.RELEASE),
        (FEW_SUBJECTS, Known.FEW, Bits.MEMORISED, BACK),
        (STREWN, Known.MANY, Bits.MEMORISED, BACK),
        (CONFIRMATION, Known.MANY, Bits.MEMORISED, BACK),
        (CONFIRMATION, Known.MANY, Bits.PLAUSIBLE, BACK),
        ("SPECIAL_HEALTH", Known.NOTHING, Bits.PLAUSIBLE, BACK),
        (DENIED, Known.MANY, Bits.PLAUSIBLE, BACK),
    ],
)
def test_the_default(kind: str, known: Known, bits: Bits, verdict: Verdict) -> None:
    assert table().decide(kind, known, bits) is verdict


def test_on_memorised_says_what_falling_back_is() -> None:
    assert table(on_memorised=Verdict.MASK).decide("PHONE", Known.FEW, Bits.PLAUSIBLE) is Verdict.MASK
    assert table(on_memorised=Verdict.STOP).decide("SPECIAL_HEALTH", Known.NOTHING, Bits.UNKNOWN) is Verdict.STOP


def test_only_what_bits_decide_is_asked_about() -> None:
    assert table().settled("PHONE", Known.NOTHING) is None
    assert table().settled("PHONE", Known.FEW) is BACK
    assert table().settled("PHONE", Known.MANY) is Verdict.MASK
    assert table().settled(CODE, Known.MANY) is Verdict.RELEASE
    assert table().settled(CODE, Known.FEW) is None
    assert table().settled(CONFIRMATION, Known.MANY) is BACK


def test_no_direct_identifier_is_released_whatever_is_known() -> None:
    direct = TYPES.keys() - INDIRECT
    for kind, known, bits in itertools.product(direct, Known, Bits):
        assert table().decide(kind, known, bits) is not Verdict.RELEASE


def test_a_policys_rules_come_first_and_in_order() -> None:
    rules = (
        Rule(Verdict.STOP, types=frozenset({"SECRET"})),
        Rule(Verdict.GENERALISE, types=frozenset({"PHONE"}), known=frozenset({Known.NOTHING})),
        Rule(Verdict.MASK, types=frozenset({"PHONE"})),
        Rule(Verdict.STOP, min_bits=90.0),
    )
    mine = table(*rules)
    assert mine.decide("SECRET", Known.NOTHING, Bits.PLAUSIBLE) is Verdict.STOP
    assert mine.decide("PHONE", Known.NOTHING, Bits.MEMORISED) is Verdict.GENERALISE
    assert mine.decide("PHONE", Known.FEW, Bits.MEMORISED, 100.0) is Verdict.MASK
    assert mine.decide("EMAIL", Known.NOTHING, Bits.MEMORISED, 89.0) is BACK
    assert mine.decide("EMAIL", Known.NOTHING, Bits.MEMORISED, 90.0) is Verdict.STOP
    assert mine.settled("EMAIL", Known.FEW) is None, "a rule with bits leaves it open"


def test_a_suspicion_may_be_released_by_rule_where_it_was_compared() -> None:
    rule = Rule(Verdict.RELEASE, types=frozenset({CODE}), bits=frozenset({Bits.MEMORISED, Bits.PLAUSIBLE}))
    assert table(rule).decide(CODE, Known.FEW, Bits.MEMORISED) is Verdict.RELEASE
    assert table(rule).decide(CODE, Known.FEW, Bits.UNKNOWN) is BACK


@pytest.mark.parametrize(
    "said",
    [
        {"types": frozenset({"PHONE"})},
        {"types": frozenset({"PHONE", CODE}), "bits": frozenset({Bits.PLAUSIBLE})},
        {},
        {"types": frozenset({CODE})},
        {"types": frozenset({CODE}), "bits": frozenset({Bits.UNKNOWN})},
        {"types": frozenset({DENIED}), "bits": frozenset({Bits.PLAUSIBLE})},
    ],
)
def test_a_rule_that_would_free_too_much_is_refused(said: dict[str, frozenset[str]]) -> None:
    with pytest.raises(ValueError, match="can't be released"):
        Rule(Verdict.RELEASE, **said)  # type: ignore[arg-type]


def test_what_the_caller_gave_may_be_hidden_by_rule_alone() -> None:
    rule = Rule(Verdict.MASK, types=frozenset({"CARD"}), grounded=True)
    assert table().of_grounded("CARD", Known.NOTHING) is Verdict.RELEASE
    assert not table().hides_grounded
    assert table(rule).of_grounded("CARD", Known.FEW) is Verdict.MASK
    assert table(rule).of_grounded("PHONE", Known.FEW) is Verdict.RELEASE


@pytest.mark.parametrize("known", list(Known))
@pytest.mark.parametrize("bits", [0.0, 40.0])
def test_the_score_orders_suspicions_as_the_table_decides_them(known: Known, bits: float) -> None:
    read = Bits.MEMORISED if bits else Bits.PLAUSIBLE
    released = VerdictTable((), Verdict.FALL_BACK, SUSPICIONS).decide(CODE, known, read) is Verdict.RELEASE
    assert (suspicion(known, bits) == 0.0) == released


def test_what_nobody_looks_at_and_the_index_does_not_know_is_not_suspicious() -> None:
    assert suspicion(Known.NOTHING, 90.0, looked_at=False) == 0.0
    assert suspicion(Known.FEW, 90.0, looked_at=False) == 90.0
