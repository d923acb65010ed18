"""What a gateway prints on standard output or standard error, which somebody else reads, or does not.

A thread writes it, since nothing tells beforehand whether a write will wait: a collector that stands still (a node's
full disk, a paused terminal) would otherwise keep the event loop waiting, and with it every caller and the probes. What
can't be written yet waits in memory, so many lines of it, and comes in its order. No lock is held meanwhile: a
finaliser that fails is told of too, wherever garbage is collected.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from typing import Final, Literal

from gateway.observe.logs import MOST_WAITING

LATE_SECONDS: Final = 1.0  # after which a line that is not written counts as stuck
LAST_SECONDS: Final = 1.0  # for all that waits, at the end
AGAIN_SECONDS: Final = 0.1  # between two attempts where there is no room on a disk, or no reader


class Printed:
    """Fulfils `gateway.observe.logs.Stream` and `Kept`. For any number of threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._waiting: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._since: float | None = None  # when the line began that is being written, by the monotonic clock
        threading.Thread(target=self._print_all, name="printed", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Print a whole line, soon. Raises OSError where nobody takes lines: it waits, or is lost where already
        MOST_WAITING do."""
        if self._waiting.qsize() >= MOST_WAITING:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        self._waiting.put(line)
        if self._stuck_for() > LATE_SECONDS:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def say(self, text: str) -> None:
        """Print a line for people, who may have gone."""
        with suppress(OSError):
            self.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        """Whatever can be written is."""

    def retry(self) -> None:
        """It is."""

    def tidy(self) -> None:
        """What was printed is its reader's."""

    def close(self) -> None:
        """Wait until all of it is written, or nothing of it has been for LAST_SECONDS. More may come."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait(max(0.0, LAST_SECONDS - self._stuck_for()))

    def _stuck_for(self) -> float:
        since = self._since
        return time.monotonic() - since if since is not None else 0.0

    def _print_all(self) -> None:
        while True:
            next_one = self._waiting.get()
            if isinstance(next_one, threading.Event):
                next_one.set()
                continue
            self._since = time.monotonic()
            self._print(next_one)
            self._since = None

    def _print(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except OSError:  # whoever writes is told
                time.sleep(AGAIN_SECONDS)


@cache
def printed(stream: Literal["stdout", "stderr"]) -> Printed:
    """The process's own, whatever Python's has been replaced with; one for each, so that what several parts print stays
    in order. One that was closed before the process began takes all and keeps nothing."""
    own = sys.__stdout__ if stream == "stdout" else sys.__stderr__
    return Printed(own.fileno() if own is not None else os.open(os.devnull, os.O_WRONLY))
