"""Choosing tokens and telling their scores."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.embedded.sampling import LOGPROBS_FLOOR, SamplingParams, Scored, choose, log_softmax, score
from gateway.embedded.weights import Array

LOGITS = np.array([2.0, 1.0, 0.0, -1.0, 1.5], np.float32)
rows = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=20).map(lambda row: np.array(row, np.float32))


def test_log_probabilities_are_normalised_over_the_vocabulary() -> None:
    expected = [x - math.log(sum(math.exp(y) for y in LOGITS.tolist())) for x in LOGITS.tolist()]
    assert log_softmax(LOGITS[None])[0].tolist() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(row=rows, token=st.integers(0, 1), top=st.integers(0, 20))
def test_scores_hold_the_token_and_the_likeliest(row: Array, token: int, top: int) -> None:
    logprobs = log_softmax(row[None])[0]
    entries = score(logprobs, token, top)
    ranked = sorted(logprobs.tolist(), reverse=True)
    assert next(iter(entries)) == token
    told = sorted((entry.rank, entry.logprob) for entry in entries.values())
    assert [lp for rank, lp in told if rank <= top][:top] == pytest.approx(ranked[:top]) or token in entries
    assert all(ranked[entry.rank - 1] == pytest.approx(entry.logprob) for entry in entries.values())


def test_the_chosen_token_is_told_once_at_the_front() -> None:
    entries = score(log_softmax(LOGITS[None])[0], 4, 2)
    assert [(token, entry.rank) for token, entry in entries.items()] == [(4, 2), (0, 1)]
    assert [*score(log_softmax(LOGITS[None])[0], 3, 0)] == [3]


def test_impossible_tokens_have_a_number() -> None:
    row = np.array([0.0, -np.inf], np.float32)
    assert score(row, 1, 0) == {1: Scored(LOGPROBS_FLOOR, 2)}


def test_greedy_takes_the_likeliest() -> None:
    assert pick(temperature=0.0) == 0
    assert pick(temperature=1e-6, top_k=3, top_p=0.1) == 0


@pytest.mark.parametrize(
    ("limits", "possible"),
    [
        ({"top_k": 1}, {0}),
        ({"top_k": 2}, {0, 4}),
        ({"top_k": -1}, {0, 1, 2, 3, 4}),
        ({"top_k": 50}, {0, 1, 2, 3, 4}),
        ({"top_p": 1e-6}, {0}),
        ({"top_p": 0.6}, {0, 4}),
        ({"min_p": 0.5}, {0, 4}),
        ({"logit_bias": {3: 100.0}}, {3}),
    ],
)
def test_filters_leave_what_they_should(limits: dict[str, Any], possible: set[int]) -> None:
    assert {pick(seed=seed, **limits) for seed in range(1000)} == possible


def test_draws_follow_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(choose(LOGITS, SamplingParams(1), rng, [], []) for _ in range(20000))
    expected = np.exp(log_softmax(LOGITS[None])[0])
    assert [counts[token] / 20000 for token in range(5)] == pytest.approx(expected.tolist(), abs=0.01)


def test_a_very_low_temperature_does_not_overflow() -> None:
    with np.errstate(all="raise"):
        assert pick(temperature=1e-4) == 0


def test_penalties() -> None:
    assert pick(temperature=0.0, answer=[0], presence_penalty=1.0) == 4
    assert pick(temperature=0.0, answer=[0, 0], frequency_penalty=0.4) == 4
    assert pick(temperature=0.0, prompt=[0], presence_penalty=2.0) == 0
    assert pick(temperature=0.0, prompt=[0], repetition_penalty=1.5) == 4


def test_the_end_is_barred_until_enough_is_said() -> None:
    assert pick(temperature=0.0, eos=0, stop_ids=frozenset({4}), min_tokens=2, answer=[2]) == 1
    assert pick(temperature=0.0, eos=0, stop_ids=frozenset({4}), min_tokens=1, answer=[2]) == 0


def test_choosing_leaves_the_logits_as_they_are() -> None:
    before = LOGITS.copy()
    pick(
        temperature=0.5,
        top_k=2,
        top_p=0.5,
        logit_bias={0: 1.0},
        repetition_penalty=2.0,
        frequency_penalty=1.0,
        answer=[1],
    )
    assert (before == LOGITS).all()


def pick(*, seed: int = 0, prompt: list[int] | None = None, answer: list[int] | None = None, **params: Any) -> int:
    return choose(LOGITS, SamplingParams(10, **params), np.random.default_rng(seed), prompt or [], answer or [])
