"""Pipes that nobody reads."""

from __future__ import annotations

import os
from contextlib import suppress


def fill(writer: int) -> int:
    """Write until there is no more room; how many bytes that took. Whether the descriptor waits stays as it is."""
    waits, written = os.get_blocking(writer), 0
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            written += os.write(writer, b"." * 1024)
    os.set_blocking(writer, waits)
    return written
