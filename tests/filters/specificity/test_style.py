"""The style shift within an answer: from enough tokens, none of them suspect, and never beyond the calibration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.specificity.style import FEWEST_TOKENS, LOOK_BACK, HarmlessTokens, StyleShift, outside

BIT = math.log(2)
LOGPROBS = st.lists(st.tuples(st.floats(-40, 0), st.floats(-40, 0)), max_size=80)


@given(pairs=LOGPROBS, bits=st.floats(0, 2), more=st.floats(0, 2))
def test_never_above_the_95th_percentile_and_the_constant_from_few_tokens(
    pairs: list[tuple[float, float]], bits: float, more: float
) -> None:
    shift = StyleShift(bits, bits + more)
    tuned, base = [a for a, _ in pairs], [b for _, b in pairs]
    refined = shift.refined(tuned, base)
    assert 0.0 <= refined <= bits + more
    if len(pairs) < FEWEST_TOKENS:
        assert refined == bits
    assert StyleShift(bits).refined(tuned, base) == bits


def test_it_is_what_the_answer_shows_up_to_the_calibration() -> None:
    shift = StyleShift(0.5, 1.0)
    tuned = [0.0] * FEWEST_TOKENS
    assert shift.refined(tuned, [-0.8 * BIT] * FEWEST_TOKENS) == pytest.approx(0.8)
    assert shift.refined(tuned, [-9.0 * BIT] * FEWEST_TOKENS) == 1.0
    assert shift.refined(tuned, tuned) == 0.0
    assert shift.refined(tuned[1:], [-9.0 * BIT] * (FEWEST_TOKENS - 1)) == 0.5


@pytest.mark.parametrize("odd", [math.nan, -math.inf])
def test_what_is_no_number_refines_nothing(odd: float) -> None:
    assert StyleShift(0.5, 1.0).refined([0.0] * 40, [odd] * 40) == 0.5


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


@given(start=st.integers(0, 50), length=st.integers(0, 50), suspects=RANGES)
def test_no_token_of_a_suspect_is_outside(start: int, length: int, suspects: list[tuple[int, int]]) -> None:
    found = outside(start, start + length, suspects)
    assert found == [
        token for token in range(start, start + length) if not any(first <= token < last for first, last in suspects)
    ]


SEGMENTS = st.lists(st.tuples(st.integers(1, 40), RANGES, st.integers(0, 1)), max_size=12)


@given(segments=SEGMENTS, start=st.integers(0, 300), length=st.integers(1, 60))
def test_what_shows_the_style_is_near_harmless_and_enough(
    segments: list[tuple[int, list[tuple[int, int]], int]], start: int, length: int
) -> None:
    """Segments follow each other; a token may hold the end of one and the beginning of the next."""
    tokens, at, suspect = HarmlessTokens(), 0, set()
    for size, ranges, shared in segments:
        first, last = max(at - shared, 0), at + size
        inside = [(first + low, first + high) for low, high in ranges]
        tokens.note(first, last, inside)
        suspect |= {token for low, high in inside for token in range(low, min(high, last))}
        at = last
    found = tokens.near(start, start + length)
    assert not found or len(found) >= FEWEST_TOKENS
    assert not set(found) & suspect
    assert all(start - LOOK_BACK <= token < start + length for token in found)
    assert list(found) == sorted(set(found))
