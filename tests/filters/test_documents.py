"""Tool calls and JSON of one choice, as they come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from filters.documents import UNKNOWN_TOOL, Documents, Schemas
from filters.events import Channel, Field
from filters.evidence import UNDECIDED, DetectorError
from filters.json_schema import Schema
from filters.json_text import BROKEN_JSON, Rules
from filters.spans import Span
from tests.filters.test_json_schema import CANARY, Secrets
from tests.support.documents import Hiding

NUMBERS = Schema({"properties": {"n": {"type": "integer"}}})
SCHEMAS = Schemas(frozenset({"send", "find"}), NUMBERS, {"find": NUMBERS})


def documents(detector: Any = None) -> Documents:
    detector = detector or Secrets()
    return Documents(1, Rules(Hiding(detector), detector, allowed_keys=frozenset({"n"})), SCHEMAS)


def name(call: int = 0) -> Channel:
    return Channel(1, Field.TOOL_NAME, call)


def arguments(call: int = 0) -> Channel:
    return Channel(1, Field.TOOL_ARGUMENTS, call)


def test_the_name_leaves_with_its_first_arguments_and_they_follow_in_pieces() -> None:
    made = documents()
    assert made.push(name(), "se") == made.push(name(), "nd") == []
    assert made.holds
    assert not made.has_told
    assert made.push(arguments(), '{"n": ') == [(name(), "send"), (arguments(), '{"n": ')]
    assert made.has_told
    assert made.push(arguments(), '"a good') == []
    assert made.push(arguments(), ' day"}') == [(arguments(), '"a good day"}')]
    assert made.close(complete=True) == []
    assert not made.holds
    assert made.failure is None


def test_calls_come_one_after_the_other() -> None:
    made = documents()
    made.push(name(0), "send")
    assert made.push(name(1), "find") == [(name(0), "send")]
    assert made.push(arguments(1), "{}") == [(name(1), "find"), (arguments(1), "{}")]
    made.push(name(2), "send")
    assert made.close(complete=True) == [(name(2), "send")]


def test_each_document_has_its_own_schema() -> None:
    made = documents()
    said = '{"n": 81234}'
    assert made.push(Channel(1, Field.CONTENT), said) == [(Channel(1, Field.CONTENT), '{"n": 0}')]
    made.push(name(0), "send")
    assert made.push(arguments(0), said)[-1] == (arguments(0), '{"n": null}')
    made.push(name(1), "find")
    assert made.push(arguments(1), said)[-1] == (arguments(1), '{"n": 0}')


@pytest.mark.parametrize(
    ("parts", "failure"),
    [
        ([(name(), CANARY)], UNKNOWN_TOOL),
        ([(name(), "sen"), (arguments(), f'{{"n": "{CANARY}"}}')], UNKNOWN_TOOL),
        ([(name(), "send"), (name(), CANARY)], UNKNOWN_TOOL),
        ([(name(), "send"), (arguments(), "{"), (name(), "send")], UNKNOWN_TOOL),
        ([(arguments(), f'{{"n": "{CANARY}"}}')], UNKNOWN_TOOL),
        ([(name(), "sen"), (name(1), "find")], UNKNOWN_TOOL),
        ([(name(), "send"), (arguments(), f'{{"n" "{CANARY}"}}')], BROKEN_JSON),
        ([(name(), "send"), (arguments(), f'{{"n": "{CANARY}')], BROKEN_JSON),
        ([(name(), "send"), (arguments(), "{}{}")], BROKEN_JSON),
    ],
)
def test_what_stops_the_choice(parts: list[tuple[Channel, str]], failure: str) -> None:
    made = documents()
    told = [entry for part in parts for entry in made.push(*part)] + made.close(complete=True)
    assert made.failure == failure
    assert "zq" not in str(told)
    assert made.push(arguments(5), "{}") == made.push(name(5), "send") == []


def test_what_was_cut_off_is_dropped() -> None:
    made = documents()
    made.push(name(0), "send")
    made.push(arguments(0), '{"n": "half a')
    made.push(name(1), "send")
    assert made.close(complete=False) == []
    assert made.failure is None
    assert not made.holds


def test_a_name_that_can_not_be_looked_at_does_not_leave() -> None:
    class Fails:
        def find(self, raw_text: str) -> Sequence[Span]:
            raise DetectorError

    made = documents(Fails())
    assert made.push(name(), "send") + made.push(arguments(), "{}") == []
    assert made.failure == UNDECIDED
