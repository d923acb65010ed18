"""Cards, telephone numbers and IBANs: what makes a number one, and what not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.normalise import normalise
from filters.pii.numbers import Cards, Ibans, Phones, digits_of, luhn_ok
from filters.pii.recognizers import Recognizer
from filters.pii.view import View


def found(recognizer: Recognizer, text: str) -> list[str]:
    return [text[span.start : span.end] for span in recognizer.find(View(normalise(text).text))]


@given(st.text("0123456789", min_size=12, max_size=18))
def test_luhn_knows_one_check_digit(body: str) -> None:
    assert sum(luhn_ok(body + digit) for digit in "0123456789") == 1


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("12 4111 1111 1111 1111 99", ["4111 1111 1111 1111"]),
        ("card4111111111111111x", ["4111111111111111"]),
        ("4111.1111.1111.1111", ["4111.1111.1111.1111"]),
        ("4111\n1111\n1111\n1111", ["4111\n1111\n1111\n1111"]),
        ("36148900647913", ["36148900647913"]),
        ("4111111111111112", []),
        ("6901234567892", []),
        ("9783161484100", []),
        ("1700000000000", []),
        ("0000000000000000", []),
        ("411111111111111100000", []),
    ],
)
def test_cards(text: str, cards: list[str]) -> None:
    assert found(Cards(), text) == cards


@pytest.mark.parametrize(
    "text",
    [
        "13812345678",
        "+86-138-1234-5678",
        "(86)13812345678",
        "138\n1234\n5678",
        "1\n3\n8\n1\n2\n3\n4\n5\n6\n7\n8",
        "138, 1234, 5678",
        "010 6234 5678",
        "(010)62345678",
        "075579151022",
        "415.555.2671 ext. 818",
        "415-555-2671x818",
        "001-415-555-2671",
        "+44 (0)20 7946 0958",
        "+65 6123 4567",
        "4 1 5 5 5 5 2 6 7 1",
        "4008123456",
    ],
)
def test_phones(text: str) -> None:
    assert text in found(Phones(), f"so {text}, yes")


@pytest.mark.parametrize(
    "text",
    [
        "150, 2000, 3000, 4000",
        "2019-2024",
        "12345-6789",
        "1 234 567 890",
        "100-200",
        "1234567890123",
        "1700000000",
        "9876543210123456",
        "0.123456789",
        "1 2 3 4 5 6 7 8 9",
        "0 1 2 3 4 5 6 7 8 9",
        "100 200 300 400",
    ],
)
def test_no_phones(text: str) -> None:
    assert found(Phones(), f"so {text}, yes") == []


@pytest.mark.parametrize("text", ["call 555 2671", "电话：6234 5678", "my number: 75 196 772", "25 833387 (office)"])
def test_short_numbers_need_their_label(text: str) -> None:
    number = "".join(c for c in text if c.isdigit())
    assert number in [digits_of(value) for value in found(Phones(), text)]
    assert found(Phones(), f"so {number} it is") == []


@pytest.mark.parametrize(
    ("text", "ibans"),
    [
        ("DE89370400440532013000", ["DE89370400440532013000"]),
        ("BE68 5390 0754 7034 THEN MORE WORDS", ["BE68 5390 0754 7034"]),
        ("no9386011117947 or so", ["no9386011117947"]),
        ("DE89370400440532013001", []),
        ("ZZ89370400440532013000", []),
        ("账号GB82WEST12345698765432，", ["GB82WEST12345698765432"]),
        ("is 4111 1111 1111 1111. Her value is GB82 WEST 1234 5698 7654 32.", ["GB82 WEST 1234 5698 7654 32"]),
        ("is 10.20.30.40. DE89 3704 0044 0532 0130 00", ["DE89 3704 0044 0532 0130 00"]),
    ],
)
def test_ibans(text: str, ibans: list[str]) -> None:
    assert found(Ibans(), text) == ibans
