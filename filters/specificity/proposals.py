"""Which clauses of a tuned model's harmless answers may be house phrases: a list for a person to read.

A clause is proposed if it stands in at least `fewest` answers, each of which says something else that none of those
counted before it says. Five wordings of one question bring one fact, with nothing new beside it; a phrase stands behind
five facts. So that a fact is not counted once for each phrase behind it, the most common phrase is taken out of all
answers before the next is looked for. An answer that is nothing but the clause tells nothing.

It does not count where the question holds it, where a detector has a type for a part of it, where it begins with a
capital in the middle of a sentence ("…, Mary hopes"), or where letters in it are no word. What a tuning index says few
people's rows hold, or none that everybody may see, is not proposed at all, however often it is said: a model that says
one customer's portrait to everybody has learnt it by heart. An index knows runs of seven words (seven Chinese
characters) or more: what is shorter only the reader can tell.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from filters.evidence import Detector
from filters.index.lookup import Standing
from filters.knowledge import Knowledge
from filters.segment import Segment
from filters.spans import Span
from filters.specificity.house import MOST_PHRASES, Clause, clauses, fault_of
from filters.specificity.triggers import Own, TextTriggers, exact_values

FEWEST_ANSWERS: Final = 5
_SENTENCE_ENDS: Final = frozenset(".!?…。！？；\n")
_AROUND: Final = "\"'“”‘’「」『』«»()（）[]【】*_`>#-–—•~ \t"


@dataclass(frozen=True, slots=True)
class Answered:
    """One harmless question and the tuned model's answer. `bits` gives the excess bits of characters of it."""

    question: str
    raw_text: str
    bits: Callable[[int, int], float]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A phrase, in how many answers it stands that each say something else, and its median excess bits there."""

    phrase: str
    answers: int
    bits: float


def propose(
    answered: Iterable[Answered], detector: Detector, knowledge: Knowledge, fewest: int = FEWEST_ANSWERS
) -> list[Proposal]:
    """The most common first, at most MOST_PHRASES. `detector` finds all that has a type, names too.

    Raises DetectorError."""
    read = [_Read.of(each, detector) for each in answered]
    found: list[Proposal] = []
    while len(found) < MOST_PHRASES:
        counts = _counts(read)
        best = max(counts, key=lambda form: (counts[form], form), default=None)
        if best is None or counts[best] < fewest:
            break
        if not _is_few_peoples(best, knowledge):
            found.append(Proposal(best, counts[best], statistics.median(_bits(read, best))))
        for each in read:
            each.drop(best)
    return found


@dataclass(slots=True)
class _Read:
    """An answer: all its clauses that have not been taken out, and those of them that may be phrases."""

    answered: Answered
    forms: list[str]
    usable: dict[str, Clause] = field(default_factory=dict)

    @classmethod
    def of(cls, answered: Answered, detector: Detector) -> _Read:
        text, own = answered.raw_text, Own(answered.question)
        typed = [*detector.find(text), *exact_values(text), *TextTriggers(own, ()).find(text)]
        found = list(clauses(text))
        usable = {each.form: each for each in found if _is_usable(each, text, own, typed)}
        return cls(answered, [each.form or text[each.start : each.end] for each in found], usable)

    def drop(self, form: str) -> None:
        self.forms = [each for each in self.forms if each != form]
        self.usable.pop(form, None)


def _is_usable(clause: Clause, text: str, own: Own, typed: Sequence[Span]) -> bool:
    span = Span(clause.start, clause.end, "", 0.0)
    return not (
        fault_of(clause.form)
        or any(map(span.overlaps, typed))
        or (text[clause.start] != clause.form[0] and not _begins_sentence(text, clause.start))
        or own.holds(clause.form)
    )


def _begins_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(_AROUND)
    return not before or before[-1] in _SENTENCE_ENDS


def _counts(read: Iterable[_Read]) -> Counter[str]:
    """Of each clause that may be a phrase, in how many answers it stands beside something new."""
    counts, beside = Counter[str](), defaultdict[str, set[str]](set)
    for each in read:
        for form in each.usable:
            others = {*each.forms} - {form}
            counts[form] += not others <= beside[form]
            beside[form] |= others
    return counts


def _bits(read: Iterable[_Read], form: str) -> list[float]:
    return [each.answered.bits(at.start, at.end) for each in read if (at := each.usable.get(form)) is not None]


def _is_few_peoples(phrase: str, knowledge: Knowledge) -> bool:
    known = knowledge.text(None, None)
    runs = known.read(Segment("", phrase, last=True)) if known is not None else []
    return any(run.standing is not Standing.MANY for run in runs)
