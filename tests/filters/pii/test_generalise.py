"""Generalisations, in both languages, and what has none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.pii.detector import PatternDetector
from filters.pii.generalise import around, generalise, is_chinese
from filters.pii.places import CITIES, PROVINCES, STATES

CASES = [
    ("DATE", "12 March 1987", "1987", "1987年"),
    ("DATE", "1987-03-12", "1987", "1987年"),
    ("DATE", "19870312", "1987", "1987年"),
    ("DATE", "03/12/1987", "1987", "1987年"),
    ("DATE", "1987年3月12日", "1987", "1987年"),
    ("DATE", "一九八七年三月", "1987", "1987年"),
    ("AGE", "34", "30 to 39 years old", "30至39岁"),
    ("AGE", "34 years old", "30 to 39 years old", "30至39岁"),
    ("AGE", "三十四岁", "30 to 39 years old", "30至39岁"),
    ("AGE", "十八岁", "10 to 19 years old", "10至19岁"),
    ("AGE", "七岁", "under 10", "不到10岁"),
    ("AGE", "7", "under 10", "不到10岁"),
    ("AGE", "90岁", "90 or older", "90岁以上"),
    ("AGE", "103", "90 or older", "90岁以上"),
    ("ADDRESS", "北京市海淀区学院路12号3单元401室", "an address in Beijing", "北京某地址"),
    ("ADDRESS", "广东省深圳市南山区科技三路210号", "an address in Shenzhen", "深圳某地址"),
    ("ADDRESS", "四川省某某县青年路5号", "an address in Sichuan", "四川某地址"),
    ("ADDRESS", "广西壮族自治区南宁市民族路1号", "an address in Nanning", "南宁某地址"),
    ("ADDRESS", "她住在上海市南京路12号", "an address in Shanghai", "上海某地址"),
    ("ADDRESS", "221 Kelvo Street, London NW1 6XE", "an address in London", "伦敦某地址"),
    ("ADDRESS", "9 Tamber Lane\nToronto", "an address in Toronto", "多伦多某地址"),
    ("ADDRESS", "12 Oak Road, Springfield, IL 62704", "an address in Illinois", "伊利诺伊州某地址"),
    ("AMOUNT", "$12,345.50", "a five-figure amount", "五位数的金额"),
    ("AMOUNT", "8,200 euros", "a four-figure amount", "四位数的金额"),
    ("AMOUNT", "12.345,50 €", "a five-figure amount", "五位数的金额"),
    ("AMOUNT", "1.2 million", "a seven-figure amount", "七位数的金额"),
    ("AMOUNT", "0.5 million", "a six-figure amount", "六位数的金额"),
    ("AMOUNT", "3万元", "a five-figure amount", "五位数的金额"),
    ("AMOUNT", "￥12000000", "an eight-figure amount", "八位数的金额"),
    ("AMOUNT", "4元", "an amount under ten", "不到十的金额"),
    ("NUMBER", "48213", "tens of thousands", "数万"),
    ("NUMBER", "7", "fewer than ten", "不到十"),
    ("NUMBER", "3,000", "thousands", "数千"),
    ("COORDINATES", "48.8584, 2.2945", "near 48° N, 2° E", "北纬48°、东经2°附近"),
    ("COORDINATES", "-33.86, 151.21", "near 33° S, 151° E", "南纬33°、东经151°附近"),
    ("COORDINATES", "33°51'31\"S 151°12'51\"E", "near 33° S, 151° E", "南纬33°、东经151°附近"),
    ("COORDINATES", "北纬39.9°，东经116.4°", "near 39° N, 116° E", "北纬39°、东经116°附近"),
    ("EMAIL", "vexlo@cs.plimsol.edu", "an e-mail address at a university", "某高校的电子邮箱"),
    ("EMAIL", "vexlo@plimsol.ac.uk", "an e-mail address at a university", "某高校的电子邮箱"),
    ("EMAIL", "vexlo@plimsol.gov.cn", "an e-mail address at a public authority", "某政府机构的电子邮箱"),
    ("EMAIL", "vexlo@163.com", "an e-mail address at a public mail service", "某公共邮箱服务的电子邮箱"),
    ("EMAIL", "vexlo@plimsol.example", "an e-mail address at a company or organisation", "某公司或机构的电子邮箱"),
    ("EMAIL", "vexlo at plimsol dot com", "an e-mail address", "某电子邮箱"),
    ("IP_ADDRESS", "203.0.113.77", "an address in 203.0.x.x", "203.0.x.x 网段的某地址"),
    ("IP_ADDRESS", "10.20.30.40", "an address in a private network", "某内网地址"),
    ("IP_ADDRESS", "fd12:3456::1", "an address in a private network", "某内网地址"),
    ("IP_ADDRESS", "2001:db8:85a3::7348", "an address in 2001:db8:x", "2001:db8:x 网段的某地址"),
]
NONE = [
    ("DATE", "3/4/87"),
    ("DATE", "from 1987 to 1991"),
    ("DATE", "Tuesday"),
    ("AGE", "old enough"),
    ("AGE", "400"),
    ("ADDRESS", "12 Paris Road"),
    ("ADDRESS", "221 Kelvo Street, Plimsol"),
    ("ADDRESS", "某某市南京路5号"),
    ("ADDRESS", "1 Kelvo Street, London, Paris"),
    ("AMOUNT", "between 5 and 500"),
    ("AMOUNT", "a lot"),
    ("NUMBER", "1" * 20),
    ("COORDINATES", "48.8584"),
    ("COORDINATES", "95.1, 2.2"),
    ("COORDINATES", "48 E, 2 E"),
    ("IP_ADDRESS", "203.0.113"),
    ("PHONE", "13812345678"),
    ("SECRET", "hunter2-vexlo"),
]


@pytest.mark.parametrize(("kind", "value", "english", "chinese"), CASES)
def test_what_is_said_of_a_value(kind: str, value: str, english: str, chinese: str) -> None:
    assert generalise(kind, value, chinese=False) == english
    assert generalise(kind, value, chinese=True) == chinese


@pytest.mark.parametrize(("kind", "value"), NONE)
def test_what_is_not_beyond_doubt_has_no_generalisation(kind: str, value: str) -> None:
    assert generalise(kind, value, chinese=False) is None


@pytest.mark.parametrize("context", ["She was born on", "birthday:", "DOB", "她出生于", "生日是"])
def test_of_a_birth_only_the_decade_is_told(context: str) -> None:
    assert generalise("DATE", "1987-03-12", context, chinese=False) == "the 1980s"
    assert generalise("DATE", "2003年3月12日", context, chinese=True) == "21世纪00年代"


PLACES = {name for pair in (*CITIES, *PROVINCES, *STATES.values()) for name in pair}
WORDING = re.compile(
    r"an e-mail address(?: at a (?:university|public authority|public mail service|company or organisation))?"
    r"|an address in (?:a private network|(?P<place>[^\d:]+)|\d{1,3}\.\d{1,3}\.x\.x|[0-9a-f]{1,4}:[0-9a-f]{1,4}:x)"
    r"|(?:the )?(?:18|19|20)\d\ds?|under 10|90 or older|\d0 to \d9 years old|fewer than ten"
    r"|an? (?:[a-z]+-figure amount|amount under ten)|(?:tens|hundreds|thousands|millions)(?: of [a-z]+)?"
    r"|near \d{1,2}° [NS], \d{1,3}° [EW]"
)
GENERALISED = sorted({kind for kind, *_ in CASES})


@given(
    st.sampled_from(GENERALISED),
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="0123456789.,-/:°NSEW年月日岁万元 路号市北京上海@abcdLondon\n", max_size=40),
        st.tuples(st.integers(0, 99999), st.sampled_from(["Vexlo Street, London W1", "Lane, Plimsol, TX 75001"])).map(
            lambda parts: f"{parts[0]} {parts[1]}"
        ),
    ),
)
def test_only_fixed_wordings_listed_places_and_computed_numbers_are_said(kind: str, value: str) -> None:
    said = generalise(kind, value, chinese=False)
    if said is None:
        return
    match = WORDING.fullmatch(said)
    assert match, said
    assert match["place"] is None or match["place"] in PLACES


def test_no_typed_value_is_found_in_what_is_said(detector: PatternDetector) -> None:
    for kind, value, _, _ in CASES:
        for chinese in (False, True):
            said = generalise(kind, value, chinese=chinese)
            assert said is not None
            assert detector.find(f"It is {said}.") == [], said


@pytest.mark.parametrize(
    ("context", "value", "chinese"),
    [
        ("She lives at ", "北京市学院路12号", False),
        ("她的邮箱是", "vexlo@example.com", True),
        ("她的 e-mail 是", "vexlo@example.com", True),
        ("", "北京市学院路12号", True),
        ("address: ", "北京市学院路12号", True),
        ("address: ", "12 Kelvo Road", False),
        ("邮箱：", "vexlo@example.com", True),
        ("...", "12 Kelvo Road", False),
        ("", "12345", False),
    ],
)
def test_the_language_is_that_of_the_text_around(context: str, value: str, chinese: bool) -> None:
    assert is_chinese(context, value) is chinese


def test_the_text_around_is_without_the_value_and_bounded() -> None:
    text = "a" * 500 + "VALUE" + "b" * 500
    assert around(text, 500, 505) == "a" * 100 + " " + "b" * 100


def test_no_place_is_named_twice() -> None:
    for names in (CITIES, PROVINCES):
        for side in (0, 1):
            assert len({pair[side] for pair in names}) == len(names)
