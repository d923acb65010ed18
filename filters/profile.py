"""What a role's answers are filtered by: a frozen set of choices that the policy makes and the pipeline obeys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from filters.events import Verdict


class ReleaseUnit(enum.StrEnum):
    """How much text is decided at once."""

    CLAUSE = "clause"
    SENTENCE = "sentence"


class OnFailure(enum.StrEnum):
    """What happens to a segment that could not be decided. There is no way to say "release"."""

    MASK = "mask"  # the whole segment becomes a placeholder
    STOP = "stop"  # the answer ends with finish_reason content_filter


@dataclass(frozen=True, slots=True)
class Profile:
    """`allowed_types` are finding types that the role's clearance lets pass; all others are hidden unless grounded.

    `memorised_bits` is the excess in bits from which a finding counts as memorised.
    """

    name: str
    detect: bool = True
    compare: bool = True
    evidence: bool = True  # ask the engine for log-probabilities and token ids
    release: ReleaseUnit = ReleaseUnit.SENTENCE
    memorised_bits: float = 12.0
    on_memorised: Verdict = Verdict.FALL_BACK
    on_failure: OnFailure = OnFailure.MASK
    allowed_types: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.on_memorised is Verdict.RELEASE:
            raise ValueError("on_memorised can't be 'release'")
        if self.compare and not (self.evidence and self.detect):
            raise ValueError("compare needs detect and evidence")
