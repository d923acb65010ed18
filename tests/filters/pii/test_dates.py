"""Days and web addresses."""

from __future__ import annotations

import pytest

from filters.normalise import normalise
from filters.pii.dates import Dates, WebAddresses
from filters.pii.view import View
from filters.spans import Span


@pytest.mark.parametrize(
    "marked",
    [
        "Her date of birth is [3/23/1940].",
        "since [1993-01-04 14:56:41], it says",
        "am [4.11.1993]",
        "on [March 3rd, 1990], or [3 Mar 1990] at noon",
        "他生于[1990年3月4日]。",
        "We'll meet [Sunday] at the Plimsol office",
    ],
)
def test_days(marked: str) -> None:
    assert _found(marked) == _marked(marked)


@pytest.mark.parametrize(
    "text",
    [
        "in 1998",
        "2/3 of 12/24",
        "version 3.4.2019.1",
        "the 4th of May",
        "Sundays are slow. Sunday",
        "10.20.30.40",
        "1990年",
    ],
)
def test_no_days(text: str) -> None:
    assert not _found(text)


def test_a_birth_makes_a_date_surer() -> None:
    assert [span.score for span in _spans("born on 2/7/1961, left 2/7/1981")] == [0.7, 0.7]
    assert [span.score for span in _spans("left 2/7/1981")] == [0.4]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see http://www.vexlo.example/a?b=1.", "http://www.vexlo.example/a?b=1"),
        ("(www.vexlo.example)", "www.vexlo.example"),
        ("见https://vexlo.example/路，谢谢", "https://vexlo.example/"),
        ("write to www@vexlo.example", None),
    ],
)
def test_web_addresses(text: str, address: str | None) -> None:
    view = View(normalise(text).text)
    found = [view.text[span.start : span.end] for span in WebAddresses().find(view)]
    assert found == ([address] if address else [])


def _spans(text: str) -> list[Span]:
    return list(Dates().find(View(normalise(text).text)))


def _found(marked: str) -> list[str]:
    text = marked.replace("[", "").replace("]", "")
    return sorted(text[span.start : span.end] for span in _spans(text))


def _marked(marked: str) -> list[str]:
    return sorted(part.partition("]")[0] for part in marked.split("[")[1:])
