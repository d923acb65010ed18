"""What a tuned model says to ordinary questions, and what its base thinks of that: a release is calibrated on it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from filters.evidence import Vocabulary
from filters.segment import Segment
from filters.specificity.excess import excess_bits
from filters.specificity.house import HousePhrases
from filters.specificity.proposals import Answered
from filters.specificity.sampling import bits_per_token, segments_bits
from filters.specificity.style import outside
from filters.tokens import TokenLedger
from gateway.release.manifest import Quantiles
from gateway.release.probe import DEADLINE
from gateway.upstream.client import Errand, Server, UpstreamClient
from gateway.upstream.greedy import Asker, Greedy
from gateway.upstream.vocabulary import TokenizerVocabulary

FEWEST_BENIGN: Final = 20  # answers: the 95th percentile of fewer is that of the oddest one
_LONGEST_BENIGN: Final = 128  # tokens of an answer
_ERRAND: Final = Errand("release-make")


@dataclass(frozen=True, slots=True)
class BenignAnswer:
    """One answer; `base` are natural log-probabilities of its tokens under the base model."""

    question: str
    said: Greedy
    base: tuple[float, ...]


async def ask_benign(
    client: UpstreamClient,
    tuned: Server,
    base: Server,
    vocabulary: TokenizerVocabulary,
    questions: Sequence[str],
    *,
    scored: bool = False,
) -> list[BenignAnswer]:
    """Greedy answers, one a question; `scored` as `Prober` takes it. Raises UpstreamError."""
    asker = Asker(client, _ERRAND, DEADLINE, vocabulary if scored else None)
    answers: list[BenignAnswer] = []
    for question in questions:
        said = await asker.greedy(tuned, [{"role": "user", "content": question}], _LONGEST_BENIGN)
        of_base = await asker.scored(base, [*said.prompt, *said.ids], len(said.prompt))
        answers.append(BenignAnswer(question, said, of_base))
    return answers


def answered(answer: BenignAnswer, vocabulary: Vocabulary) -> Answered:
    """As house phrases are looked for. Bits are 0 where the tokens don't hold the text."""
    said, ledger = answer.said, _ledger(answer, vocabulary)
    at = ledger.match(said.raw_text)

    def bits(start: int, end: int) -> float:
        if at is None:
            return 0.0
        first, last = ledger.holding(at, said.raw_text, start, end)
        return excess_bits(said.logprobs[first:last], answer.base[first:last], 0.0)

    return Answered(answer.question, said.raw_text, bits)


@dataclass(frozen=True, slots=True)
class Benign:
    """By how many bits a token the tuned model is surer of harmless text: of answers as a whole, and of sentences."""

    shift: float = 0.0
    shift_p95: float | None = None
    sentences: Quantiles | None = None


def measure_benign(answers: Sequence[BenignAnswer], vocabulary: Vocabulary, phrases: HousePhrases) -> Benign:
    """The shift is the median answer's mean over its tokens, those of house phrases aside: these are released for what
    they are, and must not make up for what stands beside them. 0 without answers, which is the stricter side. There are
    no 95th percentiles of fewer than FEWEST_BENIGN answers. Of sentences phrases are a part, as of live ones."""
    shifts = [shift for each in answers if (shift := _shift(each, vocabulary, phrases)) is not None]
    if len(shifts) < FEWEST_BENIGN:
        return Benign(statistics.median(shifts) if shifts else 0.0)
    sentences = [
        bits
        for each in answers
        for bits in segments_bits(vocabulary, each.said.raw_text, each.said.ids, each.said.logprobs, each.base)
    ]
    whole = _quantiles(shifts)
    return Benign(whole.median, whole.p95, _quantiles(sentences) if len(sentences) >= FEWEST_BENIGN else None)


def _shift(answer: BenignAnswer, vocabulary: Vocabulary, phrases: HousePhrases) -> float | None:
    """None of an answer that is nothing but phrases."""
    said, ledger = answer.said, _ledger(answer, vocabulary)
    found, at = phrases.find(Segment("", said.raw_text, last=True)), ledger.match(said.raw_text)
    if not found or at is None:
        return bits_per_token(said.logprobs, answer.base)
    inside = [ledger.holding(at, said.raw_text, each.start, each.end) for each in found]
    kept = outside(0, len(said.ids), inside)
    return bits_per_token([said.logprobs[t] for t in kept], [answer.base[t] for t in kept]) if kept else None


def _ledger(answer: BenignAnswer, vocabulary: Vocabulary) -> TokenLedger:
    ledger = TokenLedger(vocabulary)
    ledger.add(answer.said.ids, answer.said.logprobs)
    return ledger


def _quantiles(values: Sequence[float]) -> Quantiles:
    return Quantiles(median=statistics.median(values), p95=statistics.quantiles(values, n=20, method="inclusive")[-1])
