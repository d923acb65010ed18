"""Bytes that are no proper JSON object, or that two parsers could read differently."""

from __future__ import annotations

import json
import time

import pytest

from gateway.errors import BadJson, OverLimit
from gateway.policy.body import DEFAULT_BOUNDS, BodyBounds, parse_object


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"[]",
        b'"text"',
        b"7",
        b"null",
        b"true",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 99999999999999999999}',
        b'{"a": -9223372036854775809}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "line\nbreak"}',
    ],
)
def test_bad_bodies_are_refused(raw: bytes) -> None:
    with pytest.raises(BadJson):
        parse_object(raw)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_counted_exactly() -> None:
    for depth in (DEFAULT_BOUNDS.depth, 8):
        assert parse_object(nested(depth), BodyBounds(depth))
        with pytest.raises(OverLimit):
            parse_object(nested(depth + 1), BodyBounds(depth))


@pytest.mark.parametrize(
    "raw",
    [b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"a":' * 5000 + b"1" + b"}" * 5000],
)
def test_what_no_parser_could_walk_is_refused(raw: bytes) -> None:
    with pytest.raises(OverLimit):
        parse_object(raw)


@pytest.mark.parametrize(
    ("raw", "values"),
    [(b'{"a": [1, 2, [3]]}', 6), (b"{}", 1), (b'{"a": {"b": {}, "c": "x, [y], {z}"}}', 4), (b'{"a": [[], [[]]]}', 5)],
)
def test_values_are_counted_exactly(raw: bytes, values: int) -> None:
    assert parse_object(raw, BodyBounds(values=values)) == json.loads(raw)
    with pytest.raises(OverLimit):
        parse_object(raw, BodyBounds(values=values - 1))


def test_wide_is_not_deep() -> None:
    assert len(parse_object(b'{"a": [' + b"[]," * 999 + b"[]]}")["a"]) == 1000


@pytest.mark.parametrize(
    "value", [{"a": "\U0001f600"}, {"a": "中文 \u2028 é"}, {"a": 2**64 - 1, "b": -(2**63), "c": 1.5}, {}]
)
def test_good_bodies_are_read_as_they_are(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_megabyte_of_brackets_is_refused_in_a_moment() -> None:
    started = time.process_time()
    with pytest.raises(OverLimit):
        parse_object(b'{"a": ' + b"[" * 500_000 + b"]" * 500_000 + b"}")
    assert time.process_time() - started < 1
