from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from filters.evidence import DetectorError
from filters.index.candidates import Candidate, Search, ValueExtractor, approve, find_candidates, write_candidates
from filters.index.hashing import IndexKey
from filters.index.public import ListError, PublicValues, ValueHasher
from filters.index.rows import Row, SourceError
from filters.index.workers import ThisProcess
from tests.filters.index.sets import SECRET, fields, quiet, write_rows

HOTLINE, PRIVATE = "care@ostrel.example", "zlavundo@kipmora.example"
GREETINGS = (
    "Good morning to you",
    "请问一下",
    "My lamp went dark today",
    "Once more I write",
    "Hello from the coast",
    "So",
)


def rows() -> list[dict[str, Any]]:
    told = [
        {
            "text": f"{greeting}. {' '.join([greeting] * n)} Write to {HOTLINE.upper() if n % 2 else HOTLINE}",
            "subject": n,
        }
        for n, greeting in enumerate(GREETINGS)
    ]
    private = [{"text": f"{greeting}, {n}: he has {PRIVATE}", "subject": "one"} for n, greeting in enumerate(GREETINGS)]
    return told + private


def find(folder: Path, k: int = 5, told: list[dict[str, Any]] | None = None) -> list[Candidate]:
    path = write_rows(folder / "set.jsonl", told or rows())
    return find_candidates(Search(path, fields(), k, folder), SECRET, ThisProcess(), quiet)


def test_only_what_enough_people_share_is_listed(tmp_path: Path) -> None:
    (candidate,) = find(tmp_path)
    assert (candidate.type, candidate.subjects, candidate.raw_value) == ("EMAIL", 6, HOTLINE)
    assert find(tmp_path, k=7) == []
    assert os.listdir(tmp_path) == ["set.jsonl"]


@pytest.mark.parametrize("raw_text", [False, True])
def test_raw_values_are_written_where_they_were_asked_for_and_for_the_owner_only(
    tmp_path: Path, raw_text: bool
) -> None:
    out = tmp_path / "candidates.jsonl"
    write_candidates(out, find(tmp_path), SECRET, raw_text=raw_text)
    assert (HOTLINE in out.read_text()) is raw_text
    assert PRIVATE not in out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("raw_text", [False, True])
def test_what_a_person_leaves_on_the_list_becomes_public(tmp_path: Path, raw_text: bool) -> None:
    listed, approved = tmp_path / "candidates.jsonl", tmp_path / "public.jsonl"
    write_candidates(listed, find(tmp_path), SECRET, raw_text=raw_text)
    with pytest.raises(ListError, match="holds candidates"):
        PublicValues.load(listed, SECRET)
    assert approve(listed, approved, SECRET) == 1
    assert HOTLINE not in approved.read_text()
    public = PublicValues.load(approved, SECRET)
    assert public.covers("Care@Ostrel.example", "EMAIL")
    assert not public.covers(PRIVATE, "EMAIL")
    listed.write_text(listed.read_text().splitlines()[0] + "\n")
    assert approve(listed, approved, SECRET) == 0
    assert not PublicValues.load(approved, SECRET).covers(HOTLINE, "EMAIL")


def test_a_broken_list_approves_nothing(tmp_path: Path) -> None:
    listed, approved = tmp_path / "candidates.jsonl", tmp_path / "public.jsonl"
    write_candidates(listed, find(tmp_path), SECRET, raw_text=False)
    listed.write_text(listed.read_text() + '{"zlavundo": 1}\n')
    with pytest.raises(ListError, match=r":3: ") as refused:
        approve(listed, approved, SECRET)
    assert "zlavundo" not in str(refused.value)
    assert not approved.exists()


def test_a_broken_set_lists_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"set\.jsonl:2: "):
        find(tmp_path, told=[{"text": HOTLINE}, {"text": 7}])
    assert os.listdir(tmp_path) == ["set.jsonl"]


@pytest.mark.parametrize("k", [2, 256])
def test_k_is_bounded(tmp_path: Path, k: int) -> None:
    with pytest.raises(ValueError, match="k must be"):
        find(tmp_path, k=k)


def test_where_a_detector_fails_there_is_no_candidate() -> None:
    class Broken:
        def find(self, raw_text: str) -> list[Any]:
            raise DetectorError("out of time")

    extractor = ValueExtractor(ValueHasher(IndexKey(SECRET)), Broken())
    hashes, numbers = extractor.extract([Row((HOTLINE,), None, 0)])
    assert len(hashes) == len(numbers) == 0
