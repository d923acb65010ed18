"""The audit log: how soon a record is on the disk, how fast a log is verified, and which changes to one are found.

    python -m tests.bench.bench_audit_log [--records 100] [--lines 10000] [--changes 2000] [--json FILE]

Records are written by one process, and by four that share a folder, each as fast as it can; by one also beside 180
files of days before. A log is verified in a process of its own, whose memory is the kernel's account of it. A change is
one of those of tests/gateway/audit_log/changes.py to a log of three days, by chance.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gateway.audit_log import Outcome
from gateway.audit_log.verify import verify
from tests.gateway.audit_log.changes import KINDS, Change, apply, write
from tests.gateway.audit_log.support import DAY, KEY, NOON, Clock, call, folder

PROCESSES, DAYS, PER_DAY = 4, 180, 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=2_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "written by one, ms": _in_folder(lambda path: writing(path, 1, options.records)),
        "written by one beside 180 files, ms": _in_folder(lambda path: writing(path, 1, options.records, DAYS)),
        f"written by {PROCESSES}, ms": _in_folder(lambda path: writing(path, PROCESSES, options.records)),
        "verified": _in_folder(lambda path: verifying(path, options.lines)),
        "changes not found": _in_folder(lambda path: changing(path, options.changes)),
    }
    for name, figure in figures.items():
        print(f"{name:36} {json.dumps(figure)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def _in_folder(work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as path:
        return work(Path(path))


def writing(path: Path, processes: int, records: int, days: int = 0) -> dict[str, Any]:
    """Milliseconds for a record, as who writes it waits for it."""
    _fill(path, days, 1)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        times = [each for some in pool.starmap(_timed, [(path, records, days)] * processes) for each in some]
    return {"median": _ms(statistics.median(times)), "p99": _ms(sorted(times)[int(len(times) * 0.99)])}


def _timed(path: Path, records: int, days: int) -> list[float]:
    log, times = folder(path, Clock(NOON + days * DAY)), []
    for at in range(records):
        began = time.perf_counter()
        log.append(call(at, Outcome.DONE))
        times.append(time.perf_counter() - began)
    return times


def verifying(path: Path, lines: int) -> dict[str, Any]:
    _fill(path, lines // PER_DAY, PER_DAY)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_verified, (path,))


def _verified(path: Path) -> dict[str, Any]:
    before, began = _resident(), time.perf_counter()
    report = verify([path / "audit"], [KEY])
    seconds = time.perf_counter() - began
    assert report.whole
    size = sum(each.stat().st_size for each in (path / "audit").iterdir())
    return {
        "lines": report.lines,
        "MB": round(size / 1e6),
        "lines per second": round(report.lines / seconds),
        "memory more than before, MiB": round(_resident() - before, 1),
    }


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def changing(path: Path, changes: int) -> dict[str, Any]:
    """Of each kind of change: how many there were, and how many of them were not found with what."""
    made: Counter[str] = Counter()
    missed = {name: Counter[str]() for name in ("key and head", "head alone", "key alone", "neither")}
    with patch("os.fsync"):
        head = write(path, [4, 4, 4])
    whole = {each: each.read_bytes() for each in (path / "audit").iterdir()}
    rng = random.Random(7)
    while made.total() < changes:
        for each, raw in whole.items():
            each.write_bytes(raw)
        change = Change(rng.choice(KINDS), rng.randrange(1 << 32))
        if not apply(change, path):
            continue
        made[change.kind] += 1
        for count, (keys, heads) in zip(
            missed.values(), [([KEY], [head]), ([], [head]), ([KEY], []), ([], [])], strict=True
        ):
            count[change.kind] += verify([path / "audit"], keys, heads).whole
    return {"made": dict(made), **{name: {k: n for k, n in count.items() if n} for name, count in missed.items()}}


def _fill(path: Path, days: int, per_day: int) -> None:
    """Nothing of it has to survive a power cut."""
    (path / "audit").mkdir(mode=0o700)
    clock = Clock()
    log = folder(path, clock, keep_days=3650)
    with patch("os.fsync"):
        for day in range(days):
            clock.now = NOON + day * DAY
            for at in range(per_day):
                log.append(call(at, Outcome.DONE))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    os.nice(5)
    main()
