"""`tightlip subject` as an administrator types it, against the API on a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.last_use import Caller, written
from gateway.observe.pseudonyms import SECURITY_DAYS, Pseudonyms
from gateway.observe.sealed import Sealer
from gateway.types import Principal
from tests.gateway.admin.support import Served, served
from tests.gateway.support import CANARY, ISSUER

DAY = 86_400.0
HIM = Principal(ISSUER, "acme", CANARY, None, "customer", 0.0)
PSEUDONYMS = Pseudonyms(b"p" * 32)
MARK = PSEUDONYMS.lasting(HIM) or ""
NOW = time.time()
RECORDS = [
    {"event": event, "subject": PSEUDONYMS.subject(HIM, NOW - days * DAY), "tenant": "acme", "status": 200}
    for event, days in (("security", SECURITY_DAYS), ("request", 8), ("request", 0))
]
RECORD = RECORDS[-1]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        asyncio.run(made.store.used({written(Caller("acme", "customer", MARK)): 1_700_000_000.0}, 1_700_000_000.0))
        yield made


def tightlip(*arguments: str, gateway: Served, role: str = "privacy", input: str | None = None) -> Result:
    return CliRunner().invoke(app, ["subject", *arguments, *gateway.options(role)], input=input)


def receipt_of(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    return {place["place"]: place for place in json.loads(done.stdout)["places"]}


def test_it_prints_what_is_kept_and_then_a_receipt(gateway: Served) -> None:
    shown = receipt_of(tightlip("export", CANARY, gateway=gateway))
    assert [each["what"] for each in shown["last_uses"]["values"]] == ["last_use"]
    assert not shown["records"]["searched"]
    erased = receipt_of(tightlip("erase", CANARY, gateway=gateway))
    assert (erased["last_uses"]["erased"], erased["last_uses"]["values"]) == (1, [])
    assert receipt_of(tightlip("export", CANARY, gateway=gateway))["last_uses"]["found"] == 0


def test_records_of_requests_are_found_by_the_mark(gateway: Served, tmp_path: Path) -> None:
    others = [{**RECORD, "tenant": "other"}, {**RECORD, "subject": "0" * 16}, {**RECORD, "subject": None}, [MARK], MARK]
    others += [{**RECORD, "subject": [MARK]}]
    lines = [json.dumps(each) for each in (RECORD, *others)]
    file = tmp_path / "records.jsonl"
    file.write_bytes(
        "\n".join([*lines, "{torn", "[" * 5000, ""]).encode() + b"\xff\xfe\n" + json.dumps(RECORD).encode()
    )
    shown = receipt_of(tightlip("export", CANARY, "--records", str(file), gateway=gateway))["records"]
    assert (shown["searched"], shown["found"], shown["erased"]) == (True, 2, 0)
    assert shown["values"] == [RECORD, RECORD]
    erased = receipt_of(tightlip("erase", CANARY, "--records", str(file), gateway=gateway))["records"]
    assert (erased["found"], erased["erased"], erased["values"]) == (2, 0, [])
    assert "retention" in erased["until"]


def test_security_events_stand_beside_requests(gateway: Served, tmp_path: Path) -> None:
    """A directory's as they were written there, and nobody else's files; also from before marks had periods."""
    event = {"event": "security", "code": "leak_budget", "subject": MARK, "tenant": "acme"}
    (tmp_path / "logs").mkdir()
    for kind, line in (("records", RECORD), ("security", event)):
        (tmp_path / "logs" / f"{kind}-20260131-{'0' * 16}.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "logs" / "other.jsonl").write_text(json.dumps(RECORD) + "\n")
    shown = receipt_of(tightlip("export", CANARY, "--records", str(tmp_path / "logs"), gateway=gateway))
    assert shown["records"]["values"] == [RECORD]
    assert shown["security_events"]["values"] == [event]


def test_what_can_t_be_read_is_not_taken_for_searched(gateway: Served, tmp_path: Path) -> None:
    packed = tmp_path / "records.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(RECORD).encode() * 3))
    done = tightlip("export", CANARY, "--records", str(packed), gateway=gateway)
    shown = receipt_of(done)
    assert (shown["records"]["searched"], shown["security_events"]["searched"]) == (False, False)
    assert json.loads(done.stdout)["lines_read"] == 0
    assert "are no records" in done.stderr


def test_a_caller_without_a_mark_of_his_own_is_not_taken_for_searched(gateway: Served) -> None:
    of = ("export", "app", "--end-user", CANARY, "--records", "-")
    done = tightlip(*of, gateway=gateway, input=json.dumps(RECORD) + "\n")
    assert (receipt_of(done)["records"]["searched"], receipt_of(done)["records"]["found"]) == (False, 0)
    assert "no mark of his own" in done.stderr


@pytest.mark.parametrize("named", ["sealed", "empty"])
def test_records_that_nobody_can_read_here_stop_it_before_anything_is_erased(
    gateway: Served, tmp_path: Path, named: str
) -> None:
    """Encrypted ones, and a directory that has none."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "sealed").write_bytes(Sealer(X25519PrivateKey.generate().public_key()).header)
    done = tightlip("erase", CANARY, "--records", str(tmp_path / named), gateway=gateway)
    assert done.exit_code != 0
    assert ("logs read" if named == "sealed" else "no files of records") in str(done.exception)
    assert receipt_of(tightlip("export", CANARY, gateway=gateway))["last_uses"]["found"] == 1


def test_records_of_all_periods_that_are_kept_are_found(gateway: Served, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in RECORDS))
    assert len({each["subject"] for each in RECORDS}) == len(RECORDS)
    shown = receipt_of(tightlip("export", CANARY, "--records", str(file), gateway=gateway))
    assert shown["security_events"]["values"] + shown["records"]["values"] == RECORDS


def test_records_of_a_newer_format_are_said_not_to_be_looked_at(gateway: Served) -> None:
    given = [RECORD | {"format": 1}, RECORD | {"format": 2}, RECORD | {"format": [1]}]
    lines = "".join(json.dumps(each) + "\n" for each in given)
    done = tightlip("export", CANARY, "--records", "-", gateway=gateway, input=lines)
    assert receipt_of(done)["records"]["values"] == given[:1]
    assert json.loads(done.stdout)["lines_not_read"] == 2
    assert "2 of 3 lines are no records (encrypted, compressed, of a newer version" in done.stderr


def test_records_may_come_from_a_pipe(gateway: Served) -> None:
    done = tightlip("export", CANARY, "--records", "-", gateway=gateway, input=json.dumps(RECORD) + "\n")
    assert receipt_of(done)["records"]["values"] == [RECORD]


def test_records_that_can_t_be_read_stop_it_before_anything_is_erased(gateway: Served, tmp_path: Path) -> None:
    done = tightlip("erase", CANARY, "--records", str(tmp_path / "none"), gateway=gateway)
    assert done.exit_code != 0
    assert receipt_of(tightlip("export", CANARY, gateway=gateway))["last_uses"]["found"] == 1


def test_it_warns_of_what_a_receipt_can_t_promise(gateway: Served) -> None:
    done = tightlip("export", CANARY, "--issuer", "https://left.test", "--tenant", "left", gateway=gateway)
    assert done.exit_code == 0
    assert "does not have this issuer or tenant" in done.stderr
    assert "marks change with each start" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(("export", "a\nb"), 2), (("erase", CANARY, "--tenant", "nowhere"), 2), (("erase",), 2)]
)
def test_who_means_nobody_is_told(gateway: Served, arguments: tuple[str, ...], code: int) -> None:
    assert tightlip(*arguments, gateway=gateway).exit_code == code


def test_another_role_is_refused(gateway: Served) -> None:
    done = tightlip("erase", CANARY, gateway=gateway, role="security")
    assert (done.exit_code, CANARY in done.output) == (1, False)
    assert receipt_of(tightlip("export", CANARY, gateway=gateway))["last_uses"]["found"] == 1
