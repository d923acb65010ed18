"""All readings of a text: which there are, their maps, their number and their cost."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.normalise import normalise
from filters.pii.readings import backwards, readings
from filters.spans import Span

TRICKY = st.text(
    st.one_of(st.characters(), st.sampled_from("138 ②\u200b%&#;\\ux0@.\nMTM4aone three零一eé")), max_size=60
)


def test_the_plain_reading_is_first_and_alone_in_prose() -> None:
    assert len(list(readings("Call 415-555-2671 on 5% of days, 三三两两。"))) == 1


def test_encodings_inside_each_other() -> None:
    once = base64.b64encode(b"%31%33%38%31%32%33%34").decode()
    assert "1381234" in [reading.text for reading in readings(base64.b64encode(once.encode()).decode())]


def test_a_decoded_text_is_also_read_as_it_is_told() -> None:
    blob = base64.b64encode(b"one three eight one two three").decode()
    assert "138123" in [reading.text for reading in readings(blob)]


def test_what_was_found_is_not_turned_round() -> None:
    forward = list(readings("13812345678 and 87654321831"))
    turned = [reading.text for reading in backwards(forward, [Span(0, 11, "PHONE", 0.9)])]
    assert turned == ["13812345678 and 13812345678"]


@given(TRICKY)
def test_maps_hold(raw_text: str) -> None:
    forward = list(readings(raw_text))
    assert forward[0] == normalise(raw_text)
    for reading in (*forward, *backwards(forward, [])):
        assert len(reading.text) == len(reading.offsets) == len(reading.ends)
        for start, end in zip(reading.offsets, reading.ends, strict=True):
            assert 0 <= start < end <= len(raw_text)


@pytest.mark.parametrize(
    "unit",
    [
        "1\u200b",
        "аx",
        "%31",
        "一 ",
        "&#49",
        "－",
        "MTM4",
        "31 ",
        "one ",
        "1\n",
        "a ",
        "87654321831 ",
        "室1",
        "@a",
        "U+0031 ",
    ],
)
def test_time_is_linear(unit: str) -> None:
    def seconds(repeats: int) -> float:
        began = time.process_time()
        forward = list(readings(unit * repeats))
        list(backwards(forward, []))
        return time.process_time() - began

    small, large = seconds(500), seconds(5_000)
    assert large < 30 * small + 0.3
