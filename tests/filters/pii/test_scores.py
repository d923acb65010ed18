"""Minimum scores."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from filters.pii.scores import at_least
from filters.pii.types import INDIRECT, TYPES
from filters.profile import HIGHEST_DIRECT_MINIMUM, Profile
from filters.spans import Span

SPANS = [Span(0, 4, "PERSON", 0.4), Span(5, 9, "PERSON", 0.6), Span(10, 14, "PHONE", 0.5), Span(15, 19, "EMAIL", 0.1)]


class Fixed:
    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return SPANS


def test_findings_under_the_minimum_of_their_type_are_ignored() -> None:
    assert at_least(Fixed(), {"PERSON": 0.6, "PHONE": 0.5}).find("") == SPANS[1:]


def test_without_a_minimum_the_detector_is_the_same() -> None:
    detector = Fixed()
    assert at_least(detector, {}) is detector


def test_no_direct_identifier_can_be_switched_off() -> None:
    for kind in [*TYPES, "A_TYPE_TO_COME"]:
        highest = 1.0 if kind in INDIRECT else HIGHEST_DIRECT_MINIMUM
        assert Profile("fine", min_scores={kind: highest}).min_scores[kind] == highest
        for wrong in (highest + 0.01, -0.1, float("nan")):
            with pytest.raises(ValueError, match=kind):
                Profile("refused", min_scores={kind: wrong})
