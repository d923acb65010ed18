"""A value that begins in the request and ends in the answer: nothing of its rest leaves, for every type and form.

The request holds the value's first 1 to n-1 characters: as a completion's prompt or as the assistant's half-said
message, where nothing of the rest leaves; or as the end of what the user wrote (filters/begun.py says what is left).
Every sixteenth length here, the first and the last always; all with TIGHTLIP_DEEP=1.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filters.events import Ending, Field
from tests.support.every_form import DEEP, TYPES_TRIED, UNITS, cases, detector, escaped, harmless, pipeline, said
from tests.support.forms import Written

STEP = 1 if DEEP else 16
FIELDS = (Field.TEXT, Field.CONTENT, Field.REASONING, Field.REFUSAL)


def _begun(number: int, case: Written) -> Iterator[int]:
    """Where the request ends."""
    places = range(case.start + 1, case.end)
    return (at for at in places if at in (places[0], places[-1]) or at % STEP == number % STEP)


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_nothing_of_the_rest_leaves(kind: str) -> None:
    for number, case in cases(kind):
        field, unit = FIELDS[number % 4], UNITS[number // 2 % 2]
        for at in _begun(number, case):
            built = pipeline(unit, chat=field is not Field.TEXT, continued=case.text[:at])
            output = said(built, field, [case.text[at:]])
            leak = escaped("", case.text[at : case.end], case.text[case.end :], output)
            assert not leak, (str(case), case.text[case.start : at], output)


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_nothing_of_a_rest_leaves_that_is_cut_as_well(kind: str) -> None:
    for number, case in cases(kind):
        if number % (1 if DEEP else 24):
            continue
        for at in _begun(number, case):
            for end in {at + 1, (at + case.end) // 2, case.end} - {at}:
                built = pipeline(UNITS[0], chat=False, continued=case.text[:at])
                output = said(built, Field.TEXT, [case.text[at:end]], Ending.LENGTH)
                assert not escaped("", case.text[at:end], "", output), (str(case), at, end, output)


# The other forms as well, but for single values in them: lines that a cut parts ("one a line"), words behind a label.
FORMS_BEGUN = ("as it is", "full width", "capitals", "percent", "backslash u", "entities", "hexadecimal", "dotted")


@pytest.mark.parametrize("kind", TYPES_TRIED)
def test_nothing_of_the_rest_leaves_that_answers_what_the_user_began(kind: str) -> None:
    for number, case in cases(kind):
        if case.form not in FORMS_BEGUN:
            continue
        for at in _begun(number, case):
            begun, rest = case.text[case.start : at], case.text[at : case.end]
            output = said(pipeline(UNITS[number % 2], own_text=case.text[:at]), FIELDS[1], [case.text[at:]])
            leak = escaped("", rest, case.text[case.end :], output)
            # One character begins nothing; what the user gave whole may be followed by anything.
            whole = any(span.end >= case.start + len(begun.rstrip(" .")) for span in detector().find(case.text[:at]))
            assert harmless(leak) or len(begun) == 1 or whole, (str(case), begun, output)
