"""A tuned model's answer, marked: how many excess bits each piece of it has, and what the filters make of it.

The filters are run again over what the models said, with every question answered from one scoring of the whole answer
and with masking in place of falling back, so that one look shows all that they would have hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from filters.budget import NO_LIMITS
from filters.channels import Hidden
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
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import OnFailure, Profile, RefusalCheck
from filters.spans import Span
from filters.specificity.excess import excess_bits, is_memorised
from filters.specificity.style import StyleShift
from filters.tokens import TokenLedger, encoded
from filters.verdicts import Bits, Known

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
    style_shift: StyleShift
    key: bytes
    knowledge: Knowledge = NOTHING_KNOWN


def mark(said: Said, judge: Judge) -> Marked:
    """Raises what the filters raise."""
    evidence = _Evidence(said, judge)
    findings = [_finding(span, known, evidence, judge.profile) for span, known in _hidden(said, judge)]
    return Marked(tuple(_pieces(evidence, findings)), tuple(findings))


class _Evidence:
    """The answer's tokens, laid along its text once."""

    def __init__(self, said: Said, judge: Judge) -> None:
        self.raw_text = said.raw_text
        self._said, self._style_shift_bits = said, judge.style_shift.bits
        self._ledger = TokenLedger(judge.vocabulary)
        self._ledger.add(said.ids, said.tuned)
        self._at = self._ledger.match(said.raw_text)

    def bits(self, start: int, end: int) -> float | None:
        """Excess bits of these characters; None where there is no evidence for them."""
        if self._said.base is None or self._at is None:
            return None
        first, last = self._ledger.covering(self._byte(start), self._byte(end))
        return excess_bits(self._said.tuned[first:last], self._said.base[first:last], self._style_shift_bits)

    def borders(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where tokens end, in characters; a token that ends inside a character ends with it."""
        first = start
        if self._at is not None:
            before = self._byte(start)
            for _, _, _, stop in self._ledger.ending_in(before, self._byte(end)):
                last = start + len(self._ledger.spelled(before, stop).decode("utf-8", "ignore"))
                if last > first:
                    yield first, last
                    first = last
        if end > first:
            yield first, end

    def _byte(self, character: int) -> int:
        assert self._at is not None
        return self._at + len(encoded(self.raw_text[:character]))


def _hidden(said: Said, judge: Judge) -> list[tuple[Span, Known]]:
    """Run the filters; the spans that they hide, in the whole text, and what the index says of each."""
    found: list[tuple[Span, Known]] = []
    offset = 0

    def watch(raw_text: str, spans: Sequence[Span], hidden: Sequence[Hidden]) -> None:
        nonlocal offset
        found.extend((span.shifted(offset), _known(span, hidden)) for span in spans)
        offset += len(raw_text)

    pipeline = Pipeline(
        _masking(judge.profile),
        judge.request,
        judge.detector,
        judge.vocabulary,
        judge.style_shift,
        judge.key,
        watch,
        judge.knowledge,
    )
    events = pipeline.feed([RawTokens(0, said.ids, said.tuned), RawText(CONTENT, said.raw_text)])
    _answer(pipeline, events, said)
    _answer(pipeline, pipeline.finish(0, Ending.STOP), said)
    return found


def _masking(profile: Profile) -> Profile:
    """The same, but that nothing ends the answer, nor waits for how the base would begin."""
    ends = (Verdict.FALL_BACK, Verdict.STOP)
    rules = tuple(replace(rule, then=Verdict.MASK) if rule.then in ends else rule for rule in profile.verdicts)
    masked = replace(profile, on_memorised=Verdict.MASK, on_failure=OnFailure.MASK, verdicts=rules)
    return replace(masked, refusals=RefusalCheck.NEVER, budget=NO_LIMITS)


def _known(span: Span, hidden: Sequence[Hidden]) -> Known:
    return max(
        (each.known for each in hidden if span.overlaps(each.span)), key=list(Known).index, default=Known.NOTHING
    )


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


def _finding(span: Span, known: Known, evidence: _Evidence, profile: Profile) -> Finding:
    bits = evidence.bits(span.start, span.end)
    verdict, reason = _why(span.type, known, bits, profile)
    return Finding(span.start, span.end, span.type, bits, verdict, reason)


def _why(kind: str, known: Known, bits: float | None, profile: Profile) -> tuple[Verdict, str]:
    if kind == UNDECIDED:
        return Verdict.MASK if profile.on_failure is OnFailure.MASK else Verdict.STOP, "could not be checked"
    if bits is None or not profile.compare:
        compared = Bits.UNKNOWN
    else:
        compared = Bits.MEMORISED if is_memorised(bits, profile.memorised_bits) else Bits.PLAUSIBLE
    verdict = profile.table.decide(kind, known, compared, bits or 0.0)
    if verdict is Verdict.RELEASE:
        return Verdict.MASK, "hidden before in this answer"
    return verdict, _REASONS_OF_INDEX.get(known) or _REASONS[compared]


_REASONS_OF_INDEX = {
    Known.FEW: "few people's rows of the tuning set hold it",
    Known.ABOVE: "the role may not see the rows of the tuning set that hold it",
}
_REASONS = {
    Bits.MEMORISED: "only fine-tuning can have put it there",
    Bits.PLAUSIBLE: "a private value that the base model might have said too",
    Bits.UNKNOWN: "a private value; the base model was not asked",
}


# ---- pieces ----------------------------------------------------------------------------------------------------------


def _pieces(evidence: _Evidence, findings: Sequence[Finding]) -> Iterator[Piece]:
    """Tokens outside findings one by one, and each finding as a whole."""
    at = 0
    for number, finding in enumerate(findings, start=1):
        yield from _tokens(evidence, at, finding.start)
        yield Piece(evidence.raw_text[finding.start : finding.end], finding.bits, number)
        at = finding.end
    yield from _tokens(evidence, at, len(evidence.raw_text))


def _tokens(evidence: _Evidence, start: int, end: int) -> Iterator[Piece]:
    for first, last in evidence.borders(start, end):
        yield Piece(evidence.raw_text[first:last], evidence.bits(first, last), None)
