"""What is said instead: in both languages, from closed lists, fit for JSON."""

from __future__ import annotations

import pytest

from filters.specificity.crowd_tables import Kind, Trait, shipped_crowds
from filters.specificity.wordings import NOTHING, wording

CROWDS = shipped_crowds()


@pytest.mark.parametrize(
    ("kind", "path", "english", "chinese"),
    [
        (Kind.AGE, ("30-39",), "30 to 39 years old", "30至39岁"),
        (Kind.AGE, ("90+",), "90 or older", "90岁以上"),
        (Kind.BIRTH, ("199", "1991"), "1991", "1991年"),
        (Kind.BIRTH, ("199",), "the 1990s", "20世纪90年代"),
        (Kind.PLACE, ("CN", "Zhejiang"), "Zhejiang", "浙江"),
        (Kind.PLACE, ("GB",), "United Kingdom", "英国"),
        (Kind.JOB, ("health",), "someone in health care", "医疗行业的人"),
        (Kind.ILLNESS, ("illness",), "an illness", "某种疾病"),
        (Kind.EMPLOYER, (), "a company", "某公司"),
    ],
)
def test_wordings(kind: Kind, path: tuple[str, ...], english: str, chinese: str) -> None:
    assert wording(CROWDS, Trait(kind, path)) == (english, chinese)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.AGE, ("30-39", "34")),
        (Kind.BIRTH, ("199", "1991", "03")),
        (Kind.BIRTH, ("--",)),
        (Kind.BIRTH, ("--", "--")),
        (Kind.PLACE, ("~kelvo",)),
        (Kind.PLACE, ("XX",)),
        (Kind.JOB, ("tuba tuner",)),
    ],
)
def test_what_is_exact_or_has_no_name_has_none(kind: Kind, path: tuple[str, ...]) -> None:
    assert wording(CROWDS, Trait(kind, path)) is None


def test_every_kind_has_a_last_resort() -> None:
    assert set(NOTHING) == set(Kind)
    for english, chinese in NOTHING.values():
        assert english.isascii()
        assert not chinese.isascii()
        assert not {'"', "\\"} & {*english, *chinese}
