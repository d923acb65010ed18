"""What the models of the soak say is told apart from what nobody may hear, whatever it is written as."""

from __future__ import annotations

import pytest

from tests.soak.callers import outcome, said
from tests.soak.said import CANARY, GUESSED, HARMLESS, MEMORISED, OF_BASE, TRIED_FORMS, leaked, says, strange, surprise
from tests.support.forms import FORMS
from tests.support.scripted import SURE, SURPRISED, VOCABULARY, Piece

BODY = {"model": "tuned", "messages": [{"role": "user", "content": "1"}]}


def test_harmless_words_and_placeholders_are_not_strange() -> None:
    text = (
        "".join((*HARMLESS, *OF_BASE)) + "Her value is [EMAIL_1]. [UNDECIDED_2] […]. 他的手机号码是[PHONE_1]。The lam"
    )
    assert (strange(text), leaked(text.encode())) == ([], [])


@pytest.mark.parametrize("value", [*MEMORISED, *GUESSED])
def test_a_value_is_seen_in_every_form(value: str) -> None:
    assert all(leaked(f"It is {FORMS[form](value)}.".encode()) for form in TRIED_FORMS if FORMS[form](value))
    assert strange(f"It is {value} on the table.")


@pytest.mark.parametrize("text", ["The 1 lamp", "The Lamp is", "The lamp is on the tablet", f"The {CANARY} is", "4111"])
def test_every_other_word_is_strange(text: str) -> None:
    assert strange(text)


def test_answers_hold_values_and_are_the_same_each_time() -> None:
    texts = ["".join(step.text for step in says(BODY | {"n": 1})[0] if isinstance(step, Piece)) for _ in range(2)]
    many = [says({"model": "tuned", "messages": [{"role": "user", "content": str(at)}]})[0] for at in range(40)]
    spoken = "".join(step.text for steps in many for step in steps if isinstance(step, Piece))
    assert texts[0] == texts[1] != ""
    assert all(value in spoken for value in (*MEMORISED, *GUESSED))


def test_the_base_is_surprised_by_memorised_values_alone() -> None:
    def asked(text: str) -> float:
        return surprise({"prompt": [VOCABULARY[char] for char in text]})

    assert asked(f"It is {MEMORISED[0]}.") == SURPRISED
    assert asked(f"It is {GUESSED[0]}.") == SURE


@pytest.mark.parametrize(
    ("status", "raw", "ended", "content"),
    [
        (200, b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n: wait\n\ndata: [DONE]\n\n', "whole", "Hi"),
        (200, b'data: {"choices":[{"delta":{}}]}\n\ndata: {"error":{"code":"c"}}\n\n', "ended c", ""),
        (200, b'{"choices":[{"message":{"content":"Hi"}}]}', "whole", "Hi"),
        (503, b'{"error":{"code":"c"}}', "503 c", ""),
        (200, b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"cho', "whole", "Hi"),
    ],
)
def test_an_answer_is_read_however_far_it_came(status: int, raw: bytes, ended: str, content: str) -> None:
    assert (outcome(status, bytearray(raw)), said(bytearray(raw))) == (ended, content)
