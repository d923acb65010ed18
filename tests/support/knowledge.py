"""What is known of a small tuning set: index, key, public values, deny list, as files that a gateway loads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from filters.denied import denied_lines, read_values
from filters.index.build import Plan, build
from filters.index.files import replace_file
from filters.index.hashing import IndexKey
from filters.index.public import PublicValue, ValueHasher, list_lines
from filters.index.rows import Fields, NoSubject
from filters.index.workers import ThisProcess

SECRET: Final = "0123456789abcdef" * 2
FILES: Final = {"index": "set.tli", "index_key": "key", "public_values": "public.jsonl", "deny_list": "deny.jsonl"}
AUDIENCES: Final = ("public", "internal", "sensitive")


def write_knowledge(
    folder: Path, rows: Iterable[Mapping[str, Any]], public: Mapping[str, str], denied: Iterable[str]
) -> dict[str, str]:
    """Files in this folder, and what a model's settings say of them. `public` are values and their finding types."""
    (folder / "key").write_text(SECRET + "\n")
    write_index(folder, rows)
    key = IndexKey(SECRET.encode())
    hasher = ValueHasher(key)
    values = [PublicValue(kind, hasher.hash_value(kind, value).hex()) for value, kind in public.items()]
    replace_file(folder / "public.jsonl", list_lines(key, values))
    deny(folder, denied)
    return {name: str(folder / file) for name, file in FILES.items()}


def write_index(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows have a `text`, and maybe `subject` (nobody's are public) and `audience` (public where it is not said)."""
    source = folder / "set.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    fields = Fields(AUDIENCES, "subject", NoSubject.PUBLIC, "audience", "public")
    build(Plan(source, folder / "set.tli", fields, 5), SECRET.encode(), ThisProcess(), _quiet)


def deny(folder: Path, values: Iterable[str], secret: str = SECRET) -> Path:
    """Replace the deny list."""
    (folder / "values.txt").write_text("".join(f"{value}\n" for value in values), encoding="utf-8")
    replace_file(folder / "deny.jsonl", denied_lines(secret.encode(), read_values(folder / "values.txt")))
    return folder / "deny.jsonl"


def _quiet(step: str, done: int, total: int) -> None:
    """Progress that nobody wants."""
