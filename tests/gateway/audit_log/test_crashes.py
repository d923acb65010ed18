"""Processes that are killed while they write, that share a folder, and that find no room: what was acknowledged is
there, and nobody finds fault with it."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.audit_log import AuditUnavailable, Outcome
from gateway.audit_log.lines import Head, Header, parse_head, read_line
from gateway.audit_log.stream import Stream
from gateway.audit_log.verify import verify
from tests.gateway.audit_log.support import DAY, KEY, NOON, Clock, call, files, folder, lines
from tests.support.disks import no_file_beyond

# Arguments: the folder, how many lines, and what befalls the last. Prints each head that was acknowledged.
_WRITER = """
import os, signal, sys, time
from pathlib import Path
from gateway.audit_log import Outcome, files
from tests.gateway.audit_log.support import call, folder

path, count, fate = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
log = folder(path)
files.LOCK_SECONDS = 60.0

def torn(descriptor, raw):
    os.write(descriptor, raw[: len(raw) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

print("ready", flush=True)
sys.stdin.readline()
for at in range(count):
    if fate == "torn" and at == count - 1:
        files.write_all = torn
    print(log.append(call(at, Outcome.DONE)), flush=True)
    time.sleep(0.005)  # who holds the lock all the time lets nobody else in
"""


def writer(path: Path, count: int, fate: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(count), fate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(children: Iterable[subprocess.Popen[str]]) -> None:
    """All of them at once."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()


def acknowledged(child: subprocess.Popen[str]) -> list[Head]:
    """Up to its end."""
    assert child.stdout is not None
    assert child.stdin is not None
    told = child.stdout.read().split()
    child.stdin.close()
    child.wait()
    child.stdout.close()
    return [parse_head(text) for text in told]


def is_whole(path: Path, heads: Iterable[Head]) -> None:
    report = verify([path / "audit"], [KEY], heads)
    assert report.whole, report.findings


@pytest.fixture(autouse=True)
def _begun(tmp_path: Path) -> None:
    folder(tmp_path).prepare()


def test_processes_share_one_chain_and_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    killed, other = writer(tmp_path, 100_000), writer(tmp_path, 15)
    begin([killed, other])
    assert killed.stdout is not None
    heads = [parse_head(killed.stdout.readline().strip()) for _ in range(10)]
    killed.send_signal(signal.SIGKILL)
    heads += acknowledged(killed) + acknowledged(other)
    heads.append(folder(tmp_path).append(call(1, Outcome.DONE)))
    assert len(heads) >= 26
    assert len({head.n for head in heads}) == len(heads)
    assert len({head.chain for head in heads}) == 1
    is_whole(tmp_path, heads)


def test_a_line_that_was_half_written_when_it_was_killed_is_told_of_and_was_never_acknowledged(tmp_path: Path) -> None:
    child = writer(tmp_path, 4, "torn")
    begin([child])
    heads = acknowledged(child)
    assert (child.returncode, len(heads)) == (-signal.SIGKILL, 3)
    assert not files(tmp_path)[0].read_bytes().endswith(b"\n")
    heads.append(folder(tmp_path).append(call(9, Outcome.DONE)))
    header = read_line(files(tmp_path)[1].read_bytes().splitlines()[0])
    assert isinstance(header, Header)
    assert header.torn is not None
    assert [head.n for head in heads] == [1, 2, 3, 5]
    is_whole(tmp_path, heads)


def test_where_there_is_no_room_nothing_is_acknowledged_and_all_goes_on_after_it(tmp_path: Path) -> None:
    log, heads = folder(tmp_path), []
    with no_file_beyond(5000), pytest.raises(AuditUnavailable, match="File too large"):
        heads.extend(log.append(call(at, Outcome.DONE)) for at in range(99))
    assert 2 < len(heads) < 20
    assert len(lines(tmp_path)) == len(heads) + 1
    assert files(tmp_path)[0].read_bytes().endswith(b"\n")
    heads.append(log.append(call(99, Outcome.DONE)))
    assert heads[-1].n == len(heads)
    is_whole(tmp_path, heads)


def test_half_a_line_that_can_t_be_taken_back_is_a_torn_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = folder(tmp_path)
    with no_file_beyond(1000), monkeypatch.context() as patched:
        patched.setattr("gateway.audit_log.files.os.ftruncate", _no_longer)
        with pytest.raises(AuditUnavailable):
            [log.append(call(at, Outcome.DONE)) for at in range(9)]
    assert files(tmp_path)[0].stat().st_size == 1000
    is_whole(tmp_path, [log.append(call(9, Outcome.DONE))])
    assert len(files(tmp_path)) == 2


def _no_longer(descriptor: int, size: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_new_file_for_which_there_is_no_room_is_not_begun(tmp_path: Path) -> None:
    clock = Clock(NOON + DAY)
    log = folder(tmp_path, clock)
    with no_file_beyond(100), pytest.raises(AuditUnavailable):
        log.append(call(1, Outcome.DONE))
    assert len(files(tmp_path)) == 1
    assert log.append(call(1, Outcome.DONE)).n == 2
    assert len(files(tmp_path)) == 2


def test_a_device_that_is_full_takes_no_line() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        log = Stream(full, KEY, "gw-1", Clock())
        with pytest.raises(AuditUnavailable, match="OSError"):
            log.prepare()
