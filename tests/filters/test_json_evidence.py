"""How documents are cut into stretches, where their tokens are found, and what an answer about them says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.events import UNAVAILABLE, Channel, Field
from filters.json_evidence import KEPT, LONGEST_UNIT, STRETCH, Evidence, Part, Stretches, Wants
from filters.tokens import TokenLedger
from tests.support.answers import SURE, CharacterVocabulary

CONTENT, ARGUMENTS = Channel(0, Field.CONTENT), Channel(0, Field.TOOL_ARGUMENTS)
LONG = json.dumps([{"name": "Vexlo Tamber", "note": "The ferry waits. " * 9, "amount": 12.5}] * 40, ensure_ascii=False)


def ledger(text: str, *, scored: bool = True) -> TokenLedger:
    made = TokenLedger(CharacterVocabulary())
    made.add(tuple(map(ord, text)), (SURE,) * len(text) if scored else None)
    return made


def always(channel: Channel, unit: str) -> bool:
    return True


def numbers(channel: Channel, unit: str) -> bool:
    return any(map(str.isdigit, unit))


def cut(pieces: Iterable[str], tokens: str, channel: Channel = CONTENT, wants: Wants = always) -> list[Part]:
    stretches = Stretches(ledger(tokens))
    return [part for piece in pieces for part in stretches.push(channel, piece, wants)] + list(stretches.close(wants))


@pytest.mark.parametrize("wants", [always, numbers])
@given(cuts=st.lists(st.integers(0, len(LONG)), max_size=6))
def test_stretches_are_the_same_however_the_text_comes(wants: Wants, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(LONG)]
    parts = cut((LONG[a:b] for a, b in pairwise(edges)), LONG, wants=wants)
    whole = cut([LONG], LONG, wants=wants)
    assert [(part.raw_text, part.at, part.asked) for part in parts] == [(p.raw_text, p.at, p.asked) for p in whole]
    assert "".join(part.raw_text for part in parts) == LONG
    assert all(part.tokens is not None and len(part.raw_text) < STRETCH + LONGEST_UNIT for part in parts)


def test_a_unit_ends_with_a_value_or_a_sentence_where_it_can() -> None:
    assert all(part.raw_text[-1] in ",}]." for part in cut([LONG], LONG))
    assert [len(part.raw_text) for part in cut(["x" * 1100], "x" * 1100)] == [STRETCH, STRETCH, 1100 - 2 * STRETCH]


def test_what_nobody_is_asked_about_goes_on_at_once() -> None:
    stretches = Stretches(ledger('{"note": "good day", "n": 1, "m": "well"}'))
    [part] = stretches.push(CONTENT, '{"note": "good day", "n"', numbers)
    assert (part.raw_text, part.asked) == ('{"note": "good day",', False)
    assert list(stretches.push(CONTENT, ': 1, "m": "well"}', numbers)) == []
    assert [(part.raw_text, part.asked) for part in stretches.close(numbers)] == [(' "n": 1, "m": "well"}', True)]


def test_its_tokens_are_looked_for_behind_the_prose_and_the_marks() -> None:
    [part] = cut(['{"n": 1}'], "Let me look. " * 9 + '<tool_call>{"arguments": {"n": 1}}', ARGUMENTS)
    assert part.tokens == (9 * 13 + 25, 9 * 13 + 25 + 8)


def test_a_text_that_its_tokens_do_not_hold_has_no_place_and_what_follows_may_have_one() -> None:
    first, second = "[" + "11111, " * 73 + "1111111,", " 22222]"
    assert len(first) >= STRETCH
    parts = cut([first + second], first.replace(", ", ",") + second)
    assert [(part.at, part.asked) for part in parts] == [(None, False), (len(first.replace(", ", ",")), True)]


def test_another_channel_ends_a_stretch() -> None:
    stretches = Stretches(ledger('{"n": 1}[2]'))
    assert list(stretches.push(CONTENT, '{"n": 1}', always)) == []
    assert list(stretches.push(ARGUMENTS, "", always)) == []
    assert [part.raw_text for part in stretches.push(ARGUMENTS, "[2]", always)] == ['{"n": 1}']
    assert stretches.holds
    assert [(part.channel, part.at) for part in stretches.close(always)] == [(ARGUMENTS, 8)]
    assert not stretches.holds


def evidence(*parts: Part, tokens: TokenLedger) -> Evidence:
    made = Evidence(0.0)
    for part in parts:
        made.add(part, tokens)
    return made


def test_bits_are_those_of_the_tokens_that_spell_it() -> None:
    text = '{"n": 48213}'
    [part] = cut([text], text)
    part.score = tuple(-2.0 if char.isdigit() else SURE for char in text)
    made = evidence(part, tokens=ledger(text))
    assert made.bits(6, 11, ledger(text)) == pytest.approx(5 * 1.99 / 0.6931, rel=1e-3)
    assert made.bits(0, 6, ledger(text)) == 0.0
    assert made.bits(6, 13, ledger(text)) is None


@pytest.mark.parametrize("score", [UNAVAILABLE, None, (), (SURE,) * 3, (SURE,) * 13])
def test_an_answer_that_is_missing_or_of_the_wrong_length_is_none(score: object) -> None:
    text = '{"n": 48213}'
    [part] = cut([text], text)
    part.score = score  # type: ignore[assignment]
    assert evidence(part, tokens=ledger(text)).bits(6, 11, ledger(text)) is None


def test_unscored_tokens_are_no_evidence() -> None:
    text = '{"n": 48213}'
    [part] = cut([text], text)
    part.score = (SURE,) * len(text)
    assert evidence(part, tokens=ledger(text, scored=False)).bits(6, 11, ledger(text)) is None


def test_what_no_number_is_makes_a_span_infinitely_suspect() -> None:
    text = '{"n": 48213}'
    [part] = cut([text], text)
    part.score = (float("nan"),) * len(text)
    assert evidence(part, tokens=ledger(text)).bits(6, 11, ledger(text)) == float("inf")


def test_a_value_over_two_stretches_needs_both_answers() -> None:
    text = "9" * (STRETCH + 10)
    for answered, known in ((2, True), (1, False)):
        parts = cut([text], text)
        for part in parts[:answered]:
            part.score = (SURE,) * len(part.raw_text)
        bits = evidence(*parts, tokens=ledger(text)).bits(STRETCH - 5, STRETCH + 5, ledger(text))
        assert (bits == 0.0) is known


def test_old_evidence_is_forgotten() -> None:
    text = "9" * (KEPT + 3 * STRETCH)
    parts = cut([text], text)
    for part in parts:
        part.score = (SURE,) * len(part.raw_text)
    made = evidence(*parts, tokens=ledger(text))
    assert made.bits(0, 5, ledger(text)) is None
    assert made.bits(len(text) - KEPT + 2 * STRETCH, len(text), ledger(text)) == 0.0
