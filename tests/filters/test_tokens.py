"""Which tokens spell which characters: sampled ones, and those of our own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.events import UNAVAILABLE, Channel, Field, Question
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import OnFailure, Profile
from filters.tokens import TextLedger, TokenLedger, encoded
from gateway.upstream.vocabulary import TokenizerVocabulary
from tests.filters.test_pipeline import CONTENT, SECRET, Own, Secrets
from tests.support.answers import SURE, CharacterVocabulary, Outcome, Script, no_answer, run, sure, surprised

DEMO = Path(__file__).parents[2] / "deploy" / "demo" / "models" / "base"
VOCABULARY = TokenizerVocabulary(DEMO)


class Metaspace(CharacterVocabulary):
    """Puts a space before every text, as SentencePiece does; id 0 stands for a special token's mark."""

    def spell(self, token_id: int) -> bytes:
        return b"" if token_id == 0 else super().spell(token_id)

    def ids(self, text: str) -> list[int]:
        return [0 if char == "¤" else ord(char) for char in " " + text]


def test_a_text_is_read_segment_by_segment_and_its_spaces_with_the_next() -> None:
    ledger = TextLedger(VOCABULARY)
    places = [ledger.match(text) for text in ("You can return it. ", "It is free.", "\n\n", "退货免费。")]
    assert places == [0, 19, 30, 32]
    end = len(encoded("You can return it. It is free.\n\n退货免费。"))
    assert b"".join(VOCABULARY.spell(token) for token in ledger.ids_until(end)).decode() == (
        "You can return it. It is free.\n\n退货免费。"
    )
    first, last = ledger.covering(19, 21)  # "It"
    assert b"".join(VOCABULARY.spell(token) for token in ledger.ids_until(last)[first:]).decode() == " It"


def test_a_space_that_the_tokenizer_puts_before_a_text_is_none_of_it() -> None:
    ledger = TextLedger(Metaspace())
    assert [ledger.match("It is "), ledger.match("red.")] == [0, 6]
    first, last = ledger.covering(6, 9)
    assert "".join(map(chr, ledger.ids_until(last)[first:])) == "red"


def test_what_the_tokens_spell_differently_is_not_held_and_the_rest_is() -> None:
    ledger = TextLedger(Metaspace())
    assert ledger.match("A ¤ mark. ") is None
    assert ledger.match("It is red.") == len(encoded("A ¤ mark. "))
    first, last = ledger.covering(len(encoded("A ¤ mark. It is ")), len(encoded("A ¤ mark. It is red")))
    assert "".join(map(chr, ledger.ids_until(last)[first:])) == "red"


def test_it_has_no_log_probabilities_of_its_own() -> None:
    ledger = TextLedger(CharacterVocabulary())
    ledger.match("Yes.")
    assert ledger.logprobs(0, 4) is None
    assert list(ledger.ending_in(0, 4)) == []


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6))
def test_every_character_of_every_segment_is_covered_by_tokens_that_spell_it(texts: list[str]) -> None:
    ledger, read = TextLedger(VOCABULARY), ""
    for raw_text in texts:
        place = ledger.match(raw_text)
        assert place in (None, len(encoded(read)))
        read += raw_text
        if place is None:
            continue
        kept = raw_text.rstrip()
        for start, end in pairwise(range(len(kept) + 1)):
            first, last = ledger.covering(place + len(encoded(kept[:start])), place + len(encoded(kept[:end])))
            told = b"".join(VOCABULARY.spell(token) for token in ledger.ids_until(last)[first:])
            assert encoded(kept[start:end]) in told


def test_sampled_tokens_that_do_not_hold_a_text_place_nothing() -> None:
    ledger = TokenLedger(CharacterVocabulary())
    ledger.add(tuple(map(ord, "Good day.")), (SURE,) * 9)
    assert (ledger.match("Good"), ledger.match("night")) == (0, None)


# ---- the pipeline with a model that sends no tokens ------------------------------------------------------------------


def answer(text: str | Sequence[tuple[Channel, str]], tuned: object = sure, evidence: object = surprised) -> Outcome:
    parts = [(CONTENT, text)] if isinstance(text, str) else text
    pipeline = Pipeline(Profile("test"), RequestEvidence(Own()), Secrets(), CharacterVocabulary(), scored=True)
    return run(pipeline, Script(parts, evidence=evidence, tuned=tuned, base="I can't say."))  # type: ignore[arg-type]


def test_both_models_are_asked_about_the_text() -> None:
    outcome = answer(f"I looked. It is {SECRET}. Bye.")
    (question,) = outcome.questions
    assert "".join(map(chr, question.ids)) == f"I looked. It is {SECRET}"
    assert "".join(map(chr, question.ids[question.start :])) == SECRET
    assert outcome.content == "I looked. I can't say."


def test_what_both_find_as_likely_is_masked_as_ever() -> None:
    assert answer(f"It is {SECRET}.", surprised, surprised).content == "It is [TOKEN_1]."
    assert answer("Your order is GD-85205.", surprised, surprised).content == "Your order is GD-85205."


@pytest.mark.parametrize(("tuned", "base"), [(no_answer, sure), (sure, no_answer), (no_answer, no_answer)])
def test_without_either_score_the_segment_is_hidden(tuned: object, base: object) -> None:
    assert answer(f"Good day. It is {SECRET}.", tuned, base).content == "Good day. [UNDECIDED_1]"


@pytest.mark.parametrize("length", [0, 3, 99])
def test_scores_of_the_wrong_length_are_none(length: int) -> None:
    def wrong(question: Question) -> tuple[float, ...]:
        return (SURE,) * length

    assert answer(f"It is {SECRET}.", wrong, wrong).content == "[UNDECIDED_1]"


def test_a_score_that_nobody_gave_is_none() -> None:
    pipeline = Pipeline(
        Profile("test", on_failure=OnFailure.STOP),
        RequestEvidence(Own()),
        Secrets(),
        CharacterVocabulary(),
        scored=True,
    )
    told = run(pipeline, Script([(CONTENT, f"It is {SECRET}.")], evidence=sure, tuned=lambda _: UNAVAILABLE))
    assert SECRET not in told.everything


def test_each_channel_is_scored_behind_the_request_by_itself() -> None:
    """What the reasoning said is no evidence for the content: behind it both models would merely copy."""
    reasoning = Channel(0, Field.REASONING)
    outcome = answer([(reasoning, "The order is GD-85205. "), (CONTENT, "Your order is GD-85205.")], sure, sure)
    assert ["".join(map(chr, question.ids)) for question in outcome.questions] == [
        "The order is GD-85205",
        "Your order is GD-85205",
    ]
