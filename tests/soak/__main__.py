"""See the package."""

import argparse
import signal
import sys
from pathlib import Path

from tests.soak.soaking import Options, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--seconds", type=float, default=100.0, help="of faults")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--keep", type=Path, help="a folder for all that processes write; otherwise it is taken away")
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # disks are unmounted, processes ended
    report = soak(Options(told.seconds, told.streams, told.seed), keep=told.keep)
    report.show()
    if told.json:
        report.write(told.json)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
