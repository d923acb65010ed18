"""Server-sent events, read as the standard says (WHATWG HTML, section 9.2.6 "Interpreting an event stream").

Lines end with LF, CR LF or CR and with nothing else: U+2028 and U+0085 are text, and engines leave them raw in their
JSON. Only `data` fields matter here; comments, ids and event names are read over.
"""

from __future__ import annotations

import re

from gateway.errors import UpstreamBroken

MAX_EVENT_BYTES = 4 * 1024 * 1024  # a frame with 20 log-probabilities for each of 8 k tokens stays below

_DATA = b"data: "
_NEXT = b"\n\ndata: "
_LINE_END = re.compile(rb"\r\n|\n|\r")


class SseDecoder:
    """Bytes in, in any pieces; the data of each complete event out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._first = True
        self._after_cr = False

    def feed(self, received: bytes) -> list[bytes]:
        """The events that these bytes completed. Raises UpstreamBroken for an event over MAX_EVENT_BYTES."""
        if not received:
            return []
        if self._after_cr:
            received, self._after_cr = received.removeprefix(b"\n"), False
        if self._is_one(received):
            self._first = False
            return [received[len(_DATA) : -2]]
        text = self._rest + received if self._rest else received
        if self._first:
            text = self._without_bom(text)
        events = self._simple(text) if b"\r" not in text and not self._data else self._general(text)
        if (self._rest or self._data) and len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise UpstreamBroken("event_too_large")
        return events

    def _is_one(self, received: bytes) -> bool:
        """Whether this is exactly one event of one line: while a model writes, each read is."""
        return (
            not (self._rest or self._data)
            and received.startswith(_DATA)
            and received.find(b"\n") == len(received) - 2
            and received.endswith(b"\n\n")
            and b"\r" not in received
        )

    def _without_bom(self, text: bytes) -> bytes:
        if b"\xef\xbb\xbf".startswith(text):
            return text  # it may be one; what is left of it is no field and is read over
        self._first = False
        return text.removeprefix(b"\xef\xbb\xbf")

    def _simple(self, text: bytes) -> list[bytes]:
        """What engines really send: events of one line each, between two line feeds."""
        end = text.rfind(b"\n\n")
        if end < 0:
            self._rest = text
            return []
        events = text[len(_DATA) : end].split(_NEXT)
        if not text.startswith(_DATA) or text.count(b"\n", 0, end) != _NEXT.count(b"\n") * (len(events) - 1):
            return self._general(text)
        self._rest = text[end + 2 :]
        return events

    def _general(self, text: bytes) -> list[bytes]:
        events, start = [], 0
        for end in _LINE_END.finditer(text):
            event = self._line(text[start : end.start()])
            if event is not None:
                events.append(event)
            start = end.end()
        self._rest = text[start:]
        self._after_cr = text.endswith(b"\r")  # an LF that follows belongs to it
        return events

    def _line(self, line: bytes) -> bytes | None:
        """Take one line; an empty one completes the event."""
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data) if data else None
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
