"""Whether who writes would have to wait for who reads."""

from __future__ import annotations

import select
import sys
from typing import Final

PIPE_BYTES: Final = 4096  # what a pipe that has room takes at once: PIPE_BUF of Linux (pipe(7))


def is_writable(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether a write of PIPE_BYTES makes nobody wait: there is room, or it fails. `seconds`: how long to wait for
    that."""
    if sys.platform == "win32":  # which can't tell
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
