"""Prose in which the tuned model says a value twice: the base, which reads the first, finds the second plausible."""

from __future__ import annotations

import json
import re

import pytest

from filters.events import UNAVAILABLE, Question
from filters.profile import Profile
from tests.filters.test_json_judge import CANARY, CONTENT, MASKS, REASONING, answer
from tests.support.answers import SURE, Score


def _knows_what_it_has_read(question: Question) -> Score:
    """The digits surprise it once, in whatever spelling they come."""
    text = "".join(map(chr, question.ids))
    first = re.search(r"\W*".join(CANARY), text)
    begin, end = first.span() if first else (0, 0)
    return tuple(-9.0 if begin <= at < end else SURE for at in range(question.start, len(text)))


@pytest.mark.parametrize(
    "tail",
    [
        f"The code is {CANARY}",
        f"Well. So: {CANARY}. So",
        "It is " + ", ".join(CANARY),
        "It is " + " ".join(CANARY),
        "Her code starts with 48",
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        f"The code is {CANARY}. Bye now.",
        f"Her order is GD-{CANARY} as you know. Fine.",
        "It is " + ", ".join(CANARY) + ". Bye.",
        "It is " + " ".join(CANARY) + ". Bye.",
    ],
)
def test_what_open_reasoning_says_first_frees_nothing(tail: str, content: str) -> None:
    for seed in (None, 1, 2):
        outcome = answer([(REASONING, tail), (CONTENT, content)], _knows_what_it_has_read, json_mode=False, seed=seed)
        said = re.sub(r"\W|[A-Z]+_\d", "", outcome.everything)
        assert "213" not in said
        assert "907" not in said


def test_where_nobody_judged_the_first_the_second_is_hidden() -> None:
    def silent_at_first(question: Question) -> Score:
        return UNAVAILABLE if question.id == 0 else _knows_what_it_has_read(question)

    said = f"The code is {CANARY}. So it is, my dear. It was GD-{CANARY} before, and she likes it. Well."
    content = answer([(CONTENT, said)], silent_at_first, json_mode=False).content
    assert "213" not in content
    assert content.endswith("and she likes it. Well.")


def test_what_was_plausible_in_open_reasoning_stays_so() -> None:
    said = [(REASONING, f"The code is {CANARY}"), (CONTENT, f"The code is {CANARY}. Bye.")]
    assert answer(said, lambda q: (SURE,) * (len(q.ids) - q.start), json_mode=False).content == said[1][1]


STREWN = "4, 8, 2, 1, 3, 9, 0, 7"


@pytest.mark.parametrize(
    "document",
    [
        json.dumps({"n": [4, 8, 2, 1, 3, 9, 0, 7], "note": f"GD-{CANARY}"}),
        json.dumps({"note": f"It is {STREWN} or {CANARY} in one."}),
        json.dumps({"note": f"It is {STREWN}. Well.", "name": f"GD-{CANARY}"}),
    ],
)
@pytest.mark.parametrize("profile", [MASKS, Profile("strict")], ids=["masks", "falls back"])
def test_strewn_digits_of_a_document_free_no_code_in_it(document: str, profile: Profile) -> None:
    for seed in (None, 1, 2):
        outcome = answer(document, _knows_what_it_has_read, profile, seed=seed)
        assert "213" not in outcome.everything
        assert "390" not in outcome.everything


def test_strewn_digits_of_a_sentence_free_no_code_in_it() -> None:
    said = f"It is {STREWN} or {CANARY}, I think. Bye now."
    content = answer([(CONTENT, said)], _knows_what_it_has_read, json_mode=False).content
    assert "213" not in content
    assert content.endswith(", I think. Bye now.")


@pytest.mark.parametrize("secret", ["“she told the nurse that the baby is not his”", "Brntkskvlp"])
@pytest.mark.parametrize("open_until", [None, -1, -12])
def test_words_in_open_reasoning_free_no_copy(secret: str, open_until: int | None) -> None:
    def knows_it_once(question: Question) -> Score:
        text = "".join(map(chr, question.ids))
        halves = secret[: len(secret) // 2], secret[len(secret) // 2 :]
        first = {at for half in halves if half in text for at in range(text.index(half), text.index(half) + len(half))}
        return tuple(-9.0 if at in first else SURE for at in range(question.start, len(text)))

    said = [
        (REASONING, f"Note says {secret[:open_until] if len(secret) > 12 else secret}"),
        (CONTENT, f"It says {secret} so far. Bye now."),
    ]
    outcome = answer(said, knows_it_once, json_mode=False)
    assert secret[2:-2] not in outcome.everything
    assert "baby is" not in outcome.content
