"""Small fine-tuning sets and their indexes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filters.index.build import Built, Plan, build
from filters.index.lookup import Run, TuningIndex, merge
from filters.index.rows import Fields, NoSubject
from filters.index.workers import ThisProcess, Workers

SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
AUDIENCES = ("public", "internal", "sensitive")


def fields(**changes: Any) -> Fields:
    told: dict[str, Any] = {
        "audiences": AUDIENCES,
        "subject": "subject",
        "no_subject": NoSubject.PRIVATE,
        "audience": "audience",
        "no_audience": "public",
    }
    return Fields(**(told | changes))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def make(
    folder: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    told: Fields | None = None,
    k: int = 5,
    workers: Workers | None = None,
    name: str = "set",
) -> Built:
    source = write_rows(folder / f"{name}.jsonl", rows)
    plan = Plan(source, folder / f"{name}.tli", told or fields(), k)
    return build(plan, SECRET, workers or ThisProcess(), quiet)


def load(folder: Path, name: str = "set") -> TuningIndex:
    return TuningIndex.load(folder / f"{name}.tli", SECRET)


def index_of(folder: Path, rows: Iterable[Mapping[str, Any]], **options: Any) -> TuningIndex:
    make(folder, rows, **options)
    return load(folder)


def runs(index: TuningIndex, text: str, clearance: str = "sensitive", k: int | None = None) -> list[Run]:
    stream = index.stream(clearance, k)
    return merge(stream.push(text) + stream.close())


def quiet(step: str, done: int, total: int) -> None:
    """Progress that nobody wants."""
