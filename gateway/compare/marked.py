"""A tuned model's answer, marked: how many excess bits each piece of it has, and what the filters make of it.

The filters are run again over what the models said, with every question answered from one scoring of the whole answer
and with masking in place of falling back, so that one look shows all that they would have hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from filters.events import (
    UNAVAILABLE,
    Channel,
    Ending,
    Event,
    Field,
    Question,
    RawText,
    RawTokens,
    Unavailable,
    Verdict,
)
from filters.evidence import UNDECIDED, Detector, Vocabulary
from filters.pipeline import SUSPICIONS, Pipeline, RequestEvidence
from filters.profile import OnFailure, Profile
from filters.spans import Span
from filters.specificity.excess import excess_bits, is_memorised
from filters.tokens import TokenLedger, encoded

CONTENT = Channel(0, Field.CONTENT)


@dataclass(frozen=True, slots=True)
class Said:
    """One greedy answer of the tuned model with its evidence, in natural logarithms; `base` None: no answer there."""

    raw_text: str
    ids: tuple[int, ...]
    tuned: tuple[float, ...]
    base: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is hidden of characters `start` to `end`, and why."""

    start: int
    end: int
    type: str
    bits: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Text between two borders of tokens and findings. `finding` counts from 1."""

    raw_text: str
    bits: float | None
    finding: int | None


@dataclass(frozen=True, slots=True)
class Marked:
    """The whole answer in pieces."""

    pieces: tuple[Piece, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """The filters as one role has them."""

    profile: Profile
    request: RequestEvidence
    detector: Detector
    vocabulary: Vocabulary
    style_shift_bits: float
    key: bytes


def mark(said: Said, judge: Judge) -> Marked:
    """Raises what the filters raise."""
    findings = [_finding(said, span, judge) for span in _hidden(said, judge)]
    return Marked(tuple(_pieces(said, findings, judge)), tuple(findings))


def _hidden(said: Said, judge: Judge) -> list[Span]:
    """Run the filters; the spans that they hide, in the whole text."""
    spans: list[Span] = []
    offset = 0

    def watch(raw_text: str, hidden: Sequence[Span]) -> None:
        nonlocal offset
        spans.extend(span.shifted(offset) for span in hidden)
        offset += len(raw_text)

    masking = replace(judge.profile, on_memorised=Verdict.MASK, on_failure=OnFailure.MASK)
    pipeline = Pipeline(
        masking, judge.request, judge.detector, judge.vocabulary, judge.style_shift_bits, judge.key, watch
    )
    events = pipeline.feed([RawTokens(0, said.ids, said.tuned), RawText(CONTENT, said.raw_text)])
    _answer(pipeline, events, said)
    _answer(pipeline, pipeline.finish(0, Ending.STOP), said)
    return spans


def _answer(pipeline: Pipeline, events: list[Event], said: Said) -> None:
    """Every question that the events hold, and those that its answers raise."""
    waiting = [event for event in events if isinstance(event, Question)]
    while waiting:
        question = waiting.pop(0)
        more = pipeline.answer(question.id, _score(said, question))
        waiting += [event for event in more if isinstance(event, Question)]


def _score(said: Said, question: Question) -> tuple[float, ...] | Unavailable:
    return UNAVAILABLE if said.base is None else said.base[question.start : len(question.ids)]


# ---- why -------------------------------------------------------------------------------------------------------------


def _finding(said: Said, span: Span, judge: Judge) -> Finding:
    bits = _bits(said, span.start, span.end, judge)
    verdict, reason = _why(span.type, bits, judge.profile)
    return Finding(span.start, span.end, span.type, bits, verdict, reason)


def _why(kind: str, bits: float | None, profile: Profile) -> tuple[Verdict, str]:
    if kind == UNDECIDED:
        return Verdict.MASK if profile.on_failure is OnFailure.MASK else Verdict.STOP, "could not be checked"
    if bits is None:
        return Verdict.MASK, "a private value; the base model was not asked"
    if is_memorised(bits, profile.memorised_bits):
        return profile.on_memorised, "only fine-tuning can have put it there"
    if kind in SUSPICIONS:
        return Verdict.MASK, "hidden before in this answer"
    return Verdict.MASK, "a private value that the base model might have said too"


def _bits(said: Said, start: int, end: int, judge: Judge) -> float | None:
    """Excess bits of these characters; None where there is no evidence for them."""
    if said.base is None:
        return None
    ledger, at = _ledger(said, judge)
    if at is None:
        return None
    first, last = ledger.covering(at + _bytes(said.raw_text[:start]), at + _bytes(said.raw_text[:end]))
    return excess_bits(said.tuned[first:last], said.base[first:last], judge.style_shift_bits)


def _ledger(said: Said, judge: Judge) -> tuple[TokenLedger, int | None]:
    ledger = TokenLedger(judge.vocabulary)
    ledger.add(said.ids, said.tuned)
    return ledger, ledger.match(said.raw_text)


def _bytes(text: str) -> int:
    return len(encoded(text))


# ---- pieces ----------------------------------------------------------------------------------------------------------


def _pieces(said: Said, findings: Sequence[Finding], judge: Judge) -> Iterator[Piece]:
    """Tokens outside findings one by one, and each finding as a whole."""
    at = 0
    for number, finding in enumerate(findings, start=1):
        yield from _tokens(said, at, finding.start, judge)
        yield Piece(said.raw_text[finding.start : finding.end], finding.bits, number)
        at = finding.end
    yield from _tokens(said, at, len(said.raw_text), judge)


def _tokens(said: Said, start: int, end: int, judge: Judge) -> Iterator[Piece]:
    for first, last in _borders(said, start, end, judge):
        yield Piece(said.raw_text[first:last], _bits(said, first, last, judge), None)


def _borders(said: Said, start: int, end: int, judge: Judge) -> Iterator[tuple[int, int]]:
    """Where tokens end, in characters; a token that ends inside a character ends with it."""
    ledger, base = _ledger(said, judge)
    if base is None:
        yield from [(start, end)] if end > start else []
        return
    first = start
    before = base + _bytes(said.raw_text[:start])
    for _, _, _, stop in ledger.ending_in(before, base + _bytes(said.raw_text[:end])):
        last = start + len(ledger.spelled(before, stop).decode("utf-8", "ignore"))
        if last > first:
            yield first, last
            first = last
    if end > first:
        yield first, end
