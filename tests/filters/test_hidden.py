"""A value that was hidden is hidden again, however it is written, and however many there are."""

from __future__ import annotations

import pytest

from filters.hidden import HiddenValues
from filters.spans import Span


def found(values: list[str], text: str) -> list[str]:
    hidden = HiddenValues()
    for value in values:
        hidden.add(value, "KIND")
    return [text[span.start : span.end] for span in hidden.find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "call 138-1234-5678 now",
        "CALL 13812345678",
        "１３８ １２３４ ５６７８",
        "1\u200b3\u200b812345678",
        "x13812345678x",
    ],
)
def test_the_spelling_does_not_matter(text: str) -> None:
    (span,) = found(["138 1234 5678"], text)
    assert [char for char in span if char.isdigit()]
    assert found(["Straße 12"], "in der STRASSE 12, ja") == ["STRASSE 12"]


def test_values_that_begin_alike_are_told_apart() -> None:
    values = ["13812345678", "13812345", "13812349999"]
    assert found(values, "one 13812349999 two 13812345 three 1381234") == ["13812349999", "13812345"]
    assert sorted(found(values, "13812345678")) == ["13812345", "13812345678"]


def test_a_value_that_overlaps_itself_is_hidden_to_its_end() -> None:
    hidden = HiddenValues()
    hidden.add("1111", "KIND")
    covered = {at for span in hidden.find("111111") for at in range(span.start, span.end)}
    assert covered == set(range(6))


def test_short_values_and_unfinished_ones_are_not_looked_for() -> None:
    assert found(["abc", "a-b"], "abc a-b abc") == []
    assert found(["13812345678"], "number 1381234567") == []


def test_the_type_is_the_one_it_was_hidden_under() -> None:
    hidden = HiddenValues()
    hidden.add("vexlo@example.com", "EMAIL")
    assert hidden.find("Vexlo at example com: VEXLO@EXAMPLE.COM") == [Span(22, 39, "EMAIL", 1.0)]


def test_looking_does_not_take_longer_with_more_values() -> None:
    class Counted(dict[str, str]):
        looks = 0

        def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
            Counted.looks += 1
            return super().get(key, default)  # type: ignore[arg-type]

    def looks(number: int) -> int:
        hidden = HiddenValues()
        hidden._kinds = Counted()
        for i in range(number):
            hidden.add(f"1381{i:07}", "PHONE")
        Counted.looks = 0
        hidden.find("13810000007 " * 20)
        return Counted.looks

    assert looks(10_000) == looks(100)
