"""YAML read strictly, and explained without quoting values."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from gateway.config_file import MAX_FILE_BYTES, ConfigError, check, read, read_bytes

SECRET = "hunter2secret"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(ConfigError) as refused:
        read(written(folder, content))
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("true", True),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("7", 7),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("~", None),
        ('"7"', "7"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_values_are_what_they_look_like(tmp_path: Path, text: str, value: object) -> None:
    assert read(written(tmp_path, f"a: {text}")).data == {"a": value}


def test_keys_are_text(tmp_path: Path) -> None:
    assert read(written(tmp_path, "{off: 1, 7: 2, true: 3}")).data == {"off": 1, "7": 2, "true": 3}


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    document = read(written(tmp_path, "a: &a {x: 1}\nb: {<<: *a, y: 2}"))
    assert document.data["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"a: 1\nb: [{SECRET}", ":"),
        (f"a: 1\na: {SECRET}", ":2: a: stands here twice"),
        (f"a:\n  b: 1\n  b: {SECRET}", ":3: a.b: stands here twice"),
        (f"- {SECRET}", "must be a mapping"),
        ("", "must be a mapping"),
        (f"a: !!python/object:os.system {SECRET}", "not valid YAML"),
        (f"? [a, b]\n: {SECRET}", "a key must be text"),
        (f"a: 1\n---\nb: {SECRET}", "not valid YAML"),
        (b"a: \xff", "not UTF-8"),
        (b"a: \x00", "not valid YAML"),
        (b" " * (MAX_FILE_BYTES + 1), "larger"),
        ("a: &a [*a]", "refers to itself"),
        ("a: " + "[" * 600, "nested too deep"),
        ("a: " + "{a: " * 600, "nested too deep"),
        (
            "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]),
            "places",
        ),
        ("a: " + "9" * 5000, "not valid YAML"),
        (f"a: !!int {SECRET}", "not valid YAML"),
        ('a: !!int ""', "not valid YAML"),
        (f"a: !!bool {SECRET}", "not valid YAML"),
        (f"a: !!timestamp {SECRET}", "not valid YAML"),
    ],
)
def test_bad_files_are_explained_without_their_values(tmp_path: Path, content: str | bytes, says: str) -> None:
    told = refusal(tmp_path, content)
    assert says in told
    assert told.startswith(str(tmp_path / "file.yaml"))
    assert SECRET not in told


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: can't be read"):
        read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("name", ["a\0b", "\udfff"])
def test_what_can_t_be_a_file_s_name_is_said(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_bytes(Path(name), 1)
    assert str(refused.value).isprintable()


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    port: int


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: _Inner
    many: list[_Inner] = []


def test_every_problem_has_its_line_and_key(tmp_path: Path) -> None:
    text = f"inner:\n  port: {SECRET}\nmany:\n  - port: 1\n  - {{prot: 2}}\nother: {SECRET}\n"
    with pytest.raises(ConfigError) as refused:
        check(_Outer, read(written(tmp_path, text)))
    places = {(problem.line, problem.key) for problem in refused.value.problems}
    assert places == {(2, "inner.port"), (5, "many[1].port"), (5, "many[1].prot"), (6, "other")}
    assert SECRET not in str(refused.value)
