"""Who stands beside a value."""

from __future__ import annotations

import pytest

from filters.persons import Places, names_in, own_parts, parts_of, spellings_of
from filters.pii.detector import build_detector

PHONES = build_detector(["PHONE"])
A, B, C = "13812345678", "13987654321", "13711112222"


def named(text: str) -> list[str]:
    return [text[name.start : name.end] for name in names_in(text)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada Lovelace: x", ["Ada Lovelace"]),
        ("Please call Ada on Monday", ["Ada"]),
        ("Dear Ms. Lovelace and Dr Bea van Dyke,", ["Lovelace", "Bea van Dyke"]),
        ("Ada/Bea", ["Ada", "Bea"]),
        ("Ada's Bea", ["Ada's", "Bea"]),
        ("ADA and bea", ["ADA"]),
        ("Name: Ada, Phone:", ["Ada"]),
        ("Option A and Candidate B", []),
        ("Anne-Marie O'Neill", ["Anne-Marie O'Neill"]),
        ("ビー, Ада", ["ビー", "Ада"]),
        ("王小明的电话", ["王小明"]),
        ("张伟和李娜", ["张伟", "李娜"]),
        ("请联系王明，", ["王明"]),
        ("王先生来了", ["王先生"]),
        ("欧阳娜娜 ", ["欧阳娜娜"]),
        ("艾达·洛夫：", ["艾达·洛夫"]),
        ("联系方式和时间", []),
        ("", []),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert named(text) == names


def test_known_chinese_names_need_no_edges() -> None:
    known = dict(spellings_of(frozenset({"王", "小明"})))
    assert not names_in("昨天小明打来电话")
    (name,) = names_in("昨天小明打来电话", known)
    assert name.person == {"小明"}
    (name,) = names_in("昨天王小明打来电话", known)
    assert name.person == {"王", "小明"}


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("Ada", "Ada Lovelace"),
        ("Ms Lovelace", "ada  LOVELACE"),
        ("Lovelace's", "Ada Lovelace"),
        ("小明", "王小明"),
        ("王先生", "王小明"),
        ("王 小明", "王小明"),
    ],
)
def test_a_part_of_a_name(part: str, whole: str) -> None:
    assert parts_of(part) <= parts_of(whole)
    assert parts_of(part)


@pytest.mark.parametrize(
    ("other", "whole"), [("Ad", "Ada Lovelace"), ("王小", "王小明"), ("Ada Byron", "Ada Lovelace")]
)
def test_no_part_of_a_name(other: str, whole: str) -> None:
    assert not parts_of(other) <= parts_of(whole)


def test_what_of_a_name_is_a_persons_own() -> None:
    assert not set(own_parts(parts_of("张三"))) & set(own_parts(parts_of("张四")))
    assert set(own_parts(parts_of("张三甲"))) & set(own_parts(parts_of("张三乙")))
    assert set(own_parts(parts_of("Ada Byron"))) & set(own_parts(parts_of("Ada Lovelace")))
    assert set(own_parts(parts_of("王先生")))


def owners(text: str) -> dict[str, str]:
    company = Places(text, PHONES.find(text)).company("PHONE")
    return {
        text[span.start : span.end]: "+".join(sorted(found.person)) if found.person else "?"
        for span, found in company.items()
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Ada: {A}\nBea: {B}", {A: "ada", B: "bea"}),
        (f"Ada {A}, Bea {B}", {A: "ada", B: "bea"}),
        (f"{A} is Ada's", {A: "ada"}),
        (f"{A} Ada, {B} Bea", {A: "?", B: "?"}),
        (f"Ada, Bea: {A}", {A: "?"}),
        (f"Ada: {A}, {B}", {A: "ada", B: "ada"}),
        (f"{A}\n{B}", {}),
        (f"Ada\n{A}\nBea\n{B}", {A: "ada", B: "bea"}),
        (f"{A}\nAda\n{B}\nBea", {A: "?", B: "?"}),
        (f"Ada\n\n{A}", {}),
        (f"Name: Ada\nCity: Rome\nPhone: {A}", {A: "ada"}),
        (f"name,city,phone\nAda,Rome,{A}\nBea,Oslo,{B}", {A: "ada", B: "bea"}),
        (f"| City | Name | Phone |\n|---|---|---|\n| Rome | Ada | {A} |", {A: "ada"}),
        (f'{{"name": "Ada", "city": "Rome", "phone": "{A}"}}', {A: "ada"}),
        (f'Bea {{"phone": "{A}"}}', {}),
        (f'[{{"name": "Ada",\n"phone": "{A}"}},\n{{"name": "Bea",\n"phone": "{B}"}}]', {A: "ada", B: "bea"}),
        (f"A\u200bda: {A}", {}),
        (f"王小明的电话是{A}，李大海的电话是{B}。", {A: "小明+王", B: "大海+李"}),
        (f"王小明、李大海：{A}", {A: "?"}),
        (f"姓名：王小明，同事：李大海，电话：{A}", {A: "小明+王"}),
    ],
)
def test_who_stands_beside_a_value(text: str, expected: dict[str, str]) -> None:
    assert owners(text) == expected
