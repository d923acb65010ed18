"""What nobody reads makes nobody wait, and all of it comes in its order once somebody does."""

from __future__ import annotations

import errno
import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.observe.printed import Printed, printed
from tests.support.pipes import fill
from tests.support.waiting import until

MANY = 300  # lines, by far more than a pipe or a terminal holds
ALL = b"".join(b"%06d" % number + b"." * 993 + b"\n" for number in range(MANY))
Ends = tuple[int, int]  # where to read without waiting, and where to write


def piped() -> Ends:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    return reader, writer


def terminal() -> Ends:
    reader, writer = pty.openpty()
    tty.setraw(writer)
    os.set_blocking(reader, False)
    return reader, writer


def never_waiting() -> Ends:
    """A pipe that somebody who shares it has made so."""
    reader, writer = piped()
    os.set_blocking(writer, False)
    return reader, writer


@pytest.fixture(params=[piped, terminal, never_waiting])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    made: Callable[[], Ends] = request.param
    both = made()
    yield both
    for descriptor in both:
        os.close(descriptor)


def read_from(reader: int, wanted: int) -> bytes:
    found = b""

    def has_all() -> bool:
        nonlocal found
        with suppress(BlockingIOError):
            while more := os.read(reader, 65536):
                found += more
        return len(found) >= wanted

    until(has_all)
    return found


def given_all(out: Printed) -> None:
    for line in ALL.splitlines(keepends=True):
        out.write(line)


def test_who_writes_does_not_wait_for_who_reads(ends: Ends) -> None:
    reader, writer = ends
    given_all(Printed(writer))
    assert read_from(reader, len(ALL)) == ALL


def test_lines_that_wait_for_long_are_told_of_and_come(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = piped()
    out = Printed(writer)
    given_all(out)
    monkeypatch.setattr("gateway.observe.printed.LATE_SECONDS", -1.0)
    with pytest.raises(BlockingIOError):
        out.write(b"one more\n")
    assert read_from(reader, len(ALL) + 9) == ALL + b"one more\n"


def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = piped()
    filling, out = fill(writer), Printed(writer)
    out.write(b"one\n")
    until(lambda: out._waiting.empty())  # it is being written
    monkeypatch.setattr("gateway.observe.printed.MOST_WAITING", 2)
    out.write(b"two\n")
    out.write(b"three\n")
    with pytest.raises(OSError, match=os.strerror(errno.ENOBUFS)):
        out.write(b"four\n")
    assert read_from(reader, filling + 14)[filling:] == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("refuses", ["a reader that is gone", "a full disk"])
def test_what_can_t_be_written_is_told_of(refuses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if refuses == "a full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = piped()
        os.close(reader)
    out = Printed(descriptor)
    out.write(b"one\n")
    until(lambda: out._since is not None)  # it is being written, and stays so
    monkeypatch.setattr("gateway.observe.printed.LATE_SECONDS", 0.0)
    with pytest.raises(BlockingIOError):
        out.write(b"two\n")
    out.say("three")


def test_the_end_waits_for_a_reader_that_is_slow(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observe.printed.LAST_SECONDS", 600.0)  # this machine may be slower than any reader
    reader, writer = ends
    out, found = Printed(writer), b""
    given_all(out)
    closing = threading.Thread(target=out.close)
    closing.start()
    while closing.is_alive():
        with suppress(BlockingIOError):
            found += os.read(reader, 4096)
    assert found + read_from(reader, len(ALL) - len(found)) == ALL


def test_the_end_comes_though_nobody_reads_and_lines_after_it_come_too() -> None:
    reader, writer = piped()
    out = Printed(writer)
    given_all(out)
    closing = threading.Thread(target=out.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    with suppress(BlockingIOError):
        out.write(b"one more\n")
    assert read_from(reader, len(ALL) + 9) == ALL + b"one more\n"


def test_what_is_no_text_elsewhere_is_said() -> None:
    reader, writer = piped()
    Printed(writer).say("policy\udcff.yaml: 不好")
    assert read_from(reader, 5) == "policy\\udcff.yaml: 不好\n".encode()


def test_a_stream_has_one() -> None:
    assert printed("stderr") is printed("stderr") is not printed("stdout")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=9000), st.integers(1, 9000)), max_size=30))
def test_whoever_reads_whenever_gets_every_line_whole_and_in_order(steps: list[bytes | int]) -> None:
    """Bytes are written, a number is how much is read."""
    (reader, writer), said, found = piped(), b"", b""
    out = Printed(writer)
    for step in steps:
        if isinstance(step, bytes):
            said += step
            out.write(step)
        else:
            with suppress(BlockingIOError):
                found += os.read(reader, step)
    assert found + read_from(reader, len(said) - len(found)) == said
    os.close(reader)
    os.close(writer)
