"""The lists of house phrases on their way into a release: proposed, read by a person, approved.

JSON lines: what the list holds, then a phrase a line. `tightlip release phrases` writes a list of proposals, from which
a person deletes whatever is not said to everybody; `approve` makes of what is left a list that `make` takes. A list
that nobody has approved is refused there. Approving looks at each phrase again, since it may have been written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from filters.evidence import Detector
from filters.index.files import replace_file
from filters.index.public import ListError, decode, read_lines
from filters.specificity.house import MOST_PHRASES, fault_of
from filters.specificity.proposals import Proposal

VERSION: Final = 1
Holds = Literal["proposed house phrases", "house phrases"]


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    holds: Holds
    version: int


class _Proposed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    phrase: Annotated[str, msgspec.Meta(max_length=400)]
    answers: int = 0
    bits: float = 0.0


class _Approved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    phrase: Annotated[str, msgspec.Meta(max_length=400)]


def write_proposals(path: Path, proposals: Sequence[Proposal]) -> None:
    """For the owner only: nobody has yet looked at what stands there. Raises OSError."""
    lines = (_Proposed(each.phrase, each.answers, round(each.bits, 1)) for each in proposals)
    replace_file(path, _lines("proposed house phrases", lines))


def approve(path: Path, target: Path, detector: Detector) -> tuple[str, ...]:
    """Make what is left on a list of proposals a list that a release can be made with; what stands on it.

    Raises ListError, DetectorError, OSError.
    """
    kept = {
        decode(path, number, line, _Proposed).phrase: number
        for number, line in _body(path, "proposed house phrases", "has been approved already")
    }
    for phrase, number in kept.items():
        if fault := fault_of(phrase) or ("a detector has a type for it" if detector.find(phrase) else ""):
            raise ListError(path, f"is no house phrase: {fault}", number)
    replace_file(target, _lines("house phrases", map(_Approved, sorted(kept))))
    return tuple(sorted(kept))


def read_approved(path: Path) -> tuple[str, ...]:
    """Raises ListError: missing, broken, not approved, too long, or with what can't be a phrase."""
    lines = _body(path, "house phrases", "has not been approved: 'tightlip release approve'")
    phrases = []
    for number, line in lines:
        phrases.append(decode(path, number, line, _Approved).phrase)
        if fault := fault_of(phrases[-1]):
            raise ListError(path, f"is no house phrase: {fault}", number)
    return tuple(sorted(set(phrases)))


def _body(path: Path, holds: Holds, otherwise: str) -> list[tuple[int, bytes]]:
    lines = read_lines(path)
    if not lines:
        raise ListError(path, "is empty")
    head = decode(path, *lines[0], _Head)
    if head.version != VERSION:
        raise ListError(path, "was written by another version")
    if head.holds != holds:
        raise ListError(path, otherwise)
    if len(lines) - 1 > MOST_PHRASES:
        raise ListError(path, f"holds more than {MOST_PHRASES} phrases")
    return lines[1:]


def _lines(holds: Holds, entries: Iterable[_Proposed | _Approved]) -> Iterator[bytes]:
    yield msgspec.json.encode(_Head(holds, VERSION)) + b"\n"
    for entry in entries:
        yield msgspec.json.encode(entry) + b"\n"
