"""Whether a pair of models can be compared at all, and whether it is the pair of its release.

The comparison releases what the base model finds as likely as the tuned one does. A pair that is no pair would release
everything: the same model twice, names swapped, a missing adapter. So each is looked for, and refused.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from filters.specificity.excess import excess_bits
from gateway.release.manifest import Manifest, ModelPrint
from gateway.release.probe import Observed

SAME_NATS = 1e-3  # a token: two runs of one model differ by less, a model and what was tuned from it by far more
RAW_NATS = 0.05  # a token: batches and kernels make less of a difference, a temperature of 0.1 far more
MOST_TIMES_TOLERANCE = 10  # what a single token may differ by, in tolerances of the mean


class Fault(enum.Enum):
    """What can be wrong, in words for the operator; the name is what a log record says."""

    TOKENIZERS = "the tuned and the base model read the same text as different tokens: their tokenizers differ"
    OWN_TOKENIZER = "the models read a text as other tokens than the configured tokenizer"
    TEMPLATES = "the tuned and the base model make different prompts of the same chat: their chat templates differ"
    ADDED_TOKENS = "one model has tokens that the other lacks: tokens were added to one of them"
    CONTEXTS = "the tuned and the base model take contexts of different length"
    PROCESSED_LOGPROBS = (
        "log-probabilities depend on the temperature: serve both models with raw ones (--logprobs-mode raw_logprobs)"
    )
    SAME_MODEL = "the tuned and the base model are the same: one model under two names, or an adapter that is missing"
    OTHER_TOKENIZER = "the tokenizer is not the release's"
    OTHER_TEMPLATE = "the models' chat template is not the release's"
    SWAPPED = "the tuned and the base model are swapped"
    OTHER_TUNED = "the tuned model is not the release's: it finds the public text more or less likely"
    OTHER_BASE = "the base model is not the release's: it finds the public text more or less likely"
    CANARY = "the tuned model does not know the canary better than the base model does, or not by enough"
    NO_INDEX = "the release has a tuning index, and the configuration names none"
    OTHER_INDEX = "the tuning index is not the release's"
    NO_DENY_LIST = "the release has a deny list, and the configuration names none"
    OTHER_DENY_LIST = "the deny list does not begin with what the release was made with"
    NO_ANSWER = "a model server did not answer as it must"


def faults_of_pair(tuned: Observed, base: Observed, own_text_ids: Sequence[int]) -> Iterator[Fault]:
    """What forbids to compare these two. `own_text_ids` is the public text in the gateway's tokenizer."""
    if tuned.text_ids != base.text_ids:
        yield Fault.TOKENIZERS
    elif list(tuned.text_ids[-len(own_text_ids) :]) != list(own_text_ids):
        yield Fault.OWN_TOKENIZER
    if tuned.chat_ids != base.chat_ids:
        yield Fault.TEMPLATES
    if tuned.accepts != base.accepts:
        yield Fault.ADDED_TOKENS
    if None not in (tuned.context_tokens, base.context_tokens) and tuned.context_tokens != base.context_tokens:
        yield Fault.CONTEXTS
    if not max(tuned.processed, base.processed) <= RAW_NATS:
        yield Fault.PROCESSED_LOGPROBS
    if _largest(tuned.text + tuned.canary, base.text + base.canary) < SAME_NATS:
        yield Fault.SAME_MODEL


def faults_of_release(manifest: Manifest, tokenizer: str, tuned: Observed, base: Observed) -> Iterator[Fault]:
    """Where the servers are not what the release says. `tokenizer` is the SHA-256 of the configured file."""
    if manifest.tokenizer != tokenizer or manifest.text_ids != hash_ids(tuned.text_ids):
        yield Fault.OTHER_TOKENIZER
    if manifest.template_ids != hash_ids(tuned.chat_ids):
        yield Fault.OTHER_TEMPLATE
    yield from _faults_of_prints(manifest, tuned, base)
    if not canary_bits(tuned, base, manifest.style_shift_bits) >= manifest.canary.floor_bits:
        yield Fault.CANARY


def faults_of_index(manifest: Manifest, sha256: str | None) -> Iterator[Fault]:
    """Where the tuning index, by the SHA-256 of its file, is not the release's. One that no release has seen would free
    what it calls common."""
    if sha256 != manifest.index:
        yield Fault.NO_INDEX if sha256 is None else Fault.OTHER_INDEX


def canary_bits(tuned: Observed, base: Observed, style_shift_bits: float) -> float:
    """By how much the tuned model is surer of the canary; 0 where the two can't be compared."""
    if len(tuned.canary) != len(base.canary):
        return 0.0
    return excess_bits(tuned.canary, base.canary, style_shift_bits)


def hash_ids(ids: Sequence[int]) -> str:
    """SHA-256 of token ids, as JSON."""
    return hashlib.sha256(msgspec.json.encode(list(ids))).hexdigest()


def print_of(seen: Observed) -> ModelPrint:
    """What a release keeps of a model."""
    return ModelPrint(text=seen.text, canary=seen.canary, context_tokens=seen.context_tokens)


def _faults_of_prints(manifest: Manifest, tuned: Observed, base: Observed) -> Iterator[Fault]:
    nats = manifest.tolerance_nats
    if _is(manifest.base, tuned, nats) and _is(manifest.tuned, base, nats):
        yield Fault.SWAPPED
        return
    if not _is(manifest.tuned, tuned, nats):
        yield Fault.OTHER_TUNED
    if not _is(manifest.base, base, nats):
        yield Fault.OTHER_BASE


def _is(known: ModelPrint, seen: Observed, nats: float) -> bool:
    """NaN is never near anything."""
    one, other = known.text + known.canary, seen.text + seen.canary
    if len(one) != len(other):
        return False
    mean = sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)
    return mean <= nats and _largest(one, other) <= MOST_TIMES_TOLERANCE * nats


def _largest(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference; infinite where the two don't have the same length."""
    if len(one) != len(other):
        return float("inf")
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
