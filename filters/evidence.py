"""What the pipeline is given to judge with: interfaces that detectors, grounds and the vocabulary fulfil."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from filters.spans import Span

UNDECIDED = "UNDECIDED"  # the finding type of text that nobody could judge


class DetectorError(Exception):
    """A detector raised, ran out of time or is not loaded. Never carries text."""


class Detector(Protocol):
    """Finds typed values in a text of any length."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        """Spans in offsets of `raw_text`, in any order, overlapping or not. Raises DetectorError.

        What stands before `since` is context: spans that end there may be left out.
        """
        ...


class Denied(Detector, Protocol):
    """Finds what never leaves, whatever the evidence."""

    def open_from(self, raw_text: str) -> int:
        """Where the first value begins that may go on behind the end of the text; its length where none does.

        Raises DetectorError.
        """
        ...


class Grounds(Protocol):
    """What the caller gave himself."""

    @property
    def asks(self) -> bool:
        """Whether the request puts identifiers up to be confirmed, denied or picked from."""
        ...

    @property
    def reads_context(self) -> bool:
        """Whether who is named before a value decides about it: the names of the context must be found as well."""
        ...

    def covered(self, seen: str, found: Collection[Span], beside: str = "") -> frozenset[Span]:
        """Those of the values `found` in `seen` that stood in the request in a way that counts.

        `beside` is what else stands with `seen` in one object of a document.
        """
        ...


class Vocabulary(Protocol):
    """The model's token table."""

    @property
    def size(self) -> int:
        """One more than the highest id."""
        ...

    def spell(self, token_id: int) -> bytes:
        """UTF-8 bytes that this token adds to a text in the middle of an answer; b"" for special tokens.

        Raises KeyError for an id that the model does not have.
        """
        ...

    def ids(self, text: str) -> Sequence[int]:
        """The tokens of a text, without those that begin or end one."""
        ...

    def count(self, text: str) -> int:
        """How many tokens this text has."""
        ...
