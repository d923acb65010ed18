"""Filtering inside JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.json_text import MOST_DEPTH, JsonTextError, filter_json
from filters.pii.actions import Placeholders
from filters.pii.detector import PatternDetector, build_detector
from filters.spans import merge

KEYS = frozenset({"name", "phone", "items", "note", "amount", "email", "id"})


@pytest.fixture(scope="module")
def masked() -> Callable[[str], str]:
    detector = build_detector()
    return lambda raw_text: _mask(detector, raw_text)


def _mask(detector: PatternDetector, raw_text: str) -> str:
    placeholders, out, at = Placeholders(), "", 0
    for span in merge(detector.find(raw_text)):
        out += raw_text[at : span.start] + placeholders.mask(span.type, raw_text[span.start : span.end])
        at = span.end
    return out + raw_text[at:]


@pytest.mark.parametrize(
    ("raw_json", "filtered"),
    [
        ('{"name": "Vexlo", "amount": 1.50}', '{"name": "Vexlo", "amount": 1.50}'),
        ('{"email":"vexlo@example.com"}', '{"email":"[EMAIL_1]"}'),
        ('{"email":"vexlo\\u0040example.com"}', '{"email":"[EMAIL_1]"}'),
        ('"call 13812345678"', '"call [PHONE_1]"'),
        ("13812345678", "null"),
        ("[1.3812345678e10, 13812345678.0, 12]", "[null, null, 12]"),
        ('["138","1234","5678"]', '["[HIDDEN]","[HIDDEN]","[HIDDEN]"]'),
        ('[138, 1234, 5678, "x"]', '[null, null, null, "x"]'),
        ('["vexlo","@","example.com"]', '["[HIDDEN]","[HIDDEN]","[HIDDEN]"]'),
        ('{"a":"138","items":{"b":"1234"}}', '{"a":"138","items":{"b":"1234"}}'),
        ('{"13812345678": "Ada"}', '{"[PHONE_1]": "Ada"}'),
        ('{"phone": "555-2671"}', '{"phone": "[PHONE_1]"}'),
        ('{"phone": ["555-2671"]}', '{"phone": ["[PHONE_1]"]}'),
        ('{"phone": 5552671}', '{"phone": null}'),
        ('{"note": "12345678901234567890123456789012345678901234567890"}', None),
        ("[true, false, null, {}, [], -0.0]", None),
        (' { "items" : [ 1 , 2 ] } ', None),
        ('{"note":"\\u4f60\\n\\"好\\""}', None),
    ],
)
def test_filters(masked: Callable[[str], str], raw_json: str, filtered: str | None) -> None:
    assert filter_json(raw_json, masked, allowed_keys=KEYS) == (raw_json if filtered is None else filtered)


def test_keys_stay_unique(masked: Callable[[str], str]) -> None:
    raw_json = '{"13812345678":1,"13987654321":2,"[PHONE_1]":3}'
    assert filter_json(raw_json, masked, allowed_keys=KEYS) == '{"[PHONE_1]_2":1,"[PHONE_1]_3":2,"[PHONE_1]":3}'


def test_duplicate_keys_are_both_filtered(masked: Callable[[str], str]) -> None:
    raw_json = '{"note":"13812345678","note":"vexlo@example.com"}'
    assert filter_json(raw_json, masked, allowed_keys=KEYS) == '{"note":"[PHONE_1]","note":"[EMAIL_1]"}'


def test_number_text_is_kept() -> None:
    raw_json = "[1.10, 1E5, 123456789012345678901234567890, -0, 0.1e-7]"
    assert filter_json(raw_json, lambda text: text, allowed_keys=KEYS) == raw_json


def test_a_number_of_many_digits_is_no_trouble() -> None:
    raw_json = "[" + "9" * 10_000 + ", 1e999999999, 1e-999999999]"
    assert filter_json(raw_json, lambda text: text, allowed_keys=KEYS) == raw_json


def test_lone_surrogates_do_not_get_out() -> None:
    filtered = filter_json('{"note":"a\\ud800b", "\\udc00":1}', lambda text: text, allowed_keys=KEYS)
    assert filtered == '{"note":"a\ufffdb", "\ufffd":1}'
    filtered.encode()


@pytest.mark.parametrize(
    "raw_json",
    [
        "",
        "{",
        '{"a":1',
        "[NaN]",
        "[Infinity]",
        "-Infinity",
        "[1,]",
        "{'a':1}",
        '{"a" 1}',
        "[01]",
        '"\n"',
        "1 2",
        "\ufeff1",
        "[",
    ],
)
def test_what_is_no_json_is_refused_without_text(raw_json: str) -> None:
    with pytest.raises(JsonTextError) as refused:
        filter_json(raw_json, lambda text: text, allowed_keys=KEYS)
    assert str(refused.value) == "not JSON"
    assert refused.value.__context__ is None


def test_depth_is_bounded() -> None:
    deep = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert filter_json(deep, lambda text: text, allowed_keys=KEYS) == deep
    for raw_json in ("[" + deep + "]", "[" * 200_000, '{"a":' * 200_000):
        with pytest.raises(JsonTextError, match="deeply"):
            filter_json(raw_json, lambda text: text, allowed_keys=KEYS)


def test_a_failing_filter_is_heard_of() -> None:
    def fail(raw_text: str) -> str:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        filter_json('["x"]', fail, allowed_keys=KEYS)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans())
def test_untouched_is_unchanged(value: object, ascii_only: bool) -> None:
    raw_json = json.dumps(value, ensure_ascii=ascii_only)
    assert json.loads(filter_json(raw_json, lambda text: text, allowed_keys=frozenset())) == value


@given(JSON_VALUES)
def test_no_digit_gets_out_and_the_shape_stays(value: object) -> None:
    def hide(raw_text: str) -> str:
        return re.sub(r"\d", "x", raw_text)

    filtered = json.loads(filter_json(json.dumps(value), hide, allowed_keys=frozenset()))
    assert _shape(filtered, hide) == _shape(value, hide)


def _shape(value: object, hide: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        return [_shape(inner, hide) for inner in value.values()]
    if isinstance(value, list):
        return [_shape(inner, hide) for inner in value]
    if isinstance(value, str):
        assert isinstance(hide(value), str)
        return "text"
    return value if isinstance(value, bool) else None
