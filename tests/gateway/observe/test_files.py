"""Records in a folder: a file for each day and process, and nothing that is older than it may be."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.config_file import ConfigError
from gateway.key_files import write_pair
from gateway.observe.files import DayFiles, Kind
from gateway.observe.logs import Logs
from gateway.observe.opening import open_logs
from gateway.observe.pseudonyms import Pseudonyms
from gateway.observe.sealed import opened
from gateway.settings import LogSettings, SecurityLogSettings
from tests.support.disks import no_file_beyond
from tests.support.waiting import until_async

DAY = 86_400.0
NOON = 1_764_072_000.0  # 2025-11-25T12:00:00Z
MARK = "0123456789abcdef"


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


def kept(folder: Path, kind: Kind = "records", keep_days: int = 7, clock: Clock | None = None) -> DayFiles:
    return DayFiles(folder, kind, keep_days, now=clock or Clock())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def days(folder: Path) -> list[str]:
    return [name.split("-")[1] for name in names(folder)]


def test_each_day_has_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    clock = Clock()
    files = kept(tmp_path, clock=clock)
    assert names(tmp_path) == []
    for _ in range(2):
        files.write(b"one\n")
        files.write(b"two\n")
        clock.now += DAY
    assert days(tmp_path) == ["20251125", "20251126"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"one\ntwo\n"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_day_ends_at_midnight_in_utc(tmp_path: Path) -> None:
    clock = Clock()
    files = kept(tmp_path, clock=clock)
    for clock.now in (NOON + DAY / 2 - 0.001, NOON + DAY / 2):
        files.write(b"one\n")
    assert days(tmp_path) == ["20251125", "20251126"]


def test_processes_don_t_meet(tmp_path: Path) -> None:
    one, other = kept(tmp_path), kept(tmp_path)
    for files in (one, other, one):
        files.write(b"line\n")
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"line\n", b"line\nline\n"]


def test_what_is_too_old_goes_whoever_wrote_it_and_whatever_became_of_it(tmp_path: Path) -> None:
    old, young = f"records-20251117-{MARK}.jsonl", f"records-20251118-{MARK}.jsonl"
    foreign = ["records-20251101.jsonl", f"audit-{old}", f"{old}x", f"security-20251117-{MARK}.jsonl", "notes.txt"]
    for name in (old, f"{old}.gz", f"{old}.1", f"{old}~", f"{old}-copy", young, f"{young}.gz", *foreign):
        (tmp_path / name).touch()
    kept(tmp_path).tidy()
    assert names(tmp_path) == sorted([young, f"{young}.gz", *foreign])


def test_security_events_stay_longer(tmp_path: Path) -> None:
    clock = Clock()
    logs = open_logs(LogSettings(directory=tmp_path / "logs"))
    logs.process("ready")
    logs.security("policy", "refused")
    assert [name.split("-")[0] for name in names(tmp_path / "logs")] == ["records", "security"]
    clock.now += 8 * DAY
    for kind, keep_days in (("records", 7), ("security", 180)):
        (tmp_path / "logs" / f"{kind}-20251125-{MARK}.jsonl").touch()
        kept(tmp_path / "logs", kind, keep_days, clock).tidy()  # type: ignore[arg-type]
    assert [name.split("-")[0] for name in names(tmp_path / "logs") if "20251125" in name] == ["security"]


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        (LogSettings(directory=Path("logs"), security=SecurityLogSettings(destination="stdout")), "security"),
        (LogSettings(directory=Path("logs"), security=SecurityLogSettings(directory=Path("own"))), "security"),
        (LogSettings(security=SecurityLogSettings(directory=Path("logs"))), "records"),
    ],
)
def test_what_goes_elsewhere_now_is_deleted_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: LogSettings, kind: Kind
) -> None:
    monkeypatch.chdir(tmp_path)
    logs = open_logs(then)
    (tmp_path / "logs" / f"{kind}-20200101-{MARK}.jsonl").touch()
    for each in logs._kept:
        each.tidy()
    assert names(tmp_path / "logs") == []


def test_what_can_t_be_deleted_keeps_nothing_else(tmp_path: Path) -> None:
    for at in range(3):
        (tmp_path / f"records-2020010{at}-{MARK}.jsonl").mkdir()
    for at in range(40):
        (tmp_path / f"records-20200101-{at:016}.jsonl").touch()
    with pytest.raises(OSError, match=r"directory|permitted"):
        kept(tmp_path).tidy()
    assert len(names(tmp_path)) == 3


def test_a_link_in_the_folder_is_taken_away_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "logs" / f"records-20200101-{MARK}.jsonl").symlink_to(tmp_path / "theirs")
    (tmp_path / "logs" / f"records-20200101-{MARK}.jsonl.gz").symlink_to(tmp_path / "nowhere")
    kept(tmp_path / "logs").tidy()
    assert names(tmp_path / "logs") == []
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_clock_that_has_leapt_deletes_nothing_until_the_next_look(tmp_path: Path) -> None:
    clock, steady = Clock(), Clock()
    files = DayFiles(tmp_path, "records", 7, now=clock, clock=steady)
    files.tidy()
    files.write(b"one\n")
    clock.now += 300 * DAY
    steady.now += 3600
    files.tidy()
    assert days(tmp_path) == ["20251125"]
    clock.now += 3600
    steady.now += 3600
    files.tidy()
    assert days(tmp_path) == [], "it is what it is"


def test_a_clock_that_steps_over_midnight_and_back_loses_nothing(tmp_path: Path) -> None:
    clock = Clock()
    files = kept(tmp_path, clock=clock)
    for at in range(6):
        clock.now = NOON + DAY / 2 + (1 if at % 2 else -1)
        files.write(b"%d\n" % at)
        files.tidy()
    assert sorted(b"".join(path.read_bytes() for path in tmp_path.iterdir())) == sorted(b"0\n1\n2\n3\n4\n5\n")


def test_what_was_written_while_the_clock_was_ahead_is_kept_no_longer_than_the_rest(tmp_path: Path) -> None:
    clock = Clock()
    clock.now += 3000 * DAY
    kept(tmp_path, clock=clock).write(b"one\n")
    (packed,) = names(tmp_path)
    (tmp_path / f"{packed}.gz").touch()
    (tmp_path / f"records-20251126-{MARK}.jsonl").touch()  # of a machine whose clock is a little ahead
    kept(tmp_path).tidy()
    assert days(tmp_path) == ["20251125", "20251125", "20251126"]
    clock.now = NOON + 9 * DAY
    kept(tmp_path, clock=clock).tidy()
    assert names(tmp_path) == []


def test_a_file_that_was_taken_away_gets_no_more_lines(tmp_path: Path) -> None:
    """Nobody would ever read them."""
    folder = tmp_path / "logs"
    folder.mkdir()
    files = kept(folder)
    files.write(b"one\n")
    (first,) = folder.iterdir()
    first.unlink()
    files.write(b"two\n")
    folder.rename(tmp_path / "old")
    with pytest.raises(OSError, match="No such file"):
        files.write(b"three\n")
    folder.mkdir()
    files.write(b"four\n")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"three\nfour\n"]
    assert [path.read_bytes() for path in (tmp_path / "old").iterdir()] == [b"two\n"]


class Looked(DayFiles):
    """Says when it has looked at what is too old."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "records", 7)
        self.loop, self.looked = asyncio.get_running_loop(), asyncio.Event()

    def tidy(self) -> None:
        super().tidy()
        self.loop.call_soon_threadsafe(self.looked.set)


async def test_a_running_process_deletes(tmp_path: Path) -> None:
    old, files = tmp_path / f"records-20200101-{MARK}.jsonl", Looked(tmp_path)
    old.touch()
    watch = asyncio.create_task(Logs(files, Pseudonyms(b"k" * 32), kept=[files]).watch())
    async with asyncio.timeout(30):
        await files.looked.wait()
    watch.cancel()
    assert not old.exists()


async def test_a_running_process_writes_what_could_not_be_written(tmp_path: Path) -> None:
    files = kept(tmp_path)
    logs = Logs(files, Pseudonyms(b"k" * 32), kept=[files])
    with no_file_beyond(0):
        logs.process("ready")
    assert written(tmp_path) == b""
    watch = asyncio.create_task(logs.watch())
    await until_async(lambda: b"ready" in written(tmp_path))
    watch.cancel()


async def test_what_can_t_be_deleted_is_counted_and_tried_again(tmp_path: Path) -> None:
    failed = asyncio.Event()  # in the loop's own thread
    (tmp_path / f"records-20200101-{MARK}.jsonl").mkdir()
    logs = open_logs(LogSettings(directory=tmp_path), failed.set)
    watch = asyncio.create_task(logs.watch())
    async with asyncio.timeout(30):
        await failed.wait()
    assert not watch.done()
    watch.cancel()


def test_a_line_that_found_no_room_waits_and_nothing_of_it_is_in_the_file(tmp_path: Path) -> None:
    files = kept(tmp_path)
    files.write(b"one\n")
    with no_file_beyond(6), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        files.write(b"two and more\n")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one\n"]
    files.write(b"three\n")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one\ntwo and more\nthree\n"]


def test_a_line_that_comes_while_another_is_being_written_is_written_behind_it(tmp_path: Path) -> None:
    """As from a finaliser, wherever garbage is collected."""
    meanwhile = [b"two\n", b"three\n"]

    def now() -> float:
        if meanwhile:
            files.write(meanwhile.pop(0))
        return NOON

    files = DayFiles(tmp_path, "records", 7, now=now)
    writing = threading.Thread(target=files.write, args=(b"one\n",), daemon=True)
    writing.start()
    writing.join(60)
    assert not writing.is_alive()
    assert written(tmp_path) == b"one\ntwo\nthree\n"


def test_what_waits_is_written_without_another_line_and_at_the_end(tmp_path: Path) -> None:
    files = kept(tmp_path)
    for line, mended in ((b"one\n", files.retry), (b"two\n", files.close)):
        with no_file_beyond(0), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            files.write(line)
        mended()
        mended()
    assert written(tmp_path) == b"one\ntwo\n"


def test_what_waits_while_nothing_can_be_written_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observe.files.MOST_WAITING", 3)
    files = kept(tmp_path)
    with no_file_beyond(0):
        for number in range(5):
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                files.write(b"%d\n" % number)
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            files.retry()
    files.write(b"last\n")
    assert written(tmp_path) == b"0\n1\n2\nlast\n"


def test_a_process_that_ends_while_nothing_can_be_written_ends(tmp_path: Path) -> None:
    files = kept(tmp_path)
    with no_file_beyond(0):
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            files.write(b"one\n")
        files.close()


# Arguments: the folder, and a public key. Prints how many lines were written.
_WRITER = """
import sys, time
from pathlib import Path
from gateway.key_files import read_public_x25519
from gateway.observe.files import DayFiles
files = DayFiles(Path(sys.argv[1]), "records", 7, read_public_x25519(Path(sys.argv[2])), lambda: 1_764_072_000.0)
for at in range(1_000_000):
    files.write(b'{"n": %d}\\n' % at)
    print(at, flush=True)
"""


def test_processes_that_are_killed_lose_nothing_that_they_were_told_is_written(tmp_path: Path) -> None:
    private = X25519PrivateKey.generate()
    write_pair(tmp_path / "key.pem", private)
    (tmp_path / "logs").mkdir()
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "logs"), str(tmp_path / "key.pub.pem")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told: list[int] = []
    for child in children:
        assert child.stdout is not None
        first = [child.stdout.readline() for _ in range(50)]
        child.kill()
        told.append(len(first) + len(child.stdout.readlines()))
        child.wait()
        child.stdout.close()
    found = []
    for path in (tmp_path / "logs").iterdir():
        with path.open("rb") as file:
            texts = [each for each in opened(file, private) if isinstance(each, bytes)]
        assert [json.loads(text)["n"] for text in texts] == list(range(len(texts)))
        found.append(len(texts))
    assert len(found) == 2
    assert all(lines in (printed, printed + 1) for lines, printed in zip(sorted(found), sorted(told), strict=True))


def test_what_can_t_be_cut_off_stays_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "no more")

    files = kept(tmp_path)
    with no_file_beyond(6), monkeypatch.context() as patched:
        patched.setattr("gateway.observe.files.os.ftruncate", refuse)
        with pytest.raises(OSError, match="no more"):
            files.write(b"one and more\n")
    files.write(b"two\n")
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"one an", b"one and more\ntwo\n"]


def test_a_full_disk_is_counted_and_stops_nobody(tmp_path: Path) -> None:
    failures: list[None] = []
    logs = Logs(kept(tmp_path), Pseudonyms(b"k" * 32), failed=lambda: failures.append(None))
    with no_file_beyond(0):
        logs.process("ready")
        logs.process("stopped")
    assert len(failures) == 2
    logs.process("ready")
    assert written(tmp_path).count(b"\n") == 3


def test_a_folder_that_went_away_is_counted_and_written_to_when_it_is_back(tmp_path: Path) -> None:
    folder, failures = tmp_path / "logs", list[None]()
    logs = Logs(kept(folder), Pseudonyms(b"k" * 32), failed=lambda: failures.append(None))
    logs.process("ready")
    assert len(failures) == 1
    folder.mkdir()
    logs.process("ready")
    assert (len(failures), len(names(folder))) == (1, 1)


def test_after_the_end_another_file_begins(tmp_path: Path) -> None:
    files = kept(tmp_path)
    files.close()
    for _ in range(2):
        files.write(b"one\n")
        files.close()
    assert len(names(tmp_path)) == 2


def test_a_place_where_no_folder_can_be_made_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written"):
        open_logs(LogSettings(directory=tmp_path / "nowhere" / "logs"))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_stops_the_start(tmp_path: Path, mode: int) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 700"):
        open_logs(LogSettings(directory=tmp_path / "logs"))


def test_a_file_where_the_folder_should_be_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(ConfigError, match="can't be written"):
        open_logs(LogSettings(directory=tmp_path / "logs"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"directory": "logs", "destination": "stdout"},
        {"keep_days": 3},
        {"keep_days": 3, "destination": "stderr"},
        {"destination": "requests.log"},
        {"destination": 1},
        {"security": {"destination": "/var/log/security.log"}},
        {"security": {"keep_days": 3}},
        {"security": {"directory": "logs", "destination": "stderr"}},
        {"directory": "logs", "security": {"destination": "stderr", "keep_days": 3}},
        {"directory": "logs", "keep_days": 0},
        {"encrypt_to": "key"},
        {"encrypt_to": "key", "security": {"directory": "logs"}},
        {"encrypt_to": "key", "directory": "logs", "security": {"destination": "stderr"}},
    ],
)
def test_what_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"destination|directory|greater"):
        LogSettings.model_validate(wrong)


def test_security_events_may_have_a_folder_of_their_own(tmp_path: Path) -> None:
    own = SecurityLogSettings(directory=tmp_path / "security", keep_days=30)
    logs = open_logs(LogSettings(directory=tmp_path / "logs", security=own))
    logs.process("ready")
    logs.security("policy", "refused")
    logs.close()
    assert [[name.split("-")[0] for name in names(tmp_path / each)] for each in ("logs", "security")] == [
        ["records"],
        ["security"],
    ]


def test_a_line_that_found_no_room_keeps_its_number_in_an_encrypted_file(tmp_path: Path) -> None:
    private = X25519PrivateKey.generate()
    files = DayFiles(tmp_path, "records", 7, private.public_key(), Clock())
    files.write(b"one\n")
    (path,) = tmp_path.iterdir()
    with no_file_beyond(path.stat().st_size + 5), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        files.write(b"two\n")
    files.write(b"three\n")
    files.close()
    with path.open("rb") as file:
        assert list(opened(file, private)) == [b"one\n", b"two\n", b"three\n"]


def test_a_file_that_has_no_room_to_begin_is_not_there(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, "records", 7, X25519PrivateKey.generate().public_key(), Clock())
    with no_file_beyond(20), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        files.write(b"one\n")
    assert names(tmp_path) == []
    files.write(b"one\n")
    assert len(names(tmp_path)) == 1


def test_a_key_that_can_t_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("none")
    with pytest.raises(ConfigError, match="is not a public key"):
        open_logs(LogSettings(directory=tmp_path / "logs", encrypt_to=tmp_path / "key"))
