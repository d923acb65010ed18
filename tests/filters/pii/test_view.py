"""The shadows of a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filters.normalise import normalise
from filters.pii.view import View, label, search


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


def test_a_run_of_digits_ends_at_a_wide_gap() -> None:
    assert View("in 1998, then 2003").digit_run == 4
    assert View("138 1234 - 5678 and 1").digit_run == 11
    assert View("none").digit_run == 0


def test_signs_are_looked_for_in_lower_case() -> None:
    assert View("My PIN is").says(("pass", "pin"))
    assert not View("My PIN is").says(("PIN", "word"))


def test_a_pattern_has_a_second_try() -> None:
    """The clock of a pattern counts what other threads and the collection of garbage take."""

    class Slow:
        tries = 0

        def search(self, text: str, start: int, timeout: float) -> str:
            self.tries += 1
            if self.tries == 1:
                raise TimeoutError
            return "found"

    assert search(Slow(), "x") == "found"


def test_a_labels_edges_are_latin() -> None:
    ssn = label(r"\bssn\b")
    assert ssn.search("我的ssn是")
    assert ssn.search("ssn1")
    assert not ssn.search("ossni")
