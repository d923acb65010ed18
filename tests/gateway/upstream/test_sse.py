"""The event stream decoder: the standard's examples, and that cuts between reads change nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import UpstreamBroken
from gateway.upstream.sse import MAX_EVENT_BYTES, SseDecoder

# name -> (stream, the data of its events); the first four are the examples of WHATWG HTML, section 9.2.6
VECTORS: dict[str, tuple[bytes, list[bytes]]] = {
    "one event of three lines": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [b"YHOO\n+2\n10"]),
    "comment, id, no space": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [b"first event", b"second event", b" third event"],
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:\n", [b"", b"\n"]),
    "the space after the colon": (b"data:test\n\ndata: test\n\n", [b"test", b"test"]),
    "line feeds": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "CR LF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "all line ends": (b"data: a\n\r\ndata: b\r\rdata: c\r\n\n", [b"a", b"b", b"c"]),
    "three line feeds": (b"data: a\n\n\ndata: b\n\n\n\n", [b"a", b"b"]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "byte order mark in the middle": (b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", [b"a", b"c"]),
    "U+2028 and U+0085 are text": ("data: a\u2028b\u0085c\n\n".encode(), ["a\u2028b\u0085c".encode()]),
    "comment between": (b"data: a\n\n: keep-alive\n\ndata: b\n\n", [b"a", b"b"]),
    "event names and unknown fields": (b"event: x\nretry: 3\nfoo: bar\ndata: a\n\n", [b"a"]),
    "no data": (b"event: x\n\n", []),
    "not ended": (b"data: a\n\ndata: b\n", [b"a"]),
    "colons in the value": (b"data: a: b\n\n", [b"a: b"]),
    "empty stream": (b"", []),
}
_PIECES = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"data",
        b"id: 1",
        b":",
        b" ",
        b"x",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
    ]
)


@pytest.mark.parametrize(("stream", "events"), VECTORS.values(), ids=VECTORS)
def test_whole(stream: bytes, events: list[bytes]) -> None:
    assert _decoded([stream]) == events


@pytest.mark.parametrize(("stream", "events"), VECTORS.values(), ids=VECTORS)
def test_byte_by_byte(stream: bytes, events: list[bytes]) -> None:
    assert _decoded([stream[at : at + 1] for at in range(len(stream))]) == events


@pytest.mark.parametrize(("stream", "events"), VECTORS.values(), ids=VECTORS)
def test_every_cut_in_two(stream: bytes, events: list[bytes]) -> None:
    for at in range(len(stream) + 1):
        assert _decoded([stream[:at], stream[at:]]) == events, at


@given(st.lists(_PIECES, max_size=24).map(b"".join), st.lists(st.integers(0, 60), max_size=8))
@example(b"data: \r\n", [7, 7])
def test_cuts_change_nothing(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert _decoded(pieces) == _by_the_standard(stream)


@pytest.mark.parametrize("line", [b"data: ", b"data: a\ndata: ", b"\rdata: ", b": "], ids=repr)
def test_an_event_without_end_is_refused(line: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="event_too_large"):
        _decoded([line, *[b"x" * (MAX_EVENT_BYTES // 4)] * 5])


def test_an_event_of_many_lines_is_refused_too() -> None:
    with pytest.raises(UpstreamBroken, match="event_too_large"):
        _decoded([b"data: " + b"x" * (MAX_EVENT_BYTES // 64) + b"\n"] * 70)


def test_many_events_in_one_read_are_not_one_large_event() -> None:
    event = b"data: " + b"x" * (MAX_EVENT_BYTES // 4) + b"\n\n"
    assert len(SseDecoder().feed(event * 6)) == 6


def _decoded(pieces: list[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def _by_the_standard(stream: bytes) -> list[bytes]:
    """The algorithm of the standard on the whole stream, as plainly as it is written there."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[bytes] = []
    data: list[bytes] = []
    for line in text.split(b"\n")[:-1]:
        field, _, value = line.partition(b":")
        if not line and data:
            events.append(b"\n".join(data))
            data = []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    return events
