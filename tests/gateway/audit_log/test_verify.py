"""What a walk over an audit log finds, and where."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit_log import Outcome
from gateway.audit_log.files import Folder
from gateway.audit_log.lines import Head, parse_head
from gateway.audit_log.stream import Stream
from gateway.audit_log.verify import Fault, Report, verify
from gateway.state import Anchor
from tests.gateway.audit_log.changes import KINDS, OTHER, Change, apply, write
from tests.gateway.audit_log.support import DAY, KEY, NOON, Clock, call, files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three days of four calls each: files of five, five and five lines."""
    write(tmp_path, [4, 4, 4])
    return tmp_path


def walked(path: Path, *heads: Head) -> Report:
    return verify([path / "audit"], [KEY], heads)


def faults(report: Report) -> list[tuple[Fault | None, str, int | None]]:
    return [(found.fault, Path(found.file).name[:12], found.line) for found in report.findings]


def edit(file: Path, change: Callable[[list[bytes]], object]) -> None:
    raw = file.read_bytes().splitlines(keepends=True)
    change(raw)
    file.write_bytes(b"".join(raw))


def test_a_log_as_it_was_written_is_whole(path: Path) -> None:
    report = walked(path)
    assert report.whole
    assert (report.lines, report.files, [head.n for head in report.heads]) == (15, 3, [14])
    assert walked(path, *report.heads).whole
    assert verify(files(path), [KEY]).whole
    assert verify([path / "audit"]).whole


def test_a_removed_line_is_missed_where_it_stood(path: Path) -> None:
    edit(files(path)[1], lambda raw: raw.pop(2))
    assert faults(walked(path)) == [(Fault.MISSING, "audit-000002", 3)]
    assert str(walked(path).findings[0]).endswith("audit-000002-20251126.jsonl:3: line 7 missing before it")


def test_a_line_that_is_removed_between_files_is_missed(path: Path) -> None:
    edit(files(path)[0], lambda raw: raw.pop())
    assert faults(walked(path)) == [(Fault.MISSING, "audit-000002", 1)]


def test_an_altered_line_is_found_with_the_key_by_its_seal(path: Path) -> None:
    def change(raw: list[bytes]) -> None:
        raw[3] = raw[3].replace(b'"subject":"vexlo"', b'"subject":"vexla"')

    edit(files(path)[1], change)
    assert faults(walked(path)) == [(Fault.ALTERED, "audit-000002", 4)]
    assert faults(verify([path / "audit"])) == [(Fault.LINK, "audit-000002", 5)]


def test_the_last_line_of_all_is_sealed_as_well(path: Path) -> None:
    def change(raw: list[bytes]) -> None:
        raw[-1] = raw[-1].replace(b'"done"', b'"asked"')

    edit(files(path)[2], change)
    assert faults(walked(path)) == [(Fault.ALTERED, "audit-000003", 5)]


def test_swapped_doubled_and_inserted_lines_are_out_of_place(path: Path) -> None:
    whole = files(path)[0].read_bytes()

    def swap(raw: list[bytes]) -> None:
        raw[2], raw[3] = raw[3], raw[2]

    edit(files(path)[0], swap)
    found = [(Fault.MISSING, "audit-000001", 3), (Fault.MISPLACED, "audit-000001", 4)]
    assert faults(walked(path)) == found
    files(path)[0].write_bytes(whole)
    edit(files(path)[0], lambda raw: raw.insert(3, raw[2]))
    assert faults(walked(path)) == [(Fault.MISPLACED, "audit-000001", 4)]
    files(path)[0].write_bytes(whole)
    edit(files(path)[0], lambda raw: raw.insert(3, b'{"kind":"call"}\n'))
    assert faults(walked(path)) == [(Fault.ALTERED, "audit-000001", 4)]


def test_a_line_of_another_log_under_the_same_key_is_found(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    write(other, [4])
    foreign = files(other)[0].read_bytes().splitlines(keepends=True)

    def change(raw: list[bytes]) -> None:
        raw[2] = foreign[2]

    edit(files(path)[0], change)
    assert Fault.LINK in {found.fault for found in walked(path).findings}


def test_what_was_cut_off_shows_by_the_head_that_was_told(path: Path) -> None:
    head = walked(path).heads[0]
    edit(files(path)[2], lambda raw: raw.__delitem__(slice(3, None)))
    assert walked(path).whole
    assert faults(walked(path, head)) == [(Fault.CUT, "audit-000003", 3)]
    assert faults(walked(path, parse_head(str(head)))) == [(Fault.CUT, "audit-000003", 3)]
    files(path)[2].unlink()
    assert "lines 10 to 14 cut off" in walked(path, head).findings[0].text


def test_a_log_that_somebody_with_the_key_wrote_anew_shows_by_the_head(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    head = walked(path).heads[0]
    forged = tmp_path_factory.mktemp("forged")
    write(forged, [4, 4, 5])
    found = walked(forged, Head(walked(forged).heads[0].chain, head.n, head.hash))
    assert [fault for fault, _, _ in faults(found)] == [Fault.OTHER_HEAD]
    assert [fault for fault, _, _ in faults(walked(forged, head))] == [Fault.NO_HEAD]


def test_a_line_that_was_cut_in_the_middle_is_told_of(path: Path) -> None:
    last = files(path)[2]
    last.write_bytes(last.read_bytes()[:-9])
    assert faults(walked(path)) == [(Fault.TORN, "audit-000003", 4)]


def test_a_torn_line_that_the_next_file_tells_of_is_no_fault(path: Path) -> None:
    with files(path)[2].open("ab") as file:
        file.write(b'{"kind":"call","n":15,')
    log = Folder(path / "audit", KEY, "gw-1", 180, Clock(NOON + 2 * DAY))
    log.append(call(outcome=Outcome.DONE))
    report = walked(path)
    assert report.whole
    assert "22 bytes that were never finished" in report.findings[0].text
    with files(path)[2].open("ab") as file:
        file.write(b" ")
    assert faults(walked(path)) == [(Fault.TORN, "audit-000004", 1)]


@pytest.mark.parametrize(("at", "place"), [(0, "audit-000003"), (1, "audit-000003")])
def test_a_removed_file_is_missed(path: Path, at: int, place: str) -> None:
    files(path)[at].unlink()
    assert faults(walked(path)) == [(Fault.MISSING_FILE, place, None if at == 0 else 1)]


def test_files_that_were_deleted_in_time_are_not_missed(tmp_path: Path) -> None:
    write(tmp_path, [1, 1, 1, 1, 1], keep_days=2)
    assert [file.name[:12] for file in files(tmp_path)] == ["audit-000003", "audit-000004", "audit-000005"]
    assert walked(tmp_path).whole
    files(tmp_path)[0].unlink()
    assert faults(walked(tmp_path)) == [(Fault.MISSING_FILE, "audit-000005", None)]


def test_files_that_change_their_names_are_out_of_place(path: Path) -> None:
    first, second, _ = files(path)
    first.rename(path / "aside")
    second.rename(first)
    (path / "aside").rename(second)
    found = {fault for fault, _, _ in faults(walked(path))}
    assert Fault.MISPLACED in found


def test_another_chain_s_file_is_found(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    write(other, [1, 1, 1, 1])
    shutil.copy(files(other)[3], path / "audit")
    assert (Fault.OTHER_CHAIN, "audit-000004", 1) in faults(walked(path))


def test_a_key_that_was_not_given_is_asked_for(path: Path) -> None:
    found = faults(verify([path / "audit"], [OTHER]))
    assert found == [(Fault.NO_KEY, f"audit-00000{at}", 1) for at in (1, 2, 3)]


def test_keys_may_change_and_both_are_needed(path: Path) -> None:
    Folder(path / "audit", OTHER, "gw-1", 180, Clock(NOON + 2 * DAY)).append(call(outcome=Outcome.DONE))
    assert verify([path / "audit"], [KEY, OTHER]).whole
    assert faults(walked(path)) == [(Fault.NO_KEY, "audit-000004", 1)]


def test_a_header_that_was_altered_is_one_finding(path: Path) -> None:
    def change(raw: list[bytes]) -> None:
        raw[0] = raw[0].replace(b"gw-1", b"gw-2")

    edit(files(path)[1], change)
    assert faults(walked(path)) == [(Fault.ALTERED, "audit-000002", 1)]
    edit(files(path)[1], lambda raw: raw.__setitem__(0, b"{}\n"))
    assert faults(walked(path)) == [(Fault.ALTERED, "audit-000002", 1)]


def test_a_format_to_come_is_named_and_not_judged(path: Path) -> None:
    def change(raw: list[bytes]) -> None:
        raw[0] = raw[0].replace(b'"format":1', b'"format":2,"new":true')
        raw[1] = b'{"kind":"other"}\n'

    edit(files(path)[2], change)
    assert faults(walked(path)) == [(Fault.NEWER, "audit-000003", 1)]


def test_what_was_lost_stays_on_record(path: Path) -> None:
    head = walked(path).heads[0]
    Folder(path / "audit", KEY, "gw-1", 180, Clock(NOON + 2 * DAY)).tidy(Head(head.chain, 99, "a" * 64))
    assert faults(walked(path)) == [(Fault.LOST, "audit-000004", 1)]


def test_what_was_asked_and_has_no_outcome_is_worth_knowing(path: Path) -> None:
    log = Folder(path / "audit", KEY, "gw-1", 180, Clock(NOON + 2 * DAY))
    for request in (900, 901, 902):
        log.append(call(request, Outcome.ASKED))
    log.append(call(901, Outcome.DONE))
    report = walked(path)
    assert report.whole
    assert [found.line for found in report.findings] == [6, 8]
    assert "revoke was asked" in report.findings[0].text


def test_a_line_without_end_takes_no_memory(path: Path) -> None:
    with files(path)[2].open("ab") as file:
        file.write(b"a" * 200_000 + b"\n" + b"b" * 200_000)
    assert [fault for fault, _, _ in faults(walked(path))] == [Fault.ALTERED, Fault.TORN]


def test_an_empty_file_holds_nothing(path: Path) -> None:
    files(path)[2].write_bytes(b"")
    assert (Fault.UNREADABLE, "audit-000003", None) in faults(walked(path))


@pytest.mark.parametrize("collected", [False, True])
def test_a_log_that_was_taken_away_whole_is_missed(path: Path, *, collected: bool) -> None:
    for file in files(path):
        file.unlink()
    report = verify([path / "audit"], [KEY], collected=collected)
    assert faults(report) == [(Fault.MISSING_FILE, "audit", None)]
    (path / "pod.log").write_text("what a process prints\n")
    report = verify([path / "pod.log"], [KEY], collected=True)
    assert [(found.fault, found.text) for found in report.findings] == [
        (Fault.MISSING, "no line of an audit log is here")
    ]


@pytest.mark.parametrize(
    ("instance", "before", "fault"),
    [("gw-00000002", 1, Fault.NO_HEAD), ("gw-00000002", -1, None), ("other-00000002", 1, None)],
)
def test_a_chain_that_ended_before_another_began_on_its_machine_is_missed(
    path: Path, instance: str, before: int, fault: Fault | None
) -> None:
    """One of another machine, or of a gateway that runs beside this one, need not be here."""
    anchor = Anchor(6, "a" * 64, instance, NOON - before)
    gone = "0" * 16
    report = verify([path / "audit"], [KEY], remembered={gone: anchor})
    assert [found.fault for found in report.findings] == [fault]
    assert report.whole == (fault is None)
    assert not verify([path / "audit"], [KEY], remembered={gone: anchor}, elsewhere=[gone]).findings


def test_progress_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.audit_log.verify.PROGRESS_LINES", 5)
    heard: list[int] = []
    verify([path / "audit"], [KEY], progress=heard.append)
    assert heard == [5, 10, 15]


def test_findings_are_counted_where_there_are_too_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.audit_log.verify.MOST_FINDINGS", 2)
    report = verify([path / "audit"], [OTHER])
    assert (len(report.findings), report.unsaid, report.whole) == (2, 1, False)


def test_what_processes_printed_may_hold_other_lines_and_several_chains(tmp_path: Path) -> None:
    printed = tmp_path / "pod.log"
    with printed.open("wb") as stream:
        for _ in range(2):
            log = Stream(stream, KEY, "gw-1", Clock())
            log.append(call(1, Outcome.DONE))
            stream.write(b'{"event":"request","status":200}\n')
            log.append(call(2, Outcome.DONE))
    report = verify([printed], [KEY], collected=True)
    assert report.whole
    assert [head.n for head in report.heads] == [2, 2]
    edit(printed, lambda raw: raw.pop(1))
    assert faults(verify([printed], [KEY], collected=True)) == [(Fault.MISSING, "pod.log", 3)]
    edit(printed, lambda raw: raw.pop(0))
    assert (Fault.MISSING, "pod.log", 2) in faults(verify([printed], [KEY], collected=True))


# ---- any one change --------------------------------------------------------------------------------------------------


@given(
    days=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    change=st.builds(Change, st.sampled_from(KINDS), st.integers(0, 1 << 32)),
)
def test_any_one_change_is_found(days: list[int], change: Change) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fsync", lambda descriptor: None)  # no power is cut here
        log = Path(name)
        head = write(log, days)
        assert walked(log, head).whole
        different = apply(change, log)
        assert walked(log, head).whole is not different
        if different:
            assert not verify([log / "audit"], heads=[head]).whole  # nor does it take the key
