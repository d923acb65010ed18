"""Whether an audit log is as it was written: what was removed, altered, inserted, swapped or cut off, and where.

1. One walk over the files, line by line, in bounded memory. A finding names the file and the line.
2. Without a key the numbers and hashes are checked, with one the seals too. Whoever has the key could write it all
   anew, and the last lines can always be cut off; so a head that was told elsewhere (the store, a record) settles both
   for every line up to it.
3. A line that can't be trusted says nothing about where the next one belongs: one finding for one change, as far as
   that can be told.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from gateway.audit_log.lines import (
    MAX_LINE_BYTES,
    AuditKey,
    Call,
    Head,
    Header,
    Line,
    NewerFormat,
    NotALine,
    hash_of,
    machine_of,
    read_line,
)
from gateway.audit_log.reading import Rest, Source, pieces, sources
from gateway.state import Anchor

NOTHING: Final[Mapping[str, Anchor]] = {}

PROGRESS_LINES: Final = 10_000
MOST_OPEN: Final = 100_000  # calls that were asked and have no outcome yet; more are not followed
MOST_FINDINGS: Final = 1000  # kept; a log that was rewritten has one for each line


class Fault(enum.StrEnum):
    """What is not as it was written."""

    UNREADABLE = "unreadable"
    NEWER = "newer_format"
    ALTERED = "altered"
    LINK = "broken_link"
    MISSING = "missing_lines"
    MISSING_FILE = "missing_file"
    MISPLACED = "out_of_place"
    OTHER_CHAIN = "other_chain"
    NO_KEY = "unknown_key"
    TORN = "torn"
    CUT = "cut_off"
    OTHER_HEAD = "other_head"
    LOST = "lost"
    NO_HEAD = "no_such_chain"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one place. `fault` is None for what is worth knowing and may well be so."""

    file: str
    line: int | None
    fault: Fault | None
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}" if self.line is None else f"{self.file}:{self.line}: {self.text}"


@dataclass
class Report:
    """What a walk came to."""

    lines: int = 0
    files: int = 0
    heads: list[Head] = field(default_factory=list)  # of each chain, the last line that was found
    findings: list[Finding] = field(default_factory=list)
    unsaid: int = 0  # findings beyond MOST_FINDINGS

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.unsaid and all(finding.fault is None for finding in self.findings)

    def add(self, finding: Finding) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)
        else:
            self.unsaid += 1


def verify(
    paths: Sequence[Path],
    keys: Iterable[AuditKey] = (),
    heads: Iterable[Head] = (),
    *,
    remembered: Mapping[str, Anchor] = NOTHING,
    elsewhere: Collection[str] = (),
    collected: bool = False,
    progress: Callable[[int], None] = lambda lines: None,
) -> Report:
    """Folders, or files in the order in which they were written. `keys` are all that were used; without any, seals are
    not checked. `heads` were told elsewhere, and belong to chains that are here; `remembered` is what the store knows
    of chains, here or on other machines, and `elsewhere` names those that need not be here. `collected`: files are what
    processes printed, with other lines between, and may hold several chains one after the other. `progress` hears how
    many lines were read. Raises OSError."""
    report = Report()
    known = {key.id: key for key in keys}
    asked = list(heads)
    told = [*asked, *(Head(chain, anchor.number, anchor.hash) for chain, anchor in remembered.items())]
    walks: list[_Walk] = []
    _find_empty(paths, report)
    for _, group in groupby(sources(paths), lambda source: source.path.parent):
        walks.append(walk := _Walk(report, known, told, collected=collected, progress=progress))
        for source in group:
            walk.file(source)
        walk.end()
    if report.whole and not report.lines:
        report.add(Finding("-", None, Fault.MISSING, "no line of an audit log is here"))
    seen = {chain for walk in walks for chain in walk.chains}
    for head in asked:
        if head.chain not in seen:
            report.add(Finding("-", None, Fault.NO_HEAD, f"chain {head.chain}, of which a head was told, is not here"))
    begun = [] if collected else [header for walk in walks for header in walk.begun]
    for chain in sorted(remembered.keys() - seen - {*elsewhere}):
        report.add(_absent(chain, remembered[chain], begun))
    return report


def _find_empty(paths: Iterable[Path], report: Report) -> None:
    for path in paths:
        if path.is_dir() and not any(sources([path])):
            report.add(Finding(str(path), None, Fault.MISSING_FILE, "holds no file of an audit log"))


def _absent(chain: str, anchor: Anchor, begun: Iterable[Header]) -> Finding:
    """A chain of which the store alone knows."""
    text = f"the store remembers {anchor.number + 1} lines of chain {chain}, which is not here"
    fault = Fault.NO_HEAD if _was_replaced(anchor, begun) else None
    return Finding("-", None, fault, f"{text} (last told by {anchor.instance})")


def _was_replaced(anchor: Anchor, begun: Iterable[Header]) -> bool:
    """Whether the chain ended before one that is here was begun on the same machine: who takes a whole log away has the
    gateway begin another. Other machines' are not here, and those of two gateways on one run beside each other."""
    return any(
        machine_of(anchor.instance) == machine_of(header.instance)
        and anchor.at < datetime.fromisoformat(header.time).timestamp()
        for header in begun
    )


class _Walk:
    """Over the files of one folder."""

    def __init__(
        self,
        report: Report,
        keys: Mapping[str, AuditKey],
        told: Iterable[Head],
        *,
        collected: bool,
        progress: Callable[[int], None],
    ) -> None:
        self._report, self._keys, self._collected, self._progress = report, keys, collected, progress
        self._told: dict[tuple[str, int], list[Head]] = {}
        for head in told:
            self._told.setdefault((head.chain, head.n), []).append(head)
        self.chains: set[str] = set()
        self.begun: list[Header] = []  # of chains whose beginning is here
        self._path, self._at = "", 0  # where we are
        self._header: Header | None = None  # of the file, or of the last one that had one
        self._first: Header | None = None  # of the chain
        self._next: int | None = None  # the number that belongs here; None: any
        self._before: str | None = None  # the hash of the line before; None: it can't be trusted
        self._doubtful = 0  # lines before that can't be trusted: each may stand in a line's place or not
        self._next_file = 1
        self._entered = self._newer = False  # whether this file has had its header, or one of a version to come
        self._last: Head | None = None
        self._last_known = True  # not where lines of a version to come are behind it
        self._deleted = 0
        self._rest = Rest()
        self._open: dict[str, tuple[str, int, str]] = {}

    def file(self, source: Source) -> None:
        self._path, self._at = str(source.path), 0
        self._entered = self._newer = False
        self._report.files += 1
        with source.path.open("rb") as file:
            for piece in pieces(file):
                if not isinstance(piece, Rest):
                    self._at += 1
                    self._line(piece, source)
                elif not self._collected:
                    self._rest = piece
        if self._at == 0 and not self._collected:
            self._report.add(Finding(self._path, None, Fault.UNREADABLE, "holds no line"))
        if not self._entered:
            self._next_file += 1

    def end(self) -> None:
        if self._rest.bytes:
            self._unfinished("the last line was never finished, or cut")
        self._end_chain()

    # ---- a line ------------------------------------------------------------------------------------------------------

    def _line(self, raw: bytes | None, source: Source) -> None:
        line = self._read(raw)
        if line is None or raw is None:
            return
        self._report.lines += 1
        if self._report.lines % PROGRESS_LINES == 0:
            self._progress(self._report.lines)
        if isinstance(line, Header):
            if not self._enter(line, source):
                return
        elif self._at == 1 if not self._collected else self._header is None and self._next is None:
            self._say(Fault.MISSING, "the header that belongs before it is missing")
        if not self._sealed(raw):
            self._doubt()
            return
        self._place(line, raw)
        if isinstance(line, Call):
            self._follow(line)

    def _read(self, raw: bytes | None) -> Line | None:
        """None: what it is was said, or it is somebody else's."""
        if self._newer:
            return None
        if self._collected and (raw is None or not raw.startswith(b'{"kind":"')):
            return None
        try:
            if raw is not None:
                return read_line(raw)
            self._say(Fault.ALTERED, f"is longer than any line of ours ({MAX_LINE_BYTES} bytes)")
        except NewerFormat:
            self._newer, self._last_known, self._rest = True, False, Rest()
            self._say(Fault.NEWER, "is of a format that this version does not know, and so are the lines behind it")
        except NotALine:
            self._say(Fault.ALTERED, "was altered or inserted: it is no line of ours as it stands")
        self._doubt()
        return None

    def _doubt(self) -> None:
        self._before = None
        self._doubtful += 1

    def _sealed(self, raw: bytes) -> bool:
        """Whether the line is under the key that its file's header names, as far as that key is here."""
        key = self._keys.get(self._header.key) if self._header else None
        if key is None or key.has_sealed(raw):
            return True
        self._say(Fault.ALTERED, "was altered or inserted: its seal is not that of the key")
        return False

    def _place(self, line: Line, raw: bytes) -> None:
        """Whether it is the line that belongs here; if so, the next one belongs behind it."""
        expected = self._next
        if expected is not None and expected < line.n <= expected + self._doubtful:
            expected = line.n  # the doubtful ones stood in lines' places, and were not inserted
        if expected is not None and line.n < expected:
            self._say(Fault.MISPLACED, f"line {line.n} stands here again, or too late: {expected} belongs here")
            self._doubt()
            return
        if expected is not None and line.n > expected:
            self._say(Fault.MISSING, f"{_lines(expected, line.n - 1)} missing before it")
        elif self._before is not None and line.before != self._before:
            self._say(Fault.LINK, "does not continue the line before it: one of the two was replaced")
        self._reach(line.n, hash_of(raw))

    def _reach(self, n: int, digest: str) -> None:
        self._next, self._before, self._doubtful = n + 1, digest, 0
        chain = self._header.chain if self._header else ""
        self._last = Head(chain, n, digest)
        told = self._told.pop((chain, n), ())
        if not all(head.is_of(digest) for head in told):
            self._say(Fault.OTHER_HEAD, f"line {n} is not the one that was told elsewhere: the log was written anew")

    def _follow(self, call: Call) -> None:
        """What was asked has an outcome."""
        if call.outcome == "asked":
            if len(self._open) < MOST_OPEN:
                self._open[call.request_id] = self._path, self._at, call.action
        else:
            self._open.pop(call.request_id, None)

    # ---- a file's header ---------------------------------------------------------------------------------------------

    def _enter(self, header: Header, source: Source) -> bool:
        """Whether it stands where a header may."""
        if self._at != 1 and not self._collected:
            self._say(Fault.MISPLACED, "is another file's header")
            return False
        self._check_key(header)
        self._check_name(header, source)
        self._entered = True
        before, self._header = self._header, header
        if before is None or before.chain != header.chain:
            self._begin(before, header)
        elif header.file != self._next_file:
            self._out_of_order(header)
        self._next_file = header.file + 1
        self._check_rest(header)
        self._deleted = max(self._deleted, header.deleted)
        if header.lost is not None:
            self._say(Fault.LOST, f"the store remembered {header.lost}, which was not in the log when this was written")
        return True

    def _begin(self, before: Header | None, header: Header) -> None:
        if before is not None:
            if not self._collected:
                self._say(Fault.OTHER_CHAIN, f"begins another chain ({header.chain})")
            self._end_chain()
        self.chains.add(header.chain)
        self._first, self._deleted, self._doubtful = header, 0, 0
        alone = header.file == 1  # nothing was before it
        if alone:
            self.begun.append(header)
        self._next, self._before = (0, "") if alone else (header.n, None)

    def _out_of_order(self, header: Header) -> None:
        if header.file < self._next_file:
            self._say(Fault.MISPLACED, f"is file {header.file}, and {self._next_file} belongs here")
            return
        last = header.file - 1
        files = f"file {last} is" if last == self._next_file else f"files {self._next_file} to {last} are"
        with_it = f" with {_lines(self._next, header.n - 1)}" if self._next is not None else ""
        self._say(Fault.MISSING_FILE, f"{files} missing before it{with_it}")
        self._next, self._before, self._rest = header.n, None, Rest()

    def _check_key(self, header: Header) -> None:
        if self._keys and header.key not in self._keys:
            self._say(Fault.NO_KEY, f"is sealed with the key {header.key}, which was not given")

    def _check_name(self, header: Header, source: Source) -> None:
        name = source.name
        if name is not None and (name.number, name.day) != (header.file, header.time[:10].replace("-", "")):
            self._say(Fault.MISPLACED, "bears another file's name than it was written under")

    def _check_rest(self, header: Header) -> None:
        rest, self._rest = self._rest, Rest()
        torn = header.torn
        if (rest.bytes, rest.sha256) == ((torn.bytes, torn.sha256) if torn else (0, "")):
            if torn:
                self._say(None, f"says that the file before ends in {torn.bytes} bytes that were never finished")
        elif torn is None:
            self._rest = rest
            self._unfinished("the file before ends in a line that was cut")
        else:
            self._say(Fault.TORN, "says of the end of the file before what is not there")

    def _unfinished(self, text: str) -> None:
        self._say(Fault.TORN, f"{text} ({self._rest.bytes} bytes)")

    # ---- the end of a chain ------------------------------------------------------------------------------------------

    def _end_chain(self) -> None:
        first, last = self._first, self._last
        if first is None or last is None:
            return
        if first.file > 1 and self._deleted < first.file - 1:
            text = f"is file {first.file}, and nothing says that those before it were deleted"
            self._report.add(Finding(self._path, None, Fault.MISSING_FILE, text))
        self._report.heads.append(last)
        for n in [n for chain, n in self._told if chain == first.chain]:
            self._unmet(n, first, last)
        for path, at, action in self._open.values():
            text = f"{action} was asked, and nothing says what became of it: under way, or the gateway ended"
            self._report.add(Finding(path, at, None, text))
        self._open.clear()
        self._first = self._last = None

    def _unmet(self, n: int, first: Header, last: Head) -> None:
        if n < first.n:
            text = f"line {n}, that was told elsewhere, is older than what was kept"
            self._report.add(Finding(self._path, None, None, text))
        elif n > last.n and self._last_known:
            text = f"ends with line {last.n}: {_lines(last.n + 1, n)} cut off; the last of them was told elsewhere"
            self._report.add(Finding(self._path, self._at, Fault.CUT, text))

    def _say(self, fault: Fault | None, text: str) -> None:
        """Of the line where we are."""
        self._report.add(Finding(self._path, self._at, fault, text))


def _lines(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first} to {last}"
