"""Hidden once, hidden for the whole answer, however it is written the second time."""

from __future__ import annotations

from filters.normalise import normalise
from filters.spans import Span

MIN_LENGTH = 4  # letters and digits; shorter runs occur by chance


class HiddenValues:
    """Values that an answer hid, compared by their letters and digits alone."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}  # skeleton → finding type

    def add(self, raw_value: str, kind: str) -> None:
        """Remember a value that was hidden."""
        skeleton = _letters(normalise(raw_value).text)
        if len(skeleton) >= MIN_LENGTH:
            self._kinds[skeleton] = kind

    def find(self, raw_text: str) -> list[Span]:
        """Where a hidden value stands in this text."""
        if not self._kinds:
            return []
        letters = _letters(normalise(raw_text).text)
        if not any(value in letters for value in self._kinds):
            return []
        skeleton, offsets = _skeleton(raw_text)
        return [span for value, kind in self._kinds.items() for span in _occurrences(value, kind, skeleton, offsets)]


def _occurrences(value: str, kind: str, skeleton: str, offsets: list[tuple[int, int]]) -> list[Span]:
    spans, at = [], skeleton.find(value)
    while at >= 0:
        spans.append(Span(offsets[at][0], offsets[at + len(value) - 1][1], kind, 1.0))
        at = skeleton.find(value, at + len(value))
    return spans


def _letters(text: str) -> str:
    """Folded letters and digits."""
    return "".join(filter(str.isalnum, text)).casefold()


def _skeleton(raw_text: str) -> tuple[str, list[tuple[int, int]]]:
    """The same of the plain reading, and the raw span of each."""
    normal = normalise(raw_text)
    letters, offsets = [], []
    for at, char in enumerate(normal.text):
        if char.isalnum():
            folded = char.casefold()
            letters.append(folded)
            offsets += [normal.raw_span(at, at + 1)] * len(folded)
    return "".join(letters), offsets
