"""The shadows of a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filters.normalise import normalise
from filters.pii.view import View, label


@given(st.text())
def test_every_shadow_is_as_long_as_the_text(raw_text: str) -> None:
    view = View(normalise(raw_text).text)
    for shadow in (view.words, view.fields, view.lower, view.numbers):
        assert len(shadow) == len(view.text)


def test_words_and_numbers() -> None:
    view = View("卡号4111_tel5 on 2024-05-17")
    assert view.words == "  4111 tel5 on 2024-05-17"
    assert view.numbers == "  4111    5              "
    assert view.digits == 13


def test_numbers_leave_ids_and_dates_out() -> None:
    text = "550e8400-e29b-41d4-a716-446655440000 05/17/2024 e83c5163316f89bfbde7d9ab23ca2e25604af290"
    assert View(text).numbers.strip() == ""


def test_a_labels_edges_are_latin() -> None:
    ssn = label(r"\bssn\b")
    assert ssn.search("我的ssn是")
    assert ssn.search("ssn1")
    assert not ssn.search("ossni")
