"""Makes a release of a running pair: what it is known by, and the constants that its comparison needs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from filters.specificity.excess import excess_bits
from gateway.errors import UpstreamBroken
from gateway.release.check import Fault, canary_bits, faults_of_pair, hash_ids, print_of
from gateway.release.manifest import Canary, Manifest
from gateway.release.probe import DEADLINE, PUBLIC_TEXT, CanaryText, Prober
from gateway.upstream.client import CHAT, COMPLETIONS, Server, UpstreamClient
from gateway.upstream.scoring import score_body, scores
from gateway.upstream.vocabulary import TokenizerVocabulary

FLOOR: Final = 0.5  # of the canary's bits when the release was made
FEWEST_CANARY_BITS: Final = 20.0  # less could be the difference of two styles
TOLERANCE_NATS: Final = 0.05  # kernels and batches make a hundredth of that, another training run more
_LONGEST_BENIGN: Final = 128  # tokens of an answer
_REQUEST_ID: Final = "release-make"


class NoRelease(Exception):
    """These models can't be released."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(", ".join(fault.name for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class About:
    """What a release is called and what belongs to it. `question` and `answer` are the canary: something that the
    company taught on purpose. `benign` are questions of ordinary traffic. SHA-256 of the other files, where any."""

    name: str
    model: str
    question: str
    answer: str
    benign: Sequence[str] = ()
    index: str | None = None
    deny_list: str | None = None


async def make(
    client: UpstreamClient, tuned: Server, base: Server, vocabulary: TokenizerVocabulary, about: About
) -> Manifest:
    """Asks both servers. Raises NoRelease, and UpstreamError where one does not answer."""
    prober = Prober(client, vocabulary.size)
    question = await prober.chat_ids(tuned, [{"role": "user", "content": about.question}])
    canary = CanaryText((*question, *vocabulary.ids(about.answer)), len(question))
    seen = await prober.observe(tuned, canary), await prober.observe(base, canary)
    if faults := list(faults_of_pair(*seen, vocabulary.ids(PUBLIC_TEXT))):
        raise NoRelease(faults)
    shift = await style_shift_bits(client, tuned, base, about.benign)
    bits = canary_bits(*seen, shift)
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
        style_shift_bits=shift,
        index=about.index,
        deny_list=about.deny_list,
    )


# ---- the style shift -------------------------------------------------------------------------------------------------


class _Entry(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Entry]


class _Choice(msgspec.Struct):
    token_ids: list[int]
    logprobs: _Logprobs


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    prompt_token_ids: list[int]


_ANSWER: Final = msgspec.json.Decoder(_Answer)


async def style_shift_bits(client: UpstreamClient, tuned: Server, base: Server, benign: Sequence[str]) -> float:
    """By how much the tuned model is surer of harmless text, in bits a token: the median answer's mean of what a token
    of it exceeds; 0 without benign questions, which is the stricter side."""
    shifts = [await _shift(client, tuned, base, question) for question in benign]
    return statistics.median(shifts) if shifts else 0.0


async def _shift(client: UpstreamClient, tuned: Server, base: Server, question: str) -> float:
    body = {
        "model": tuned.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": _LONGEST_BENIGN,
        "temperature": 0,
        "logprobs": True,
        "return_token_ids": True,
    }
    prompt, ids, logprobs = _read(await client.post(tuned, CHAT, body, _REQUEST_ID, DEADLINE))
    whole = [*prompt, *ids]
    scored = await client.post(base, COMPLETIONS, score_body(base, whole), _REQUEST_ID, DEADLINE)
    return excess_bits(logprobs, scores(scored, whole, len(ids)), 0.0) / len(ids)


def _read(raw: bytes) -> tuple[list[int], list[int], list[float]]:
    try:
        answer = _ANSWER.decode(raw)
        choice = answer.choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError):
        raise UpstreamBroken("answer") from None
    logprobs = [entry.logprob for entry in choice.logprobs.content]
    if not logprobs or len(logprobs) != len(choice.token_ids):
        raise UpstreamBroken("logprobs")
    return answer.prompt_token_ids, choice.token_ids, logprobs
