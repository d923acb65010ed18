"""An audit log on a stream, for clusters that collect what processes print.

A chain for each process, from its start on. A line that was written is the collector's: nothing says that it is on any
disk. While nobody reads, the stream takes none, and goes on afterwards. After a line that could not be written it takes
none any more, as nobody knows how much of it came out.
"""

from __future__ import annotations

import secrets
import select
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from gateway.audit_log import AuditUnavailable
from gateway.audit_log.lines import FORMAT, AuditKey, Call, Head, Header, Line, hash_of
from gateway.observe.logs import stamp


def is_writable(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether a line finds room where it is printed, or fails, within so many seconds. Of a pipe that is sure (POLLOUT
    is room for PIPE_BUF, 4,096 bytes of Linux's); a terminal may take less."""
    if sys.platform == "win32":  # which can't tell
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


class Stream:
    """The sink. For one thread."""

    def __init__(
        self,
        stream: BinaryIO,
        key: AuditKey,
        instance: str,
        now: Callable[[], float] = time.time,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Writes nothing yet. `has_room`: whether a line would find some, so that nobody waits for its reader."""
        self._stream, self._key, self._instance, self._now = stream, key, instance, now
        self._has_room = has_room
        self._head: Head | None = None
        self._broken = False

    def prepare(self) -> Head:
        """Begin the chain. Raises AuditUnavailable."""
        line = Header(
            n=0,
            before="",
            time=stamp(self._now()),
            format=FORMAT,
            chain=secrets.token_hex(8),
            file=1,
            key=self._key.id,
            instance=self._instance,
        )
        return self._add(line.chain, line)

    def append(self, call: Mapping[str, Any]) -> Head:
        """Add a line of a call's members. Raises AuditUnavailable."""
        head = self._head or self.prepare()
        now = stamp(self._now())
        return self._add(head.chain, Call(**call, n=head.n + 1, before=head.hash, time=now, instance=self._instance))

    def holds(self, head: Head) -> bool:
        """A chain that has just begun was remembered by nobody."""
        return True

    def tidy(self, lost: Head | None = None) -> Head:
        """Nothing is kept here."""
        return self._head or self.prepare()

    def _add(self, chain: str, line: Line) -> Head:
        if self._broken:
            raise AuditUnavailable("a line of the audit log could not be written to the stream; restart")
        if not self._has_room():
            raise AuditUnavailable("nobody reads the stream that the audit log is printed to")
        raw = self._key.seal(line)
        self._broken = True
        try:
            self._stream.write(raw + b"\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise AuditUnavailable(f"the audit log's stream can't be written ({type(error).__name__})") from None
        self._broken = False
        self._head = Head(chain, line.n, hash_of(raw))
        return self._head
