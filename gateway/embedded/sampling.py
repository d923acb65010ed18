"""How the next token is chosen, and which log-probabilities are told about it.

Log-probabilities are those of the model itself, normalised over the whole vocabulary, before temperature, penalties and
filters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.embedded.weights import Array

# vLLM takes a temperature under the first as greedy, and lifts others to the second, under which float32 overflows.
GREEDY_BELOW = 1e-5
COLDEST = 1e-2
LOGPROBS_FLOOR = -9999.0


@dataclass(frozen=True)
class SamplingParams:
    """One request's sampling, already validated; the names are vLLM's.

    Attributes:
        logprobs: how many of the likeliest tokens to tell at each generated position, beside the chosen one; None
            for not even that one.
        prompt_logprobs: the same of the prompt's positions.
        stop_ids: tokens that end the answer and are named as `stop_reason`; eos ends it unnamed.
    """

    max_tokens: int
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    min_tokens: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    eos: int | None = None
    stop_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    include_stop: bool = False
    skip_special: bool = True
    logprobs: int | None = None
    prompt_logprobs: int | None = None

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_BELOW


@dataclass(frozen=True)
class Scored:
    """One token at one position: its log-probability in nats, and its rank, 1 for the likeliest."""

    logprob: float
    rank: int


Position = dict[int, Scored]


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the last axis, [T, vocab]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def score(logprobs: Array, token: int, top: int) -> Position:
    """The token's entry first, then the `top` likeliest in order, each id once.

    Args:
        logprobs: of one position, [vocab].
    """
    own = logprobs[token]
    entries = {token: Scored(_told(own), int((logprobs >= own).sum()))}
    for rank, other in enumerate(_likeliest(logprobs, top), start=1):
        entries[other] = Scored(_told(logprobs[other]), rank)
    return entries


def choose(
    logits: Array, params: SamplingParams, rng: np.random.Generator, prompt: Sequence[int], answer: Sequence[int]
) -> int:
    """The next token's id.

    Args:
        logits: of one position, [vocab].
        rng: this choice's own, so that the same seed gives the same answer whatever else is running.
        prompt, answer: the ids so far, for penalties.
    """
    adjusted = _penalise(_bias(logits, params, len(answer)), params, prompt, answer)
    if params.greedy:
        return int(adjusted.argmax())
    scaled = adjusted / np.float32(max(params.temperature, COLDEST))
    kept = _keep_top_p(_keep_top_k(_keep_min_p(scaled, params.min_p), params.top_k), params.top_p)
    # The exponential race: the first of independent clocks, each ticking at its token's probability.
    return int((kept - np.log(rng.exponential(size=len(kept)))).argmax())


def _told(logprob: np.float32) -> float:
    return max(float(logprob), LOGPROBS_FLOOR)


def _likeliest(logprobs: Array, top: int) -> list[int]:
    if top == 0:
        return []
    if top >= len(logprobs):
        return [int(i) for i in np.argsort(-logprobs, kind="stable")]
    best: NDArray[np.int64] = np.argpartition(-logprobs, top - 1)[:top]
    return [int(i) for i in sorted(best, key=lambda i: (-logprobs[i], i))]


def _bias(logits: Array, params: SamplingParams, generated: int) -> Array:
    barred = [*params.stop_ids, *([] if params.eos is None else [params.eos])] if generated < params.min_tokens else []
    if not params.logit_bias and not barred:
        return logits
    changed = logits.copy()
    for token, amount in params.logit_bias.items():
        changed[token] += np.float32(amount)
    changed[barred] = -np.inf
    return changed


def _penalise(logits: Array, params: SamplingParams, prompt: Sequence[int], answer: Sequence[int]) -> Array:
    """Repetition (Keskar et al. 2019) counts prompt and answer, presence and frequency the answer alone."""
    changed = logits
    if params.repetition_penalty != 1.0:
        seen = list({*prompt, *answer})
        changed = changed.copy()
        factor = np.float32(params.repetition_penalty)
        changed[seen] = np.where(changed[seen] > 0, changed[seen] / factor, changed[seen] * factor)
    if answer and (params.presence_penalty or params.frequency_penalty):
        counts = Counter(answer)
        times = np.array(list(counts.values()), np.float32)
        changed = changed.copy()
        changed[list(counts)] -= np.float32(params.frequency_penalty) * times + np.float32(params.presence_penalty)
    return changed


def _keep_min_p(logits: Array, min_p: float) -> Array:
    if min_p <= 0.0:
        return logits
    return np.where(logits >= logits.max() + np.float32(np.log(min_p)), logits, np.float32(-np.inf))


def _keep_top_k(logits: Array, top_k: int) -> Array:
    if not 0 < top_k < len(logits):
        return logits
    limit = np.partition(logits, -top_k)[-top_k]
    return np.where(logits >= limit, logits, np.float32(-np.inf))


def _keep_top_p(logits: Array, top_p: float) -> Array:
    """The smallest set of likeliest tokens whose probability reaches top_p (Holtzman et al. 2020)."""
    if top_p >= 1.0:
        return logits
    order = np.argsort(logits, kind="stable")
    below = np.cumsum(np.exp(log_softmax(logits[order])))
    drop = order[below <= 1 - top_p]
    kept = logits.copy()
    kept[drop[drop != order[-1]]] = -np.inf
    return kept
