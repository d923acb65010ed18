"""`tightlip logs`: what a gateway wrote to a public key, read with the private one."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.logs_cli import app
from gateway.observe.opening import open_logs
from gateway.settings import LogSettings
from tests.gateway.support import CANARY


def logs(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = logs("create-key", tmp_path / "records.pem")
    assert made.output == f"{tmp_path / 'records.pub.pem'}\n"
    return tmp_path / "records.pem"


@pytest.fixture
def folder(tmp_path: Path, key: Path) -> Path:
    """What a gateway wrote, from its start to its end."""
    told = open_logs(LogSettings(directory=tmp_path / "logs", encrypt_to=key.with_suffix(".pub.pem")))
    for event in ("ready", "draining", "stopped"):
        told.process(event)
    told.security("policy", "refused")
    told.close()
    return tmp_path / "logs"


def codes(result: Result) -> list[str]:
    return [json.loads(line)["code"] for line in result.stdout.splitlines()]


def records(folder: Path) -> Path:
    (file,) = folder.glob("records-*")
    return file


def without_line(file: Path, at: int) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))


def test_the_private_key_is_its_owners_alone_and_never_overwritten(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert logs("create-key", key).exit_code != 0
    assert key.read_bytes() == before


def test_what_was_written_is_read(folder: Path, key: Path) -> None:
    files = sorted(folder.iterdir())
    assert [(file.name.split("-")[0], file.suffix) for file in files] == [
        ("records", ".sealed"),
        ("security", ".sealed"),
    ]
    assert not any(b"ready" in file.read_bytes() or b"refused" in file.read_bytes() for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    result = logs("read", folder, "--key", key)
    assert (result.exit_code, result.stderr) == (0, "")
    assert codes(result) == ["ready", "draining", "stopped", "policy"]


def test_what_is_missing_is_told(folder: Path, key: Path) -> None:
    without_line(records(folder), 2)
    result = logs("read", folder, "--key", key)
    assert (result.exit_code, codes(result)) == (1, ["ready", "stopped", "policy"])
    assert result.stderr == f"tightlip: {records(folder)}: record 2 is missing\n"


def test_what_was_altered_is_told_and_not_shown(folder: Path, key: Path) -> None:
    lines = records(folder).read_bytes().splitlines(keepends=True)
    lines[2] = f"2:{CANARY}\n".encode()
    records(folder).write_bytes(b"".join(lines))
    result = logs("read", records(folder), "--key", key)
    assert (result.exit_code, codes(result)) == (1, ["ready", "stopped"])
    assert "line 3: was altered" in result.stderr
    assert CANARY not in result.output


def test_a_file_that_is_written_to_still_is_no_fault(folder: Path, key: Path) -> None:
    without_line(records(folder), 4)
    result = logs("read", folder, "--key", key)
    assert (result.exit_code, len(codes(result))) == (0, 4)
    assert "has no end" in result.stderr


@pytest.mark.parametrize("other", [False, True])
def test_without_the_key_nothing_is_read(folder: Path, tmp_path: Path, *, other: bool) -> None:
    logs("create-key", tmp_path / "other.pem")
    result = logs("read", folder, *(["--key", tmp_path / "other.pem"] if other else []))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is encrypted" in result.stderr


def test_after_another_key_both_are_read_and_with_one_what_it_opens(folder: Path, key: Path, tmp_path: Path) -> None:
    logs("create-key", tmp_path / "new.pem")
    told = open_logs(LogSettings(directory=folder, encrypt_to=tmp_path / "new.pub.pem"))
    told.process("ready")
    told.close()
    both = logs("read", folder, "--key", key, "--key", tmp_path / "new.pem")
    assert (both.exit_code, sorted(codes(both))) == (0, ["draining", "policy", "ready", "ready", "stopped"])
    for one, opens in ((key, 4), (tmp_path / "new.pem", 1)):
        result = logs("read", folder, "--key", one)
        assert (result.exit_code, len(codes(result))) == (2, opens)
        assert "is encrypted to the key" in result.stderr


def test_a_file_that_can_t_be_read_hides_no_other(folder: Path, key: Path, tmp_path: Path) -> None:
    result = logs("read", tmp_path / "gone.jsonl", folder, "--key", key)
    assert (result.exit_code, len(codes(result))) == (2, 4)
    assert "gone.jsonl: No such file" in result.stderr


def test_a_key_that_others_can_read_is_refused(folder: Path, key: Path) -> None:
    key.chmod(0o644)
    assert logs("read", folder, "--key", key).exit_code != 0


def test_plain_files_are_read_without_a_key(tmp_path: Path) -> None:
    told = open_logs(LogSettings(directory=tmp_path / "logs"))
    told.process("ready")
    told.close()
    (tmp_path / "logs" / "notes.txt").write_text(CANARY)
    result = logs("read", tmp_path / "logs")
    assert (result.exit_code, codes(result)) == (0, ["ready"])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = logs("read", tmp_path / "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere: No such file" in result.stderr
