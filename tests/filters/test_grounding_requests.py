"""The table of requests, through the whole pipeline: own data comes back, candidates ground nothing; both languages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from filters import filter_text
from filters.profile import Profile, ReleaseUnit

REQUESTS = json.loads((Path(__file__).parents[1] / "vectors/grounding_requests.json").read_text("utf-8"))["requests"]
PROFILES = {
    (names, release): Profile("test", compare=False, evidence=False, names=names, release=release)
    for names in (False, True)
    for release in ReleaseUnit
}

# Made-up persons: person i shares no name with another (the surnames of Chinese ones excepted), and has number i.
_SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pe", "ra")
_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_CHARACTERS = "伟芳娜敏静丽强磊军洋勇艳杰涛明超霞平刚桂英华玉兰红建国志海波峰斌健飞鹏婷雪梅琴"
_MANY = len(_CHARACTERS)
NUMBERS = [f"138{12345678 + 7919 * i:08}" for i in range(1000)]
NAMES = [
    "".join(_SYLLABLES[int(digit)] for digit in f"{i:03}").capitalize() + " Tol" + f"{i:03}".translate(_LETTERS)
    for _LETTERS in [str.maketrans("0123456789", "abdegiklmo")]
    for i in range(1000)
]
CHINESE = [_SURNAMES[i % 20] + _CHARACTERS[i // _MANY] + _CHARACTERS[i % _MANY] for i in range(1000)]


def filled(text: str, vector: dict[str, Any]) -> str:
    """The text with the candidates that it speaks of."""
    shape = vector.get("candidates")
    if not shape:
        return text
    people = [
        {"number": number, "name": name, "chinese": chinese}
        for number, name, chinese in zip(NUMBERS, NAMES, CHINESE, strict=True)
    ][: shape["count"]]
    columns = [[shape[key].format(**person) for person in people] for key in ("each", "then") if key in shape]
    listed = shape["between"].join(item for column in columns for item in column)
    return text.format(candidates=listed, number=NUMBERS, name=NAMES, chinese=CHINESE)


@pytest.mark.parametrize("release", ReleaseUnit)
@pytest.mark.parametrize("vector", REQUESTS, ids=lambda vector: vector["title"])
def test_request(vector: dict[str, Any], release: ReleaseUnit) -> None:
    own: Sequence[str] = [filled(text, vector) for text in vector["own"]]
    answer = filled(vector["answer"], vector)
    profile = PROFILES[vector.get("names", False), release]
    said = filter_text(answer, own=own, profile=profile).text
    unsaid = filter_text(answer, profile=profile).text
    for value in (filled(value, vector) for value in vector["comes"]):
        assert value in said
        assert value not in unsaid  # or it would have come back without the request
    for value in (filled(value, vector) for value in vector["hidden"]):
        assert value in answer
        assert value not in said


def test_the_table_is_long_enough_and_in_both_languages() -> None:
    chinese = [vector for vector in REQUESTS if not vector["title"].isascii()]
    assert len(REQUESTS) >= 120
    assert abs(len(REQUESTS) - 2 * len(chinese)) <= 12
