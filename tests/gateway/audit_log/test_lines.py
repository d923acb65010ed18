"""The format as vectors, and what reads a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit_log import Outcome
from gateway.audit_log.lines import (
    MAX_LINE_BYTES,
    AuditKey,
    Call,
    Head,
    NewerFormat,
    NotALine,
    parse_head,
    read_line,
)
from gateway.audit_log.verify import verify
from tests.gateway.audit_log.support import KEY, call

VECTORS: dict[str, Any] = json.loads(Path("tests/vectors/audit_log.json").read_text(encoding="utf-8"))
OURS = AuditKey(VECTORS["root"].encode())
PLACE = {"n": 1, "before": "0" * 64, "time": "2026-11-22T00:00:00.000+00:00", "instance": "i"}
LINE = KEY.seal(Call(**call(1, Outcome.DONE), **PLACE))


@pytest.mark.parametrize("log", VECTORS["logs"], ids=lambda log: log["says"])
def test_each_log_has_its_findings(log: dict[str, Any], tmp_path: Path) -> None:
    for name, text in log["files"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    report = verify([tmp_path], [OURS], [parse_head(VECTORS["head"])])
    found = [[found.fault, Path(found.file).name, found.line] for found in report.findings if found.fault is not None]
    assert found == log["faults"]


def test_the_format_stays_as_it_is() -> None:
    """Another one needs another number."""
    assert OURS.id == VECTORS["key"]
    for text in VECTORS["logs"][0]["files"].values():
        for raw in text.encode().split(b"\n")[:-1]:
            assert OURS.seal(read_line(raw)) == raw


@given(st.binary(max_size=300))
def test_no_bytes_are_a_line_by_chance(raw: bytes) -> None:
    with pytest.raises(NotALine):
        read_line(raw)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3)))
def test_no_value_is_a_line(value: object) -> None:
    body = msgspec.json.encode({"kind": "file", "n": value})[:-1]
    with pytest.raises(NotALine):
        read_line(body + b',"mac":"' + b"0" * 64 + b'"}')


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw + b" ",
        lambda raw: b" " + raw,
        lambda raw: raw + b"\n",
        lambda raw: raw.replace(b'"n":1', b'"n":1.0'),
        lambda raw: raw.replace(b'"n":1', b'"n":-1'),
        lambda raw: raw.replace(b'"n":1', b'"n":1,"n":1'),
        lambda raw: raw.replace(b'"n":1', b'"n":1,"code":null'),
        lambda raw: raw.replace(b"vexlo", b"\\u0076exlo"),
        lambda raw: raw.replace(b"vexlo", b"\xff"),
        lambda raw: raw.replace(b"vexlo", b"v" * MAX_LINE_BYTES),
        lambda raw: raw.replace(b'"req_0001"', b'"req 0001"'),
        lambda raw: raw.replace(b'"i"', b'"i\\n"'),
    ],
)
def test_a_line_has_one_form(spoil: Any) -> None:
    read_line(LINE)
    assert spoil(LINE) != LINE
    with pytest.raises(NotALine):
        read_line(spoil(LINE))


def test_what_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(NotALine):
        KEY.seal(Call(**call(1, Outcome.DONE), **{**PLACE, "instance": "two words"}))


def test_a_header_of_a_format_to_come_is_known_as_one() -> None:
    body = b'{"kind":"file","format":2,"anything":[1]'
    with pytest.raises(NewerFormat):
        read_line(body + b',"mac":"' + b"0" * 64 + b'"}')


def test_a_seal_is_of_one_key_and_of_every_byte() -> None:
    assert KEY.has_sealed(LINE)
    assert not OURS.has_sealed(LINE)
    assert not any(KEY.has_sealed(LINE[:at] + b"~" + LINE[at + 1 :]) for at in range(len(LINE)))
    assert not KEY.has_sealed(b"")


def test_a_head_is_told_and_read() -> None:
    head = Head("0123456789abcdef", 7, "a" * 64)
    assert parse_head(str(head)) == Head("0123456789abcdef", 7, "a" * 32)
    assert parse_head(str(head)).is_of("a" * 64)
    assert not parse_head(str(head)).is_of("b" + "a" * 63)
    assert not Head("c", 7, "").is_of("a" * 64)


@pytest.mark.parametrize("text", ["", "a:1:b", f"0123456789abcdef:01:{'a' * 64}", f"0123456789abcdef:1:{'a' * 31}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be CHAIN:NUMBER:HASH"):
        parse_head(text)
