"""`stop` strings, matched on the text that is released.

The engine never gets them: it would match them on hidden text, and each would be a question about that text.
"""

from __future__ import annotations


class StopMatcher:
    """Ends one channel's released text before the first stop string in it."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """(what may be sent now, whether a stop string was met). After a match nothing more may be pushed."""
        if not self._stops:
            return text, False
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            return text[: min(found)], True
        keep = self._open_at(text)
        self._held = text[keep:]
        return text[:keep], False

    def close(self) -> str:
        """What was held because a stop string might have followed."""
        held, self._held = self._held, ""
        return held

    def _open_at(self, text: str) -> int:
        longest = max(map(len, self._stops))
        for at in range(max(0, len(text) - longest + 1), len(text)):
            if any(stop.startswith(text[at:]) for stop in self._stops):
                return at
        return len(text)
