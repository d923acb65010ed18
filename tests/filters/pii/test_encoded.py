"""Escapes, hexadecimal and base64, decoded with exact maps."""

from __future__ import annotations

import base64

import pytest

from filters.normalise import Normalised, normalise
from filters.pii.encoded import decodings

PLAIN = "call 13812345678 ok"


def decoded(raw_text: str) -> list[Normalised]:
    return list(decodings(normalise(raw_text)))


@pytest.mark.parametrize(
    ("raw_text", "text"),
    [
        ("vexlo%40example.com", "vexlo@example.com"),
        ("%E5%8C%97%E4%BA%AC", "北京"),
        ("100%ab5", "100\ufffd5"),
        ("vexlo&#64;example&period;com", "vexlo@example.com"),
        ("&#x31;&#51&bogus;", "13&bogus;"),
        ("\\u0031\\\\u0033\\x38\\u{39}", "1389"),
        ("\\u00313\\u0038\\u003123", "138123"),
        ("U+0031 U+0033 U+0038", "138"),
        ("138**1234**5678", "13812345678"),
        ("138<b>1234</b><!-- so -->5678", "13812345678"),
        ("vexlo\\@example\\.com", "vexlo@example.com"),
        ("vexlo`@`example", "vexlo@example"),
        ("2*3*4 and snake_case", "2*3*4 and snake_case"),
        ("&#99999999;", "&#99999999;"),
        ("0x31 0x33 0x38 0x31 0x32 0x33 0x34", "1381234"),
        ("0031003300380031003200330034", "1381234"),
        ("31-33-38-31-32-33-34", "1381234"),
    ],
)
def test_decodes_in_place(raw_text: str, text: str) -> None:
    readings = decoded(raw_text) or [normalise(raw_text)]
    assert readings[0].text == text
    assert readings[0].raw_span(0, len(text)) == (0, len(raw_text))


@pytest.mark.parametrize("glued", ["", "/", "x/", "ab/"])
def test_base64_at_every_alignment(glued: str) -> None:
    raw_text = f"see {glued}{base64.b64encode(PLAIN.encode()).decode()} there"
    found = [reading for reading in decoded(raw_text) if "13812345678" in reading.text]
    assert len(found) == 1
    at = found[0].text.index("13812345678")
    start, end = found[0].raw_span(at, at + 11)
    head = raw_text.index(glued + base64.b64encode(PLAIN.encode()).decode()[:4]) + len(glued)
    assert (start - head, end - head) == (5 * 8 // 6, (16 * 8 + 5) // 6)


def test_base64_in_lines() -> None:
    blob = base64.encodebytes(b"Dear all, this is a long letter about nothing, and the number is 13812345678.").decode()
    assert any("13812345678" in reading.text for reading in decoded(f"x\n{blob}"))


@pytest.mark.parametrize(
    "raw_text", ["Internationalisation of 5% a-b", "filters/pii/normalise", "AT&T; \\usr", "1234567890"]
)
def test_ordinary_text_has_no_encoding(raw_text: str) -> None:
    assert decoded(raw_text) == []


@pytest.mark.parametrize("raw_text", ["[IP_ADDRESS_zrbmhvczhqpn]", "[DRIVER_LICENCE_12]"])
def test_a_placeholder_is_not_decoded(raw_text: str) -> None:
    assert decoded(raw_text) == []
