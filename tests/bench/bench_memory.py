"""Whether memory stays flat over a long text: resident memory at a tenth, a half and the whole of it.

    python -m tests.bench.bench_memory [--segments 1000000] [--names 100000] [--json FILE]

Sentences of the prose beside this file with numbers and names that change, through `TextFilter`: patterns only, then
with names on. Values repeat after a while, since what an answer hid is kept for the rest of it on purpose.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filters.offline import DEFAULT_PROFILE, TextFilter
from filters.pii.detector import detector_of
from filters.profile import Profile
from tests.bench.bench_holdback import FOLDER, PROSE

SHARES = (0.1, 0.5, 1.0)
VALUES = 500  # different ones


@dataclass(frozen=True)
class Row:
    names: bool
    segments: int
    resident_mib: dict[float, float]  # by the share of the segments that have passed
    cpu_us_a_segment: float


def sentences() -> Iterator[str]:
    """Without end; most are prose, one in ten holds a value."""
    prose = [(FOLDER / name).read_text(encoding="utf-8").replace("\n", " ") for name in PROSE.values()]
    english = [f"{part.strip()}. " for part in prose[0].split(". ") if len(part) > 20]
    chinese = [f"{part.strip()}。" for part in prose[1].split("。") if len(part) > 8]
    for at in itertools.count():
        yield english[at % len(english)]
        yield chinese[at % len(chinese)]
        if at % 5 == 0:
            yield f"Write to vexlo.{at % VALUES}@example.com about order {at}. "


def measure(segments: int, *, names: bool) -> Row:
    profile = Profile("bench", compare=False, evidence=False, names=names) if names else DEFAULT_PROFILE
    stream = TextFilter(detector_of(profile), profile=profile)
    marks = {round(segments * share): share for share in SHARES}
    resident, began = {}, time.process_time()
    for at, sentence in enumerate(itertools.islice(sentences(), segments), 1):
        stream.push(sentence)
        stream.take_findings()
        if at in marks:
            resident[marks[at]] = _resident_mib()
    stream.close()
    return Row(names, segments, resident, (time.process_time() - began) * 1e6 / segments)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description="Resident memory over a long text.")
    parser.add_argument("--segments", type=int, default=1_000_000, help="with patterns only")
    parser.add_argument("--names", type=int, default=100_000, help="with names on")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    rows = [measure(options.segments, names=False), measure(options.names, names=True)]
    print(f"{'':16}{'segments':>10}" + "".join(f"{f'MiB at {share:.0%}':>14}" for share in SHARES) + f"{'us each':>10}")
    for row in rows:
        resident = "".join(f"{row.resident_mib[share]:>14.1f}" for share in SHARES)
        print(
            f"{'names' if row.names else 'patterns only':16}{row.segments:>10,}{resident}{row.cpu_us_a_segment:>10.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps(list(map(asdict, rows)), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
