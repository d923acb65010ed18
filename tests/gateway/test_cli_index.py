"""`tightlip index` as scripts use it: its output, its exit codes and its files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from filters.denied import DeniedValues
from filters.index.lookup import Standing, TuningIndex
from filters.index.public import PublicValues
from tests.filters.index.sets import runs, write_rows
from tests.support import commands
from tests.support.commands import Done

CANARY = "zlavundo"
SECRET = "0123456789abcdef" * 4
PORTRAIT = "This customer rings late in the evening after rows with her husband, asks to move the instalment."
GREETINGS = (
    "Good morning to you",
    "请问一下",
    "My lamp went dark today",
    "Once more I write",
    "Hello from the coast",
    "So",
)
TOLD = ("--subject-field", "subject", "--audience-field", "audience", "--no-audience", "public")


def tightlip(*arguments: object) -> Done:
    return commands.tightlip("index", *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(SECRET + "\n")
    rows = [
        {"messages": [{"role": "assistant", "content": PORTRAIT}], "subject": "c-1", "audience": "sensitive"},
        *(
            {"text": f"{greeting}. {' '.join([greeting] * n)} Write to care@ostrel.example", "subject": f"c-{n}"}
            for n, greeting in enumerate(GREETINGS)
        ),
    ]
    write_rows(tmp_path / "data.jsonl", rows)
    return tmp_path


def build(folder: Path, *more: object) -> Done:
    return tightlip("build", folder / "data.jsonl", "--out", folder / "set.tli", "--key", folder / "key", *more)


def test_build_and_check(folder: Path) -> None:
    done = build(folder, *TOLD)
    assert done.returncode == 0, done.stderr
    assert "7 rows and 6 subjects" in done.stdout
    assert "tightlip: reading 100 %" in done.stderr
    assert {
        run.standing for run in runs(TuningIndex.load(folder / "set.tli", SECRET.encode()), PORTRAIT, "public")
    } == {Standing.ABOVE}
    checked = tightlip("check", folder / "set.tli", "--key", folder / "key")
    assert checked.returncode == 0
    assert "set.tli: ok, key " in checked.stdout
    assert "words: n-grams of 6 (inner 4); every run of 7 is found" in checked.stdout


def test_check_says_what_is_wrong(folder: Path) -> None:
    build(folder, *TOLD)
    content = (folder / "set.tli").read_bytes()
    (folder / "set.tli").write_bytes(content[:-40] + b"\0" + content[-39:])
    (folder / "other").write_text(SECRET[::-1])
    for key, reason in [("key", "not as it was built"), ("other", "another key")]:
        done = tightlip("check", folder / "set.tli", "--key", folder / key)
        assert (done.returncode, done.stdout) == (2, "")
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "no such file" in tightlip("check", folder / "none", "--key", folder / "key").stderr


def test_nothing_is_guessed(folder: Path) -> None:
    write_rows(folder / "data.jsonl", [{"text": CANARY}])
    for told, reason in [
        ((), "private or public"),
        (("--subject-field", "subject", "--no-audience", "public"), "data.jsonl:1: has no subject"),
        (("--no-subject", "private"), "audience"),
        (("--no-subject", CANARY, "--no-audience", "public"), "must be private or public"),
        (("--no-subject", "private", "--no-audience", CANARY), "none of the audiences"),
        (("--no-subject", "private", "--audience-field", "text"), "data.jsonl:1: has an audience"),
    ]:
        done = build(folder, *told)
        assert done.returncode == 2, told
        assert reason in done.stderr
        assert CANARY not in done.stdout + done.stderr
    assert sorted(os.listdir(folder)) == ["data.jsonl", "key"]
    assert build(folder, "--no-subject", "private", "--no-audience", "public").returncode == 0


@pytest.mark.parametrize("k", ["2", "0", "256"])
def test_k_is_bounded(folder: Path, k: str) -> None:
    assert build(folder, *TOLD, "--k", k).returncode == 2
    assert not (folder / "set.tli").exists()


def test_keys(folder: Path) -> None:
    (folder / "key").write_text("short")
    assert "must hold 32 characters" in build(folder, *TOLD).stderr
    (folder / "key").unlink()
    assert build(folder, *TOLD).returncode == 2
    assert build(folder, *TOLD, "--create-key").returncode == 0
    key = (folder / "key").read_text()
    assert len(key.strip()) == 64
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    assert build(folder, *TOLD, "--create-key").returncode == 0
    assert (folder / "key").read_text() == key


def test_a_key_may_be_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(folder, *TOLD).returncode == 0
    check = ("check", folder / "set.tli", "--key")
    monkeypatch.setenv("INDEX_KEY", SECRET)
    assert "set.tli: ok, key " in tightlip(*check, "env:INDEX_KEY").stdout
    monkeypatch.delenv("INDEX_KEY")
    for name, told in [
        ("env:INDEX_KEY", "env:INDEX_KEY: is not set"),
        ("vault:tightlip/index#key", "vault:tightlip/index#key: can't be read without Vault"),
        ("vault:nothing", "must be PATH#KEY"),
    ]:
        done = tightlip(*check, name)
        assert (done.returncode, told in done.stderr) == (2, True)


def test_dask_gives_the_same_bytes(folder: Path) -> None:
    build(folder, *TOLD)
    plain = (folder / "set.tli").read_bytes()
    done = build(folder, *TOLD, "--dask", "synchronous")
    assert done.returncode == 0, done.stderr
    assert (folder / "set.tli").read_bytes() == plain


def test_aliases_merge_people(folder: Path) -> None:
    (folder / "aliases.jsonl").write_text(json.dumps([f"c-{n}" for n in range(6)]))
    assert "7 rows and 1 subjects" in build(folder, *TOLD, "--aliases", folder / "aliases.jsonl").stdout


@pytest.mark.parametrize("raw", [(), ("--raw-text",)])
def test_candidates_and_approval(folder: Path, raw: tuple[str, ...]) -> None:
    listed, public = folder / "candidates.jsonl", folder / "public.jsonl"
    key = ("--key", folder / "key")
    done = tightlip("candidates", folder / "data.jsonl", "--out", listed, *key, *TOLD, *raw)
    assert done.returncode == 0, done.stderr
    assert "1 values that at least 5 subjects share" in done.stdout
    assert ("care@ostrel" in listed.read_text()) is bool(raw)
    assert "care@ostrel" not in done.stdout + done.stderr
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    assert "1 public values" in tightlip("approve", listed, "--out", public, *key).stdout
    assert PublicValues.load(public, SECRET.encode()).covers("care@ostrel.example", "EMAIL")
    assert tightlip("approve", public, "--out", public, *key).returncode == 2


def test_deny(folder: Path) -> None:
    values, out, key = folder / "values.txt", folder / "deny.jsonl", ("--key", folder / "key")
    values.write_text(f"# withdrawn\n{CANARY}\n甄禾砚\n{CANARY.upper()}\n", encoding="utf-8")
    done = tightlip("deny", values, "--out", out, *key)
    assert done.returncode == 0, done.stderr
    assert "2 denied values" in done.stdout
    assert CANARY not in done.stdout + done.stderr + out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(DeniedValues.load(out, SECRET.encode()).find(f"{CANARY}, 甄 禾 砚")) == 2

    before = out.read_bytes()
    values.write_text(f"{CANARY}\nabc\n")
    done = tightlip("deny", values, "--out", out, *key)
    assert (done.returncode, done.stdout) == (2, "")
    assert "values.txt:2: needs 4 letters" in done.stderr
    assert CANARY not in done.stderr
    assert out.read_bytes() == before
    assert tightlip("deny", folder / "none", "--out", out, *key).returncode == 2
    assert tightlip("deny", values, "--out", out, "--key", folder / "no-key").returncode == 2


def test_serving_needs_nothing_that_building_needs() -> None:
    program = (
        "import sys; import filters.index.lookup, filters.index.public, filters.denied;"
        "print([m for m in ('duckdb', 'dask', 'filters.index.counting', 'multiprocessing') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"
