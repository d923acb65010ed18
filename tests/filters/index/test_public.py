from __future__ import annotations

from pathlib import Path

import pytest

from filters.index.files import replace_file
from filters.index.hashing import IndexKey
from filters.index.public import ListError, PublicValue, PublicValues, ValueHasher, list_lines
from tests.filters.index.sets import OTHER_SECRET, SECRET

HOTLINE = "+1-800-555-0199"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    digest = ValueHasher(IndexKey(SECRET)).hash_value("PHONE", HOTLINE).hex()
    replace_file(tmp_path / "public.jsonl", list_lines(IndexKey(SECRET), [PublicValue("PHONE", digest)] * 2))
    return tmp_path / "public.jsonl"


def test_an_approved_value_is_covered_in_every_spelling(path: Path) -> None:
    public = PublicValues.load(path, SECRET)
    assert len(public.hashes) == 1
    for spelling in (HOTLINE, "+1 (800) 555 0199", "18005550199", "＋１－８００－５５５－０１９９"):
        assert public.covers(spelling, "PHONE")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("+1-800-555-0198", "PHONE"),
        ("800-555-0199", "PHONE"),
        (HOTLINE + "1", "PHONE"),
        (HOTLINE, "ACCOUNT"),
        ("", "PHONE"),
    ],
)
def test_nothing_else_is(path: Path, value: str, kind: str) -> None:
    assert not PublicValues.load(path, SECRET).covers(value, kind)


def test_no_value_is_in_the_file(path: Path) -> None:
    assert b"800" not in path.read_bytes().splitlines()[1].split(b'"hash"')[0]
    assert b"555-0199" not in path.read_bytes()


def test_what_can_not_be_used_is_refused(path: Path) -> None:
    head, value = path.read_text().splitlines()
    for content, reason in [
        ("", "is empty"),
        (head.replace("public values", "candidates"), "holds candidates"),
        (head.replace('"version":1', '"version":2'), "another version"),
        ("zlavundo", ":1: is no line"),
        (f"{head}\n\n{value}\nzlavundo", ":4: is no line"),
        (f"{head}\n{value[:-4]}", ":2: is no line"),
        (f'{head}\n{value[:-1]},"raw_value":"zlavundo"}}', ":2: is no line"),
        (f'{head}\n{{"type":"PHONE","hash":"zlavundo"}}', ":2: is no line"),
    ]:
        path.write_text(content)
        with pytest.raises(ListError, match=reason) as refused:
            PublicValues.load(path, SECRET)
        assert "zlavundo" not in str(refused.value)


def test_another_key_or_no_file(path: Path) -> None:
    with pytest.raises(ListError, match="another key"):
        PublicValues.load(path, OTHER_SECRET)
    with pytest.raises(ListError, match="No such file"):
        PublicValues.load(path.with_name("none"), SECRET)
