"""`tightlip audit-log` as a person types it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.audit_log import Action, AuditRecord, By, OfRelease, OfRevocation, Outcome
from gateway.audit_log.files import Folder
from gateway.audit_log.lines import AuditKey
from gateway.audit_log.opening import open_audit_log
from gateway.audit_log.written import written
from gateway.auth.revocation import Kind, Revocation
from gateway.cli import app
from gateway.config_file import ConfigError
from gateway.errors import NotAcknowledged
from gateway.settings import load
from gateway.state.opening import open_store
from gateway.types import RequestId
from tests.gateway.audit_log.support import MARKS, Heard, files, record
from tests.gateway.support import write_policy
from tests.gateway.test_settings import GOOD

RECORDS = [
    record(Outcome.ASKED, 1),
    record(Outcome.DONE, 1),
    AuditRecord(
        Action.RELOAD_POLICY,
        Outcome.DONE,
        By.FILE,
        RequestId("req_0002"),
        policy_before="aaaaaaaaaaaa",
        policy_after="bbbbbbbbbbbb",
    ),
    AuditRecord(Action.UNKNOWN, Outcome.REFUSED, By.NOBODY, RequestId("req_0003"), code="signature", count=41),
    AuditRecord(
        Action.SWITCH_RELEASE,
        Outcome.FAILED,
        By.COMMAND,
        RequestId("req_0004"),
        target=OfRelease("assistant", "blue", "green"),
        code=NotAcknowledged.code,
    ),
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """With an audit log of six lines, which the store remembers."""
    write_policy(tmp_path)
    (tmp_path / "audit.key").write_text("a" * 32)
    path = tmp_path / "tightlip.yaml"
    path.write_text(GOOD + "state: {file: state.db}\naudit: {directory: audit, key_file: audit.key}\n")
    asyncio.run(_write(path))
    return path


async def _write(config: Path) -> None:
    settings = load(config)
    store = open_store(settings.state)
    log = open_audit_log(settings.audit, settings.log, store, Heard())
    assert log is not None
    await log.begin()
    for each in RECORDS:
        await log.write(each)
    await log.aclose()
    await store.aclose()


def tightlip(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit-log", *arguments], env={"COLUMNS": "240"})


def cut(tmp_path: Path, lines: int) -> None:
    path = files(tmp_path)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


def test_a_configuration_is_all_that_it_needs(config: Path) -> None:
    done = tightlip("verify", "--config", str(config))
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.fullmatch(r"6 lines in 1 files: as written\nhead [0-9a-f]{16}:5:[0-9a-f]{32}\n", done.stdout)


def test_a_copy_is_verified_with_its_key_and_a_head(config: Path, tmp_path: Path) -> None:
    head = tightlip("verify", "--config", str(config)).stdout.split()[-1]
    asked = ("verify", str(tmp_path / "audit"), "--key", str(tmp_path / "audit.key"), "--head", head)
    assert tightlip(*asked).exit_code == 0
    cut(tmp_path, 4)
    done = tightlip(*asked)
    assert done.exit_code == 1
    assert "cut_off: " in done.stdout
    assert ":4: ends with line 3: lines 4 to 5 cut off" in done.stdout
    assert "NOT AS WRITTEN" in done.stdout


def test_the_store_remembers_what_was_cut_off(config: Path, tmp_path: Path) -> None:
    cut(tmp_path, 3)
    done = tightlip("verify", "--config", str(config))
    assert (done.exit_code, "lines 3 to 5 cut off" in done.stdout) == (1, True)
    files(tmp_path)[0].unlink()
    gone = tightlip("verify", "--config", str(config))
    assert (gone.exit_code, "holds no file of an audit log" in gone.stdout) == (1, True)
    asyncio.run(_write(config))
    begun_anew = tightlip("verify", "--config", str(config))
    missed = re.search(
        r"no_such_chain: -: the store remembers 6 lines of chain ([0-9a-f]{16}), which is not here", begun_anew.stdout
    )
    assert (begun_anew.exit_code, missed is not None) == (1, True)
    assert missed is not None
    assert tightlip("verify", "--config", str(config), "--elsewhere", missed[1]).exit_code == 0


def test_a_store_that_does_not_answer_leaves_it_open(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"")
    done = tightlip("verify", "--config", str(config))
    assert (done.exit_code, "can't be seen" in done.stderr) == (1, True)


def test_without_a_key_it_says_so(config: Path, tmp_path: Path) -> None:
    done = tightlip("verify", str(tmp_path / "audit"))
    assert (done.exit_code, "seals were not checked" in done.stderr) == (0, True)


def test_without_a_store_it_says_so(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("state: {file: state.db}\n", ""))
    done = tightlip("verify", "--config", str(config))
    assert (done.exit_code, "nobody remembers" in done.stderr) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "name the log's folder"),
        (("nowhere",), "nowhere: can't be read"),
        (("--head", "abc"), "must be CHAIN:NUMBER:HASH"),
        (("--key", "env:TIGHTLIP_X"), "which does not begin with TIGHTLIP_"),
    ],
)
def test_what_can_t_be_read_is_said(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    place = () if "nowhere" in arguments or not arguments else (str(tmp_path),)
    done = tightlip("verify", *place, *arguments)
    assert done.exit_code == 2
    assert why in " ".join(done.stderr.replace("│", "").split())


def test_a_configuration_without_an_audit_log_is_refused(config: Path) -> None:
    config.write_text(GOOD)
    refused = tightlip("verify", "--config", str(config))
    assert isinstance(refused.exception, ConfigError)
    assert "audit: is not configured" in str(refused.exception)


def test_a_forged_line_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    forged = tmp_path / "audit-\x1b[2J.jsonl"
    forged.write_bytes(b"\n")
    done = tightlip("verify", str(forged))
    assert "\x1b" not in done.output


def test_a_person_reads_who_did_what_on_what(config: Path) -> None:
    shown = tightlip("show", "--config", str(config)).stdout
    for text in (
        "vexlo / security / acme / https://issuer.test / 192.0.2.0/24",
        "subject ",
        "aaaaaaaaaaaa → bbbbbbbbbbbb",
        "refused (signature) ×41",
        "failed (not_acknowledged)",
        "assistant green → blue",
    ):
        assert text in shown
    assert "kipmora" not in shown


def test_a_time_that_no_calendar_has_is_shown_all_the_same(config: Path, tmp_path: Path) -> None:
    far = written(replace(record(), target=OfRevocation(Revocation(Kind.EVERYTHING, issued_before=9e11))), MARKS)
    Folder(tmp_path / "audit", AuditKey(b"a" * 32), "gw-2", 180).append(far)
    shown = tightlip("show", "--config", str(config), "--last", "1")
    assert (shown.exit_code, "issued before 900000000000" in shown.stdout) == (0, True)


@pytest.mark.parametrize(
    ("filters", "requests"),
    [
        (("--action", "reload_policy"), {"req_0002"}),
        (("--actor", "vexlo"), {"req_0001"}),
        (("--actor", "file"), {"req_0002"}),
        (("--outcome", "refused"), {"req_0003"}),
        (("--since", "2999-01-01"), set()),
        (("--until", "2000-01-01T00:00:00+01:00"), set()),
        (("--since", "2020-01-01", "--last", "1"), {"req_0004"}),
    ],
)
def test_what_is_shown_can_be_chosen(config: Path, filters: tuple[str, ...], requests: set[str]) -> None:
    shown = tightlip("show", "--config", str(config), *filters).stdout
    assert set(re.findall(r"req_\d{4}", shown)) == requests


def test_a_time_needs_its_zone(config: Path) -> None:
    refused = tightlip("show", "--config", str(config), "--since", "2026-01-31T12:00")
    assert (refused.exit_code, "with its zone" in refused.stderr) == (2, True)
