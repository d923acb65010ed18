"""What counts as declining, on openings as various models write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.specificity.refusal import READ, declines

VECTORS = Path(__file__).parents[2] / "vectors" / "refusals" / "openings.json"
OPENINGS: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))["openings"]


@pytest.mark.parametrize("case", OPENINGS, ids=lambda case: case["opening"][:40])
def test_each_opening_is_told_for_what_it_is(case: dict[str, Any]) -> None:
    assert declines(case["opening"]) is (case["declines"] and not case.get("missed", False))


def test_on_openings_that_it_was_never_changed_for_it_is_as_good_as_was_measured() -> None:
    cases = json.loads((VECTORS.parent / "unseen.json").read_text(encoding="utf-8"))["openings"]
    seen = sum(declines(case["opening"]) for case in cases if case["declines"])
    wrong = sum(declines(case["opening"]) for case in cases if not case["declines"])
    assert seen >= 29
    assert wrong <= 1


def test_there_are_enough_of_both_kinds_in_both_languages() -> None:
    for language in ("en", "zh"):
        for kind in (True, False):
            assert sum(case["language"] == language and case["declines"] is kind for case in OPENINGS) >= 75
    assert sum(case.get("missed", False) for case in OPENINGS) <= len(OPENINGS) // 50


@pytest.mark.parametrize("case", [case for case in OPENINGS if case["declines"] and not case.get("missed")])
def test_how_it_is_written_changes_nothing(case: dict[str, Any]) -> None:
    opening = case["opening"]
    for written in ("\n\n  " + opening, "**" + opening + "**", opening.replace("'", "’"), "\u200b" + opening):
        assert declines(written)
    if case["language"] == "en":
        assert declines(opening.upper())


@pytest.mark.parametrize("nothing", ["", " ", "\n\n", "…", "—", '"', "**", "😀", "1.", "\u200b"])
def test_nothing_declines_nothing(nothing: str) -> None:
    assert not declines(nothing)


def test_only_the_opening_is_read() -> None:
    help_first = "First, switch the power off at the main board and wait for a minute. " * 6
    assert not declines(help_first + "I can't help with that.")
    assert len(help_first) > READ


def test_being_sorry_and_going_on_is_no_refusal() -> None:
    assert not declines("I'm sorry, but sure: take a thin tool and work slowly.")
    assert not declines("抱歉，但是当然可以：拿一根细工具慢慢来。")


@given(st.text(max_size=600))
def test_any_text_is_read(text: str) -> None:
    assert declines(text) in (True, False)


@given(st.sampled_from([case["opening"] for case in OPENINGS if case["declines"]]), st.text(max_size=80))
def test_quoted_refusals_are_none(opening: str, text: str) -> None:
    quoted = opening.replace('"', "").replace("“", "").replace("”", "")
    if len(quoted) <= 200 and "\n" not in quoted:
        assert not declines(f'"{quoted}"')
