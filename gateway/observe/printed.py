"""Records on standard output or standard error, which somebody else reads, or does not.

A line is written while there is room for it. A collector that stands still (a full disk of the machine's, a paused
terminal) would otherwise keep the event loop waiting, and with it every caller and the probes; so what finds no room
waits in memory.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Final

from gateway.observe.backlog import Backlog
from gateway.writable import PIPE_BYTES, is_writable

GRACE_SECONDS: Final = 0.01  # for a reader that is only slower than we are
LAST_SECONDS: Final = 1.0  # for all that waits, at the end


class Printed:
    """Fulfils `gateway.observe.logs.Stream` and `Kept`. For any number of threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._backlog = Backlog(self._add)
        self._stuck = False
        self._rest = b""  # of a line that begins what is there
        self._ends: float | None = None  # by the monotonic clock: until then the last lines may wait

    def write(self, line: bytes) -> None:
        """Add a whole line. Raises OSError; then it waits, or is lost where too many do."""
        self._backlog.write(line)

    def flush(self) -> None:
        """Whatever can be written is."""

    def retry(self) -> None:
        """Write what waits. Raises OSError; then it goes on waiting."""
        self._backlog.retry()

    def tidy(self) -> None:
        """What was printed is the collector's."""

    def close(self) -> None:
        """Write what waits while there is somebody who reads, for LAST_SECONDS at most."""
        self._ends = time.monotonic() + LAST_SECONDS
        self._backlog.close(lambda: None)

    def _add(self, line: bytes) -> None:
        self._rest = self._rest or line
        while self._rest:
            if not is_writable(self._descriptor, self._patience()):
                self._stuck = True
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            self._stuck = False
            self._rest = self._rest[os.write(self._descriptor, self._rest[:PIPE_BYTES]) :]

    def _patience(self) -> float:
        if self._ends is not None:
            return max(0.0, self._ends - time.monotonic())
        return 0.0 if self._stuck else GRACE_SECONDS
