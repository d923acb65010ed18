"""Hidden once, hidden for the whole answer, however it is written the second time.

Of a trait that was generalised ("a nurse") only whole words count: it is made of ordinary ones, not of a value's.
"""

from __future__ import annotations

from collections.abc import Iterator

from filters.normalise import Normalised, normalise
from filters.spans import Span
from filters.specificity.quasi_identifiers import QUASI_IDENTIFIER

MIN_LENGTH = 4  # letters and digits; shorter runs occur by chance
_LAST_LATIN = "\u024f"


class HiddenValues:
    """Values that an answer hid, compared by their letters and digits alone.

    They are kept by how they begin, so that looking for them takes no longer when there are many.
    """

    def __init__(self) -> None:
        self.types: set[str] = set()  # of all that was hidden, also what is too short to be found again
        self._kinds: dict[str, str] = {}  # skeleton → finding type
        self._lengths: dict[str, set[int]] = {}  # its first MIN_LENGTH characters → the lengths of those that begin so

    def add(self, raw_value: str, kind: str) -> None:
        """Remember a value that was hidden."""
        self.types.add(kind)
        letters = skeleton(normalise(raw_value).text)
        if len(letters) >= MIN_LENGTH:
            self._kinds[letters] = kind
            self._lengths.setdefault(letters[:MIN_LENGTH], set()).add(len(letters))

    def find(self, raw_text: str) -> list[Span]:
        """Where a hidden value stands in this text."""
        if not self._kinds:
            return []
        plain = normalise(raw_text)
        found = list(self._places(skeleton(plain.text)))
        if not found:
            return []
        places = raw_places(plain)
        spans = (Span(places[start][0], places[end - 1][1], kind, 1.0) for start, end, kind in found)
        return [span for span in spans if span.type != QUASI_IDENTIFIER or _is_whole(raw_text, span)]

    def _places(self, letters: str) -> Iterator[tuple[int, int, str]]:
        for start in range(len(letters) - MIN_LENGTH + 1):
            for length in self._lengths.get(letters[start : start + MIN_LENGTH], ()):
                end = start + length
                if end <= len(letters) and (kind := self._kinds.get(letters[start:end])) is not None:
                    yield start, end, kind


def _is_whole(raw_text: str, span: Span) -> bool:
    """Whether no word of a script that has spaces is cut at either end."""
    seams = (raw_text[span.start - 1 : span.start + 1] if span.start else "", raw_text[span.end - 1 : span.end + 1])
    return not any(len(seam) == 2 and seam.isalnum() and max(seam) <= _LAST_LATIN for seam in seams)


def skeleton(plain: str) -> str:
    """Folded letters and digits of a plain reading."""
    return "".join(filter(str.isalnum, plain)).casefold()


def raw_places(plain: Normalised) -> list[tuple[int, int]]:
    """The raw span of each character of the skeleton; folding may make more than one of a letter."""
    return [
        (start, end)
        for char, start, end in zip(plain.text, plain.offsets, plain.ends, strict=True)
        if char.isalnum()
        for _ in char.casefold()
    ]
