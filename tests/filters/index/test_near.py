from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from filters.index.counting import hasher_of, symbols_of
from filters.index.hashing import Hashes, IndexKey
from filters.index.near import BANDS, NO_BAND, Sketcher, merge_people
from filters.index.rows import Row
from tests.filters.index.sets import SECRET

NOBODY = 2**64 - 1


def bands(texts: list[str]) -> Hashes:
    rows = [Row((text,), None, 0) for text in texts]
    symbols, row_of_text = symbols_of(rows)
    units = hasher_of(SECRET).units(symbols, complete=True)
    return Sketcher(IndexKey(SECRET)).bands(units, row_of_text[units.texts], len(rows))


def shared(one: str, other: str) -> int:
    a, b = bands([one, other])
    return int((a == b).sum())


def words(count: int, seed: int) -> list[str]:
    return [f"w{n}" for n in np.random.default_rng(seed).integers(0, 10**6, count)]


def test_equal_rows_share_every_band() -> None:
    assert shared("The lamp, is broken", "the LAMP is broken!") == BANDS
    assert shared("ok", "OK") == BANDS


def test_a_row_without_a_word_has_no_band() -> None:
    assert (bands(["", "?!", "a"])[:2] == NO_BAND).all()


@pytest.mark.parametrize(("changed", "least", "most"), [(1, 0.9, 1.0), (5, 0.4, 0.95), (60, 0.0, 0.05)])
def test_how_often_changed_rows_share_a_band(changed: int, least: float, most: float) -> None:
    """Of 100 words; each changed word changes two of the pairs."""
    found = 0
    for seed in range(60):
        text = words(100, seed)
        other = text.copy()
        for at in np.random.default_rng(seed).choice(100, changed, replace=False):
            other[at] = "changed"
        found += shared(" ".join(text), " ".join(other)) > 0
    assert least <= found / 60 <= most


def test_a_row_counts_for_its_near_duplicates_and_public_rows_for_themselves(tmp_path: Path) -> None:
    people = np.array([9, 8, 7, 6, NOBODY, 5], np.uint64)
    first = np.array([1, 1, 2, 3, 1, 0], np.uint64)
    second = np.array([4, 5, 5, 6, 7, 0], np.uint64)
    merged = merge_people(people, [first, second], NOBODY, tmp_path)
    assert merged.tolist() == [8, 7, 7, 6, NOBODY, 5]


def test_no_rows(tmp_path: Path) -> None:
    empty = np.empty(0, np.uint64)
    assert merge_people(empty, [empty], NOBODY, tmp_path).tolist() == []


def test_rows_that_share_an_answer_are_still_many(tmp_path: Path) -> None:
    """Ten words of a question, forty of the same answer: some pair always shares a band, and most pairs none."""
    answer = " ".join(words(40, 0))
    shared_bands = bands([" ".join(words(10, seed)) + " " + answer for seed in range(1, 301)])
    people = np.arange(1, 301).astype(np.uint64)
    merged = merge_people(people, list(np.ascontiguousarray(shared_bands.T)), NOBODY, tmp_path)
    assert len(set(merged.tolist())) > 60
