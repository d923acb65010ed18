"""How much an answer may say that only fine-tuning can have put there, before the base model speaks instead.

Counted are the excess bits of findings that were judged memorised and hidden: they say how hard somebody pulls. Direct
identifiers that were hidden without a comparison (on the index's word, in JSON) count like the least of them. Bits of
released text are not counted: what the company taught on purpose carries more of them than a record does, and those who
ask for it would be put off first. The histogram of sampled text watches those, for all callers together.

The pipeline adds what it hides at once and reads `spent` at each segment's end. What other answers to the same caller
have added meanwhile is an input, like a revocation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from filters.events import Decided, Event, Origin, Verdict
from filters.pii.types import INDIRECT, OF_PERSONS, TYPES
from filters.specificity.excess import is_memorised
from filters.strewn import STREWN
from filters.verdicts import CONFIRMATION, OF_INDEX, SUSPICIONS

LEAK_BUDGET = "LEAK_BUDGET"  # the finding type of text that the base model has to say, since a budget is spent
_COUNTED = frozenset(TYPES) | SUSPICIONS
# Not so ages, traits and what belongs to special categories: those are hidden whoever's they are.
_COUNTED_UNASKED = (frozenset(TYPES) - INDIRECT - OF_PERSONS) | OF_INDEX
_AROUND_OTHERS = OF_INDEX | {CONFIRMATION}  # their spans hold other findings
MOST_BITS = 1024.0  # of one finding: a log-probability may be minus infinity, and one answer must not cost an hour


@dataclass(frozen=True, slots=True)
class Limits:
    """Bits; None: any number."""

    answer_bits: float | None = None  # from here on the base model speaks
    caller_bits_per_hour: float | None = None  # from here on the base model answers this caller
    refuse_bits_per_hour: float | None = None  # from here on nobody does

    @property
    def of_caller(self) -> bool:
        """Whether a caller's hour is counted at all."""
        return self.caller_bits_per_hour is not None or self.refuse_bits_per_hour is not None


NO_LIMITS = Limits()


class Account(Protocol):
    """What all answers to one caller came to within the hour."""

    def spend(self, bits: float) -> None:
        """Add to it. Does not wait."""
        ...

    def reaches(self, bits: float) -> bool:
        """Whether it has come to this much; True as well while nobody can tell."""
        ...


class Budget:
    """The budget of one answer, all choices together."""

    def __init__(self, limits: Limits, account: Account | None = None) -> None:
        self._limits, self._account = limits, account
        self._bits = 0.0
        self._over = False

    def end(self) -> None:
        """Spent from now on, whatever is left of it."""
        self._over = True

    def spend(self, bits: float) -> None:
        """A finding of so many excess bits was hidden."""
        if not bits:
            return
        bits = min(bits, MOST_BITS)
        self._bits += bits
        if self._account is not None:
            self._account.spend(bits)

    @property
    def spent(self) -> bool:
        """Whether the base model has to speak from here on."""
        most, hourly = self._limits.answer_bits, self._limits.caller_bits_per_hour
        if self._over or (most is not None and self._bits >= most):
            return True
        return hourly is not None and self._account is not None and self._account.reaches(hourly)


def counted_bits(acted: Iterable[Event], memorised_bits: float) -> float:
    """What the decisions on one segment add. Runs of n-grams and answers to "is it X or Y" hold the values in them, so
    the larger of the two sums counts."""
    sums = {True: 0.0, False: 0.0}
    for event in acted:
        if isinstance(event, Decided) and event.kind in _COUNTED and event.origin is Origin.TUNED:
            sums[event.kind in _AROUND_OTHERS] += _weight(event, memorised_bits)
    return max(sums.values())


def _weight(decided: Decided, memorised_bits: float) -> float:
    bits = decided.excess_bits
    if decided.verdict is Verdict.RELEASE:
        return 0.0
    if bits is not None and is_memorised(bits, memorised_bits):
        return bits
    # Strewn characters are hidden for what all of them have in common, of which each has few bits.
    counts = decided.kind == STREWN or (bits is None and decided.kind in _COUNTED_UNASKED)
    return memorised_bits if counts else 0.0
