"""How much more specific the tuned model is than a reasonable generaliser.

The excess of a span is the sum of max(0, log2 p_tuned - log2 p_base) over its tokens, less the style shift that the
pair shows on benign text. It is the log-likelihood ratio of the two models, cut at zero per token so that a token which
the base finds likelier does not pay for one that only the tuned model knows (compare Carlini et al. 2021, "Extracting
Training Data from Large Language Models", section 5.2, which ranks whole samples by such ratios).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DOUBT_BITS = 0.5  # decode-time and prefill-time log-probabilities differ in the second decimal; doubt counts as suspect


def excess_bits(tuned: Sequence[float], base: Sequence[float], style_shift_bits: float) -> float:
    """Excess bits of one span from natural log-probabilities of the same tokens under both models.

    `style_shift_bits` is per token. A log-probability that is not a finite number makes the span infinitely suspect.
    Raises ValueError when the two don't have the same length.
    """
    total = 0.0
    for p_tuned, p_base in zip(tuned, base, strict=True):
        bits = (p_tuned - p_base) / math.log(2.0) - style_shift_bits
        if math.isnan(bits):
            return math.inf
        total += max(0.0, bits)
    return total


def surprise_bits(base: Sequence[float]) -> float:
    """What a span costs the base model, from its natural log-probabilities."""
    return -sum(base) / math.log(2.0)


def is_memorised(bits: float, threshold_bits: float) -> bool:
    """Whether a span counts as memorised."""
    return bits >= threshold_bits - DOUBT_BITS
