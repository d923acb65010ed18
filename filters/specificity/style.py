"""The style shift: by how many bits a token the tuned model is surer of text that holds nothing special.

It is a constant of the pair, measured on benign traffic and kept with the release. Within an answer it is refined from
the tokens outside every suspect span, from FEWEST_TOKENS of them on, and never above the 95th percentile of benign
answers: an answer that is nothing but a telephone number must not become its own yardstick, and one that is recited
from end to end gains no more than an unusually harmless one would.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from filters.specificity.excess import excess_bits

FEWEST_TOKENS = 32
LOOK_BACK = 128  # tokens before a suspect; the base reads them anyhow, and scores them with the same question


@dataclass(frozen=True, slots=True)
class StyleShift:
    """Bits a token: the median of benign answers, and their 95th percentile; without it nothing is refined."""

    bits: float = 0.0
    most_bits: float | None = None

    def refined(self, tuned: Sequence[float], base: Sequence[float]) -> float:
        """The shift of an answer of which tokens outside every suspect span have these natural log-probabilities."""
        if self.most_bits is None or len(tuned) < FEWEST_TOKENS:
            return self.bits
        measured = excess_bits(tuned, base, 0.0) / len(tuned)
        return min(measured, self.most_bits) if math.isfinite(measured) else self.bits


NO_SHIFT = StyleShift()


class HarmlessTokens:
    """The tokens of a choice that have been looked at and stand outside every suspect span."""

    def __init__(self) -> None:
        self._tokens: deque[int] = deque(maxlen=LOOK_BACK)
        self._end = 0  # how far they have been looked at

    def note(self, start: int, end: int, suspects: Sequence[tuple[int, int]]) -> None:
        """Tokens `start` to `end` have been looked at, and these are suspect; the first may have been noted before."""
        shared = set()
        while self._tokens and self._tokens[-1] >= start:
            shared.add(self._tokens.pop())
        found = outside(start, end, suspects)
        self._tokens.extend(token for token in found if token >= self._end or token in shared)
        self._end = max(self._end, end)

    def near(self, start: int, end: int) -> tuple[int, ...]:
        """Those up to LOOK_BACK before token `start`, and up to `end`; none where they are too few to show a style."""
        found = tuple(token for token in self._tokens if start - LOOK_BACK <= token < end)
        return found if len(found) >= FEWEST_TOKENS else ()


def outside(start: int, end: int, suspects: Iterable[tuple[int, int]]) -> list[int]:
    """The tokens from `start` to `end` that stand in none of the ranges `suspects`."""
    inside = {token for first, last in suspects for token in range(max(first, start), min(last, end))}
    return [token for token in range(start, end) if token not in inside]
