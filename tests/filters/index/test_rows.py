from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filters.index.rows import Fields, NoSubject, RowError, SourceError, decode_row, read_aliases
from tests.filters.index.sets import AUDIENCES, fields

CANARY = "zlavundo"


def row(members: dict[str, Any], **told: Any) -> Any:
    return decode_row(json.dumps(members).encode(), fields(**told))


@pytest.mark.parametrize(
    ("members", "texts"),
    [
        ({"text": "one"}, ("one",)),
        ({"prompt": "her number is ", "completion": "138"}, ("her number is 138",)),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, ("a", "b")),
        ({"messages": [{"role": "assistant", "content": None, "reasoning_content": "c"}]}, ("c",)),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "d"}]}]}, ("d",)),
        (
            {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:x"}}], "refusal": "e"}]},
            ("e",),
        ),
        (
            {"messages": [{"tool_calls": [{"id": "x", "function": {"name": "find", "arguments": '{"n": "f"}'}}]}]},
            ("find", '{"n": "f"}'),
        ),
        ({"prompt": [{"content": "g"}], "completion": [{"content": "h"}]}, ("g", "h")),
        ({"text": "i", "messages": [{"content": "j"}]}, ("j", "i")),
        ({"messages": []}, ()),
    ],
)
def test_every_text_of_a_row_counts(members: dict[str, Any], texts: tuple[str, ...]) -> None:
    assert row(members | {"subject": "s"}).raw_texts == texts


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'"zlavundo"',
        b'{"text": "zlavundo\xff"}',
        b'{"prompt": "zlavundo"}',
        b'{"text": 7, "zlavundo": 1}',
        b'{"messages": "zlavundo", "text": ["zlavundo"]}',
        b'{"messages": ["zlavundo"]}',
        b'{"messages": {"content": "zlavundo"}}',
        b'{"text": "a", "subject": ["zlavundo"]}',
        b'{"text": "a", "subject": true}',
        b'{"text": "a", "subject": " "}',
        b'{"text": "a", "subject": 1.5}',
        b'{"text": "a", "audience": "zlavundo"}',
        b'{"text": "a", "audience": 7}',
        b'{"text": "zlavundo"' + b" " * 17 * 2**20 + b"}",
        b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_can_not_be_used_is_refused_and_not_quoted(line: bytes) -> None:
    with pytest.raises(RowError) as refused:
        decode_row(line, fields())
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None


def test_whose_a_row_is() -> None:
    assert row({"text": "a", "subject": " c-1 "}).subject == "c-1"
    assert row({"text": "a", "subject": 7}).subject == "7"
    assert row({"text": "a"}).subject is None
    assert row({"text": "a", "meta": {"who": "x"}}, subject="meta.who").subject == "x"
    assert row({"text": "a", "meta": "x"}, subject="meta.who").subject is None
    assert row({"text": "a", "subject": "b"}, aliases={"b": "a", "a": "a"}).subject == "a"


@pytest.mark.parametrize("members", [{"text": "a"}, {"text": "a", "subject": None}, {"text": "a", "subject": ""}])
def test_a_missing_subject_is_not_guessed(members: dict[str, Any]) -> None:
    with pytest.raises(RowError, match="private or public"):
        row(members, no_subject=None)


def test_a_missing_audience_is_not_guessed() -> None:
    assert row({"text": "a"}).audience == 0
    assert row({"text": "a", "audience": "sensitive"}).audience == 2
    with pytest.raises(RowError, match="no audience"):
        row({"text": "a"}, no_audience=None)


@pytest.mark.parametrize(
    "told",
    [
        {"audiences": ()},
        {"audiences": ("a", "a")},
        {"audiences": ("a", "")},
        {"audiences": tuple(map(str, range(256)))},
        {"no_audience": "nobody"},
        {"subject": None, "no_subject": None},
        {"audience": None, "no_audience": None},
    ],
)
def test_contradictions_stop_the_start(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        fields(**told)


def test_a_set_of_public_documents_needs_no_field() -> None:
    told = Fields(AUDIENCES, no_subject=NoSubject.PUBLIC, no_audience="public")
    assert decode_row(b'{"text": "a", "subject": "s", "audience": "sensitive"}', told).subject is None


def test_aliases(tmp_path: Path) -> None:
    path = tmp_path / "aliases.jsonl"
    path.write_text('["c-1", "C0001", 7]\n\n["c-2"]\n')
    assert read_aliases(path) == {"c-1": "c-1", "C0001": "c-1", "7": "c-1", "c-2": "c-2"}


@pytest.mark.parametrize("text", ['{"zlavundo": 1}', '["zlavundo", ""]', "zlavundo", '["a"]\n["a"]', "[]"])
def test_broken_aliases(tmp_path: Path, text: str) -> None:
    path = tmp_path / "aliases.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"aliases\.jsonl:[12]: ") as refused:
        read_aliases(path)
    assert CANARY not in str(refused.value).removeprefix(str(path))


def test_missing_aliases(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_aliases(tmp_path / "none")
