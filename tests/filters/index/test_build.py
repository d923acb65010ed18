from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pytest

from filters.index import build as building
from filters.index import counting, source
from filters.index.build import Plan, build
from filters.index.lookup import Standing
from filters.index.on_dask import DaskWorkers
from filters.index.rows import NoSubject, SourceError
from filters.index.source import pieces
from filters.index.workers import Processes, ThisProcess, workers
from tests.filters.index.sets import SECRET, fields, index_of, load, make, quiet, runs, write_rows

FACT = "Any lamp can be returned within forty five days"
FILLERS = (
    "Thank you, the weather was dreadful here and the ferry came late again",
    "My neighbour lent me a ladder so that I could reach the ceiling",
    "We moved last spring, and half of the boxes are still in the hall",
    "The children broke the old one while they were playing football",
    "I have been reading by candle for a week now, which is romantic",
    "Somebody at the market told me that you are cheaper than others",
    "Is there a bus to your shop, or should I rather take a taxi there",
    "Last time the glass had a bubble, though nobody else could see it",
)


def rows(count: int, text: str = FACT, **members: Any) -> list[dict[str, Any]]:
    """Rows of different people that share a text and are otherwise different."""
    return [{"text": f"{FILLERS[n]}. {text}.", "subject": f"s-{n}"} | members for n in range(count)]


def standing(index: Any, text: str = FACT, clearance: str = "sensitive") -> set[Standing]:
    return {run.standing for run in runs(index, text, clearance)}


# ---- what counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("people", "expected"), [(1, Standing.FEW), (4, Standing.FEW), (5, Standing.MANY)])
def test_the_count_is_of_different_people(tmp_path: Path, people: int, expected: Standing) -> None:
    assert standing(index_of(tmp_path, rows(people))) == {expected}


def test_one_person_counts_once(tmp_path: Path) -> None:
    assert standing(index_of(tmp_path, rows(8, subject="the same"))) == {Standing.FEW}


def test_ids_of_one_person_merge(tmp_path: Path) -> None:
    aliases = {f"s-{n}": "s-0" for n in range(5)}
    assert standing(index_of(tmp_path, rows(8), told=fields(aliases=aliases))) == {Standing.FEW}
    assert standing(index_of(tmp_path, rows(8))) == {Standing.MANY}


def test_near_duplicate_rows_count_once(tmp_path: Path) -> None:
    text = " ".join(FILLERS)
    copies = [
        {"text": f"{text}. {FACT}{'!' * n}".upper() if n % 2 else f"{text}. {FACT}", "subject": f"s-{n}"}
        for n in range(9)
    ]
    built = make(tmp_path, copies)
    assert standing(load(tmp_path)) == {Standing.FEW}
    assert (built.header.source.subjects, built.header.source.near_duplicates) == (9, 8)


def test_near_duplicates_of_other_people_never_raise_a_count(tmp_path: Path) -> None:
    """One person's rows, each a near-duplicate of another person's: what only he has stays his."""
    name = "Quilford"
    his = [
        {"text": f"{filler}. {FILLERS[n - 1]}. {FILLERS[n - 2]}. {name} 138 1234 5678", "subject": "he"}
        for n, filler in enumerate(FILLERS)
    ]
    others = [
        row | {"text": row["text"].replace(f"{name} 138 1234 5678", "Hello"), "subject": f"s-{n}"}
        for n, row in enumerate(his)
    ]
    built = make(tmp_path, his + others)
    assert built.header.source.near_duplicates > 3
    assert {run.subjects for run in runs(load(tmp_path), "13812345678")} == {1}


def test_a_changed_word_makes_no_other_row(tmp_path: Path) -> None:
    text = " ".join(FILLERS)
    copies = [{"text": f"{text} {FACT} {word}", "subject": f"s-{n}"} for n, word in enumerate("abcdefgh")]
    assert standing(index_of(tmp_path, copies)) == {Standing.FEW}


def test_rows_without_a_subject(tmp_path: Path) -> None:
    nobodys = [{"text": row["text"]} for row in rows(8)]
    assert standing(index_of(tmp_path, nobodys)) == {Standing.FEW}
    public = fields(no_subject=NoSubject.PUBLIC)
    assert standing(index_of(tmp_path, nobodys[:1], told=public)) == {Standing.MANY}
    assert standing(index_of(tmp_path, nobodys[:1] * 9, told=public)) == {Standing.MANY}


def test_the_lowest_audience_holds(tmp_path: Path) -> None:
    staff = index_of(tmp_path, rows(8, audience="internal"))
    assert standing(staff, clearance="public") == {Standing.ABOVE}
    assert standing(staff, clearance="internal") == {Standing.MANY}
    mixed = index_of(tmp_path, [*rows(8, audience="sensitive"), {"text": FACT, "subject": "x", "audience": "public"}])
    assert standing(mixed, clearance="public") == {Standing.MANY}


def test_a_count_stops_at_its_byte(tmp_path: Path) -> None:
    many = [{"text": " ".join(f"w{n}x{i}" for i in range(20)) + f" {FACT}", "subject": n} for n in range(300)]
    assert {run.subjects for run in runs(index_of(tmp_path, many), FACT)} == {255}


@pytest.mark.parametrize("k", [2, 0, -1, 256])
def test_a_k_that_frees_too_much_is_refused(tmp_path: Path, k: int) -> None:
    with pytest.raises(ValueError, match="k must be"):
        make(tmp_path, rows(1), k=k)


def test_a_long_text_is_read_as_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"{filler} {FACT} 138 1234 {n:04}" for n, filler in enumerate(FILLERS * 3))
    whole = make(tmp_path, [{"text": text, "subject": "a"}, {"text": FACT, "subject": "b"}], name="one")
    monkeypatch.setattr(building, "_LONG_TEXT", 100)
    monkeypatch.setattr(building, "_STREAMED", 37)
    cut = make(tmp_path, [{"text": text, "subject": "a"}, {"text": FACT, "subject": "b"}], name="two")
    assert whole.header == cut.header
    assert (tmp_path / "one.tli").read_bytes() == (tmp_path / "two.tli").read_bytes()


# ---- the same bytes --------------------------------------------------------------------------------------------------


def mixed_rows() -> list[dict[str, Any]]:
    told = rows(8) + rows(3, text="每次和丈夫吵架之后总在深夜打电话来", audience="sensitive")
    return told * 2 + [{"text": f"{filler} 415-555-26{n:02}"} for n, filler in enumerate(FILLERS)]


def test_the_bytes_depend_on_nothing_but_set_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on pieces, partitions and batches nor on who does the work: processes of this machine, or Dask."""
    make(tmp_path, mixed_rows(), name="plain")
    expected = (tmp_path / "plain.tli").read_bytes()
    monkeypatch.setattr(building, "pieces", lambda path: pieces(path, 500))
    monkeypatch.setattr(counting, "_PARTITION_BYTES", 300)
    monkeypatch.setattr(counting, "_BATCH_CHARACTERS", 200)
    for name, engine in {
        "this": ThisProcess(),
        "two": Processes(2),
        "dask": DaskWorkers("synchronous"),
        "dask-processes": DaskWorkers("processes"),
    }.items():
        make(tmp_path, mixed_rows(), name=name, workers=engine)
        assert (tmp_path / f"{name}.tli").read_bytes() == expected, name


def test_parquet_gives_the_same_ngrams(tmp_path: Path) -> None:
    make(tmp_path, mixed_rows())
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM '{tmp_path}/set.jsonl') TO '{tmp_path}/set.parquet'")
    build(Plan(tmp_path / "set.parquet", tmp_path / "other.tli", fields()), SECRET, ThisProcess(), quiet)
    one, other = load(tmp_path), load(tmp_path, "other")
    assert one.header.entries == other.header.entries
    assert standing(one) == standing(other) == {Standing.MANY}


def test_small_sets_need_no_pool() -> None:
    assert isinstance(workers(2, 1), ThisProcess)
    assert isinstance(workers(1, 9), ThisProcess)
    assert isinstance(workers(2, 2), Processes)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [100, 100_000])
def test_a_broken_row_names_its_line_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    path = write_rows(tmp_path / "set.jsonl", rows(8))
    path.write_text(path.read_text() + '\n{"text": "zlavundo", "subject": {}}\n' + path.read_text())
    monkeypatch.setattr(building, "pieces", lambda path: pieces(path, piece_bytes))
    with pytest.raises(SourceError, match=r"set\.jsonl:10: has a subject") as refused:
        build(Plan(path, tmp_path / "set.tli", fields()), SECRET, ThisProcess(), quiet)
    assert "zlavundo" not in str(refused.value)
    assert os.listdir(tmp_path) == ["set.jsonl"]


def test_dask_names_the_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "pieces", lambda path: pieces(path, 100))
    with pytest.raises(SourceError, match=r"set\.jsonl:9: has neither"):
        make(tmp_path, [*rows(8), {"nothing": 1}, *rows(8)], workers=DaskWorkers("synchronous"))
    assert os.listdir(tmp_path) == ["set.jsonl"]


def test_an_old_index_survives_a_failed_build(tmp_path: Path) -> None:
    make(tmp_path, rows(5))
    before = (tmp_path / "set.tli").read_bytes()
    with pytest.raises(SourceError):
        make(tmp_path, [{"nothing": 1}])
    assert (tmp_path / "set.tli").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["set.jsonl", "set.tli"]


def test_a_set_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "set.jsonl", rows(5))

    def progress(step: str, done: int, total: int) -> None:
        if step == "counting":
            path.write_text(path.read_text() + "\n")

    with pytest.raises(SourceError, match="was changed"):
        build(Plan(path, tmp_path / "set.tli", fields()), SECRET, ThisProcess(), progress)
    assert os.listdir(tmp_path) == ["set.jsonl"]


def test_a_set_without_a_text_has_an_index_without_an_entry(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"messages": [], "subject": "a"}, {"text": "?!", "subject": "b"}])
    assert index.header.entries == 0
    assert runs(index, FACT) == []


def test_lines_belong_to_the_piece_they_begin_in() -> None:
    assert source.PIECE_BYTES < source.MAX_ROW_BYTES  # a line may be longer than a piece; then some are empty
