"""Chinese identifiers and their check characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.normalise import normalise
from filters.pii.chinese import (
    ChinesePassports,
    CreditCodes,
    Plates,
    QqNumbers,
    ResidentIds,
    WeChatIds,
    credit_check,
    resident_check,
)
from filters.pii.recognizers import Recognizer
from filters.pii.view import View


def found(recognizer: Recognizer, text: str) -> list[str]:
    return [text[span.start : span.end] for span in recognizer.find(View(normalise(text).text))]


@given(st.integers(0, 999))
def test_every_resident_id_with_its_check_character(serial: int) -> None:
    body = f"33010619900307{serial:03}"
    number = body + resident_check(body)
    assert found(ResidentIds(), f"号{number}。") == [number]
    others = [body + c for c in "0123456789X" if body + c != number]
    assert not any(found(ResidentIds(), other) for other in others)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("990105194912310027", []),  # no such province
        ("110105194913310021", []),  # no such month
        ("身份证号：110105491231002", ["110105491231002"]),
        ("订单110105491231002", []),
        ("1 1 0 1 0 5 1 9 4 9 1 2 3 1 0 0 2 X", ["1 1 0 1 0 5 1 9 4 9 1 2 3 1 0 0 2 X"]),
    ],
)
def test_resident_ids(text: str, ids: list[str]) -> None:
    assert found(ResidentIds(), text) == ids


def test_credit_codes() -> None:
    body = "91110105MA00AB1C0"
    code = body + credit_check(body)
    wrong = body + ("1" if code[-1] != "1" else "2")
    assert found(CreditCodes(), f"代码{code}，") == [code]
    assert found(CreditCodes(), f"编号{wrong}，") == []
    assert found(CreditCodes(), f"统一社会信用代码{wrong}，") == [wrong]


@pytest.mark.parametrize(
    ("recognizer", "text", "values"),
    [
        (ChinesePassports(), "护照EB8189974，", ["EB8189974"]),
        (ChinesePassports(), "型号XE12345678", []),
        (Plates(), "车牌京A12345", ["京A12345"]),
        (Plates(), "粤b·d12345", ["粤b·d12345"]),
        (Plates(), "沪A 1234学", ["沪A 1234学"]),
        (Plates(), "新ABCDEF", []),
        (Plates(), "京东A12345", []),
        (WeChatIds(), "加微信tamber_88", ["tamber_88"]),
        (WeChatIds(), "my WeChat is tamber88", ["tamber88"]),
        (WeChatIds(), "WeChat is available", []),
        (QqNumbers(), "QQ：81234567", ["81234567"]),
        (QqNumbers(), "qq 群 81234567", ["81234567"]),
        (QqNumbers(), "QQ音乐2024", []),
    ],
)
def test_others(recognizer: Recognizer, text: str, values: list[str]) -> None:
    assert found(recognizer, text) == values
