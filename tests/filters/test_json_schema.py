"""What fits a place in a schema."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from filters.json_schema import MOST_SCHEMAS, Place, Schema
from filters.json_text import UNFIT
from filters.spans import Span
from tests.support.documents import document, filtered

CANARY = "zq#7788#"


class Secrets:
    """Canaries, and all numbers of five digits and more, are findings."""

    def find(self, raw_text: str) -> Sequence[Span]:
        return [Span(m.start(), m.end(), "TOKEN", 1.0) for m in re.finditer(r"zq#\d{4}#|\d{5,}", raw_text)]


def place(schema: Any) -> Place:
    return Schema(schema).top()


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({}, "null"),
        ({"type": ["number", "null"]}, "null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null"),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": ["null", "integer"]}}}, "null"),
        ({"type": "number"}, "0"),
        ({"type": "integer", "minimum": 3}, "3"),
        ({"type": "integer", "exclusiveMinimum": 3}, "4"),
        ({"type": "integer", "minimum": 2.5}, "3"),
        ({"type": "integer", "maximum": -2}, "-2"),
        ({"type": "integer", "exclusiveMaximum": -2}, "-3"),
        ({"type": "integer", "minimum": 10, "multipleOf": 7}, "14"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "0.5"),
        ({"type": "number", "minimum": 0.1, "multipleOf": 0.25}, "0.25"),
        ({"allOf": [{"type": "number"}, {"minimum": 1}, {"maximum": 9}]}, "1"),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, "2"),
        ({"oneOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]}, "5"),
        ({"type": "integer", "not": {"const": 0}, "minimum": -1}, "-1"),
        ({"type": "number", "minimum": 81234, "maximum": 81234}, None),
        ({"type": "integer", "exclusiveMinimum": 81233, "exclusiveMaximum": 81235}, None),
        ({"$ref": "https://example.com/other.json"}, None),
        ({"$ref": "#/nowhere"}, None),
        ({"$dynamicRef": "#x"}, None),
    ],
)
def test_a_number_becomes_what_the_schema_allows(schema: Any, written: str | None) -> None:
    assert place(schema).number("81234") == written
    if written is not None:
        jsonschema.Draft202012Validator(_modern(schema)).validate(json.loads(written))


def _modern(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("exclusiveMinimum") is True:
        return {"type": "integer", "exclusiveMinimum": schema["minimum"]}
    return schema


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({}, "a [X_1]"),
        ({"type": "string", "maxLength": 20}, "a [X_1]"),
        ({"type": "string", "maxLength": 5}, "*****"),
        ({"type": "string", "maxLength": 0}, ""),
        ({"type": "string", "minLength": 12}, "[HIDDEN]****"),
        ({"type": "string", "minLength": 9, "maxLength": 9}, "[HIDDEN]*"),
        ({"type": "string", "pattern": r"\]$"}, "a [X_1]"),
        ({"type": "string", "pattern": r"^\["}, "[HIDDEN]"),
        ({"type": "string", "pattern": r"^a zq#\d+#$"}, None),
        ({"type": "string", "pattern": "("}, None),
        ({"type": "string", "format": "email"}, None),
        ({"type": "string", "format": "date-time"}, None),
        ({"type": "string", "enum": ["a zq#7788#", "b"]}, None),
        ({"enum": [["a"], {"b": 1}]}, "a [X_1]"),
    ],
)
def test_a_string_becomes_what_the_schema_allows(schema: Any, written: str | None) -> None:
    assert place(schema).text(f"a {CANARY}", "a [X_1]") == written


def test_a_surrogate_may_have_the_form_that_is_asked_for() -> None:
    assert place({"format": "email"}).text("vexlo@kipmora.example", "a@b.example") == "a@b.example"


def test_a_pattern_that_takes_too_long_lets_nothing_be_replaced() -> None:
    assert place({"pattern": "^(a|a)*(b|b)*$" * 3}).text("a" * 40 + "!", "[X_1]") in (None, "[X_1]")
    slow = {"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}
    assert place(slow).text("a" * 2000, "[X_1]") is None
    many = Schema({"patternProperties": {slow["pattern"]: {"type": "integer"}}})
    began = time.process_time()
    assert all(many.top().child("a" * 2000).fixed for _ in range(200))
    assert time.process_time() - began < 5  # two hundred time-outs would take ten seconds


def test_places_are_found_through_references_and_unions() -> None:
    schema = {
        "$defs": {"row": {"properties": {"n": {"type": "integer"}, "next": {"$ref": "#/$defs/row"}}}},
        "anyOf": [{"$ref": "#/$defs/row"}, {"properties": {"n": {"type": ["integer", "null"]}}}],
        "patternProperties": {"^x": {"type": "integer", "minimum": 4}},
        "additionalProperties": {"items": {"type": "integer"}, "prefixItems": [{}]},
    }
    top = place(schema)
    assert top.child("n").number("81234") == "0"  # the other branch may be the one that is taken
    assert top.child("next").child("next").child("n").number("81234") == "0"
    assert top.child("xy").number("81234") == "4"
    assert (top.child("z").item(0).number("81234"), top.child("z").item(1).number("81234")) == ("null", "0")
    assert place({"const": {"a": 1}}).child("a").number("81234") is None
    assert place({"uniqueItems": True}).wants_unique_items


def test_unions_of_unions_are_bounded() -> None:
    level: dict[str, Any] = {"type": "integer"}
    for _ in range(12):
        copy = json.loads(json.dumps(level))
        level = {"anyOf": [{"properties": {"a": level}}, {"properties": {"a": copy}}]}
    at = place(level)
    while not at.fixed:
        assert 0 < len(at.speaking) <= MOST_SCHEMAS
        at = at.child("a")
    assert at.number("81234") is None


def test_keys_are_renamed_only_where_nothing_speaks_of_them() -> None:
    open_ = {"properties": {"a": {}}, "required": ["b"], "patternProperties": {"^1": {"type": "integer"}}}
    assert place({}).renames("13812345678", "[PHONE_1]")
    assert place(open_).renames("zq", "[X_1]")
    for key in ("a", "b", "138"):
        assert not place(open_).renames(key, "[X_1]")
    assert not place({"propertyNames": {"maxLength": 3}}).renames("zq", "[X_1]")
    assert place({"additionalProperties": {"type": "integer"}}).renames("138", "[X_1]")


# ---- in a document ---------------------------------------------------------------------------------------------------


def told(value: Any, schema: Any) -> tuple[str, str | None]:
    return filtered(document(Secrets(), schema), [json.dumps(value)])


def test_an_enum_is_left_alone_unless_its_value_is_private() -> None:
    schema = {"type": "object", "properties": {"id": {"enum": ["a", "b", 3, CANARY, *range(90_000, 91_000)]}}}
    assert told({"id": "a"}, schema) == ('{"id": "a"}', None)
    for private in (CANARY, 90_123):
        text, failure = told({"id": private}, schema)
        assert (text, failure) == ('{"id": ', "TOKEN")


def test_what_fits_nowhere_stops_the_document() -> None:
    for value, schema in (
        ({"id": CANARY}, {"properties": {"id": {"pattern": "#$"}}}),
        ({"id": 81234}, {"properties": {"id": {"minimum": 81234, "maximum": 81234, "type": "integer"}}}),
        ({CANARY: 1}, {"properties": {CANARY: {}}}),
        ({"items": [81234, 81235]}, {"properties": {"items": {"uniqueItems": True}}}),
    ):
        text, failure = told(value, schema)
        assert failure == UNFIT
        assert not any(canary in text for canary in ("7788", "8123"))


# ---- random schemas and documents ------------------------------------------------------------------------------------

NAMES = ("a", "b", "note")


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    unions = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda p, r: {"type": "object", "properties": p, "required": r},
                  st.dictionaries(st.sampled_from(NAMES), inner, max_size=3), st.just([])),
        st.builds(lambda p: {"type": "object", "additionalProperties": p}, inner),
        st.builds(lambda p, u: {"type": "array", "items": p, "uniqueItems": u}, inner, st.booleans()),
        st.builds(lambda p, i: {"prefixItems": p, "items": i}, unions, inner),
        st.builds(lambda i: {"contains": i}, inner),
        *(st.builds(lambda u, w=word: {w: u}, unions) for word in ("anyOf", "oneOf", "allOf")),
        st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner),
        st.builds(lambda i: {"not": i}, inner),
    )  # fmt: skip


LEAVES = st.one_of(
    st.sampled_from([True, {}, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]}]),
    st.builds(
        lambda kind, low, high, step: {
            "type": kind, **({"minimum": low} if low is not None else {}),
            **({"exclusiveMaximum": high} if high is not None else {}),
            **({"multipleOf": step} if step else {}),
        },
        st.sampled_from(["integer", "number", ["number", "null"]]),
        st.none() | st.integers(-20, 90_000), st.none() | st.integers(0, 200_000),
        st.sampled_from([None, 1, 2, 5, 0.5]),
    ),
    st.builds(
        lambda low, high: {"type": "string", "minLength": low, **({"maxLength": high} if high is not None else {})},
        st.integers(0, 12), st.none() | st.integers(0, 30),
    ),
    st.sampled_from([{"pattern": "^[a-z]"}, {"pattern": r"\d"}, {"pattern": "^.{0,20}$"}]),
    st.builds(lambda members: {"enum": members}, st.lists(st.sampled_from(["x", 1, 81234, CANARY, None]), min_size=1)),
)  # fmt: skip
SCHEMAS = st.recursive(LEAVES, _schemas, max_leaves=8)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 30), st.integers(80_000, 200_000), st.sampled_from([0.5, 81234.0, 1.25]),
    st.sampled_from(["x", "", "good day", CANARY, f"it is {CANARY}", f"{CANARY} {CANARY}", "A. B. " * 12 + CANARY]),
)  # fmt: skip
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "c", CANARY]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=1500, deadline=None)
@given(schema=SCHEMAS, value=DOCUMENTS)
def test_a_valid_document_stays_valid_or_stops(schema: Any, value: Any) -> None:
    assume(isinstance(schema, dict))
    text, failure = told(value, schema)
    assert "7788" not in text
    assert not re.search(r"[89]\d{4}", text)
    if failure is None and _is_valid(schema, value):
        assert _is_valid(schema, json.loads(text)), (text, schema)


def _is_valid(schema: Any, value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))
