"""Each promise can be broken, and it is said which."""

from __future__ import annotations

import pytest

from tests.soak.judged import Told, growing, hanging, private, quarters, unrecorded

GOOD = Told("one", "whole", 10.0, 40.0)


def test_nothing_is_said_of_what_is_kept() -> None:
    flat = [(float(at), 250.0 + at % 20) for at in range(100)]
    assert private([GOOD]) == hanging([GOOD], 60.0) == growing(flat) == unrecorded([GOOD], ["one"], []) == []


def test_private_text_is_named_by_what_it_is() -> None:
    answers = [
        GOOD,
        Told("two", "left", 0, 1, leaks=["value 3, base64"]),
        Told("three", "whole", 0, 1, strange=["Ada"]),
    ]
    assert private(answers) == ["2 answers hold private text: value 3, base64 (1), word 'Ada' (1)"]


@pytest.mark.parametrize(
    "late", [Told("one", "hung", 0, 5.0), Told("one", "whole", 0, 115.1), Told(None, "left", 0, 116)]
)
def test_what_goes_on_past_its_deadline_hangs(late: Told) -> None:
    assert len(hanging([GOOD, late], 60.0)) == 1


def test_memory_may_grow_in_the_first_quarter_and_by_a_tenth_after_it() -> None:
    def grown(last: float) -> list[tuple[float, float]]:
        return [(float(at), 100.0 if at < 25 else 200.0 if at < 75 else last) for at in range(101)]

    assert quarters(grown(220.0)) == (200.0, 220.0)
    assert growing(grown(220.0)) == []
    assert growing(grown(221.0)) == ["memory grew from 200 to 221 MiB after the first quarter"]


@pytest.mark.parametrize(
    ("records", "kills", "says"),
    [
        ([], [], "1 requests have no record: whole (1)"),
        ([], [(36.0, 36.1), (39.0, 39.1)], None),
        ([], [(20.0, 20.1), (41.0, 41.1)], "1 requests have no record: whole (1)"),
        (["one", "one"], [(39.0, 39.1)], "1 requests have more than one record"),
        (["one", "another"], [], "1 records are of nobody's request: only 0 got no answer at all"),
    ],
)
def test_every_request_has_one_record_unless_a_kill_ended_it(
    records: list[str], kills: list[tuple[float, float]], says: str | None
) -> None:
    assert unrecorded([GOOD], records, kills) == ([says] if says else [])


def test_a_record_may_be_of_a_request_without_an_answer() -> None:
    assert unrecorded([GOOD, Told(None, "unanswered", 0, 1)], ["one", "another"], []) == []
