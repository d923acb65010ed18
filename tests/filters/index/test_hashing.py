from __future__ import annotations

import numpy as np
import pytest

from filters.index.hashing import IndexKey, Polynomial, siphash

KEY = bytes(range(16))
MASK = 2**64 - 1


def test_the_published_vector() -> None:
    """Aumasson and Bernstein, the vector for the message 00 01 … 07."""
    message = int.from_bytes(bytes(range(8)), "little")
    assert siphash(np.array([message], np.uint64), KEY).tolist() == [0x93F5F5799A932462]


def test_many_at_once_give_what_each_gives_alone() -> None:
    values = np.random.default_rng(1).integers(0, 2**64, 300, dtype=np.uint64)
    before = values.copy()
    assert siphash(values, KEY).tolist() == [_siphash_by_the_book(int(value), KEY) for value in values]
    assert (values == before).all()


def _siphash_by_the_book(value: int, key: bytes) -> int:
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def left(word: int, bits: int) -> int:
        return (word << bits | word >> (64 - bits)) & MASK

    def sip(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = left(v[1], 13) ^ v[0]
            v[0] = left(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = left(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = left(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = left(v[1], 17) ^ v[2]
            v[2] = left(v[2], 32)

    for block in (value, 8 << 56):
        v[3] ^= block
        sip(2)
        v[0] ^= block
    v[2] ^= 0xFF
    sip(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_a_run_hashes_the_same_wherever_it_stands() -> None:
    polynomial = Polynomial(0xDEADBEEFCAFEF00D)
    rng = np.random.default_rng(2)
    run = rng.integers(0, 2**64, 9, dtype=np.uint64)
    alone = polynomial.runs(polynomial.prefixes(run), 9)
    text = np.concatenate([rng.integers(0, 2**64, 5_000, dtype=np.uint64), run, run[::-1]])
    at = np.array([5_000, 5_009])
    found = polynomial.runs(polynomial.prefixes(text), 9, at)
    assert found[0] == alone[0]
    assert found[1] != alone[0]
    assert polynomial.runs(polynomial.prefixes(text), 9)[5_000] == alone[0]


def test_keys_differ_in_everything_and_purposes_too() -> None:
    one, other = IndexKey(bytes(32)), IndexKey(bytes(31) + b"\1")
    assert one.id != other.id
    assert one.derive("a") != other.derive("a")
    assert one.derive("a") != one.derive("b")
    assert len(one.id) == 16


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        IndexKey(b"password")
