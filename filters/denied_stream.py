"""One channel of text that leaves as it comes, but for values on the deny list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from filters.evidence import Denied
from filters.hidden import MIN_LENGTH
from filters.pii.types import DENIED
from filters.spans import Span, merge

MOST_HELD: Final = 4096  # characters; what is open for longer is nothing but separators, and is hidden whole


class DeniedStream:
    """Holds what may still become a denied value, and no more than that."""

    def __init__(self, denied: Denied) -> None:
        self._denied = denied
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether raw text is held."""
        return bool(self._held)

    def push(self, raw_text: str) -> tuple[str, Sequence[Span]]:
        """Add text; what of it leaves, and what of that must be hidden. Raises DetectorError."""
        self._held += raw_text
        end = min(self._denied.open_from(self._held), _before_last_letters(self._held))
        return self._take(end)

    def close(self, *, complete: bool) -> tuple[str, Sequence[Span]]:
        """End the text, as `push`. Unless it said all it wanted to, a value that had begun is dropped."""
        taken = self._take(len(self._held) if complete else self._denied.open_from(self._held))
        self._held = ""
        return taken

    def _take(self, end: int) -> tuple[str, Sequence[Span]]:
        spans = merge(self._denied.find(self._held))
        end = min((span.start for span in spans if span.start < end < span.end), default=end)
        spans = [span for span in spans if span.end <= end]
        if len(self._held) - end > MOST_HELD:
            spans.append(Span(end, len(self._held), DENIED, 1.0))
            end = len(self._held)
        text, self._held = self._held[:end], self._held[end:]
        return text, spans


def _before_last_letters(raw_text: str) -> int:
    """Where the last letters begin that are too few to be known as the start of a value."""
    left = MIN_LENGTH - 1
    for at in range(len(raw_text) - 1, -1, -1):
        if raw_text[at].isalnum():
            left -= 1
            if not left:
                return at
    return 0
