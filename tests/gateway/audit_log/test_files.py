"""The folder of an audit log: one chain, whoever writes, and whatever befalls it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from gateway.audit_log import AuditUnavailable, AuditUnfit
from gateway.audit_log.lines import AuditKey, Head, Header, hash_of, read_line
from tests.gateway.audit_log.support import DAY, KEY, NOON, Clock, call, files, folder, lines


@pytest.fixture(autouse=True)
def _audit(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir(mode=0o700)


def chained(path: Path) -> list[Head]:
    """Each line's head, once it is clear that each follows the one before and is sealed."""
    heads: list[Head] = []
    for raw in lines(path):
        line = read_line(raw)
        assert KEY.has_sealed(raw)
        assert (line.n, line.before) == (len(heads), heads[-1].hash if heads else "")
        heads.append(Head("", line.n, hash_of(raw)))
    return heads


def test_lines_follow_each_other_over_restarts(tmp_path: Path) -> None:
    first = folder(tmp_path)
    assert first.prepare().n == 0
    assert [first.append(call(at)).n for at in range(3)] == [1, 2, 3]
    assert folder(tmp_path).append(call(9)).n == 4
    heads = chained(tmp_path)
    assert folder(tmp_path).prepare().hash == heads[-1].hash
    assert len(heads) == 5


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "audit").rmdir()
    folder(tmp_path).prepare()
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)] == [0o600]


def test_two_writers_share_one_chain(tmp_path: Path) -> None:
    one, other = folder(tmp_path), folder(tmp_path)
    for at in range(6):
        (one, other)[at % 2].append(call(at))
    assert len(chained(tmp_path)) == 7


def test_a_day_has_a_file_and_the_next_one_continues_it(tmp_path: Path) -> None:
    clock = Clock()
    log = folder(tmp_path, clock)
    for _ in range(3):
        log.append(call())
        clock.now += DAY
    assert [path.name for path in files(tmp_path)] == [
        "audit-000001-20251125.jsonl",
        "audit-000002-20251126.jsonl",
        "audit-000003-20251127.jsonl",
    ]
    assert len(chained(tmp_path)) == 6
    assert len({json.loads(path.read_bytes().splitlines()[0])["chain"] for path in files(tmp_path)}) == 1


def test_a_clock_that_goes_back_begins_a_file_too(tmp_path: Path) -> None:
    clock = Clock()
    log = folder(tmp_path, clock)
    log.append(call())
    clock.now -= DAY
    log.append(call())
    assert [path.name for path in files(tmp_path)] == ["audit-000001-20251125.jsonl", "audit-000002-20251124.jsonl"]
    assert len(chained(tmp_path)) == 4


def test_what_is_too_old_goes_and_the_first_that_stays_says_so(tmp_path: Path) -> None:
    clock = Clock()
    log = folder(tmp_path, clock, keep_days=2)
    log.append(call())
    for _ in range(4):
        clock.now += DAY
        log.append(call())
    kept = files(tmp_path)
    assert [path.name[:12] for path in kept] == ["audit-000003", "audit-000004", "audit-000005"]
    last = read_line(kept[-1].read_bytes().splitlines()[0])
    assert isinstance(last, Header)
    assert last.deleted == 2


def test_what_is_too_old_goes_also_where_nothing_is_written(tmp_path: Path) -> None:
    clock = Clock()
    log = folder(tmp_path, clock, keep_days=30)
    log.append(call())
    clock.now += 31 * DAY
    head = log.tidy()
    assert [path.name[:12] for path in files(tmp_path)] == ["audit-000002"]
    assert log.tidy() == head


@pytest.mark.parametrize("torn", [b"{", b'{"kind":"call","n":2', b"\x00" * 512, "半".encode()[:2]])
def test_a_torn_line_is_told_of_and_stays_where_it_is(tmp_path: Path, torn: bytes) -> None:
    log = folder(tmp_path)
    acknowledged = log.append(call(1))
    before = files(tmp_path)[0]
    with before.open("ab") as file:
        file.write(torn)
    log.append(call(2))
    assert before.read_bytes().endswith(b"\n" + torn)
    header = read_line(files(tmp_path)[1].read_bytes().splitlines()[0])
    assert isinstance(header, Header)
    assert header.torn is not None
    assert (header.torn.bytes, header.torn.sha256) == (len(torn), hash_of(torn))
    assert (header.n, header.before) == (acknowledged.n + 1, acknowledged.hash)


def test_another_key_begins_another_file(tmp_path: Path) -> None:
    folder(tmp_path).append(call())
    other = AuditKey(b"o" * 32)
    folder(tmp_path, key=other).append(call())
    first, second = (path.read_bytes().splitlines() for path in files(tmp_path))
    assert all(KEY.has_sealed(raw) for raw in first)
    assert all(other.has_sealed(raw) for raw in second)
    assert read_line(second[0]).before == hash_of(first[-1])


def test_a_log_that_was_shortened_while_it_was_written_is_written_to_no_more(tmp_path: Path) -> None:
    log = folder(tmp_path)
    log.append(call(1))
    log.append(call(2))
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(AuditUnavailable, match="no longer holds"):
        log.append(call(3))
    path.unlink()
    with pytest.raises(AuditUnavailable, match="no longer holds"):
        log.append(call(3))
    path.write_bytes(whole)
    path.chmod(0o600)
    assert log.append(call(3)).n == 3


@pytest.mark.parametrize("at", [0, 1])
def test_a_header_or_a_last_line_that_is_not_ours_is_not_built_upon(tmp_path: Path, at: int) -> None:
    folder(tmp_path).append(call())
    path = files(tmp_path)[0]
    raw = path.read_bytes().splitlines(keepends=True)
    raw[at] = raw[at].replace(b"gw-1", b"gw-2")
    path.write_bytes(b"".join(raw))
    with pytest.raises(AuditUnavailable, match="damaged"):
        folder(tmp_path).append(call())
    assert path.read_bytes() == b"".join(raw)


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    folder(tmp_path).prepare()
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(AuditUnfit, match="newer version"):
        folder(tmp_path).append(call())


def test_a_file_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    folder(tmp_path).prepare()
    (tmp_path / "audit" / ".audit-new").write_bytes(b"half")
    other = AuditKey(b"o" * 32)
    folder(tmp_path, key=other).append(call())
    assert len(files(tmp_path)) == 2
    assert not (tmp_path / "audit" / ".audit-new").exists()


def test_places_that_are_not_fit_are_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "audit"
    open_to_all.chmod(0o777)
    with pytest.raises(AuditUnfit, match="chmod 700"):
        folder(tmp_path).prepare()
    with pytest.raises(AuditUnfit, match="No such file"):
        folder(tmp_path / "nowhere").prepare()
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "audit").write_text("")
    with pytest.raises(AuditUnfit):
        folder(tmp_path / "file").prepare()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder(tmp_path).prepare()
    files(tmp_path)[0].chmod(0o644)
    with pytest.raises(AuditUnfit, match="chmod 600"):
        folder(tmp_path).append(call())


def test_links_lead_nowhere(tmp_path: Path) -> None:
    folder(tmp_path).prepare()
    path = files(tmp_path)[0]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditUnfit):
        folder(tmp_path).append(call())


def test_it_knows_which_lines_it_has(tmp_path: Path) -> None:
    clock = Clock(NOON)
    log = folder(tmp_path, clock)
    heads = [log.prepare(), log.append(call(1))]
    clock.now += DAY
    heads.append(log.append(call(2)))
    assert all(folder(tmp_path).holds(head) for head in heads)
    assert not log.holds(Head(heads[0].chain, 1, heads[2].hash))
    assert not log.holds(Head(heads[0].chain, 9, heads[2].hash))
    os.unlink(files(tmp_path)[0])
    assert folder(tmp_path).holds(heads[1])  # what was deleted in time; whether it was, `verify` says


def test_what_was_remembered_and_is_not_there_is_on_record(tmp_path: Path) -> None:
    log = folder(tmp_path)
    head = log.append(call())
    remembered = Head(head.chain, 7, "a" * 64)
    log.tidy(remembered)
    header = read_line(files(tmp_path)[1].read_bytes().splitlines()[0])
    assert isinstance(header, Header)
    assert header.lost == f"{head.chain}:7:{'a' * 32}"


def test_who_can_t_seal_a_line_has_nothing_said_to_be_lost(tmp_path: Path) -> None:
    """He cut the last line off, and put a file behind it that tells of that, under a key of his or with our key's
    name."""
    log = folder(tmp_path)
    log.prepare()
    known = log.append(call())
    first = files(tmp_path)[0]
    first.write_bytes(first.read_bytes().splitlines(keepends=True)[0])
    his = AuditKey(b"f" * 32)
    folder(tmp_path, key=his).tidy(known)
    assert not folder(tmp_path).holds(known)
    forged = files(tmp_path)[-1]
    forged.write_bytes(forged.read_bytes().replace(his.id.encode(), KEY.id.encode()))
    with pytest.raises(AuditUnavailable, match="is damaged"):
        folder(tmp_path).holds(known)
