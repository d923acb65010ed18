"""The table that decides: what is known of a span in, a verdict out.

| what it is | the index says | excess bits | verdict |
| --- | --- | --- | --- |
| on the deny list | | | as `on_memorised`: by default fall back |
| of a special category (health, religion …) | | | as `on_memorised` |
| an answer to a request that puts identifiers up | | | as `on_memorised` |
| any other direct identifier | few, above | | as `on_memorised` |
| | many | | mask |
| | nothing | memorised | as `on_memorised` |
| | nothing | plausible, unknown | mask |
| a suspicion | many | | release |
| | nothing, few, above | memorised | as `on_memorised` |
| | nothing, few, above | plausible | release |
| | few, above | unknown | as `on_memorised` |
| | nothing, many | unknown | mask |

1. Only what the caller did not give, is not cleared for and is not on the list of public values comes here, but for
   rules of the policy that say `grounded: true`.
2. A policy's own rules come first, in their order. None can release a direct identifier that is not grounded: neither a
   count of subjects nor low bits frees it.
3. *Few*: fewer than k people's rows hold a run of n-grams that it touches. *Above*: no audience up to the caller's
   clearance may see one. *Many*: such runs cover it whole, and none of the others touches it. To a request that puts
   identifiers up to be confirmed, denied or picked from the base answers whatever is known: a pick among n is worth
   log2 n bits and a denial none, so no threshold tells them from style; where the two models agree nothing is lost.
4. *Unknown* bits: nobody is asked (the role compares nothing, or the base itself speaks). Where somebody was asked and
   did not answer, nothing is decided here: the whole segment is hidden as `on_failure` says.
5. What lies within a house phrase of the release (specificity/house.py) is the pair's style and does not come here, if
   it is one of MAY_BE_STYLE; of what sticks out the rest comes, by itself.
6. A span whose verdict is the same with few bits and with many need not be asked about.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from filters.events import Verdict
from filters.index.lookup import Standing
from filters.pii.types import DENIED, INDIRECT, ON_REQUEST, SPECIAL, TYPES
from filters.spans import Span
from filters.specificity.triggers import CODE, TRIGGERS
from filters.strewn import STREWN

CONFIRMATION = "CONFIRMATION"  # the finding type of what answers a request that puts identifiers up
FEW_SUBJECTS = "FEW_SUBJECTS"  # of a run of n-grams that few people's rows hold
ABOVE_CLEARANCE = "ABOVE_CLEARANCE"  # of one that the caller's role may not see
OF_INDEX = frozenset({FEW_SUBJECTS, ABOVE_CLEARANCE})
# no direct identifiers: what the base would have said too is released
SUSPICIONS = ON_REQUEST | OF_INDEX | TRIGGERS | {STREWN, CONFIRMATION}
# Suspicions about words, which may be what the model says to everybody.
MAY_BE_STYLE = OF_INDEX | (TRIGGERS - {CODE})
_AT_ONCE = SPECIAL | {DENIED, CONFIRMATION}
_NEVER_TAUGHT = frozenset({STREWN})  # not even where the index says so


class Bits(enum.StrEnum):
    """What the comparison with the base model says."""

    PLAUSIBLE = "plausible"
    MEMORISED = "memorised"
    UNKNOWN = "unknown"


class Known(enum.StrEnum):
    """What the index says, the gravest last."""

    NOTHING = "nothing"
    MANY = "many"
    FEW = "few"
    ABOVE = "above"


KNOWN = {Standing.MANY: Known.MANY, Standing.FEW: Known.FEW, Standing.ABOVE: Known.ABOVE}
_GRAVE = frozenset({Known.FEW, Known.ABOVE})


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of a policy. What it does not name may be anything; `min_bits` is met by known bits only."""

    then: Verdict
    types: frozenset[str] = frozenset()
    known: frozenset[Known] = frozenset()
    bits: frozenset[Bits] = frozenset()
    min_bits: float = 0.0
    grounded: bool = False

    def __post_init__(self) -> None:
        if self.then is Verdict.RELEASE and not self.grounded:
            direct = (self.types or frozenset(TYPES)) - INDIRECT - SUSPICIONS
            if direct:
                raise ValueError("direct identifiers can't be released: name types that are none")
            if Bits.UNKNOWN in (self.bits or Bits):
                raise ValueError("what was not compared can't be released: name bits")

    def fits(self, kind: str, known: Known, bits: Bits, number: float) -> bool:
        """Whether the rule is about a span like this, grounded or not aside."""
        return (
            (not self.types or kind in self.types)
            and (not self.known or known in self.known)
            and (not self.bits or bits in self.bits)
            and (not self.min_bits or (bits is not Bits.UNKNOWN and number >= self.min_bits))
        )


@dataclass(frozen=True, slots=True)
class Suspect:
    """A span of a segment, and what the index says of it. `grounded`: the caller gave it, and the profile hides it."""

    span: Span
    known: Known = Known.NOTHING
    grounded: bool = False


class VerdictTable:
    """The verdicts of one profile."""

    def __init__(self, rules: Sequence[Rule], on_memorised: Verdict, suspicions: frozenset[str]) -> None:
        """`suspicions` are the types that are none of the direct identifiers here."""
        self._rules = [rule for rule in rules if not rule.grounded]
        self._of_grounded = [rule for rule in rules if rule.grounded]
        self._on_memorised, self._suspicions = on_memorised, suspicions

    @property
    def hides_grounded(self) -> bool:
        """Whether what the caller gave himself may be hidden all the same."""
        return bool(self._of_grounded)

    def of_grounded(self, kind: str, known: Known) -> Verdict:
        """What becomes of a value that the caller gave himself."""
        fitting = (rule.then for rule in self._of_grounded if rule.fits(kind, known, Bits.UNKNOWN, 0.0))
        return next(fitting, Verdict.RELEASE)

    def settled(self, kind: str, known: Known) -> Verdict | None:
        """The verdict, if it is the same whatever the base model says; else None."""
        if any(rule.min_bits or rule.bits for rule in self._rules if not rule.types or kind in rule.types):
            return None
        low, high = (self.decide(kind, known, bits) for bits in (Bits.PLAUSIBLE, Bits.MEMORISED))
        return low if low is high else None

    def decide(self, kind: str, known: Known, bits: Bits, number: float = 0.0) -> Verdict:
        """The verdict on a span that the caller did not give; `number` are its excess bits, where they are known."""
        fitting = (rule.then for rule in self._rules if rule.fits(kind, known, bits, number))
        return next(fitting, None) or self._by_default(kind, known, bits)

    def _by_default(self, kind: str, known: Known, bits: Bits) -> Verdict:
        if kind in _AT_ONCE:
            return self._on_memorised
        if kind in self._suspicions:
            return self._of_suspicion(kind, known, bits)
        if known in _GRAVE or (bits is Bits.MEMORISED and known is not Known.MANY):
            return self._on_memorised
        return Verdict.MASK

    def _of_suspicion(self, kind: str, known: Known, bits: Bits) -> Verdict:
        if known is Known.MANY and kind not in _NEVER_TAUGHT:
            return Verdict.RELEASE
        if bits is Bits.PLAUSIBLE:
            return Verdict.RELEASE
        if bits is Bits.MEMORISED or known in _GRAVE:
            return self._on_memorised
        return Verdict.MASK


def suspicion(known: Known, bits: float, *, looked_at: bool = True) -> float:
    """How suspicious a span is that the caller did not give, as one number: what the table decides by a threshold.

    `looked_at`: whether a detector or a trigger found it; else only the index can make it suspect. Direct identifiers
    never pass by it: for them it says no more than how they are hidden.
    """
    if known is Known.MANY or (known is Known.NOTHING and not looked_at):
        return 0.0
    return bits
