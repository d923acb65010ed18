"""JSON that the base model is asked about: the whole pipeline, with a detector that finds what the test says."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from filters.events import UNAVAILABLE, Channel, Ending, Field, Origin, Question, RawText, RawTokens, Released, Verdict
from filters.grounding import RequestGrounds
from filters.json_schema import Schema
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.spans import Span
from filters.verdicts import Rule
from tests.support.answers import (
    SURE,
    CharacterVocabulary,
    Evidence,
    Outcome,
    Score,
    Script,
    never_asked,
    no_answer,
    run,
    sure,
    surprised,
)

CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)
NAME, ARGUMENTS = Channel(0, Field.TOOL_NAME), Channel(0, Field.TOOL_ARGUMENTS)
CANARY = "48213907"
MASKS = Profile("masks", on_memorised=Verdict.MASK)
NUMBERS = [[20931, 77120, 4], [18455, 60277, 19]]


class Tags:
    """zq and four digits are a direct identifier, words in capitals a name."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        found = [Span(m.start(), m.end(), "TOKEN", 1.0) for m in re.finditer(r"zq\d{4}", raw_text)]
        return found + [Span(m.start(), m.end(), "PERSON", 1.0) for m in re.finditer(r"\b[A-Z]{3,}\b", raw_text)]


class Grounded:
    reads_context = False

    def __init__(self, *, asks: bool = False) -> None:
        self.asks = asks

    def covered(self, seen: str, found: Collection[Span], beside: str = "") -> frozenset[Span]:
        return frozenset()


def knows(*values: str) -> Evidence:
    """A base model that would have said all but these values; those would surprise it, nine nats a character."""

    def score(question: Question) -> Score:
        text = "".join(map(chr, question.ids))
        bad = {at for value in values for m in re.finditer(re.escape(value), text) for at in range(*m.span())}
        return tuple(-9.0 if at in bad else SURE for at in range(question.start, len(text)))

    return score


def answer(
    said: str | Sequence[tuple[Channel, str]],
    evidence: Evidence,
    profile: Profile = MASKS,
    *,
    asks: bool = False,
    seed: int | None = None,
    ending: Ending = Ending.STOP,
    **request: Any,
) -> Outcome:
    request.setdefault("json_mode", True)
    request.setdefault("json_keys", frozenset({"n", "note", "name"}))
    request.setdefault("tool_names", frozenset({"send"}))
    pipeline = Pipeline(profile, RequestEvidence(Grounded(asks=asks), **request), Tags(), CharacterVocabulary())
    parts = [(CONTENT, said)] if isinstance(said, str) else said
    return run(pipeline, Script(parts, ending, evidence=evidence, base="null"), seed)


def test_numbers_that_the_base_would_have_said_stay_and_one_question_covers_them() -> None:
    document = json.dumps({"n": NUMBERS, "note": "GD-85205"})
    outcome = answer(document, sure)
    assert outcome.content == document
    assert len(outcome.questions) == 1


def test_only_what_it_would_not_have_said_is_hidden() -> None:
    outcome = answer(f'{{"n": [20931, {CANARY}], "note": "GD-85205"}}', knows(CANARY))
    assert outcome.content == '{"n": [20931, null], "note": "GD-85205"}'


def test_arguments_of_a_tool_are_asked_about_too() -> None:
    said = [(NAME, "send"), (ARGUMENTS, f'{{"n": [20931, {CANARY}]}}')]
    outcome = answer(said, knows(CANARY), ending=Ending.TOOL_CALLS)
    assert outcome.texts == {NAME: "send", ARGUMENTS: '{"n": [20931, null]}'}


def test_a_schema_says_what_stands_in_for_it() -> None:
    schema = Schema({"properties": {"n": {"type": "integer", "minimum": 1}}})
    assert answer(f'{{"n": {CANARY}}}', knows(CANARY), answer_schema=schema).content == '{"n": 1}'


@pytest.mark.parametrize("document", ['{"n": "zq4821"}', '{"note": "It is zq4821, as I said before."}'])
def test_direct_identifiers_are_hidden_without_asking(document: str) -> None:
    outcome = answer(document, never_asked)
    assert "4821" not in outcome.content


@pytest.mark.parametrize("evidence", [no_answer, lambda _: (), lambda _: (SURE,), lambda q: (SURE,) * (len(q.ids) + 1)])
@pytest.mark.parametrize("text", [f'{{"n": {CANARY}}}', f'{{"note": "GD-{CANARY}"}}', '{"n": [3, 9, 4, 7, 1, 8]}'])
def test_no_answer_and_one_of_the_wrong_length_hide(evidence: Evidence, text: str) -> None:
    outcome = answer(text, evidence)
    assert outcome.questions
    assert not re.search(r"213|7\D+1\D+8", outcome.everything)
    assert json.loads(outcome.content)


def test_a_slow_base_holds_the_document_and_what_comes_behind_it() -> None:
    request = RequestEvidence(Grounded(), json_mode=True)
    pipeline = Pipeline(MASKS, request, Tags(), CharacterVocabulary())
    document = f"[{CANARY}]"
    events = [*pipeline.feed([tokens(document), RawText(CONTENT, document)]), *pipeline.feed([tokens(" Late.")])]
    events += [*pipeline.feed([RawText(REASONING, " Late.")]), *pipeline.finish(0, Ending.STOP)]
    assert not [event for event in events if isinstance(event, Released)]
    assert pipeline.holds
    [question] = [event for event in events if isinstance(event, Question)]
    released = [event for event in pipeline.answer(question.id, UNAVAILABLE) if isinstance(event, Released)]
    assert [(event.channel, event.text) for event in released] == [(CONTENT, "[null]"), (REASONING, " Late.")]


def tokens(text: str) -> RawTokens:
    return RawTokens(0, tuple(map(ord, text)), (SURE,) * len(text))


@pytest.mark.parametrize("spelled", ["", f'{{"n":{CANARY}}}', f'{{"n": {CANARY[:-1]}'])
def test_without_tokens_that_hold_the_text_nobody_is_asked_and_it_is_hidden(spelled: str) -> None:
    request = RequestEvidence(Grounded(), tool_names=frozenset({"send"}), json_keys=frozenset({"n"}))
    pipeline = Pipeline(MASKS, request, Tags(), CharacterVocabulary())
    parts = [RawText(NAME, "send"), RawText(ARGUMENTS, f'{{"n": {CANARY}}}')]
    events = [*pipeline.feed([tokens(spelled), *parts]), *pipeline.finish(0, Ending.TOOL_CALLS)]
    assert not [event for event in events if isinstance(event, Question)]
    told = "".join(event.text for event in events if isinstance(event, Released))
    assert told == 'send{"n": null}'


def test_what_was_hidden_once_stays_hidden_though_the_base_copies_it() -> None:
    document = f'{{"n": {CANARY}, "note": "It is {CANARY[:4]} {CANARY[4:]} once more, you know."}}'
    assert "3907" not in answer(document, knows(f'n": {CANARY}'[4:])).content
    said = [(REASONING, f"The code is {CANARY}. So. "), (CONTENT, f'{{"n": {CANARY}}}')]
    assert "213" not in answer(said, _first_only).everything


@pytest.mark.parametrize("tail", [f"The code is {CANARY}", "It is " + ", ".join(CANARY), f"Well. So: {CANARY}. So"])
def test_what_open_reasoning_says_first_is_no_evidence(tail: str) -> None:
    for kept in (CANARY, list(map(int, CANARY))):
        said = [(REASONING, tail), (CONTENT, json.dumps({"n": kept}))]
        assert not re.search(r"213|9\D+0\D+7", answer(said, _first_only).everything)


def test_where_a_segment_before_it_was_not_judged_the_base_may_merely_copy() -> None:
    def silent_at_first(question: Question) -> Score:
        return UNAVAILABLE if question.id == 0 else sure(question)

    said = [(REASONING, f"The code is {CANARY}. So it is, my dear. "), (CONTENT, f'{{"n": {CANARY}}}')]
    assert "213" not in answer(said, silent_at_first).everything


def _first_only(question: Question) -> Score:
    """The base knows what it has read once: the digits, with or without commas between them."""
    text = "".join(map(chr, question.ids))
    first = re.search("(?:, )?".join(CANARY), text)
    begin, end = first.span() if first else (0, 0)
    return tuple(-9.0 if begin <= at < end else SURE for at in range(question.start, len(text)))


def test_names_are_suspicions_of_a_document_too() -> None:
    profile = Profile("names", names=True, on_memorised=Verdict.MASK)
    document = '{"name": "VEXLO", "note": "and TAMBER is a harbour of the north"}'
    assert answer(document, sure, profile).content == document
    hidden = answer(document, knows("VEXLO", "TAMBER"), profile).content
    assert not re.search("VEXLO|TAMBER", hidden)
    assert not re.search("VEXLO|TAMBER", answer(document, no_answer, profile).content)


def test_digits_that_are_strewn_over_a_table_count_together() -> None:
    table = json.dumps({"n": [3, 9, 4, 7, 1, 8, 2, 6]})
    assert answer(table, sure).content == table
    slightly = answer(table, lambda q: tuple(SURE - 0.5 if chr(i).isdigit() else SURE for i in q.ids[q.start :]))
    assert json.loads(slightly.content)["n"][-1] is None  # each says 0.7 bits more, and together they say a value
    assert json.loads(slightly.content)["n"][:4] == [3, 9, 4, 7]


def test_the_noise_of_a_long_table_is_no_value() -> None:
    table = json.dumps({"n": [(at * 7919) % 9973 for at in range(80)]})
    assert answer(table, lambda q: (SURE - 0.01,) * (len(q.ids) - q.start)).content == table


def test_what_only_fine_tuning_can_have_put_there_falls_back_while_nothing_has_left() -> None:
    profile = Profile("falls back")
    said = f'{{"n": {CANARY}}}'
    outcome = answer(said, knows(CANARY), profile)
    assert (outcome.content, len(outcome.fallbacks)) == ("null", 1)
    tool = answer([(NAME, "send"), (ARGUMENTS, said)], knows(CANARY), profile, ending=Ending.TOOL_CALLS)
    assert (tool.texts, len(tool.fallbacks)) == ({CONTENT: "null"}, 1)
    assert [(decided.kind, decided.verdict) for decided in outcome.decided] == [("CODE", Verdict.FALL_BACK)]


def test_once_a_part_of_the_document_has_left_it_is_masked() -> None:
    document = f'{{"note": "The ferry waits.", "n": {CANARY}}}'
    outcome = answer(document, knows(CANARY), Profile("falls back"))
    assert outcome.fallbacks == []
    assert outcome.content.endswith('"n": null}')


def test_a_policy_may_stop_it() -> None:
    outcome = answer(f'{{"n": {CANARY}}}', knows(CANARY), Profile("stops", on_memorised=Verdict.STOP))
    assert (outcome.everything, outcome.endings) == ("", {0: Ending.CONTENT_FILTER})


def test_after_a_fallback_nothing_that_was_held_comes_out_and_the_base_is_not_asked_about_itself() -> None:
    request = RequestEvidence(Grounded(), json_mode=True)
    pipeline = Pipeline(Profile("falls back"), request, Tags(), CharacterVocabulary())
    reasoning, held = f"The code is {CANARY}. So it is, my dear. ", '{"n": "held'
    events = [*pipeline.feed([tokens(reasoning), RawText(REASONING, reasoning)])]
    events += pipeline.feed([tokens(held), RawText(CONTENT, held)])
    [question] = [event for event in events if isinstance(event, Question)]
    events += pipeline.answer(question.id, (-9.0,) * (len(question.ids) - question.start))
    events += pipeline.feed([RawText(CONTENT, "[20931]")], Origin.BASE)
    events += pipeline.finish(0, Ending.STOP, Origin.BASE)
    assert "".join(event.text for event in events if isinstance(event, Released)) == "[20931]"


# ---- requests that put identifiers up --------------------------------------------------------------------------------

PICK = '{"name": "the second", "ok": true}'


def test_an_answer_that_picks_is_the_bases() -> None:
    for evidence in (sure, surprised, knows("second"), knows("true")):
        fallen = answer(PICK, evidence, Profile("falls back"), asks=True)
        assert (fallen.content, len(fallen.fallbacks)) == ("null", 1)
        stopped = answer(PICK, evidence, asks=True)
        assert (stopped.everything, stopped.endings) == ("", {0: Ending.CONTENT_FILTER})


@pytest.mark.parametrize("evidence", [no_answer, lambda _: (SURE,)])
def test_an_answer_that_picks_and_is_not_compared_stops(evidence: Evidence) -> None:
    outcome = answer(PICK, evidence, Profile("falls back"), asks=True)
    assert (outcome.everything, outcome.endings) == ("", {0: Ending.CONTENT_FILTER})


@pytest.mark.parametrize("seed", range(8))
def test_however_it_comes(seed: int) -> None:
    document = json.dumps([{"n": NUMBERS, "note": f"It is {CANARY}, said VEXLO."}] * 30)
    for evidence in (sure, knows(CANARY), no_answer, surprised):
        whole = answer(document, evidence)
        cut = answer(document, evidence, seed=seed)
        assert (cut.content, cut.endings) == (whole.content, whole.endings)
        assert cut.questions == whole.questions


@pytest.mark.parametrize("seed", range(8))
def test_where_nobody_is_asked_the_outcome_does_not_depend_on_the_pieces_either(seed: int) -> None:
    raw_json = '{"a": ["all is well", "her token is zq4821"], "b": "so it is"}'

    def said(chosen: int | None) -> Outcome:
        request = RequestEvidence(RequestGrounds.from_texts([], Tags()), json_mode=True, json_keys=frozenset("ab"))
        profile = Profile("alone", compare=False, verdicts=(Rule(Verdict.FALL_BACK, types=frozenset({"TOKEN"})),))
        pipeline = Pipeline(profile, request, Tags(), CharacterVocabulary())
        return run(pipeline, Script([(CONTENT, raw_json)], base='{"a": []}', evidence=sure), chosen)

    assert said(seed).texts == said(None).texts
