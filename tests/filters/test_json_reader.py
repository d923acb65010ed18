"""Tokens of JSON, however its text is cut."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.json_reader import MOST_DEPTH, MOST_NUMBER, MOST_SPACE, JsonReader, JsonTextError, Kind, Places, Token

GOOD = (
    '{"a":[1,2.5e-3,true,null,"x\\ud83d\\ude00y\\ud800z\\u4f60"],"b":{}}',
    " 12 ",
    '"a"',
    '["\\ud800\\ud83d\\ude00", "\\"\\\\\\/\\b\\f\\n\\r\\t"]',
    "-0.0E+7",
    "[[],{},[{}]]",
)
BROKEN = (
    *("", "{", "[", '"', "tru", "-", "1.", '{"a":1', "[1,]", '{"a":1,}', "{,}", "{'a':1}", '{"a" 1}', "{1:2}", "[1 2]"),
    *("[NaN]", "-Infinity", "[01]", "[+1]", "[.5]", "[1e]", "[true1]", "[nul]", "1 2", "{} {}", "[]]", "[}", "\ufeff1"),
    *('"\\x"', '"a\\u12g4"', '"\\ud83d\\u12"', '"\n"', '"abc\x01"', "/**/1", "１"),
)


def read(parts: Iterable[str]) -> tuple[list[Token], bool]:
    """All tokens, neighbouring pieces as one, and whether the text was JSON."""
    reader, tokens = JsonReader(), []
    try:
        for part in parts:
            for token in reader.read(part):  # one by one: those before an error count
                tokens.append(token)  # noqa: PERF402
        for token in reader.close():
            tokens.append(token)  # noqa: PERF402
    except JsonTextError:
        return joined(tokens), False
    return joined(tokens), True


def joined(tokens: list[Token]) -> list[Token]:
    out: list[Token] = []
    for token in tokens:
        if out and token.kind is out[-1].kind and token.kind in (Kind.TEXT, Kind.SPACE):
            out[-1] = Token(token.kind, out[-1].text + token.text)
        else:
            out.append(token)
    return out


@pytest.mark.parametrize("raw_json", [*GOOD, *BROKEN])
def test_every_cut_tells_the_same(raw_json: str) -> None:
    tokens, whole = read([raw_json])
    assert whole == (raw_json in GOOD)
    assert read(raw_json) == (tokens, whole)
    for cut in range(len(raw_json) + 1):
        assert read([raw_json[:cut], "", raw_json[cut:]]) == (tokens, whole)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_the_standard_library_writes_is_read(value: object, ascii_only: bool, indent: int | None) -> None:
    raw_json = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    tokens, whole = read([raw_json])
    assert whole
    assert json.loads(written(tokens)) == value


def written(tokens: list[Token]) -> str:
    quotes = {Kind.KEY: '"', Kind.STRING: '"', Kind.END: '"'}
    return "".join(
        json.dumps(token.text)[1:-1] if token.kind is Kind.TEXT else quotes.get(token.kind, token.text)
        for token in tokens
    )


@given(st.text(alphabet='{}[]",: \\u12dDeE-+.tfn0\x01', max_size=30))
def test_json_is_what_the_standard_library_takes_for_it(raw_json: str) -> None:
    def refuse(name: str) -> None:
        raise ValueError

    try:
        json.loads(raw_json, parse_constant=refuse)
    except ValueError:
        good = False
    else:
        good = True
    assert read([raw_json])[1] == read(raw_json)[1] == good


def test_halves_of_pairs_become_the_mark_of_no_character() -> None:
    said = [token.text for token in read(['"a\\ud800b\\udc00\ud800c\\ud83d\\ud83d\\ude00"'])[0] if token.text]
    assert said == ["a\ufffdb\ufffd\ufffdc\ufffd😀"]


def test_depth_and_numbers_are_bounded_and_white_space_is_cut_down() -> None:
    assert read(["[" * MOST_DEPTH + "]" * MOST_DEPTH])[1]
    for raw_json in ("[" * (MOST_DEPTH + 1), "[" * 200_000, '{"a":' * 200_000):
        reader = JsonReader()
        with pytest.raises(JsonTextError, match="deeply"):
            list(reader.read(raw_json))
    assert read(["9" * MOST_NUMBER])[1]
    with pytest.raises(JsonTextError, match="long"):
        list(JsonReader().read("9" * (MOST_NUMBER + 1)))
    for parts in (["[" + " " * 1_000_000 + "1]"], ["[", *(" " * 1000), "1]"]):
        assert Token(Kind.SPACE, " " * MOST_SPACE) in read(parts)[0]


def test_at_most_a_token_is_held() -> None:
    reader = JsonReader()
    for _ in range(1000):
        list(reader.read('["' if _ == 0 else "x" * 1000))
        assert not reader.holds
    list(reader.read("\\"))
    assert reader.holds


@given(st.text(max_size=12), st.booleans(), st.lists(st.integers(0, 200), max_size=4), st.data())
def test_what_is_said_knows_where_it_stands(text: str, ascii_only: bool, cuts: list[int], data: st.DataObject) -> None:
    raw_json = json.dumps([text, 47], ensure_ascii=ascii_only)
    edges = [0, *sorted(min(cut, len(raw_json)) for cut in cuts), len(raw_json)]
    reader, said, number = JsonReader(), Places(), Places()
    for start, end in pairwise(edges):
        for token in reader.read(raw_json[start:end]):
            (number if token.kind is Kind.NUMBER else said).add(token.pieces)
    assert raw_json[slice(*number.span(0, 2))] == "47"
    assert said.length == len(text)
    if text:
        begin = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(begin + 1, len(text)))
        said.forget(begin)
        assert json.loads('"' + raw_json[slice(*said.span(begin, end))] + '"') == text[begin:end]
