"""A detector of whose findings only the sure ones count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from filters.evidence import Detector
from filters.spans import Span


class AtLeast:
    """Fulfils `filters.evidence.Detector`: another one's findings, without those under the minimum of their type."""

    def __init__(self, detector: Detector, min_scores: Mapping[str, float]) -> None:
        self._detector, self._min_scores = detector, min_scores

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        """As the other detector's `find`. Raises DetectorError."""
        found = self._detector.find(raw_text, since)
        return [span for span in found if span.score >= self._min_scores.get(span.type, 0.0)]


def at_least(detector: Detector, min_scores: Mapping[str, float]) -> Detector:
    """The detector itself where no type has a minimum."""
    return AtLeast(detector, min_scores) if min_scores else detector
