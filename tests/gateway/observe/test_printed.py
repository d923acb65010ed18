"""Records that are printed: what nobody reads makes nobody wait, and all of it comes in its order."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.printed import Printed

SMALLEST = 4096  # bytes that a pipe may be made to hold


@dataclass
class Pipe:
    """Of the smallest size. What is read was written."""

    read_end: int
    write_end: int

    def read(self, most: int = SMALLEST) -> bytes:
        """What is there, without waiting."""
        try:
            return os.read(self.read_end, most)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


def made() -> Pipe:
    pipe = Pipe(*os.pipe())
    os.set_blocking(pipe.read_end, False)
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, SMALLEST)
    return pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = made()
    yield one
    one.close()


def line(number: int) -> bytes:
    return b"%06d" % number + b"." * 993 + b"\n"


def stuffed(printed: Printed, count: int = 10) -> None:
    """So many lines, of which some find room and the others are told of."""
    told = 0
    for number in range(count):
        try:
            printed.write(line(number))
        except BlockingIOError:
            told += 1
    assert 0 < told < count


def test_what_finds_no_room_is_told_of_and_waits(pipe: Pipe) -> None:
    printed = Printed(pipe.write_end)
    stuffed(printed)
    found = pipe.read()
    with pytest.raises(BlockingIOError):
        printed.retry()
    while more := pipe.read():
        found += more
        with suppress(BlockingIOError):
            printed.retry()
    printed.write(line(10))
    assert found + pipe.read() == b"".join(map(line, range(11)))


def test_a_line_that_no_pipe_takes_at_once_comes_in_pieces(pipe: Pipe) -> None:
    printed, long, found = Printed(pipe.write_end), os.urandom(3 * SMALLEST + 5), b""
    with pytest.raises(BlockingIOError):
        printed.write(long)
    while more := pipe.read():
        found += more
        with suppress(BlockingIOError):
            printed.retry()
    assert found == long


def test_a_reader_that_is_gone_is_told_of(pipe: Pipe) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        Printed(writer).write(line(0))
    os.close(writer)


def test_the_end_waits_for_a_reader_that_is_slow(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observe.printed.LAST_SECONDS", 60.0)  # this machine may be slower than any collector
    printed, found = Printed(pipe.write_end), b""
    stuffed(printed, 40)
    closing = threading.Thread(target=printed.close)
    closing.start()
    while closing.is_alive():
        found += pipe.read()
    assert found + pipe.read() == b"".join(map(line, range(40)))


def test_the_end_comes_though_nobody_reads(pipe: Pipe) -> None:
    printed = Printed(pipe.write_end)
    stuffed(printed)
    closing = threading.Thread(target=printed.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert b"".join(map(line, range(10))).startswith(pipe.read())


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=3000), st.integers(1, 5000)), max_size=30))
def test_whoever_reads_whenever_gets_every_line_whole_and_in_order(steps: list[bytes | int]) -> None:
    """Bytes are written, a number is how much is read."""
    pipe, said, found = made(), b"", b""
    printed = Printed(pipe.write_end)
    for step in steps:
        if isinstance(step, int):
            found += pipe.read(step)
            continue
        said += step
        try:
            printed.write(step)
        except BlockingIOError:
            assert len(said) > len(found)
    while len(found) < len(said):
        found += pipe.read()
        with suppress(BlockingIOError):
            printed.retry()
    assert found == said
    pipe.close()
