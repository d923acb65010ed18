"""What the images are made from: files that a linter passes, locks that hold what the project says, nothing more."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PROJECT: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
DOCKERFILES = ("Dockerfile", "deploy/image/tools.Dockerfile")
BY_DIGEST = re.compile(r"ARG BASE=\S+@sha256:[0-9a-f]{64}")


def names(lines: list[str]) -> set[str]:
    """Of requirements and of a lock's lines, as indexes have them: lower case, hyphens."""
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
    return {re.sub(r"[._-]+", "-", match[0]).lower() for match in found if match}


def locked(name: str) -> set[str]:
    lines = Path("requirements", name).read_text("utf-8").splitlines()
    return names([line for line in lines if "==" in line and line[0].isalpha()])


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_hadolint_has_nothing_to_say(dockerfile: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", dockerfile], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_the_base_is_an_argument_by_digest(dockerfile: str) -> None:
    text = Path(dockerfile).read_text("utf-8")
    assert BY_DIGEST.search(text)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= {"${BASE}", "${TIGHTLIP}", "packages", "dependencies"}


def test_both_images_have_the_same_base() -> None:
    bases = {match[0] for name in DOCKERFILES if (match := BY_DIGEST.search(Path(name).read_text("utf-8")))}
    assert len(bases) == 1


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_no_line_is_for_one_architecture(dockerfile: str) -> None:
    assert not re.search(r"amd64|x86|arm64|aarch|TARGETARCH|--platform", _instructions(dockerfile))


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_packages_are_installed_by_hash_or_not_looked_for(dockerfile: str) -> None:
    for command in re.findall(r"-m pip .*?(?=&&|$)", _instructions(dockerfile), re.MULTILINE):
        assert "--require-hashes" in command or "--no-index" in command, command


def test_nothing_is_run_in_the_last_stages() -> None:
    for dockerfile, first in zip(DOCKERFILES, ("AS dependencies", "FROM ${TIGHTLIP}"), strict=True):
        assert "\nRUN " not in _instructions(dockerfile).split(first)[1]


def test_the_lock_of_what_serves_holds_what_serving_needs() -> None:
    assert names(PROJECT["dependencies"]) <= locked("run.txt")


def test_what_an_index_needs_is_in_the_lock_of_the_tools_alone() -> None:
    index = names(PROJECT["optional-dependencies"]["index"])
    assert index <= locked("index.txt")
    assert not locked("index.txt") & locked("run.txt")


def test_only_what_the_images_need_is_given_to_the_builder() -> None:
    lines = Path(".dockerignore").read_text("utf-8").splitlines()
    assert lines[1] == "*"
    given = {line[1:] for line in lines if line.startswith("!")}
    project = {"Dockerfile", "LICENSE", "NOTICE", "README.md", "pyproject.toml", "requirements"}
    assert given == project | {"gateway", "filters", "deploy", "deploy/demo"}
    assert lines.index("deploy/demo/keys") > lines.index("!deploy/demo")


def test_a_base_tells_nothing_of_the_machine_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        "etc/hostname",
        "etc/resolv.conf",
        "etc/apt/sources.list",
        "var/log/bootstrap.log",
        "var/lib/apt/lists/held",
    )
    for name in (*told, "usr/share/doc/thing/copyright", "usr/bin/helper"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("build-7.example")
    (tmp_path / "usr/bin/helper").chmod(0o4755)
    machines = tmp_path / "machines"
    (tmp_path / "etc/resolv.conf").rename(machines)
    (tmp_path / "etc/resolv.conf").symlink_to(machines)
    script(monkeypatch, "make_base")._slim(tmp_path)
    assert machines.read_text()  # what a link leads to is not the image's
    assert not [name for name in told if (tmp_path / name).exists() and (tmp_path / name).read_text()]
    assert (tmp_path / "usr/share/doc/thing/copyright").read_text()
    assert (tmp_path / "usr/bin/helper").stat().st_mode & 0o7777 == 0o755


def test_a_base_is_refused_to_who_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 10001)
    monkeypatch.setattr("sys.argv", ["make_base.py"])
    with pytest.raises(SystemExit, match="made as root"):
        script(monkeypatch, "make_base").main()


def test_a_step_that_fails_ends_a_base_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^false failed$"):
        script(monkeypatch, "make_base")._do("/bin/false")


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """One of deploy/image, which import each other from beside them."""
    monkeypatch.syspath_prepend("deploy/image")
    return importlib.import_module(name)


def _instructions(dockerfile: str) -> str:
    """Without comments, each instruction in one line."""
    text = re.sub(r"^#.*\n", "", Path(dockerfile).read_text("utf-8"), flags=re.MULTILINE)
    return text.replace("\\\n", " ")
