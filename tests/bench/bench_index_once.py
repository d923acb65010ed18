"""One build, in a process of its own: `python -m tests.bench.bench_index_once SOURCE TARGET PROCESSES`."""

from __future__ import annotations

import sys
from pathlib import Path

from filters.index.build import Plan, build
from filters.index.source import pieces
from filters.index.workers import workers
from tests.bench.bench_index import FIELDS, SECRET

if __name__ == "__main__":
    source, target, processes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    build(Plan(source, target, FIELDS), SECRET, workers(processes, len(pieces(source))), lambda *_: None)
