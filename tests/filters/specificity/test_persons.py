"""Who a sentence speaks of."""

from __future__ import annotations

import pytest

from filters.specificity.persons import KIN, PRONOUN, ROLE, SELF, full_name, mentions, sentences


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("She called.", {PRONOUN}),
        ("The customer called his wife.", {ROLE, PRONOUN, KIN}),
        ("I called.", {SELF}),
        ("该客户来电。", {ROLE}),
        ("他的妻子来电。", {PRONOUN, KIN}),
        ("The ferry waits.", set()),
    ],
)
def test_words_for_persons(text: str, words: set[str]) -> None:
    assert mentions(text, text.lower()).words == words


def test_titles_are_names_in_doubt() -> None:
    for text in ("Ms Tamber called.", "王女士来电。", "张某来电。"):
        assert mentions(text, text.lower()).doubtful_name
        assert mentions(text, text.lower()).anybody


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("Vexlo Tamber", True),
        ("Vexlo J. Tamber", True),
        ("Vexlo", False),
        ("甄禾砚", True),
        ("王砚", True),
        ("禾砚", False),
    ],
)
def test_full_names(name: str, full: bool) -> None:
    assert bool(full_name(name)) is full


def test_one_name_in_two_spellings_is_one() -> None:
    assert full_name("Vexlo Tamber") == full_name("VEXLO TAMBER") == full_name("Vexlo J. Tamber")


@pytest.mark.parametrize("text", ["", "A. B! C?", "他来了。她走了；再见", "no end", "3.5 is one. So is 4.\n\nYes."])
def test_sentences_are_the_text(text: str) -> None:
    assert "".join(text[start:end] for start, end in sentences(text)) == text


def test_sentences_end_at_stops() -> None:
    text = "She called at 3.5. He did not!他来了。"
    assert [text[start:end] for start, end in sentences(text)] == ["She called at 3.5. ", "He did not!", "他来了。"]
