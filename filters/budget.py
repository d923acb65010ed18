"""How much an answer may say that only fine-tuning can have put there, before the base model speaks instead.

Two things are counted. Excess bits of findings that were judged memorised and hidden say how hard somebody pulls.
Direct identifiers that were hidden without a comparison (on the index's word, in JSON) count like the least of them.
Bits of released text are not counted: what the company taught on purpose carries more of them than a record does, and
those who ask for it would be put off first. The histogram of sampled text watches those, for all callers together.
Findings say how often he does: whatever was hidden, also what the base could have said as well, and whatever else made
an answer fall back; not quantities, traits and special categories, unless the answer fell back for them, nor what could
not be checked.

The pipeline adds what it hides at once and reads `spent` at each segment's end. What other answers to the same caller
have added meanwhile is an input, like a revocation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from filters.events import Decided, Event, FallBack, Origin, Verdict
from filters.pii.types import INDIRECT, OF_PERSONS, QUANTITIES, TYPES
from filters.specificity.excess import is_memorised
from filters.strewn import STREWN
from filters.verdicts import CONFIRMATION, OF_INDEX, SUSPICIONS

BITS, FINDINGS = "bits", "findings"
MEASURES = (BITS, FINDINGS)  # in the order of `Hour`
LEAK_BUDGET = "LEAK_BUDGET"  # the finding type of text that the base model has to say, since a budget is spent
_COUNTED = frozenset(TYPES) | SUSPICIONS
# Not so ages, traits and what belongs to special categories: those are hidden whoever's they are.
_COUNTED_UNASKED = (frozenset(TYPES) - INDIRECT - OF_PERSONS) | OF_INDEX
_NO_FINDINGS = OF_PERSONS | QUANTITIES
_HIDES = frozenset({Verdict.MASK, Verdict.FALL_BACK, Verdict.STOP})
_AROUND_OTHERS = OF_INDEX | {CONFIRMATION}  # their spans hold other findings
MOST_BITS = 1024.0  # of one finding: a log-probability may be minus infinity, and one answer must not cost an hour


@dataclass(frozen=True, slots=True)
class Cost:
    """What was hidden, in both measures."""

    bits: float = 0.0
    findings: int = 0


NOTHING = Cost()


@dataclass(frozen=True, slots=True)
class Steps:
    """Of one measure within an hour; None: any number."""

    strict: float | None = None  # from here on he is served by the strict profile, or else by the base model
    refuse: float | None = None  # from here on by nobody


@dataclass(frozen=True, slots=True)
class Hour:
    """What somebody's answers may come to within an hour."""

    bits: Steps = Steps()
    findings: Steps = Steps()

    @property
    def limited(self) -> bool:
        """Whether it is counted at all."""
        return self != NO_HOUR


NO_HOUR = Hour()


@dataclass(frozen=True, slots=True)
class Limits:
    """`application` is that of all together for whom one caller speaks, where nobody signed who they are."""

    answer_bits: float | None = None  # from here on the base model says the rest; None: any number
    caller: Hour = NO_HOUR
    application: Hour = NO_HOUR
    reserve: int = 5  # findings for which each answer under way holds some of the hour


NO_LIMITS = Limits()


class Account(Protocol):
    """What all answers to one caller came to within the hour, as one of them sees it."""

    @property
    def spent(self) -> bool:
        """Whether the base model has to speak from here on; True as well while nobody can tell."""
        ...

    def spend(self, cost: Cost) -> None:
        """Add to it. Does not wait."""
        ...


class Budget:
    """The budget of one answer, all choices together."""

    def __init__(self, limits: Limits, account: Account | None = None) -> None:
        self._most, self._account = limits.answer_bits, account
        self._bits = 0.0
        self._over = False

    def end(self) -> None:
        """Spent from now on, whatever is left of it."""
        self._over = True

    def spend(self, cost: Cost) -> None:
        """So much was hidden."""
        if cost == NOTHING:
            return
        self._bits += min(cost.bits, MOST_BITS)
        if self._account is not None:
            self._account.spend(Cost(min(cost.bits, MOST_BITS), cost.findings))

    @property
    def spent(self) -> bool:
        """Whether the base model has to speak from here on."""
        if self._over or (self._most is not None and self._bits >= self._most):
            return True
        return self._account is not None and self._account.spent


def cost_of(acted: Sequence[Event], memorised_bits: float) -> Cost:
    """What the decisions on one segment add. Runs of n-grams and answers to "is it X or Y" hold the values in them, so
    the larger of the two sums counts. A fallback is the consequence of what was found, or else a finding by itself."""
    bits, findings = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for event in acted:
        if isinstance(event, Decided) and event.kind in _COUNTED and event.origin is Origin.TUNED:
            around = event.kind in _AROUND_OTHERS
            bits[around] += _weight(event, memorised_bits)
            findings[around] += event.verdict in _HIDES and event.kind not in _NO_FINDINGS
    fell_back = any(isinstance(event, FallBack) for event in acted)
    return Cost(max(bits.values()), max(fell_back, *findings.values()))


def _weight(decided: Decided, memorised_bits: float) -> float:
    bits = decided.excess_bits
    if decided.verdict is Verdict.RELEASE:
        return 0.0
    if bits is not None and is_memorised(bits, memorised_bits):
        return bits
    # Strewn characters are hidden for what all of them have in common, of which each has few bits.
    counts = decided.kind == STREWN or (bits is None and decided.kind in _COUNTED_UNASKED)
    return memorised_bits if counts else 0.0
