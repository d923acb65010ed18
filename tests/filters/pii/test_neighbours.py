"""A value is found whole whatever value stands in the sentence before it, and behind it."""

from __future__ import annotations

import itertools
import random

from filters.pii.detector import build_detector
from tests.support.values import VALUES, Value

SENTENCES = ("Her value is {}. ", "资料是{}。")
PAIRS = 1000  # of 5,700, in each language


def written(vector: Value) -> str:
    return f"{vector.label.rstrip()} {vector.value}" if vector.label else vector.value


def hidden(text: str, value: str, found: set[int]) -> bool:
    """Whether all letters and digits of the last such value are found."""
    start = text.rindex(value)
    return all(at in found for at in range(start, start + len(value)) if text[at].isalnum())


def test_a_value_beside_another_is_found_as_it_is_alone() -> None:
    detector = build_detector()

    def find(text: str) -> set[int]:
        return {at for span in detector.find(text) for at in range(span.start, span.end)}

    for sentence in SENTENCES:
        alone = [each for each in VALUES if hidden(text := sentence.format(written(each)), each.value, find(text))]
        for one, two in random.Random(sentence).sample(list(itertools.permutations(alone, 2)), PAIRS):
            text = sentence.format(written(one)) + sentence.format(written(two))
            found = find(text)
            assert hidden(text, one.value, found), (one, two)
            assert hidden(text, two.value, found), (one, two)
