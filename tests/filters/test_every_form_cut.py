"""An answer that ends inside a value lets nothing of it out: for every typed value in every form.

The caller chooses `max_tokens` and so where an answer is cut; he may hang up, and he may name a stop string that only
stands in what is hidden. Here each value is cut behind each twelfth character, from another one on from value to value;
TIGHTLIP_DEEP=1 cuts behind each one, in both languages and both units.
"""

from __future__ import annotations

import pytest

from filters.events import Ending
from tests.support.every_form import DEEP, KINDS, TYPES_TRIED, UNITS, cases, escaped, harmless, pipeline, said

STEP = 1 if DEEP else 12


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_nothing_of_a_value_leaves_where_the_answer_is_cut(kind: str) -> None:
    for number, case in cases(kind):
        before, field = case.text[: case.start], KINDS[number % 4]
        for unit in UNITS if DEEP else (UNITS[number // 2 % 2],):
            for end in range(case.start + 1 + number % STEP, case.end + 1, STEP):
                text = case.text[:end]
                output = said(pipeline(unit), field, [text], Ending.LENGTH)
                assert harmless(escaped(before, text[case.start :], "", output)), (str(case), end, output)


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_what_has_left_when_the_answer_is_broken_off_is_no_part_of_a_value(kind: str) -> None:
    for number, case in cases(kind):
        before, field = case.text[: case.start], KINDS[number % 4]
        for unit in UNITS if DEEP else (UNITS[number // 2 % 2],):
            for end in range(case.start + 1 + number % 3, case.end + 1, 1 if DEEP else 3):
                output = said(pipeline(unit), field, [case.text[:end]], None)
                # what is longer than the window and unbroken has been hidden whole by then
                assert before.startswith(output.replace("[UNDECIDED_1]", "")), (str(case), end, output)


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_a_stop_string_is_no_question_about_what_is_hidden(kind: str) -> None:
    for number, case in cases(kind):
        unit, field = UNITS[number % 2], KINDS[0] if number % 4 < 2 else KINDS[3]
        whole = said(pipeline(unit), field, [case.text])
        value = case.value
        for stop in {value[:2], value[len(value) // 2 :][:3], value[-2:], value}:
            output = said(pipeline(unit, stops=(stop,)), field, [case.text])
            assert output == whole.split(stop)[0], (str(case), stop)
