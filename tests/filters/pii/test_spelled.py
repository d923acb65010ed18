"""Numerals, digits in words, characters apart, values turned round."""

from __future__ import annotations

import pytest

from filters.normalise import normalise
from filters.pii.spelled import spellings, turned


@pytest.mark.parametrize(
    ("raw_text", "text"),
    [
        ("一三八一二三四五六七八", "13812345678"),
        ("壹贰叁肆伍陆", "123456"),
        ("one three eight one two three", "138123"),
        ("One, three, eight, one, two", "13812"),
        ("four one five, five five five, two six seven one", "415-555-2671"),
        ("double five oh three two four", "550324"),
        ("one nine two dot one six eight dot one", "192.168.1"),
        ("onethreeeightonetwo", "13812"),
        ("E one two three four five", "E12345"),
        ("l38 l2345 O78", "138 12345 078"),
        ("v e x l o @ e x . c o m", "vexlo@ex.com"),
        ("1\n3\n8\n1\n2\n3", "138123"),
        ("plus four four two zero seven nine four six", "+44207946"),
        ("四一五) 五五五-二六七一", "415) 555-2671"),
    ],
)
def test_reads(raw_text: str, text: str) -> None:
    readings = list(spellings(normalise(raw_text)))
    assert [reading.text for reading in readings] == [text]
    assert readings[0].raw_span(0, len(text)) == (0, len(raw_text))


def test_apart_and_numerals_together() -> None:
    assert "138123" in [reading.text for reading in spellings(normalise("一\n三\n八\n一\n二\n三"))]


@pytest.mark.parametrize(
    "raw_text",
    [
        "No one, two or three of us.",
        "Sizes 10l and 20l, model lOO1 for l0 rooms.",
        "三三两两的人",
        "Plan A or plan B",
        "- a\n- b\n- c",
        "In 1998 a 5 % rise.",
        "一九九八年",
    ],
)
def test_ordinary_text_has_no_other_reading(raw_text: str) -> None:
    assert [reading.text for reading in spellings(normalise(raw_text))] == []


@pytest.mark.parametrize(
    ("raw_text", "text"),
    [
        ("SSN 993409635", "SSN 536904399"),
        ("moc.elpmaxe@rebmat.olxev", "vexlo.tamber@example.com"),
        ("23 4567 8965 4321 TSEW 28BG", "GB82 WEST 1234 5698 7654 32"),
        ("1762-555 (514)", "(415) 555-2671"),
        ("1762-555 )514(", "(415) 555-2671"),
        ("8590 6497 02 44+", "+44 20 7946 0958"),
        ("L4321KPCBA", "ABCPK1234L"),
        ("如下：028109 030，", "如下:030 901820,"),
        ("室104元单3号21路院学区淀海市京北", "北京市海淀区学院路12号3单元401室"),
    ],
)
def test_turns_values_round(raw_text: str, text: str) -> None:
    readings = list(turned(normalise(raw_text), lambda start, end: False))
    assert text in [reading.text for reading in readings]


def test_what_is_known_stays_as_it_is() -> None:
    assert list(turned(normalise("SSN 993409635"), lambda start, end: True)) == []


def test_a_turned_span_maps_to_its_own_characters() -> None:
    reading = next(turned(normalise("x 87654321831"), lambda start, end: False))
    assert reading.text == "x 13812345678"
    assert reading.raw_span(2, 5) == (10, 13)
