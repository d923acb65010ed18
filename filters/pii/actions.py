"""What stands in for a hidden value."""

from __future__ import annotations

from filters.pii.canonical import canonical


class Placeholders:
    """Typed placeholders of one answer: "[EMAIL_1]", "[PHONE_1]", "[EMAIL_2]" in the order of first sight.

    The form needs no escape in JSON, and no detector finds a value in it. One value, however it is spelled, keeps its
    placeholder for as long as this object lives, which is one answer: numbers that held longer would link answers.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def mask(self, kind: str, raw_value: str) -> str:
        """The placeholder of this value of the finding type `kind`."""
        key = (kind, canonical(kind, raw_value))
        if key not in self._given:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._given[key] = f"[{kind}_{self._counts[kind]}]"
        return self._given[key]
