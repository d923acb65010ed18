"""Numbers, ages, dates and children, however they are written."""

from __future__ import annotations

import pytest

from filters.specificity import trait_values as values


def test_ages_have_bands() -> None:
    assert values.age("34") == ("30-39", "34")
    assert values.age("九十三") == ("90+", "93")
    assert values.age("seven") == ("0-9", "7")
    assert values.age("340") is None


@pytest.mark.parametrize(
    ("written", "band"),
    [("thirties", "30-39"), ("40s", "40-49"), ("forty", "40-49"), ("古稀", "70-79"), ("五十", "50-59")],
)
def test_decades_of_age(written: str, band: str) -> None:
    assert values.age_decade(written) == (band,)


@pytest.mark.parametrize(
    "written",
    [
        "12 March 1991",
        "March 12, 1991",
        "12th of March 1991",
        "1991-03-12",
        "12/3/1991",
        "1991年3月12日",
        "一九九一年三月十二日",
    ],
)
def test_one_day_written_in_many_ways(written: str) -> None:
    assert values.date(written) == ("199", "1991", "03", "12")


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("1991", ("199", "1991")),
        ("May 1991", ("199", "1991", "05")),
        ("2009年", ("200", "2009")),
        ("7月4日", ("--", "--", "07", "04")),
        ("4 July", ("--", "--", "07", "04")),
        ("the 1990s", ("199",)),
        ("20世纪90年代", ("199",)),
        ("21世纪10年代", ("201",)),
    ],
)
def test_parts_of_dates(written: str, path: tuple[str, ...]) -> None:
    assert values.date(written) == path


def test_generations() -> None:
    assert values.birth_decade("90后") == ("199",)
    assert values.birth_decade("00后") == ("200",)


@pytest.mark.parametrize(
    ("written", "path"),
    [("a", ("some", "1")), ("three", ("some", "3")), ("0", ("none", "0")), ("十", ("some", "many"))],
)
def test_children(written: str, path: tuple[str, ...]) -> None:
    assert values.children(written) == path
