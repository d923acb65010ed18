"""No cut splits a quantity, and what could still become one is open."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.pii.quantity_tail import open_quantity, quantity_goes_on
from filters.pii.tail import boundary_ok, open_tail
from tests.support.quantities import BENIGN, VECTORS, Quantity


@pytest.mark.parametrize("quantity", VECTORS)
@pytest.mark.parametrize("known", [1, 12])
def test_no_cut_splits_a_value(quantity: Quantity, known: int) -> None:
    for cut in range(1, len(quantity.value)):
        left, right = quantity.before + quantity.value[:cut], quantity.value[cut:].lstrip() + quantity.after
        assert quantity_goes_on(left, right[:known]) or not boundary_ok(left, right[:known]), (left, right)


@pytest.mark.parametrize("quantity", VECTORS)
def test_every_prefix_with_a_digit_is_open(quantity: Quantity) -> None:
    for end in range(1, len(quantity.value) + 1):
        if not any(char.isalnum() and not char.isalpha() for char in quantity.value[:end]):
            continue  # "人" and "北" are prose
        seen = quantity.before + quantity.value[:end]
        assert min(open_tail(seen), open_quantity(seen)) <= len(quantity.before), seen


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("It was in March.\n", "The"),
        ("We moved in 2019. ", "My"),
        ("There were 12,300 people\n", "Dear"),
        ("2019年，", "他们"),
        ("他今年43岁，", "东边"),
        ("Nothing is left.\n", "43"),
        ("", "43"),
        ("text ", ""),
    ],
)
def test_other_cuts_are_free(left: str, right: str) -> None:
    assert not quantity_goes_on(left, right)


@pytest.mark.parametrize(
    ("raw_text", "tail"),
    [
        ("born on 12 March 19", "12 March 19"),
        ("it is 1,200 dol", "1,200 dol"),
        ("它值１２", "１２"),
        ("她四十三", "四十三"),
        ("That is all! ", ""),
        ("", ""),
    ],
)
def test_tail(raw_text: str, tail: str) -> None:
    assert raw_text[open_quantity(raw_text) :] == tail


@given(st.text(alphabet="0123 ,.年月元a$Mayof\u200b", max_size=300))
def test_the_tail_is_a_place_in_the_text(raw_text: str) -> None:
    assert 0 <= open_quantity(raw_text) <= len(raw_text)
    quantity_goes_on(raw_text, raw_text[:1])


@pytest.mark.parametrize("unit", ["1 ", "1,", "May ", "一", "of ", "$", "'", "N "])
def test_time_is_bounded(unit: str) -> None:
    began = time.process_time()
    for _ in range(10):
        open_quantity(unit * 100_000)
        quantity_goes_on(unit * 40, unit * 40)
    assert time.process_time() - began < 2


def test_benign_texts_end_closed_behind_a_full_stop_of_their_own() -> None:
    closed = [text for text in BENIGN if open_quantity(f"{text} Good!") == len(text) + 6]
    assert closed == BENIGN
