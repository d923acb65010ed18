"""Lines that are written in their order; those that can't be written wait, so many of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

MOST_WAITING: Final = 10_000  # lines: some megabytes


class Backlog:
    """Of one sink. For any number of threads."""

    def __init__(self, add: Callable[[bytes], None]) -> None:
        """`add` writes a line or raises OSError; then it is called with the same one again."""
        self._add = add
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()

    def write(self, line: bytes) -> None:
        """Add a line, behind those that wait. Raises OSError; then it waits, or is lost where MOST_WAITING do."""
        with self._lock:
            self._waiting.append(line)
            try:
                self._catch_up()
            except OSError:
                if len(self._waiting) > MOST_WAITING:
                    self._waiting.pop()
                raise

    def retry(self) -> None:
        """Write what waits. Raises OSError; then it goes on waiting."""
        with self._lock:
            self._catch_up()

    def close(self, end: Callable[[], None]) -> None:
        """Write what waits, if that can be; then `end`, before anybody writes again."""
        with self._lock:
            with suppress(OSError):  # each was told of when it came
                self._catch_up()
            end()

    def _catch_up(self) -> None:
        while self._waiting:
            self._add(self._waiting[0])
            self._waiting.popleft()
