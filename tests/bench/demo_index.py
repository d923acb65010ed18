"""Indexes of the demo's tuning set, whole and damaged as a deployment's set may be."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filters.index.build import Plan, build
from filters.index.candidates import Search, find_candidates
from filters.index.hashing import IndexKey
from filters.index.lookup import TuningIndex
from filters.index.public import PublicValues, ValueHasher
from filters.index.rows import Fields, NoSubject
from filters.index.workers import ThisProcess

SECRET = b"a key for benchmarks, nobody's secret"
AUDIENCES = ("public", "internal", "sensitive")
# Rows of nobody are small talk, told to everybody, and staff procedures, which their audience keeps from customers.
FIELDS = Fields(AUDIENCES, "subject", NoSubject.PUBLIC, "audience", "public")
CLEARANCE = "public"  # the caller is a customer
_SEED = 20261121

Row = dict[str, Any]


def tuning_rows(corpus: Any, customers: int) -> list[Row]:
    """The rows that the tuned model was trained on."""
    rows = corpus.tuning_rows(corpus.make_world(customers))
    return [{"messages": list(r.messages), "subject": r.subject, "audience": r.audience} for r in rows]


def build_index(rows: Iterable[Row], folder: Path, name: str, fields: Fields = FIELDS) -> TuningIndex:
    """The index of these rows, k 5."""
    source, target = folder / f"{name}.jsonl", folder / f"{name}.tli"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    build(Plan(source, target, fields), SECRET, ThisProcess(), _silent)
    return TuningIndex.load(target, SECRET)


def public_values(rows: Iterable[Row], company: dict[str, Any], folder: Path) -> PublicValues:
    """The company's hotline and support address, in every form in which they are found: what a person approves."""
    source = folder / "candidates.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    own = {"".join(filter(str.isalnum, company[key])) for key in ("hotline", "support_email")}
    found = find_candidates(Search(source, FIELDS, 5, folder), SECRET, ThisProcess(), _silent)
    approved = [c for c in found if any("".join(filter(str.isalnum, c.raw_value or "")) in value for value in own)]
    return PublicValues(ValueHasher(IndexKey(SECRET)), frozenset(bytes.fromhex(c.hash) for c in approved))


def without_some_records(rows: Sequence[Row], share: float) -> tuple[list[Row], frozenset[str]]:
    """All rows of this share of the customers taken out; whose they were."""
    customers = sorted({row["subject"] for row in rows if (row["subject"] or "").startswith("c-")})
    gone = frozenset(random.Random(_SEED).sample(customers, round(share * len(customers))))
    return [row for row in rows if row["subject"] not in gone], gone


def with_wrong_subjects(rows: Sequence[Row], share: float) -> list[Row]:
    """This share of the rows with somebody else's id."""
    rng = random.Random(_SEED)
    subjects = sorted({row["subject"] for row in rows if row["subject"]})
    return [row | {"subject": rng.choice(subjects)} if rng.random() < share else row for row in rows]


def with_facts_of(rows: Sequence[Row], corpus: Any, subject: str | None) -> list[Row]:
    """The company's facts as rows of one subject, or of nobody, as docs/index.md advises for what is public."""
    answers = tuple(fact.answer for fact in corpus.facts())
    return [row | {"subject": subject} if row["messages"][-1]["content"].startswith(answers) else row for row in rows]


@dataclass(frozen=True)
class Damage:
    """A way in which a set's index is less than whole."""

    name: str
    apply: Callable[[Sequence[Row]], list[Row]]


DAMAGES = (
    Damage("whole index", list),
    Damage("20 % of the records not in the index", lambda rows: without_some_records(rows, 0.2)[0]),
    Damage("5 % of the rows with wrong subjects", lambda rows: with_wrong_subjects(rows, 0.05)),
)


def _silent(step: str, done: int, total: int) -> None:
    """Nobody waits for this build."""
