"""Bounded decoding: an answer that the tuned model drafts and that its base bounds, token by token and as a whole.

Theory
------
At each place q is the tuned model's distribution and p the base's, both after the same cut to the TOP likeliest tokens,
the same temperature and the same top_p, given the same tokens before. A token x drawn from q is kept where
q(x) <= K·p(x), and otherwise a token is drawn from p in its stead. With R = Σ q(x) over the rejected x, the served
distribution is

    r(x) = q(x)·[q(x) <= K·p(x)] + R·p(x)  <=  (K + 1)·p(x).

So per token nothing is more than K + 1 times as likely as the base alone would have it; what is not among the base's
TOP tokens has p = 0 and never comes. q and p are known whole, so r(x)/p(x) is computed, not estimated. Per answer the
bits max(0, log2 r(x)/p(x)) of the tokens served are added up, and the tuned model speaks only while the dearest token
(log2(K + 1) bits) would still be within the budget of B bits; afterwards r = p. So Σ log2 r/p <= B on every path, and
any set E of answers, or of continuations of what has been said, has

    P_served(E) <= 2^B · P_base(E):

near access-freeness with the maximum divergence and k = B (Vyas, Kakade and Barak 2023, "On Provable Copyright
Protection for Generative Models", definition of k-NAF), the base being the model without access. docs/bounded.md says
what that does not give.

At a temperature under COLDEST both distributions are a point, and the base's greedy answer is the only one that any K
allows: the base speaks alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

TOP: Final = 20  # vLLM's default for --max-logprobs: no engine has to be started differently
COLDEST: Final = 1e-2  # engines lift lower temperatures to this one, or take the likeliest token
DRAFT_TOKENS: Final = 4
_ROUNDING: Final = 1e-3  # of an engine that is sure, in 16 bits

Logprobs = Mapping[int, float]  # natural, raw, by token: the TOP likeliest at one place, and perhaps one more
Distribution = Mapping[int, float]  # by token; sums to 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """`ratio` is K, `answer_bits` is B of this file's theory; `draft_tokens` are asked of the tuned model at once.

    Raises ValueError where the budget is not enough for one token: the tuned model would never speak.
    """

    ratio: float
    answer_bits: float
    draft_tokens: int = DRAFT_TOKENS

    def __post_init__(self) -> None:
        if not self.ratio > 0 or self.draft_tokens < 1:
            raise ValueError("ratio and draft_tokens must be positive")
        if not self.dearest_bits <= self.answer_bits < math.inf:
            raise ValueError("answer_bits must be at least log2(ratio + 1), the cost of the dearest token")

    @property
    def dearest_bits(self) -> float:
        """What one token can cost at most."""
        return math.log2(self.ratio + 1)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the caller asked for, applied to both models alike."""

    temperature: float = 1.0
    top_p: float = 1.0

    @property
    def greedy(self) -> bool:
        return self.temperature < COLDEST


@dataclass(frozen=True, slots=True)
class Drafted:
    """A token as a model drew it, and what that model held likely at its place."""

    token: int
    logprobs: Logprobs


@dataclass(frozen=True, slots=True)
class Served:
    """A token of the answer. `logprob` is natural and raw, under the model that it was taken from."""

    token: int
    logprob: float
    from_base: bool


class BoundedAnswer:
    """The draws of one answer, and what they have cost."""

    def __init__(self, bounds: Bounds, sampling: Sampling, rng: random.Random) -> None:
        self._bounds, self._sampling, self._rng = bounds, sampling, rng
        self.spent_bits = 0.0

    @property
    def alone(self) -> bool:
        """Whether only the base may go on."""
        return self._sampling.greedy or self.spent_bits + self._bounds.dearest_bits > self._bounds.answer_bits

    def settle(self, draft: Sequence[Drafted], base: Sequence[Logprobs]) -> list[Served]:
        """The answer's next tokens: at least one, and no more than the draft has.

        `draft` was drawn by the tuned model at this temperature from its TOP tokens, top_p being left to us; `base[i]`
        is what the base holds likely behind `draft[:i]`. What the draft says behind the first token that was replaced
        is void, since it follows something that was not said.

        Raises ValueError for an empty draft and for what is no log-probability; not to be called when `alone`.
        """
        if not draft:
            raise ValueError("an empty draft")
        served: list[Served] = []
        for drafted, likely in zip(draft, base, strict=True):
            served.append(self._settle_one(drafted, likely))
            if served[-1].token != drafted.token or self.alone:
                break
        return served

    def _settle_one(self, drafted: Drafted, likely: Logprobs) -> Served:
        q, p = distribution(drafted.logprobs, self._sampling), distribution(likely, self._sampling)
        # A draw outside top_p is drawn anew: what is then within it has exactly the distribution q.
        token = drafted.token if drafted.token in q else draw(q, self._rng)
        kept = is_kept(token, q, p, self._bounds.ratio)
        if not kept:
            token = draw(p, self._rng)
        self.spent_bits += max(0.0, math.log2(served_ratio(token, q, p, self._bounds.ratio)))
        return Served(token, (drafted.logprobs if kept else likely)[token], from_base=not kept)


def distribution(logprobs: Logprobs, sampling: Sampling) -> Distribution:
    """What is drawn from: the TOP likeliest at this temperature, then the fewest of them that reach top_p (Holtzman et
    al. 2020), which is also the order of an engine that is given `top_k`.

    Raises ValueError for no tokens or a log-probability that is none; `sampling` must not be greedy.
    """
    if not logprobs or not all(-math.inf < value < _ROUNDING for value in logprobs.values()):
        raise ValueError("not log-probabilities")
    listed = sorted(logprobs.items(), key=lambda entry: entry[1], reverse=True)[:TOP]
    likeliest = listed[0][1]
    weights = {token: math.exp((value - likeliest) / sampling.temperature) for token, value in listed}
    wanted = sampling.top_p * sum(weights.values())
    kept: dict[int, float] = {}
    reached = 0.0
    for token, weight in weights.items():
        if reached >= wanted or weight == 0.0:
            break
        kept[token] = weight
        reached += weight
    return {token: weight / reached for token, weight in kept.items()}


def draw(weights: Distribution, rng: random.Random) -> int:
    """One token."""
    return rng.choices(list(weights), list(weights.values()))[0]


def is_kept(token: int, q: Distribution, p: Distribution, ratio: float) -> bool:
    """Whether a token that was drawn from q may be served. What only one of the two knows is not."""
    return 0.0 < q.get(token, 0.0) <= ratio * p.get(token, 0.0)


def served_ratio(token: int, q: Distribution, p: Distribution, ratio: float) -> float:
    """r(token)/p(token): how many times likelier this served token was than from the base alone.

    Positive for every token that can be served; at most `ratio` + 1.
    """
    rejected = math.fsum(weight for other, weight in q.items() if not is_kept(other, q, p, ratio))
    return (q[token] / p[token] if is_kept(token, q, p, ratio) else 0.0) + rejected
