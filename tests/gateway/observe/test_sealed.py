"""Files that their writer can't read: what was changed in one is told, and what was not is read all the same."""

from __future__ import annotations

import base64
import io
import string
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe import sealed
from gateway.observe.sealed import Fault, NotSealed, Sealer, WrongKey, is_sealed, opened
from tests.gateway.support import CANARY

PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
TEXTS = [b'{"n":%d}\n' % at for at in range(6)]
NO_END = "has no end"


def written(texts: list[bytes] = TEXTS, *, end: bool = True) -> list[bytes]:
    sealer = Sealer(PRIVATE.public_key())
    return [sealer.header, *map(sealer.line, texts), *([sealer.end()] if end else [])]


def read(lines: list[bytes], key: X25519PrivateKey = PRIVATE) -> tuple[list[bytes], list[str]]:
    found = list(opened(io.BytesIO(b"".join(lines)), key))
    return [each for each in found if isinstance(each, bytes)], [each.text for each in found if isinstance(each, Fault)]


WHOLE = written()


def test_what_was_written_is_read() -> None:
    assert read(WHOLE) == (TEXTS, [])
    assert is_sealed(WHOLE[0])
    assert not is_sealed(TEXTS[0])


def test_nothing_of_it_can_be_seen() -> None:
    lines = b"".join(written([CANARY.encode()]))
    assert CANARY.encode() not in lines
    assert CANARY.encode() not in base64.b64decode(lines.splitlines()[1].split(b":")[1])


def test_each_file_has_a_key_of_its_own() -> None:
    again = written()
    assert not set(WHOLE) & set(again)
    texts, faults = read([*WHOLE[:3], again[3], *WHOLE[4:]])
    assert (texts, faults) == (TEXTS[:2] + TEXTS[3:], ["line 4: was altered, or stands in a wrong place"])


def test_the_writer_keeps_nothing_that_opens_what_it_wrote() -> None:
    sealer = Sealer(PRIVATE.public_key())
    first = sealer.line(CANARY.encode())
    number, text = first[:-1].split(b":")
    with pytest.raises(sealed.InvalidTag):
        sealer._chain.open(sealer._chain.at, base64.b64decode(text))
    assert number == b"1"


def test_another_key_reads_nothing() -> None:
    with pytest.raises(WrongKey, match=sealed.recipient_of(PRIVATE.public_key())):
        read(WHOLE, X25519PrivateKey.generate())


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\n",
        b"[]\n",
        b'{"sealed":"tightlip-records"}\n',
        b'{"sealed":"tightlip-records","format":2,"recipient":"","encapsulated":""}\n',
        b'{"sealed":"tightlip-records","format":1,"recipient":"","encapsulated":"?"}\n',
        b'{"sealed":"other","format":1,"recipient":"","encapsulated":""}\n',
        CANARY.encode() + b"\n",
    ],
)
def test_what_does_not_begin_so_is_none(first: bytes) -> None:
    with pytest.raises(NotSealed) as refused:
        read([first, *WHOLE[1:]])
    assert CANARY not in str(refused.value)


def test_an_altered_first_line_spoils_all() -> None:
    texts, faults = read([WHOLE[0].replace(b'"format":1', b'"format": 1'), *WHOLE[1:]])
    assert texts == []
    assert len(faults) == len(TEXTS) + 2
    with pytest.raises(WrongKey) as refused:
        read([b'{"sealed":"tightlip-records","format":1,"recipient":"%s","encapsulated":""}\n' % CANARY.encode()])
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ([1], ["record 1 is missing"]),
        ([3], ["record 3 is missing"]),
        ([2, 3, 5], ["records 2 to 3 are missing", "record 5 is missing"]),
        ([6], ["record 6 is missing"]),
        ([7], [NO_END]),
        ([6, 7], [NO_END]),
        ([1, 2, 3, 4, 5, 6], ["records 1 to 6 are missing"]),
    ],
)
def test_what_is_missing_is_told(gone: list[int], told: list[str]) -> None:
    texts, faults = read([line for at, line in enumerate(WHOLE) if at not in gone])
    assert texts == [text for at, text in enumerate(TEXTS, 1) if at not in gone]
    assert len(faults) == len(told)
    assert all(fault.startswith(expected) for fault, expected in zip(faults, told, strict=True))


def test_a_gap_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MOST_MISSING", 2)
    assert read([WHOLE[0], *WHOLE[3:]])[1] == ["records 1 to 2 are missing"]
    assert read([WHOLE[0], *WHOLE[4:]])[0] == []


def test_what_stands_twice_or_behind_the_end_is_told() -> None:
    assert read([*WHOLE[:3], *WHOLE[2:]]) == (TEXTS, ["line 4: was altered, or stands in a wrong place"])
    assert read([*WHOLE, WHOLE[2]]) == (TEXTS, ["line 9: stands behind the end"])


def test_two_lines_that_changed_places_are_told() -> None:
    texts, faults = read([*WHOLE[:2], WHOLE[3], WHOLE[2], *WHOLE[4:]])
    assert texts == [TEXTS[0], *TEXTS[2:]]
    assert faults == ["record 2 is missing", "line 4: was altered, or stands in a wrong place"]


def test_a_line_without_an_end_takes_no_memory_and_hides_no_other() -> None:
    long = b"1:" + b"A" * (3 * sealed.MAX_LINE_BYTES) + b"\n"
    assert read([WHOLE[0], long, *WHOLE[1:]]) == (TEXTS, ["line 2: was altered, or stands in a wrong place"])


def test_a_crash_loses_the_last_line_at_most() -> None:
    whole = b"".join(written(end=False))
    ends = [at for at in range(len(whole)) if whole[at : at + 1] == b"\n"]
    for size in range(ends[0] + 1, len(whole) + 1):
        found = list(opened(io.BytesIO(whole[:size]), PRIVATE))
        complete = sum(end < size for end in ends) - 1
        assert [each for each in found if isinstance(each, bytes)] == TEXTS[:complete]
        assert all(each.note for each in found if isinstance(each, Fault))


@given(st.data())
def test_no_change_passes(data: st.DataObject) -> None:
    whole = bytearray(b"".join(WHOLE))
    at = data.draw(st.integers(len(WHOLE[0]), len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    texts, faults = read([bytes(whole)])
    assert faults
    assert set(texts) <= set(TEXTS)


def test_nor_does_one_that_means_the_same_bytes() -> None:
    """The last character before "==" has four bits that decoding passes over."""
    end = WHOLE[-1]
    at = end.index(b"=") - 1
    same = next(
        altered
        for character in string.ascii_letters.encode()
        if (altered := b"%s%c%s" % (end[:at], character, end[at + 1 :])) != end
        and base64.b64decode(altered.partition(b":")[2]) == base64.b64decode(end.partition(b":")[2])
    )
    assert read([*WHOLE[:-1], same])[1][0] == f"line {len(WHOLE)}: was altered, or stands in a wrong place"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_whatever_is_left_of_a_file_is_read_in_its_order(texts: list[bytes], data: Any) -> None:
    lines = written(texts)
    kept = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    left = [line for line, stays in zip(lines[1:], [*kept, True], strict=True) if stays]
    found, faults = read([lines[0], *left])
    assert found == [text for text, stays in zip(texts, kept, strict=True) if stays]
    assert bool(faults) != all(kept)
