"""Numbers in words and numerals."""

from __future__ import annotations

import pytest

from filters import numerals


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("34", 34),
        ("thirty-four", 34),
        ("Thirty Four", 34),
        ("nineteen", 19),
        ("三十四", 34),
        ("十二", 12),
        ("两", 2),
        ("二十", 20),
        ("", None),
        ("many", None),
        ("百", None),
    ],
)
def test_numbers(written: str, number: int | None) -> None:
    assert numerals.number(written) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("三千五百", 3500),
        ("一万二", 12_000),
        ("一万零二", 10_002),
        ("1万2千", 12_000),
        ("一百零三", 103),
        ("叁仟伍佰", 3500),
        ("一亿二千万", 120_000_000),
        ("一万亿", 10**12),
        ("两亿零四十", 200_000_040),
        ("十二", 12),
        ("五", None),
        ("三千树", None),
    ],
)
def test_numerals_with_units(written: str, number: int | None) -> None:
    assert numerals.whole_number(written) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("five thousand", 5000),
        ("Twelve thousand three hundred and five", 12_305),
        ("a hundred and three", 103),
        ("forty-three", 43),
        ("half", None),
        ("", None),
    ],
)
def test_numbers_in_words(written: str, number: int | None) -> None:
    assert numerals.worded_number(written) == number


@pytest.mark.parametrize(("name", "number"), [("Jan.", 1), ("september", 9), ("DEC", 12)])
def test_months(name: str, number: int) -> None:
    assert numerals.month(name) == number
