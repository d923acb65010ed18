"""The vectors of dates, ages, amounts, coordinates and numbers (tests/vectors/pii/quantities.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filters.pii.types import QUANTITIES
from filters.profile import Action, Profile

_READ: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/pii/quantities.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Quantity:
    """`becomes` is what a generalisation says instead, None where there is none."""

    type: str
    language: str
    before: str
    value: str
    after: str
    becomes: str | None

    @property
    def text(self) -> str:
        return self.before + self.value + self.after

    @property
    def generalised(self) -> str:
        """What a caller reads whose profile generalises the type."""
        return f"{self.before}{self.becomes or f'[{self.type}_1]'}{self.after}"


def _vector(entry: dict[str, Any]) -> Quantity:
    before, _, rest = entry["marked"].partition("[")
    value, _, after = rest.partition("]")
    return Quantity(entry["type"], entry["language"], before, value, after, entry["becomes"])


VECTORS = [_vector(entry) for entry in _READ["values"]]
BENIGN: list[str] = _READ["benign"]


def profile(action: Action, **choices: Any) -> Profile:
    """One that has this action for all QUANTITIES."""
    return Profile("test", persons=False, compare=False, actions=dict.fromkeys(QUANTITIES, action), **choices)


GENERALISED = profile(Action.GENERALISE)
