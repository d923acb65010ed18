"""All recognizers as one: what is found, what is not, in any place and spelling, and what happens when one fails."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any

import pytest
import regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.evidence import Detector, DetectorError
from filters.normalise import normalise
from filters.pii.detector import TYPES, PatternDetector, build_detector
from filters.pii.types import OF_LISTS, OF_PERSONS, ON_REQUEST, QUANTITIES
from filters.pii.view import View, scan
from filters.spans import Span

FRAMES = (
    "{}",
    "Write to {} now.",
    "请看{}，谢谢。",
    "好的{}。",
    "tel:{}.",
    "x={};",
    "({})",
    "“{}”",
    "\n{}\n",
    "Vexlo_{}!",
)


def covered(spans: list[Span]) -> set[int]:
    return {at for span in spans for at in range(span.start, span.end)}


def assert_found(detector: PatternDetector, raw_text: str, start: int, end: int, kind: str) -> None:
    spans = detector.find(raw_text)
    assert set(range(start, end)) <= covered(spans), [span.type for span in spans]
    assert kind in {span.type for span in spans if span.start < end and start < span.end}


def test_found_in_every_frame(detector: PatternDetector, vector: Any) -> None:
    for frame in FRAMES:
        if frame.startswith("Vexlo_") and not vector.value[0].isdigit():
            continue  # a letter in front makes it another word
        raw_text = frame.format(vector.label + vector.value)
        start = raw_text.index(vector.value)
        assert_found(detector, raw_text, start, start + len(vector.value), vector.type)


def test_no_cheap_test_keeps_a_recognizer_from_what_it_finds(detector: PatternDetector, vector: Any) -> None:
    view = View(normalise(vector.label + vector.value).text)
    finders = [r for r in detector.recognizers if list(r.find(view))]
    shown = [r for r in detector.recognizers if r.digits <= view.digits and r.digit_run <= view.digit_run]
    assert finders
    assert set(map(id, finders)) <= set(map(id, shown))


PROSE = st.sampled_from(
    [
        "",
        "The ferry waits until the last passenger is on. ",
        "Nothing explains it, ",
        "他说，雨停以后再走。",
        "请放心，",
        "（见下文）",
        "We met in May; ",
        "\n",
        "- ",
    ]
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(PROSE, max_size=4), st.lists(PROSE, max_size=4))
def test_found_anywhere(detector: PatternDetector, vector: Any, before: list[str], after: list[str]) -> None:
    head = "".join(before) + vector.label
    raw_text = head + vector.value + "，" + "".join(after)
    assert_found(detector, raw_text, len(head), len(head) + len(vector.value), vector.type)


SPELLINGS = {
    "full width": lambda value: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value),
    "zero width": "\u200b".join,
    "soft hyphen": "\u00ad".join,
    "marks": lambda value: "".join(c + "\ufe0f\u20e3" if c.isdigit() else c for c in value),
    "Arabic digits": lambda value: value.translate({ord("0") + n: 0x660 + n for n in range(10)}),
    "no-break spaces": lambda value: value.replace(" ", "\u00a0"),
    "dashes": lambda value: value.replace("-", "\u2013"),
    "percent": lambda value: "".join(f"%{ord(c):02X}" if c in "@.:/" or c.isdigit() else c for c in value),
    "entities": lambda value: "".join(f"&#{ord(c)};" if c.isascii() else c for c in value),
    "backslash u": lambda value: "".join(f"\\u{ord(c):04x}" for c in value),
}


def test_found_in_every_spelling(detector: PatternDetector, vector: Any) -> None:
    for spell in SPELLINGS.values():
        written = spell(vector.value)
        raw_text = f"看 {vector.label}{written} ok"
        start = raw_text.index(written)
        assert_found(detector, raw_text, start, start + len(written), vector.type)


def test_found_by_look_alikes_and_numerals(detector: PatternDetector) -> None:
    for raw_value in (
        "vехlo@exаmple.com",
        "一三八一二三四五六七八",
        "幺三八 幺二三四 五六七八",
        "vexlo at example dot com",
    ):
        raw_text = f"({raw_value})"
        assert set(range(1, 1 + len(raw_value))) <= covered(detector.find(raw_text)), raw_value


def test_a_mail_address_takes_no_chinese_words_in(detector: PatternDetector) -> None:
    raw_text = "请发到vexlo@example.com谢谢"
    assert detector.find(raw_text) == [Span(3, 20, "EMAIL", 0.9)]


def test_nothing_in_benign_text(detector: PatternDetector, benign: str) -> None:
    assert [(span.type, benign[span.start : span.end]) for span in detector.find(benign)] == []


def test_a_wrong_check_digit_is_no_card_and_no_id(detector: PatternDetector) -> None:
    assert not detector.find("no. 4111111111111112 of 110105194912310021")


def test_a_label_makes_an_id_of_a_wrong_check_digit(detector: PatternDetector) -> None:
    assert {span.type for span in detector.find("身份证号110105194912310021")} >= {"RESIDENT_ID"}


def test_types_are_closed_and_chosen() -> None:
    detector: Detector = build_detector(["EMAIL"])
    assert [span.type for span in detector.find("vexlo@example.com, 13812345678")] == ["EMAIL"]
    assert build_detector().types == TYPES.keys() - ON_REQUEST - QUANTITIES - OF_PERSONS - OF_LISTS
    with pytest.raises(ValueError, match="no such finding types"):
        build_detector(["EMAIL", "SHOE_SIZE"])


def test_long_texts_are_read_to_the_end(detector: PatternDetector) -> None:
    filler = "The ferry waits. " * 4_000
    raw_text = filler + "vexlo@example.com " + filler + "13812345678" + filler
    assert {raw_text[span.start : span.end] for span in detector.find(raw_text)} == {"vexlo@example.com", "13812345678"}


def test_a_private_key_is_found_to_its_end_or_the_texts(detector: PatternDetector) -> None:
    body = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2] * 600)
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    for raw_text in (f"key: {key} end", f"key: {key[:-30]}"):
        end = raw_text.find(" end") if raw_text.endswith(" end") else len(raw_text)
        assert set(range(5, end)) <= covered(detector.find(raw_text))


# ---- failing closed --------------------------------------------------------------------------------------------------


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a detector opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    detector = build_detector()
    for raw_text in ("vexlo@example.co.uk, x@internal.zzz", "GB82WEST12345698765432 4155552671 +49 30 901820"):
        assert detector.find(raw_text)


def test_running_out_of_time_is_an_error() -> None:
    bomb = regex.compile(r"(?:a|a|aa)+[bc]x?")
    with pytest.raises(DetectorError, match="out of time") as raised:
        list(scan(bomb, "a" * 60 + "d b"))
    assert raised.value.__context__ is None


def test_a_recognizer_that_raises_is_an_error_without_text() -> None:
    class Broken:
        kind = "EMAIL"
        digits = digit_run = 0

        def find(self, view: View) -> list[Span]:
            raise RuntimeError(view.text)

    with pytest.raises(DetectorError) as raised:
        PatternDetector([Broken()]).find("vexlo@example.com")  # type: ignore[list-item]
    assert "vexlo" not in str(raised.value)
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


HOSTILE = {
    "digits": "1" * 16_000,
    "spaced digits": "1 " * 8_000,
    "dotted digits": "1." * 8_000,
    "at signs": "@" * 16_000,
    "mail heads": "a.a-" * 4_000 + "@",
    "mail domains": "a@" + "b." * 8_000,
    "colons": "1:" * 8_000,
    "hex": "ab12" * 4_000,
    "dashes": "-----BEGIN " * 1_400,
    "words": "a" * 16_000,
    "capitals": "AB12 " * 3_200,
    "streets": "12 Old Mill " * 1_300,
    "han": "市区路号" * 4_000,
    "han digits": "一路1" * 5_000,
    "labels": "account number is " * 900,
    "secrets": "password: " * 1_600,
    "urls": "a://b:" * 2_600,
    "escapes": "%31&#49;" * 2_000,
    "numerals": "一 " * 8_000,
    "zero width": "1\u200b" * 8_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_soon(detector: PatternDetector, name: str) -> None:
    """It is read, or it is an error, in bounded time."""
    began = time.process_time()
    with contextlib.suppress(DetectorError):
        detector.find(HOSTILE[name])
    assert time.process_time() - began < 8


def test_no_record_holds_content(detector: PatternDetector, caplog: pytest.LogCaptureFixture) -> None:
    canary = "GB99WEST1234569876543299"
    with caplog.at_level(logging.DEBUG):
        build_detector().find(
            f"iban {canary} vexlo@canary.example.com 10.20.30.40 536-90-4399 IT60X0542811101000000123456"
        )
        detector.find(f"{canary} abcd")
    assert not [record for record in caplog.records if "canary" in record.getMessage() or canary in record.getMessage()]


def test_presidios_logger_is_silent(detector: PatternDetector, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("presidio-analyzer").error("Failed to validate text %s", "canary")
    assert not caplog.records
