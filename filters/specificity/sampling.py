"""A share of harmless text is scored as well: how specific a model's answers are, whoever asks and whatever is hidden.

Which segments are picked is a function of their text and a key alone, so that it depends neither on how a text arrived
nor on who looks, and nobody without the key can write text that is never looked at. What is picked leaves at once; its
score feeds a metric, in bits a token and without the style shift, as the release's own quantiles are measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from filters.events import Sample
from filters.evidence import Vocabulary
from filters.profile import ReleaseUnit
from filters.segment import Segmenter
from filters.spans import Span
from filters.specificity.excess import excess_bits
from filters.tokens import TokenLedger, encoded

FEWEST_TOKENS = 4  # the mean of fewer says little
_HASH_BYTES = 8


class Sampler:
    """Picks segments."""

    def __init__(self, share: float, key: bytes) -> None:
        """`share` of all different texts; `key` is at most 64 bytes (BLAKE2b, RFC 7693)."""
        self._below = round(share * (1 << 8 * _HASH_BYTES))
        self._key = key

    def picks(self, raw_text: str) -> bool:
        """Whether this segment is one of them."""
        if not self._below:
            return False
        digest = hashlib.blake2b(encoded(raw_text), digest_size=_HASH_BYTES, key=self._key).digest()
        return int.from_bytes(digest) < self._below


def sample(choice: int, ledger: TokenLedger, at: int, raw_text: str) -> Iterator[Sample]:
    """What is to be scored of this text, which stands at byte `at` of the choice's tokens; nothing where the engine
    gave no evidence, or there is too little of it."""
    first, last = ledger.holding(at, raw_text, 0, len(raw_text))
    logprobs = ledger.logprobs(first, last)
    if logprobs is not None and last - first >= FEWEST_TOKENS:
        yield Sample(choice, ledger.ids_until(last), first, tuple(logprobs))


def bits_per_token(tuned: Sequence[float], base: Sequence[float]) -> float:
    """Mean excess bits of some tokens from their natural log-probabilities under both models, at least one."""
    return excess_bits(tuned, base, 0.0) / len(tuned)


def segments_bits(
    vocabulary: Vocabulary, raw_text: str, ids: tuple[int, ...], tuned: tuple[float, ...], base: Sequence[float]
) -> Iterator[float]:
    """Bits a token of each sentence of an answer that is long enough to be sampled: what a release knows of harmless
    text. `tuned` and `base` are natural log-probabilities of its tokens `ids`."""
    ledger = TokenLedger(vocabulary)
    ledger.add(ids, tuned)
    segmenter = Segmenter(ReleaseUnit.SENTENCE, _Nothing())
    for segment in [*segmenter.push(raw_text), *segmenter.close(complete=True)]:
        at = ledger.match(segment.raw_text)
        if at is not None:
            first, last = ledger.holding(at, segment.raw_text, 0, len(segment.raw_text))
            if last - first >= FEWEST_TOKENS:
                yield bits_per_token(tuned[first:last], base[first:last])


class _Nothing:
    """A detector that finds nothing."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return ()
