"""Records that their writer can't read: each file is encrypted to a public key, line by line.

A file begins with a line in the plain, a `Header`, whose `encapsulated` is a fresh key, encrypted with HPKE (RFC 9180:
X25519, HKDF-SHA-256, AES-256-GCM) to the public key. A link is derived from that key and the header line; from each
link, by HMAC-SHA-256, the key of one line and the next link, and the one before is forgotten. A line is `N:BASE64`, N
counting from 1, its text in AES-256-GCM with the number as associated data; a key seals one line, so the nonce is
constant. An empty text ends the file.

1. Who takes over the process learns the lines to come, and none that was written.
2. A line that is altered, exchanged or another file's can't be opened; what was taken out leaves a gap. What was cut
   off at the end can't be told from a process that was killed: neither has an end.
3. Each line stands alone, so that a crash loses at most the one that was being written.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

FORMAT: Final = 1
MAX_LINE_BYTES: Final = 256 * 1024  # a record has some kilobytes at most
MOST_MISSING: Final = 100_000  # lines in a row; behind a wider gap each line looks altered
_KEY_BYTES: Final = 32
_INFO: Final = b"tightlip records 1"
_NONCE: Final = bytes(12)
_LINE: Final = re.compile(rb"([1-9][0-9]{0,15}):([A-Za-z0-9+/]+={0,2})", re.ASCII)
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="sealed", tag="tightlip-records"):
    """A file's first line. `recipient` tells public keys apart."""

    format: int
    recipient: str
    encapsulated: str


class NotSealed(Exception):
    """The file does not begin as one of these does."""


class WrongKey(Exception):
    """The file is encrypted to another key, or its first line was altered. The text names the key it wants."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written. The text quotes nothing."""

    text: str
    note: bool = False  # it may be so without anybody's doing


def recipient_of(public: X25519PublicKey) -> str:
    """The mark of a public key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


# ---- writing ---------------------------------------------------------------------------------------------------------


class Sealer:
    """Of one file. The lines that it gives are written in their order; one that is not will be missing."""

    def __init__(self, public: X25519PublicKey) -> None:
        key = os.urandom(_KEY_BYTES)
        encapsulated = base64.b64encode(_SUITE.encrypt(key, public, _INFO)).decode()
        self.header = msgspec.json.encode(Header(FORMAT, recipient_of(public), encapsulated)) + b"\n"
        self._chain = _Chain(key, self.header)

    def line(self, text: bytes) -> bytes:
        """Of a text that is not empty."""
        return self._chain.seal(text)

    def end(self) -> bytes:
        """The file's last line."""
        return self._chain.seal(b"")


class _Chain:
    """The keys of a file's lines, in their order."""

    def __init__(self, key: bytes, header: bytes) -> None:
        self.at, self._link = 1, hmac.digest(key, header, "sha256")

    def seal(self, text: bytes) -> bytes:
        number, key = b"%d" % self.at, self._take()
        return number + b":" + base64.b64encode(AESGCM(key).encrypt(_NONCE, text, number)) + b"\n"

    def open(self, number: int, sealed: bytes) -> bytes:
        """The text of a line that is this one or a later one; from there on it stands behind it. Raises InvalidTag;
        then it stands where it stood."""
        link, at = self._link, self.at
        for _ in range(number - self.at):
            self._take()
        try:
            return AESGCM(self._take()).decrypt(_NONCE, sealed, b"%d" % number)
        except InvalidTag:
            self._link, self.at = link, at
            raise

    def _take(self) -> bytes:
        key = hmac.digest(self._link, b"line", "sha256")
        self._link = hmac.digest(self._link, b"next", "sha256")
        self.at += 1
        return key


# ---- reading ---------------------------------------------------------------------------------------------------------


def is_sealed(first: bytes) -> bool:
    """Whether a file that begins with this line is one of these."""
    return first.startswith(b'{"sealed":"tightlip-records"')


def opened(file: BinaryIO, *privates: X25519PrivateKey) -> Iterator[bytes | Fault]:
    """The texts of a file's lines, and what is wrong with it, where it is wrong; in bounded memory. One of the keys is
    its. Raises NotSealed, WrongKey, OSError."""
    reading = _Reading(_begun(file.readline(MAX_LINE_BYTES), privates))
    for at, raw in enumerate(_lines(file), 2):
        yield from reading.take(raw, f"line {at}")
    if not reading.ended:
        yield Fault("has no end: written to still, its process was killed, or its end was cut off", note=True)


def _begun(header: bytes, privates: Iterable[X25519PrivateKey]) -> _Chain:
    """Raises NotSealed, WrongKey."""
    try:
        read = msgspec.json.decode(header, type=Header)
        encapsulated = base64.b64decode(read.encapsulated, validate=True)
    except (msgspec.MsgspecError, ValueError):
        raise NotSealed from None
    if read.format != FORMAT:
        raise NotSealed
    for private in privates:
        with suppress(InvalidTag, ValueError):  # it is another one's
            return _Chain(_SUITE.decrypt(encapsulated, private, _INFO), header)
    raise WrongKey(f"it is encrypted to the key {_mark(read.recipient)}")


def _mark(recipient: str) -> str:
    return recipient if re.fullmatch(r"[0-9a-f]{16}", recipient, re.ASCII) else "of another one"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """With their line feeds; of one that is too long its end alone, which is no line of ours either."""
    while raw := file.readline(MAX_LINE_BYTES):
        while not raw.endswith(b"\n") and (more := file.readline(MAX_LINE_BYTES)):
            raw = b"-" + more
        yield raw


class _Reading:
    """How far a file has been read."""

    def __init__(self, chain: _Chain) -> None:
        self._chain = chain
        # What lines that can't be opened say that they are, since the last one that can.
        self._altered: set[int] = set()
        self.ended = False

    def take(self, raw: bytes, place: str) -> Iterator[bytes | Fault]:
        if self.ended:
            yield Fault(f"{place}: stands behind the end")
            return
        if not raw.endswith(b"\n"):
            yield Fault(f"{place}: was never finished", note=True)
            return
        before, text = self._chain.at, self._open(raw)
        if text is None:
            yield Fault(f"{place}: was altered, or stands in a wrong place")
            return
        yield from _missing(range(before, self._chain.at - 1), self._altered)
        self._altered.clear()
        self.ended = not text
        if text:
            yield text

    def _open(self, raw: bytes) -> bytes | None:
        """None: it is not as it was written."""
        found = _LINE.fullmatch(raw[:-1])
        number = int(found[1]) if found else 0
        if found is None or not 0 <= number - self._chain.at <= MOST_MISSING:
            return None
        try:
            return self._chain.open(number, _decoded(found[2]))
        except (InvalidTag, ValueError):
            self._altered.add(number)
            return None


def _decoded(text: bytes) -> bytes:
    """Of the one text that stands for these bytes (RFC 4648, 3.5): the last character may have bits that mean nothing.
    Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw) != text:
        raise ValueError("is no canonical base64")
    return raw


def _missing(gap: range, altered: set[int]) -> Iterator[Fault]:
    """Numbers that no line has, not even one that was altered, as runs."""
    gone = [number for number in gap if number not in altered]
    for _, run in groupby(enumerate(gone), key=lambda pair: pair[1] - pair[0]):
        first, *others = (number for _, number in run)
        yield Fault(f"records {first} to {others[-1]} are missing" if others else f"record {first} is missing")
