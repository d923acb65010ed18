"""What was denied is found in whatever spelling, the list holds no text, and a list that is not whole is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from filters.denied import MOST_CHARACTERS, DeniedValues, read_values
from filters.index.hashing import IndexKey
from filters.index.public import ListError, PublicValue, ValueHasher, list_lines
from filters.pii.detector import build_detector
from filters.pii.types import DENIED
from filters.spans import merge
from tests.support.knowledge import SECRET, deny

CANARY = "zlavundo"
KEY, OTHER_KEY = SECRET.encode(), SECRET[::-1].encode()
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "denied.json").read_text(encoding="utf-8"))


def denying(folder: Path, *values: str) -> DeniedValues:
    return DeniedValues.load(deny(folder, values), KEY)


def shown(values: DeniedValues, text: str) -> list[str]:
    return [text[span.start : span.end] for span in values.find(text)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["text"]))
def test_every_spelling(tmp_path: Path, vector: dict[str, Any]) -> None:
    if not vector["found"] and len(vector["denied"]) < 5:
        with pytest.raises(ListError, match=":1: needs"):
            denying(tmp_path, vector["denied"])
        return
    found = shown(denying(tmp_path, "another value", vector["denied"], "a third one"), vector["text"])
    if vector.get("any"):
        assert set(found) & set(vector["found"])
    else:
        assert found == vector["found"]


def test_prose_is_left_alone(tmp_path: Path) -> None:
    values = denying(tmp_path, "Vexlo Tamber", "13900018274", "甄禾砚")
    for name in ("prose_en.txt", "prose_zh.txt"):
        assert values.find((Path(__file__).parents[1] / "bench" / name).read_text(encoding="utf-8")) == []


def test_what_is_found_with_something_else_counts_as_denied(tmp_path: Path) -> None:
    text = "Write to vexlo.tamber@plimsol.example today."
    (span,) = merge([*build_detector().find(text), *denying(tmp_path, "Vexlo Tamber").find(text)])
    assert (span.type, text[span.start : span.end]) == (DENIED, "vexlo.tamber@plimsol.example")


def test_what_ended_in_the_context_is_left_out(tmp_path: Path) -> None:
    values = denying(tmp_path, "Vexlo Tamber")
    assert values.find("Vexlo Tamber, Vexlo Tamber", since=12)[0].start == 14
    assert values.find("Vexlo Tamber", since=11) != []


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("so it was Vexlo T", 10),
        ("so it was Vexl", 10),
        ("so it was v-e x.l o", 10),
        ("so it was Vexlo Tamb. ", 10),
        ("so it was Vex", None),
        ("so it was Vexlo Tamber", None),
        ("so it was Vexlo Pl", 10),  # looked at again when twice as much of it has been seen
        ("so it was Vexlo Plim", None),
        ("so it was Vexlo Tumb", None),
        ("是甄禾", 1),
        ("是甄", None),
        ("是甄禾砚", None),
        ("Vexlo Vexlo Ta", 6),
        ("", None),
    ],
)
def test_where_a_value_has_begun(tmp_path: Path, text: str, begins: int | None) -> None:
    assert denying(tmp_path, "Vexlo Tamber", "甄禾砚").open_from(text) == (len(text) if begins is None else begins)


def test_an_empty_list_finds_nothing(tmp_path: Path) -> None:
    values = denying(tmp_path, "# nothing yet", "")
    assert (len(values), values.find("Vexlo Tamber"), values.open_from("Vexlo")) == (0, [], 5)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_no_text_is_in_the_file_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = deny(tmp_path, [CANARY, "甄禾砚"])
    content = path.read_text(encoding="utf-8").casefold()
    assert CANARY not in content
    assert CANARY[:4] not in content
    assert "甄" not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_key_gives_other_hashes(tmp_path: Path) -> None:
    one, other = (deny(tmp_path, [CANARY], key).read_text() for key in (SECRET, SECRET[::-1]))
    assert not {*one.split('"')} & {*other.split('"')} & {json.loads(one.splitlines()[1])["hash"]}


def test_values_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "values.txt"
    path.write_bytes("\ufeff# a comment\nVexlo Tamber\r\n\n  vexlo-tamber  \n甄禾砚\n #7 Plimsol Row\n".encode())
    assert read_values(path) == ["vexlotamber", "甄禾砚"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{CANARY}\nabc".encode(), ":2: needs 4 letters"),
        (f"{CANARY}\n\n- . -".encode(), ":3: needs 4 letters"),
        ("甄".encode(), ":1: needs 4 letters"),
        ((CANARY * MOST_CHARACTERS).encode(), ":1: has more than"),
        (CANARY.encode() + b"\n\xff\xfe", ":2: is not UTF-8"),
    ],
)
def test_what_can_not_be_denied_is_said_and_not_quoted(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "values.txt").write_bytes(content)
    with pytest.raises(ListError, match=reason) as refused:
        read_values(tmp_path / "values.txt")
    assert CANARY not in str(refused.value)


def test_a_list_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = deny(tmp_path, [CANARY, "Vexlo Tamber", "甄禾砚"])
    whole = path.read_bytes()
    head, first, second, third, seal = whole.splitlines(keepends=True)
    for changed in (
        head + first + second + seal,
        head + second + first + third + seal,
        head + first + first + second + third + seal,
        whole.replace(b'"characters":8', b'"characters":9'),
        whole.replace(b'"more":"', b'"more":"0', 1),
        head + seal,
    ):
        path.write_bytes(changed)
        with pytest.raises(ListError, match="is not as it was written"):
            DeniedValues.load(path, KEY)
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ListError) as refused:
            DeniedValues.load(path, KEY)
        assert CANARY not in str(refused.value)


def test_another_key_another_list_or_no_file(tmp_path: Path) -> None:
    path = deny(tmp_path, [CANARY])
    with pytest.raises(ListError, match="another key"):
        DeniedValues.load(path, OTHER_KEY)
    with pytest.raises(ListError, match="No such file"):
        DeniedValues.load(tmp_path / "none", KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        DeniedValues.load(path, b"short")
    digest = ValueHasher(IndexKey(KEY)).hash_value("PHONE", CANARY).hex()
    path.write_bytes(b"".join(list_lines(IndexKey(KEY), [PublicValue("PHONE", digest)])))
    with pytest.raises(ListError, match="holds public values"):
        DeniedValues.load(path, KEY)


def test_a_list_may_grow_at_its_end_alone(tmp_path: Path) -> None:
    made = denying(tmp_path, "Vexlo Tamber", "甄禾砚")
    pin = len(made), made.sha256
    for later in (["Vexlo Tamber", "甄禾砚"], ["Vexlo Tamber", "甄禾砚", CANARY], ["vexlo-tamber", "# !", "甄禾 砚"]):
        assert denying(tmp_path, *later).begins_with(*pin)
    for later in (["Vexlo Tamber"], [], [CANARY, "Vexlo Tamber", "甄禾砚"], ["甄禾砚", "Vexlo Tamber", CANARY]):
        assert not denying(tmp_path, *later).begins_with(*pin)


# ---- cost ------------------------------------------------------------------------------------------------------------


def test_looking_takes_no_longer_with_more_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "13810000007 and nothing else in a sentence that goes on for a while. " * 20
    looks: list[int] = []
    for number in (10, 2000):
        values = denying(tmp_path, *(f"1381{i:07}" for i in range(number)))
        count = 0
        whole = values._hasher.of

        def counted(part: bytes, letters: str, whole: Any = whole) -> str:
            nonlocal count
            count += 1
            return str(whole(part, letters))

        monkeypatch.setattr(values._hasher, "of", counted)
        assert len(values.find(text)) == 20
        looks.append(count)
    assert looks[0] == looks[1]
