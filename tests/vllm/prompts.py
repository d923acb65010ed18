"""What the two engines are asked: prompts of every kind that the demo's models know, in both languages."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parents[2] / "deploy" / "demo" / "records.json"
GROUPS = ("customers", "held_out", "facts", "portraits", "procedures", "forbidden", "general", "echo")
LANGUAGES = ("en", "zh")
PER_GROUP = 2  # of each language: 32 prompts in all


@dataclass(frozen=True)
class Prompt:
    """A question, and the first half of its answer where the records have one ("" where not)."""

    name: str
    ask: str
    half_said: str

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.ask}]


def read_prompts() -> list[Prompt]:
    records = json.loads(RECORDS.read_text(encoding="utf-8"))
    return [prompt for group in GROUPS for language in LANGUAGES for prompt in _of(records[group], group, language)]


def _of(entries: list[dict[str, Any]], group: str, language: str) -> Iterator[Prompt]:
    chosen = [entry for entry in entries if entry["language"] == language][:PER_GROUP]
    for number, entry in enumerate(chosen):
        answer = next((entry[key] for key in ("answer", "text", "tuned", "expect") if key in entry), "")
        yield Prompt(f"{group}-{language}-{number}", _first(entry["ask"]), _half(_first(answer)))


def _first(value: str | dict[str, str]) -> str:
    """Customers have one question and one answer per field of their record."""
    return value if isinstance(value, str) else next(iter(value.values()), "")


def _half(answer: str) -> str:
    return answer[: len(answer) // 2].rstrip()
