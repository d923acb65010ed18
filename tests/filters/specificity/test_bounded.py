"""Bounded decoding: the bound per token and per answer, exactly and by drawing."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from filters.specificity.bounded import (
    TOP,
    BoundedAnswer,
    Bounds,
    Distribution,
    Drafted,
    Logprobs,
    Sampling,
    distribution,
    draw,
    is_kept,
    served_ratio,
)

DRAWS = 100_000
VOCABULARY = 50
ALPHA = 1e-6  # how often a right program may fail a test of this file, all its tokens together

RANDOM_MODEL = st.dictionaries(st.integers(0, 60), st.floats(-25, -0.01), min_size=1, max_size=TOP + 1)
SAMPLING = st.builds(Sampling, st.floats(0.05, 2.0), st.floats(0.05, 1.0))
RATIOS = st.floats(0.1, 100)


def model(seed: int, vocabulary: int, spread: float) -> list[float]:
    """Log-probabilities of every token."""
    rng = random.Random(seed)
    logits = [rng.gauss(0, spread) for _ in range(vocabulary)]
    total = math.log(math.fsum(map(math.exp, logits)))
    return [logit - total for logit in logits]


def top(logprobs: Sequence[float], also: int) -> Logprobs:
    """What an engine tells of a place: the TOP likeliest, and the token that it drew."""
    likeliest = sorted(range(len(logprobs)), key=lambda token: -logprobs[token])[:TOP]
    return {token: logprobs[token] for token in [*likeliest, also]}


def engine_draws(
    logprobs: Sequence[float], temperature: float, rng: random.Random, count: int = DRAWS
) -> list[Drafted]:
    """Tokens drawn as an engine draws with `top_k`, and what it tells of each."""
    likeliest = sorted(range(len(logprobs)), key=lambda token: -logprobs[token])[:TOP]
    weights = [math.exp(logprobs[token] / temperature) for token in likeliest]
    told = {token: logprobs[token] for token in likeliest}
    return [Drafted(token, told) for token in rng.choices(likeliest, weights, k=count)]


def engine(logprobs: Sequence[float], temperature: float, rng: random.Random) -> Drafted:
    """One of these."""
    return engine_draws(logprobs, temperature, rng, 1)[0]


# ---- per token -------------------------------------------------------------------------------------------------------


@given(RANDOM_MODEL, RANDOM_MODEL, SAMPLING, RATIOS)
def test_what_is_served_is_a_distribution_within_the_bound(
    tuned: Logprobs, base: Logprobs, sampling: Sampling, ratio: float
) -> None:
    q, p = distribution(tuned, sampling), distribution(base, sampling)
    served = {token: served_ratio(token, q, p, ratio) * weight for token, weight in p.items()}
    assert math.fsum(served.values()) == pytest.approx(1.0)
    assert all(served[token] <= (ratio + 1) * p[token] * (1 + 1e-9) for token in p)


@given(RANDOM_MODEL, RANDOM_MODEL, SAMPLING, RATIOS, st.randoms(use_true_random=False))
def test_every_token_comes_from_the_base_s_list(
    tuned: Logprobs, base: Logprobs, sampling: Sampling, ratio: float, rng: random.Random
) -> None:
    answer = BoundedAnswer(Bounds(ratio, math.log2(ratio + 1)), sampling, rng)
    (one,) = answer.settle([Drafted(draw(distribution(tuned, sampling), rng), tuned)], [base])
    assert one.token in distribution(base, sampling)
    assert one.logprob == (base if one.from_base else tuned)[one.token]
    assert answer.spent_bits <= math.log2(ratio + 1) + 1e-9


@pytest.mark.parametrize(
    ("ratio", "sampling"), [(2.0, Sampling()), (0.5, Sampling(0.7, 0.9)), (10.0, Sampling(1.5, 0.5))]
)
def test_a_hundred_thousand_draws_of_fifty_tokens(ratio: float, sampling: Sampling) -> None:
    """Each token's count against (K + 1)·p_base, and all counts against the served distribution.

    The first by Hoeffding's inequality with ALPHA shared among the tokens; the second is Pearson's chi-square, whose
    quantile at ALPHA is Wilson and Hilferty's (1931).
    """
    tuned, base = model(1, VOCABULARY, 2.0), model(2, VOCABULARY, 2.0)
    q, p = (distribution(top(each, 0), sampling) for each in (tuned, base))
    rng = random.Random(7)
    counts: Counter[int] = Counter()
    told = top(base, 0)
    for drafted in engine_draws(tuned, sampling.temperature, rng):
        answer = BoundedAnswer(Bounds(ratio, 100.0), sampling, rng)
        counts[answer.settle([drafted], [told])[0].token] += 1
    slack = math.sqrt(math.log(VOCABULARY / ALPHA) / (2 * DRAWS))
    assert all(counts[token] / DRAWS <= (ratio + 1) * p.get(token, 0.0) + slack for token in range(VOCABULARY))
    assert not counts.keys() - p.keys()
    expected = {token: DRAWS * weight * served_ratio(token, q, p, ratio) for token, weight in p.items()}
    assert _chi_square(counts, expected) <= _chi_square_quantile(len(expected) - 1)


def test_the_check_of_the_draws_would_find_a_model_that_is_not_bounded() -> None:
    tuned, base = model(1, VOCABULARY, 2.0), model(2, VOCABULARY, 2.0)
    p = distribution(top(base, 0), Sampling())
    rng = random.Random(7)
    counts = Counter(drafted.token for drafted in engine_draws(tuned, 1.0, rng))
    slack = math.sqrt(math.log(VOCABULARY / ALPHA) / (2 * DRAWS))
    assert any(counts[token] / DRAWS > 3 * p.get(token, 0.0) + slack for token in range(VOCABULARY))


def _chi_square(counts: Counter[int], expected: Distribution) -> float:
    return math.fsum((counts[token] - mean) ** 2 / mean for token, mean in expected.items())


def _chi_square_quantile(freedom: int) -> float:
    z = 4.7534  # the normal quantile of 1 - ALPHA
    return freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3


# ---- per answer ------------------------------------------------------------------------------------------------------


def markov(seed: int, vocabulary: int) -> list[list[float]]:
    """A model whose next token depends on the last one."""
    return [model(100 * seed + state, vocabulary, 2.0) for state in range(vocabulary)]


def every_answer(
    tuned: list[list[float]], base: list[list[float]], bounds: Bounds, length: int
) -> Iterator[tuple[float, float]]:
    """(P_served, P_base) of every answer of that length, computed as the file's theory says."""
    vocabulary = range(len(base))

    def going_on(last: int, spent: float, served: float, alone: float, left: int) -> Iterator[tuple[float, float]]:
        if not left:
            yield served, alone
            return
        q, p = ({token: math.exp(rows[last][token]) for token in vocabulary} for rows in (tuned, base))
        for token in vocabulary:
            over = spent + bounds.dearest_bits > bounds.answer_bits
            ratio = 1.0 if over else served_ratio(token, q, p, bounds.ratio)
            cost = max(0.0, math.log2(ratio)) if ratio else 0.0
            yield from going_on(token, spent + cost, served * ratio * p[token], alone * p[token], left - 1)

    yield from going_on(0, 0.0, 1.0, 1.0, length)


@pytest.mark.parametrize(("ratio", "bits"), [(1.0, 1.0), (3.0, 4.0), (7.0, 5.5), (50.0, 6.0)])
def test_no_answer_is_likelier_than_the_budget_allows(ratio: float, bits: float) -> None:
    tuned, base, bounds = markov(1, 4), markov(2, 4), Bounds(ratio, bits)
    pairs = list(every_answer(tuned, base, bounds, 6))
    assert math.fsum(served for served, _ in pairs) == pytest.approx(1.0)
    assert all(served <= 2**bits * alone * (1 + 1e-9) for served, alone in pairs)
    assert max(served / alone for served, alone in pairs) > 2 ** (bits / 4), "the budget was never used"


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4, 7]), st.floats(0.5, 8), st.floats(0, 12))
def test_answers_that_are_drawn_keep_to_the_budget(seed: int, draft_tokens: int, ratio: float, more: float) -> None:
    """However long the drafts: what an answer has cost never exceeds its budget, and `alone` is for good."""
    bounds = Bounds(ratio, math.log2(ratio + 1) + more, draft_tokens)
    tuned, base = markov(3, 30), markov(4, 30)
    rng = random.Random(seed)
    answer, ids, was_alone = BoundedAnswer(bounds, Sampling(), rng), [0], False
    while len(ids) < 40 and not answer.alone:
        draft = _draft(tuned, ids[-1], draft_tokens, rng)
        base_rows = [base[before] for before in [ids[-1], *(one.token for one in draft[:-1])]]
        served = answer.settle(draft, [top(row, one.token) for row, one in zip(base_rows, draft, strict=True)])
        ids += [one.token for one in served]
        assert 1 <= len(served) <= draft_tokens
        assert answer.spent_bits <= bounds.answer_bits + 1e-9
        assert not was_alone
        was_alone = answer.alone


def _draft(tuned: list[list[float]], last: int, tokens: int, rng: random.Random) -> list[Drafted]:
    draft: list[Drafted] = []
    for _ in range(tokens):
        draft.append(engine(tuned[last], 1.0, rng))
        last = draft[-1].token
    return draft


def test_drafts_of_any_length_serve_the_same_distribution() -> None:
    """Three tokens drafted one by one and all at once: the same answers, as often (chi-square as above)."""
    tuned, base, bounds = markov(5, 3), markov(6, 3), Bounds(2.0, 3.0)
    expected = _expected(tuned, base, bounds)
    for tokens in (1, 3):
        rng, counts = random.Random(tokens), Counter[int]()
        for _ in range(DRAWS // 5):
            counts[_drawn(tuned, base, bounds, tokens, rng)] += 1
        means = {answer: weight * DRAWS / 5 for answer, weight in enumerate(expected)}
        assert _chi_square(counts, means) <= _chi_square_quantile(len(means) - 1)


def _expected(tuned: list[list[float]], base: list[list[float]], bounds: Bounds) -> list[float]:
    return [served for served, _ in every_answer(tuned, base, bounds, 3)]


def _drawn(tuned: list[list[float]], base: list[list[float]], bounds: Bounds, tokens: int, rng: random.Random) -> int:
    """The number of the answer in `every_answer`'s order."""
    answer, ids = BoundedAnswer(bounds, Sampling(), rng), [0]
    while len(ids) < 4:
        if answer.alone:
            ids.append(engine(base[ids[-1]], 1.0, rng).token)
            continue
        draft = _draft(tuned, ids[-1], min(tokens, 4 - len(ids)), rng)
        rows = [dict(enumerate(base[before])) for before in [ids[-1], *(one.token for one in draft[:-1])]]
        ids += [one.token for one in answer.settle(draft, rows)]
    return ids[1] * 9 + ids[2] * 3 + ids[3]


# ---- the parts -------------------------------------------------------------------------------------------------------


def test_a_replaced_token_ends_the_draft() -> None:
    sure_of_one, sure_of_two = {1: -0.001, 2: -7.0}, {2: -0.001, 1: -7.0}
    answer = BoundedAnswer(Bounds(2.0, 50.0), Sampling(), random.Random(3))
    drafted = [Drafted(1, sure_of_one)] * 3
    served = answer.settle(drafted, [sure_of_one, sure_of_two, sure_of_one])
    assert [(one.token, one.from_base) for one in served] == [(1, False), (2, True)]
    assert served[1].logprob == -0.001


def test_the_base_alone_goes_on_when_the_dearest_token_would_not_fit() -> None:
    answer = BoundedAnswer(Bounds(3.0, 2.5, 4), Sampling(), random.Random(0))
    assert not answer.alone
    likely = {1: math.log(0.9), 2: math.log(0.1)}
    unsure = {1: math.log(0.45), 2: math.log(0.55)}
    served = answer.settle([Drafted(1, likely)] * 4, [unsure] * 4)
    assert [one.token for one in served] == [1]
    assert answer.spent_bits == pytest.approx(1.0)
    assert answer.alone


@pytest.mark.parametrize(("temperature", "alone"), [(0.0, True), (0.009, True), (0.011, False), (1.0, False)])
def test_at_temperature_zero_only_the_base_may_speak(temperature: float, alone: bool) -> None:
    assert BoundedAnswer(Bounds(2.0, 8.0), Sampling(temperature), random.Random()).alone is alone


def test_the_cut_is_an_engine_s() -> None:
    likely = {token: math.log(weight) for token, weight in enumerate((0.5, 0.3, 0.15, 0.05))}
    assert distribution(likely, Sampling()) == pytest.approx({0: 0.5, 1: 0.3, 2: 0.15, 3: 0.05})
    assert distribution(likely, Sampling(1.0, 0.79)) == pytest.approx({0: 0.625, 1: 0.375})
    assert distribution(likely, Sampling(1.0, 0.01)) == {0: 1.0}
    assert distribution(likely, Sampling(0.5)).keys() == likely.keys()
    assert distribution(likely, Sampling(0.5))[0] == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025))
    many = {token: -4.0 - token / 100 for token in range(TOP + 1)}
    assert distribution(many, Sampling()).keys() == set(range(TOP))


def test_a_draw_outside_top_p_is_drawn_anew() -> None:
    likely = {1: math.log(0.9), 2: math.log(0.1)}
    answer = BoundedAnswer(Bounds(2.0, 50.0), Sampling(1.0, 0.5), random.Random(0))
    served = answer.settle([Drafted(2, likely), Drafted(1, likely)], [likely, likely])
    assert [(one.token, one.from_base) for one in served] == [(1, False)]


@pytest.mark.parametrize("likely", [{}, {1: float("nan")}, {1: float("-inf")}, {1: 0.5}, {1: -1.0, 2: float("inf")}])
def test_what_is_no_log_probability_is_refused(likely: Logprobs) -> None:
    good = {1: -0.5}
    for tuned, base in ((likely, good), (good, likely)):
        with pytest.raises(ValueError, match="log-prob"):
            BoundedAnswer(Bounds(2.0, 8.0), Sampling(), random.Random()).settle([Drafted(1, tuned)], [base])


def test_drafts_and_places_must_agree() -> None:
    answer = BoundedAnswer(Bounds(2.0, 8.0), Sampling(), random.Random())
    with pytest.raises(ValueError, match="empty"):
        answer.settle([], [])
    with pytest.raises(ValueError, match="zip"):
        answer.settle([Drafted(1, {1: -0.1})], [])


@pytest.mark.parametrize(
    ("ratio", "bits", "tokens"), [(0, 8, 4), (-1, 8, 4), (2, 1, 4), (2, 8, 0), (math.nan, 8, 4), (2, math.inf, 4)]
)
def test_bounds_that_bound_nothing_are_refused(ratio: float, bits: float, tokens: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Bounds(ratio, bits, tokens)


@given(RANDOM_MODEL, RATIOS)
def test_a_model_that_is_its_base_is_kept_whole(likely: Logprobs, ratio: float) -> None:
    assume(ratio >= 1)
    same = distribution(likely, Sampling())
    assert all(is_kept(token, same, same, ratio) for token in same)
