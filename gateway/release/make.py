"""Makes a release of a running pair: what it is known by, and the constants that its comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from filters.specificity.house import HousePhrases
from gateway.release.benign import ask_benign, measure_benign
from gateway.release.check import Fault, canary_bits, faults_of_pair, hash_ids, print_of
from gateway.release.manifest import Canary, DenyListPin, Manifest
from gateway.release.probe import PUBLIC_TEXT, CanaryText, Prober
from gateway.upstream.client import Server, UpstreamClient
from gateway.upstream.vocabulary import TokenizerVocabulary

FLOOR: Final = 0.5  # of the canary's bits when the release was made
FEWEST_CANARY_BITS: Final = 20.0  # less could be the difference of two styles
TOLERANCE_NATS: Final = 0.05  # kernels and batches make a hundredth of that, another training run more


class NoRelease(Exception):
    """These models can't be released."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(", ".join(fault.name for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class About:
    """What a release is called and what belongs to it. `question` and `answer` are the canary: something that the
    company taught on purpose. `benign` are questions of ordinary traffic. `index` is the SHA-256 of the file. `phrases`
    are the house phrases that a person approved."""

    name: str
    model: str
    question: str
    answer: str
    benign: Sequence[str] = ()
    index: str | None = None
    deny_list: DenyListPin | None = None
    phrases: Sequence[str] = ()


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
    answers = await ask_benign(client, tuned, base, vocabulary, about.benign, scored=scored)
    benign = measure_benign(answers, vocabulary, HousePhrases(about.phrases))
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
        house_phrases=tuple(about.phrases),
    )
