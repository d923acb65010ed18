"""Whether a file has changed, without reading it.

By looking, not by the kernel's notices: those don't come from network file systems, and a Kubernetes volume changes by
swapping a link above the file, which a look follows by itself.
"""

from __future__ import annotations

from pathlib import Path

State = tuple[int, int, int] | None


def state_of(path: Path) -> State:
    """What changes when the file does, or when a link on the way leads elsewhere; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # what has a zero byte in it is no name
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
