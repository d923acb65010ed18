"""Keyed hashes of runs of symbols: a keyed polynomial makes a run one number, SipHash-2-4 seals that number.

Hash then PRF, the construction of Carter and Wegman (1981): the inner hash is a polynomial over the integers modulo
2^64 whose base and whose value for each character are secret, so that two runs meet only by chance; the outer one is a
keyed pseudo-random function (Aumasson and Bernstein, 2012), so that what it gives says nothing about what went in. Who
has a file of sealed numbers and no key can neither look a text up nor learn the key from texts that he knows are in it.

A polynomial has prefix sums: the hash of every run of a text costs a few operations, however long the runs are.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import numpy.typing as npt

from filters.index.reading import UNICODE

Hashes = npt.NDArray[np.uint64]

MIN_KEY_BYTES = 32  # nobody should think that a password will do
_ID_BYTES = 8


class IndexKey:
    """The secret of an index, and what is derived from it by purpose."""

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError under MIN_KEY_BYTES."""
        if len(secret) < MIN_KEY_BYTES:
            raise ValueError(f"an index key needs {MIN_KEY_BYTES} bytes or more")
        self._secret = hashlib.blake2b(secret, person=b"tightlip index").digest()

    @cached_property
    def id(self) -> str:
        """Tells keys apart and says nothing of them: 16 hexadecimal digits."""
        return self.derive("id", _ID_BYTES).hex()

    def derive(self, purpose: str, size: int = 32) -> bytes:
        """`size` secret bytes (at most 64) for one purpose. BLAKE2b, keyed (RFC 7693)."""
        return hashlib.blake2b(purpose.encode(), key=self._secret, digest_size=size).digest()

    def number(self, purpose: str) -> int:
        """A secret number of 64 bits."""
        return int.from_bytes(self.derive(purpose, 8), "little")


# ---- runs ------------------------------------------------------------------------------------------------------------


class Polynomial:
    """Hashes of runs modulo 2^64, by prefix sums. The base is odd, so that it can be divided by."""

    def __init__(self, base: int) -> None:
        self._base = base | 1
        self._inverse = pow(self._base, -1, 1 << 64)
        self._tables = self._made(_FIRST_POWERS)

    def powers(self, count: int) -> Hashes:
        """The first `count` powers of the base."""
        return self._reaching(count)[0][:count]

    def prefixes(self, symbols: Hashes) -> Hashes:
        """One number more than there are symbols, for `runs`."""
        sums = np.zeros(len(symbols) + 1, dtype=np.uint64)
        np.cumsum(symbols * self.powers(len(symbols)), out=sums[1:])
        return sums

    def runs(self, prefixes: Hashes, length: int, at: npt.NDArray[np.int64] | None = None) -> Hashes:
        """The hash of the `length` symbols from each place (or those of `at`) on; the places must have as many."""
        count = len(prefixes) - length
        _, inverses = self._reaching(count)
        if at is None:
            return (prefixes[length:] - prefixes[:count]) * inverses[:count]
        return (prefixes[at + length] - prefixes[at]) * inverses[at]

    def _reaching(self, count: int) -> tuple[Hashes, Hashes]:
        """Powers and inverse powers, `count` at least. Replaced as one, so that threads may share them."""
        tables = self._tables
        if len(tables[0]) < count:
            tables = self._tables = self._made(max(count, 2 * len(tables[0])))
        return tables

    def _made(self, count: int) -> tuple[Hashes, Hashes]:
        return _powers(self._base, count), _powers(self._inverse, count)


_FIRST_POWERS = 1024  # a sentence's; a build's batches make the tables grow once


def _powers(base: int, count: int) -> Hashes:
    factors = np.full(count, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


# ---- SipHash ---------------------------------------------------------------------------------------------------------


def siphash(values: Hashes, key: bytes) -> Hashes:
    """SipHash-2-4 of each value's eight little-endian bytes under a key of 16 bytes.

    The state's four words are kept as two pairs, (v0, v2) and (v1, v3), which go through each half of a round together.
    """
    k0, k1 = (np.uint64(int.from_bytes(key[at : at + 8], "little")) for at in (0, 8))
    even, odd = np.empty((2, len(values)), np.uint64), np.empty((2, len(values)), np.uint64)
    even[:] = [[k0 ^ np.uint64(0x736F6D6570736575)], [k0 ^ np.uint64(0x6C7967656E657261)]]
    odd[:] = [[k1 ^ np.uint64(0x646F72616E646F6D)], [k1 ^ np.uint64(0x7465646279746573)]]
    for block in (values, _LENGTH):
        odd[1] ^= block
        _rounds(even, odd, 2)
        even[0] ^= block
    even[1] ^= np.uint64(0xFF)
    _rounds(even, odd, 4)
    even ^= odd
    sealed: Hashes = even[0] ^ even[1]
    return sealed


_LENGTH = np.uint64(8 << 56)  # the last block of a message of eight bytes: its length alone
_FIRST_TURN = np.array([[13], [16]], dtype=np.uint64)
_SECOND_TURN = np.array([[17], [21]], dtype=np.uint64)
_FIRST_BACK, _SECOND_BACK = 64 - _FIRST_TURN, 64 - _SECOND_TURN
_HALF = np.uint64(32)


def _rounds(even: Hashes, odd: Hashes, count: int) -> None:
    """In place."""
    v0, v2 = even
    swapped_even, swapped_odd = even[::-1], odd[::-1]
    for _ in range(count):
        even += odd
        _turn(odd, _FIRST_TURN, _FIRST_BACK)
        odd ^= even
        _turn(v0, _HALF, _HALF)
        even += swapped_odd
        _turn(odd, _SECOND_TURN, _SECOND_BACK)
        odd ^= swapped_even
        _turn(v2, _HALF, _HALF)


def _turn(words: Hashes, bits: Hashes | np.uint64, back: Hashes | np.uint64) -> None:
    """Rotate left."""
    high = words << bits
    words >>= back
    words |= high


def letter_values(key: bytes) -> Hashes:
    """A secret number for every character of Unicode."""
    return siphash(np.arange(UNICODE, dtype=np.uint64), key)
