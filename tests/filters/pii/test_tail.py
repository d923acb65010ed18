"""Open tails and boundaries: no prefix of a value is let go, no cut splits one."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.pii.tail import boundary_ok, open_tail

HEADS = ("", "Write to ", "请看", "好的，", "(", "The end. ", "Nothing explains it; ")
RESTS = ("", ".", " and more", "，谢谢。")


def test_every_prefix_is_open(vector: Any) -> None:
    for head, end in product(HEADS, range(1, len(vector.value) + 1)):
        if end == 1 and "\u4e00" <= vector.value[0] <= "\u9fff":
            continue  # one Chinese character is prose: the rules say so
        raw_text = head + vector.label + vector.value[:end]
        assert open_tail(raw_text) <= len(head + vector.label), raw_text


def test_no_cut_splits_a_value(vector: Any) -> None:
    for head, rest, cut in product(HEADS, RESTS, range(1, len(vector.value))):
        left, right = head + vector.label + vector.value[:cut], vector.value[cut:] + rest
        assert not boundary_ok(left[-80:], right[:80]), (left, right)


def test_no_cut_splits_a_key_block() -> None:
    body = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2] * 8)
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    for cut in range(1, len(key) - 26):
        assert not boundary_ok(key[max(0, cut - 80) : cut], key[cut : cut + 80]), key[cut - 20 : cut + 20]


@pytest.mark.parametrize(
    ("raw_text", "tail"),
    [
        ("call 138 1234", "138 1234"),
        ("call 138 1234 ", "138 1234 "),
        ("her mail is vexlo.tru", "vexlo.tru"),
        ("her mail is vexlo@", "vexlo@"),
        ("她的邮箱是vexlo", "vexlo"),
        ("完成了。", ""),
        ("今天天气很好", ""),
        ("Thank you!", ""),
        ("Thank you, ", ""),
        ("Thank you. ", ""),
        ("That is all.", "all."),
        ("现住北京市朝阳区解", "北京市朝阳区解"),
        ("他住在北京市，", ""),
        ("车牌京A12", "京A12"),
        ("at 221B Ba", "221B Ba"),
        ("IBAN GB82 WEST 12", "GB82 WEST 12"),
        ("x -----BEGIN PRIVATE KEY-----\nabc \n", "-----BEGIN PRIVATE KEY-----\nabc \n"),
        ("postgres://app:s3cret!", "postgres://app:s3cret!"),
        ("电话一三八一", "一三八一"),
        ("1\u200b3\u200b8\u200b", "1\u200b3\u200b8\u200b"),
        ("", ""),
    ],
)
def test_tail(raw_text: str, tail: str) -> None:
    assert raw_text[open_tail(raw_text) :] == tail


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", "Hello"),
        ("Hello there. ", "Then he left."),
        ("Hello there.", " Then he left."),
        ("It was late, ", "and we left."),
        ("words and ", "more words"),
        ("In 2020, ", "we moved."),
        ("It costs $12.50. ", "That is much."),
        ("他走了。", "13812345678"),
        ("好的，", "我们走吧。"),
        ("2019年，", "团队用了十一周。"),
        ("他住在北京市。", "天气很好。"),
        ("First item\n", "Second item"),
        ("Thank you!", ""),
    ],
)
def test_prose_may_be_cut(left: str, right: str) -> None:
    assert boundary_ok(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("mail vexlo", "@example.com"),
        ("mail vexlo ", "@ example.com"),
        ("vexlo", " at example dot com"),
        ("vexlo at example ", "dot com"),
        ("138,", " 1234, 5678"),
        ("138\n", "1234\n5678"),
        ("1\n3\n", "8\n1\n2"),
        ("Ship to 221", " Baker Street"),
        ("住在北", "京市朝阳区"),
        ("Thank you.", ""),
        ("Hello.", "World"),
    ],
)
def test_values_may_not_be_cut(left: str, right: str) -> None:
    assert not boundary_ok(left, right)


@given(st.text(max_size=200))
def test_the_tail_is_a_place_in_the_text(raw_text: str) -> None:
    assert 0 <= open_tail(raw_text) <= len(raw_text)


@given(
    st.text(alphabet="aZ1 .,@-\n京路号一\u200b", max_size=80), st.text(alphabet="aZ1 .,@-\n京路号一\u200b", max_size=80)
)
def test_a_closed_end_before_space_may_be_cut_only_if_nothing_is_open(left: str, right: str) -> None:
    if boundary_ok(left, ""):
        assert open_tail(left) == len(left) or not left.strip()


@pytest.mark.parametrize(
    "unit", ["1 ", "a", "@", "AB12 ", "12 Old Mill ", "一", "市", "a.", "-----BEGIN ", "at ", "1\u200b"]
)
def test_time_is_linear(unit: str) -> None:
    began = time.process_time()
    open_tail(unit * 100_000)
    boundary_ok(unit * 40, unit * 40)
    assert time.process_time() - began < 2
