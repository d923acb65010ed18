"""Finds phrases of a fixed list in a text, English by words and Chinese by characters, linear in the text.

A phrase is filed under its head: its first word, or its first two characters where it is Chinese (one, if it has no
more). Only where a head of the list stands in the text are phrases compared, so that the cost hardly grows with the
list. The longest phrase at a place counts, and the search goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

_WORD = re.compile(r"[a-zà-ÿ]+")
_HAN_HEAD = re.compile(r"[\u3400-\u9fff]{1,2}")
_LAST_LATIN = "\u024f"


@dataclass(frozen=True, slots=True)
class Hit(Generic[Entry]):
    """A phrase of the list stands at `text[start:end]`."""

    start: int
    end: int
    entry: Entry


class Lexicon(Generic[Entry]):
    """Phrases in lower case and what each of them stands for."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        """Raises ValueError for a phrase that can't be found: empty, in capitals, or headed by a sign or a digit."""
        heads: dict[str, list[tuple[str, Entry]]] = {}
        for phrase, entry in entries.items():
            head = _WORD.match(phrase) or _HAN_HEAD.match(phrase)
            if head is None or phrase != phrase.lower():
                raise ValueError(f"no phrase to look for: {phrase!r}")
            heads.setdefault(head.group(), []).append((phrase, entry))
        for phrases in heads.values():
            phrases.sort(key=lambda pair: len(pair[0]), reverse=True)
        self._heads = heads
        self._words = frozenset(head for head in heads if head[0] <= _LAST_LATIN)
        self._single = frozenset(head for head in heads if head[0] > _LAST_LATIN and len(head) == 1)
        self._pairs = frozenset((head[0], head[1]) for head in heads if head[0] > _LAST_LATIN and len(head) == 2)

    def find(self, lower_text: str) -> Iterator[Hit[Entry]]:
        """Hits from left to right, none overlapping another. `lower_text` is in lower case."""
        done = 0
        for start, head in sorted(self._heads_in(lower_text), key=_longer_head_first):
            if start < done:
                continue
            for phrase, entry in self._heads[head]:
                end = start + len(phrase)
                if lower_text.startswith(phrase, start) and not _goes_on(lower_text, end):
                    yield Hit(start, end, entry)
                    done = end
                    break

    def _heads_in(self, text: str) -> Iterator[tuple[int, str]]:
        if not self._words.isdisjoint(_WORD.findall(text)):
            yield from ((word.start(), word.group()) for word in _WORD.finditer(text) if word.group() in self._words)
        if text.isascii():
            return
        for char in self._single.intersection(text):
            yield from _places(text, char)
        for pair in self._pairs.intersection(pairwise(text)):
            yield from _places(text, "".join(pair))


def _places(text: str, head: str) -> Iterator[tuple[int, str]]:
    at = text.find(head)
    while at >= 0:
        yield at, head
        at = text.find(head, at + 1)


def _longer_head_first(place: tuple[int, str]) -> tuple[int, int]:
    return place[0], -len(place[1])


def _goes_on(text: str, end: int) -> bool:
    """Whether an English word is cut by `end`; Chinese has no such border."""
    if end >= len(text):
        return False
    before, after = text[end - 1], text[end]
    return before <= _LAST_LATIN and after <= _LAST_LATIN and before.isalpha() and after.isalpha()
