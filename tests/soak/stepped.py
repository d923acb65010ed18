"""The gateway's command with a wall clock that is stepped: `python -m tests.soak.stepped FILE …`. The eight bytes of
FILE are a number of seconds (a double), which is added to the time of day. The monotonic clock stays, as when an
operator, or NTP, steps a machine's clock."""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path
from typing import Final

_SECONDS: Final = struct.Struct("d")


def step(file: Path, seconds: float) -> None:
    """From now on the processes with this file are so far ahead."""
    with file.open("r+b" if file.exists() else "wb") as written:
        written.write(_SECONDS.pack(seconds))


def main() -> None:
    with Path(sys.argv.pop(1)).open("rb") as file:
        ahead = mmap.mmap(file.fileno(), _SECONDS.size, prot=mmap.PROT_READ)
    real = time.time
    time.time = lambda: real() + _SECONDS.unpack_from(ahead)[0]

    from gateway.cli import main as gateway  # whatever takes the clock at its import gets this one

    gateway()


if __name__ == "__main__":
    main()
