"""What goes into a pipeline and what comes out of it: plain values, no behaviour.

`Released` is the only type that carries text outwards. The sender takes nothing else, so that raw text can't be sent
by mistake.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Field(enum.StrEnum):
    """The places in an answer that hold text."""

    CONTENT = "content"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    TEXT = "text"  # legacy completions
    TOOL_NAME = "tool_name"
    TOOL_ARGUMENTS = "tool_arguments"


@dataclass(frozen=True, slots=True)
class Channel:
    """One stream of text in one answer."""

    choice: int
    field: Field
    call: int = 0  # index of the tool call, for TOOL_NAME and TOOL_ARGUMENTS


class Verdict(enum.StrEnum):
    RELEASE = "release"
    MASK = "mask"
    GENERALISE = "generalise"
    FALL_BACK = "fall_back"
    STOP = "stop"


class Origin(enum.StrEnum):
    """Which model a text came from."""

    TUNED = "tuned"
    BASE = "base"


class Unavailable(enum.Enum):
    """Evidence that could not be had. It counts as suspicion, never as innocence."""

    UNAVAILABLE = "unavailable"


UNAVAILABLE = Unavailable.UNAVAILABLE


# ---- in --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RawText:
    """Text of one channel as the upstream wrote it."""

    channel: Channel
    raw_text: str


@dataclass(frozen=True, slots=True)
class RawTokens:
    """Sampled tokens of one choice; they come no later than the text that they spell.

    `logprobs` are natural logarithms under the model that wrote them, one per id, or None where it gave none.
    """

    choice: int
    ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None


# ---- out -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReleasedToken:
    """A token of released text. `offset` is where it begins in its channel's released text, in characters; `spelling`
    may hold a part of a character; `logprob` is a natural logarithm."""

    id: int
    spelling: bytes
    logprob: float
    offset: int


@dataclass(frozen=True, slots=True)
class Released:
    """Text that may leave, and where the request may see them the tokens that end in it."""

    channel: Channel
    text: str
    tokens: tuple[ReleasedToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Ask the base model for log p of `ids[start:]`, given the request and `ids[:start]`.

    `ids` are the answer's tokens of that choice up to the last one that matters. Exactly one `Pipeline.answer` call
    per question is owed; what comes for a choice that has ended meanwhile is ignored.
    """

    id: int
    choice: int
    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Opening:
    """Ask the base model how it would begin to answer the request: a few tokens, greedily. No choice leaves before
    that is known. Exactly one `Pipeline.answer_opening` call is owed."""


@dataclass(frozen=True, slots=True)
class FallBack:
    """Serve the rest of this choice from the base model, which goes on after `released_text` (content only)."""

    choice: int
    released_text: str


class Ending(enum.StrEnum):
    """The closed set of finish reasons that a caller can see."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more comes in this choice."""

    choice: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class Decided:
    """Metadata of one decision, for metrics and records. It holds no text."""

    choice: int
    kind: str  # finding type, of a closed set
    verdict: Verdict
    origin: Origin
    excess_bits: float | None = None  # of the span, where the base was asked


@dataclass(frozen=True, slots=True)
class Sample:
    """Harmless text that is worth scoring for the metric alone: ask as for a `Question`, where there is time. No answer
    is owed. `logprobs` are the tuned model's natural log-probabilities of `ids[start:]`."""

    choice: int
    ids: tuple[int, ...]
    start: int
    logprobs: tuple[float, ...]


Event = Released | Question | Opening | FallBack | Finished | Decided | Sample
