"""The plain reading and its maps."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.normalise import Normalised, normalise
from filters.pii.readings import readings

# Text that holds what is removed, widened, escaped and mixed more often than chance would have it.
TRICKY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("13８②٣\u200b\u00ad\ufe0f\u20e3\u0301—　@＠аеоcx一三&#;%4\\u0 \U000e0031\ud800"),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("raw_text", "text"),
    [
        ("１３８１２３４", "1381234"),
        ("1\u200b3\u00ad8\u2060", "138"),
        ("1\ufe0f\u20e33\ufe0f\u20e3", "13"),
        ("1\u03363\u0336", "13"),
        ("٣٤५६", "3456"),
        ("①❷³⒋⑸", "12345"),
        ("𝟏𝟑𝟖 𝐚𝐛", "138 ab"),
        ("138\u00a01234\u30005678", "138 1234 5678"),
        ("138–1234—5678−9", "138-1234-5678-9"),
        ("аlex＠exаmple.com", "alex@example.com"),
        ("привет", "привет"),
        ("一点", "一点"),
        ("\U000e0031\U000e0033", "13"),
        ("a\u2028b\tc\r\n", "a\nb\tc\r\n"),
        ("half \ud83d here", "half  here"),
        ("1\x003", "13"),
        ("", ""),
    ],
)
def test_reads(raw_text: str, text: str) -> None:
    assert normalise(raw_text).text == text


@pytest.mark.parametrize(
    ("raw_text", "further"),
    [
        ("vexlo%40example.com", "vexlo@example.com"),
        ("vexlo&#64;example&period;com", "vexlo@example.com"),
        ("\\u0031\\u0033\\x38", "138"),
        ("一三八一二三四五六七八", "13812345678"),
        ("壹叁捌-壹贰叁肆-伍陆柒捌", "138-1234-5678"),
    ],
)
def test_reads_escapes_and_numerals_further(raw_text: str, further: str) -> None:
    plain, *others = readings(raw_text)
    assert plain.text == raw_text
    assert [other.text for other in others] == [further]
    assert others[0].raw_span(0, len(further)) == (0, len(raw_text))


def test_plain_text_has_one_reading() -> None:
    assert len(list(readings("Call 415-555-2671 on 5% of days, 三三两两。"))) == 1


def test_a_span_covers_the_characters_between() -> None:
    raw_text = "x\u200b1\u200b3\u00ad8\u0301 y"
    plain = normalise(raw_text)
    assert plain.text == "x138 y"
    assert plain.raw_span(1, 4) == (2, 8)


@given(TRICKY)
def test_maps_are_whole_and_never_fall(raw_text: str) -> None:
    for reading in readings(raw_text):
        _check_maps(reading, raw_text)


def _check_maps(reading: Normalised, raw_text: str) -> None:
    assert len(reading.text) == len(reading.offsets) == len(reading.ends)
    previous = 0
    for start, end in zip(reading.offsets, reading.ends, strict=True):
        assert previous <= start < end <= len(raw_text)
        previous = end
    if reading.text:
        # Only what was removed before the first character belongs to none.
        assert reading.ends[-1] == len(raw_text)
        assert all(a == b for a, b in zip(reading.ends[:-1], reading.offsets[1:], strict=True))


@given(TRICKY)
def test_twice_is_once(raw_text: str) -> None:
    once = normalise(raw_text).text
    assert normalise(once).text == once


@given(TRICKY, st.integers(0, 60))
def test_every_digit_keeps_its_place(raw_text: str, at: int) -> None:
    raw_text = raw_text[:at] + "7" + raw_text[at:]
    at = min(at, len(raw_text) - 1)
    plain = normalise(raw_text)
    assert "7" in [plain.text[i] for i, start in enumerate(plain.offsets) if start == at]


def test_time_is_linear() -> None:
    def seconds(text: str) -> float:
        began = time.process_time()
        list(readings(text))
        return time.process_time() - began

    for unit in ("1\u200b", "аx", "%31", "一 ", "&#49", "－"):
        small, large = seconds(unit * 5_000), seconds(unit * 50_000)
        assert large < 40 * small + 0.2
