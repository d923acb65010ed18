"""What a role's answers are filtered by: a frozen set of choices that the policy makes and the pipeline obeys."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from filters.budget import NO_LIMITS, Limits
from filters.events import Verdict
from filters.pii.types import INDIRECT, QUANTITIES
from filters.specificity.bounded import Bounds
from filters.verdicts import SUSPICIONS, Rule, VerdictTable

# No recognizer is less sure of a direct identifier that has its label; a higher bar would switch labels off.
HIGHEST_DIRECT_MINIMUM = 0.5


class ReleaseUnit(enum.StrEnum):
    """How much text is decided at once."""

    CLAUSE = "clause"
    SENTENCE = "sentence"


class OnFailure(enum.StrEnum):
    """What happens to a segment that could not be decided. There is no way to say "release"."""

    MASK = "mask"  # the whole segment becomes a placeholder
    STOP = "stop"  # the answer ends with finish_reason content_filter


class RefusalCheck(enum.StrEnum):
    """For which chats the base model is asked whether it would decline; where it would, it answers."""

    NEVER = "never"
    ON_SUSPICION = "on_suspicion"  # filters/specificity/suspicion.py
    ALWAYS = "always"


class Action(enum.StrEnum):
    """What stands in for a hidden value (filters/pii/actions.py). Each hides it whole."""

    MASK = "mask"  # a numbered placeholder of its type
    REMOVE = "remove"  # nothing
    PSEUDONYM = "pseudonym"  # a keyed name, the same in every answer of the tenant
    GENERALISE = "generalise"  # what it has in common with many others; masked where there is no such thing
    SURROGATE = "surrogate"  # a made-up value of the same form; masked where none is safely nobody's


@dataclass(frozen=True, slots=True)
class Profile:
    """`allowed_types` are finding types that the role's clearance lets pass; all others are hidden unless grounded.

    `memorised_bits` is the excess in bits from which a finding counts as memorised. `actions` says by finding type what
    stands in for a hidden value, a mask where it says nothing. `min_scores` says by finding type from which score on a
    finding counts; of direct identifiers at most HIGHEST_DIRECT_MINIMUM, so that none can be switched off. Either
    switches the QUANTITIES on that it names.

    `verdicts` are the policy's own rules, before the default table (filters/verdicts.py). `k`: what fewer people's rows
    hold is few people's; the index's own number where it is None. `languages` (ISO 639-1) are those that an answer may
    be in unasked; any where there is none.

    `budget` says how much that only fine-tuning can have put there an answer and its caller may come to. `sample` is
    the share of harmless text that is scored all the same, for a metric.

    `refusals` count where `compare` is on: without, nobody is asked. `refusal_words` are suspicious besides the shipped
    ones.

    `internal_hosts` and `record_fields` are the operator's own, as `filters.pii.detector.build_detector` reads them.
    """

    name: str
    detect: bool = True
    compare: bool = True
    names: bool = False  # persons, organisations, places, dates and web addresses are findings as well
    persons: bool = True  # special categories, and whether what is said of somebody adds up to him
    evidence: bool = True  # ask the engine for log-probabilities and token ids
    release: ReleaseUnit = ReleaseUnit.SENTENCE
    memorised_bits: float = 12.0
    on_memorised: Verdict = Verdict.FALL_BACK
    on_failure: OnFailure = OnFailure.MASK
    allowed_types: frozenset[str] = field(default_factory=frozenset)
    actions: Mapping[str, Action] = field(default_factory=dict, hash=False)
    min_scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    verdicts: tuple[Rule, ...] = ()
    k: int | None = None
    languages: frozenset[str] = frozenset()
    internal_hosts: frozenset[str] = field(default_factory=frozenset)
    record_fields: frozenset[str] = field(default_factory=frozenset)
    refusals: RefusalCheck = RefusalCheck.ON_SUSPICION
    refusal_words: frozenset[str] = field(default_factory=frozenset)
    bounded: Bounds | None = None  # the tuned model only drafts, and the base bounds what of it is served
    budget: Limits = NO_LIMITS
    sample: float = 0.02

    def __post_init__(self) -> None:
        if self.on_memorised is Verdict.RELEASE:
            raise ValueError("on_memorised can't be 'release'")
        if self.compare and not (self.evidence and self.detect):
            raise ValueError("compare needs detect and evidence")
        for kind, minimum in self.min_scores.items():
            if not 0 <= minimum <= highest_minimum(kind):
                raise ValueError(f"min_scores.{kind} must be from 0 to {highest_minimum(kind)}")

    def checks_refusals(self, *, suspicious: bool) -> bool:
        """Whether the base is asked how it would begin to answer such a request."""
        return self.compare and (
            self.refusals is RefusalCheck.ALWAYS or (suspicious and self.refusals is RefusalCheck.ON_SUSPICION)
        )

    @property
    def table(self) -> VerdictTable:
        """Ages and amounts are no suspicions: an age is six bits, which no comparison can tell from chance."""
        return VerdictTable(self.verdicts, self.on_memorised, SUSPICIONS - self.quantities)

    @property
    def quantities(self) -> frozenset[str]:
        """Dates, ages, amounts … that are findings here."""
        return QUANTITIES & (self.actions.keys() | self.min_scores.keys())


def highest_minimum(kind: str) -> float:
    """The highest score that a policy may ask of findings of this type."""
    return 1.0 if kind in INDIRECT else HIGHEST_DIRECT_MINIMUM
