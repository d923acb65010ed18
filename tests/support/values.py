"""The vectors of typed values and of benign text, which anybody may add to (tests/vectors/pii)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "vectors/pii"


@dataclass(frozen=True)
class Value:
    """`label` stands before a value that nothing but its label makes private."""

    type: str
    value: str
    label: str = ""


def _read(name: str, key: str) -> list[Any]:
    entries: list[Any] = json.loads((_FOLDER / name).read_text(encoding="utf-8"))[key]
    return entries


VALUES = [Value(**entry) for entry in _read("values.json", "values")]
BENIGN: list[str] = _read("benign.json", "texts")
