"""Makes a release of a running pair: what it is known by, and the constants that its comparison needs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from filters.specificity.sampling import bits_per_token, segments_bits
from gateway.release.check import Fault, canary_bits, faults_of_pair, hash_ids, print_of
from gateway.release.manifest import Canary, DenyListPin, Manifest, Quantiles
from gateway.release.probe import DEADLINE, PUBLIC_TEXT, CanaryText, Prober
from gateway.upstream.client import Errand, Server, UpstreamClient
from gateway.upstream.greedy import Asker
from gateway.upstream.vocabulary import TokenizerVocabulary

FLOOR: Final = 0.5  # of the canary's bits when the release was made
FEWEST_CANARY_BITS: Final = 20.0  # less could be the difference of two styles
TOLERANCE_NATS: Final = 0.05  # kernels and batches make a hundredth of that, another training run more
FEWEST_BENIGN: Final = 20  # answers: the 95th percentile of fewer is that of the oddest one
_LONGEST_BENIGN: Final = 128  # tokens of an answer
_ERRAND: Final = Errand("release-make")


class NoRelease(Exception):
    """These models can't be released."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(", ".join(fault.name for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class About:
    """What a release is called and what belongs to it. `question` and `answer` are the canary: something that the
    company taught on purpose. `benign` are questions of ordinary traffic. `index` is the SHA-256 of the file."""

    name: str
    model: str
    question: str
    answer: str
    benign: Sequence[str] = ()
    index: str | None = None
    deny_list: DenyListPin | None = None


async def make(
    client: UpstreamClient,
    tuned: Server,
    base: Server,
    vocabulary: TokenizerVocabulary,
    about: About,
    *,
    scored: bool = False,
) -> Manifest:
    """Asks both servers, `scored` as `Prober` takes it. Raises NoRelease; UpstreamError where one does not answer."""
    prober = Prober(client, vocabulary.size, scored=scored)
    question = await prober.chat_ids(tuned, [{"role": "user", "content": about.question}])
    canary = CanaryText((*question, *vocabulary.ids(about.answer)), len(question))
    seen = await prober.observe(tuned, canary), await prober.observe(base, canary)
    if faults := list(faults_of_pair(*seen, vocabulary.ids(PUBLIC_TEXT))):
        raise NoRelease(faults)
    benign = await measure_benign(client, tuned, base, vocabulary, about.benign, scored=scored)
    bits = canary_bits(*seen, benign.shift)
    if not bits >= FEWEST_CANARY_BITS:
        raise NoRelease([Fault.CANARY])
    return Manifest(
        format=1,
        name=about.name,
        model=about.model,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        tokenizer=vocabulary.sha256,
        text_ids=hash_ids(seen[0].text_ids),
        template_ids=hash_ids(seen[0].chat_ids),
        tuned=print_of(seen[0]),
        base=print_of(seen[1]),
        canary=Canary(ids=canary.ids, start=canary.start, floor_bits=FLOOR * bits),
        tolerance_nats=TOLERANCE_NATS,
        style_shift_bits=benign.shift,
        style_shift_p95_bits=benign.shift_p95,
        benign_bits=benign.sentences,
        index=about.index,
        deny_list=about.deny_list,
    )


# ---- the style shift -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Benign:
    """By how many bits a token the tuned model is surer of harmless text: of answers as a whole, and of sentences."""

    shift: float = 0.0
    shift_p95: float | None = None
    sentences: Quantiles | None = None


async def measure_benign(
    client: UpstreamClient,
    tuned: Server,
    base: Server,
    vocabulary: TokenizerVocabulary,
    questions: Sequence[str],
    *,
    scored: bool = False,
) -> Benign:
    """The shift is the median answer's mean over its tokens; 0 without questions, which is the stricter side. There are
    no 95th percentiles of fewer than FEWEST_BENIGN answers."""
    asker = Asker(client, _ERRAND, DEADLINE, vocabulary if scored else None)
    shifts: list[float] = []
    sentences: list[float] = []
    for question in questions:
        said = await asker.greedy(tuned, [{"role": "user", "content": question}], _LONGEST_BENIGN)
        of_base = await asker.scored(base, [*said.prompt, *said.ids], len(said.prompt))
        shifts.append(bits_per_token(said.logprobs, of_base))
        sentences += segments_bits(vocabulary, said.raw_text, said.ids, said.logprobs, of_base)
    if len(shifts) < FEWEST_BENIGN:
        return Benign(statistics.median(shifts) if shifts else 0.0)
    whole = _quantiles(shifts)
    return Benign(whole.median, whole.p95, _quantiles(sentences) if len(sentences) >= FEWEST_BENIGN else None)


def _quantiles(values: Sequence[float]) -> Quantiles:
    return Quantiles(median=statistics.median(values), p95=statistics.quantiles(values, n=20, method="inclusive")[-1])
