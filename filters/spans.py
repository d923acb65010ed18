"""Spans of text and how they are merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters `start` to `end` (exclusive) of one text, of a finding type, with a score from 0 to 1. What was denied
    is above them all (denied.py)."""

    start: int
    end: int
    type: str
    score: float

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end

    def within(self, spans: Iterable[Span]) -> bool:
        """Whether one of these covers it."""
        return any(span.start <= self.start and self.end <= span.end for span in spans)

    def shifted(self, by: int) -> Span:
        return Span(self.start + by, self.end + by, self.type, self.score)


def merge(spans: Iterable[Span]) -> list[Span]:
    """Overlapping spans become one that covers them all, with the type of the best (then longest) among them.

    Every character that any span covered stays covered: two detectors that disagree about a border hide both readings.
    """
    merged: list[tuple[Span, Span]] = []  # (the union so far, the best of its parts)
    for span in sorted(spans):
        if merged and span.start < merged[-1][0].end:
            union, best = merged.pop()
            best = max(best, span, key=lambda s: (s.score, s.end - s.start))
            merged.append((Span(union.start, max(union.end, span.end), best.type, best.score), best))
        else:
            merged.append((span, span))
    return [union for union, _ in merged]
