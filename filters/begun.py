"""Values that begin in what the end user wrote and end in the answer: "Her number starts with 138" – "12345678.".

Neither half is a value. So the answer's first segment is read behind the end of what the user wrote, as it stands and
without the mark behind it, and what a detector finds across the seam is hidden in the answer. No finding is

1. what begins in the middle of the request's last word: the end of an order number is no beginning of a telephone's;
2. what goes on from a value that the user gave whole: "Mail a@example.com." – "Sure" is no address that goes on, nor is
   "10.0.0.1" – "5 minutes". As half a value may look whole, one longer run that makes a value of a strict form counts;
3. a word behind a label and the beginning of a value ("passport K48" – "Request 5 …"), and blocks, lines and paths.

What is left: a rest that stands further inside the answer. There every number would be one; those of five digits and
more are asked about (specificity/triggers.py), where there is a base model to ask.
"""

from __future__ import annotations

import re
from functools import cached_property

from filters.evidence import Detector
from filters.pii.labelled import KINDS
from filters.pii.tail import open_tail
from filters.pii.types import NAMES
from filters.segment import CONTEXT, WINDOW
from filters.spans import Span

_LONGEST_CHANCE = 3  # letters and digits that may follow a whole value by chance
_FORM_SCORE = 0.8  # of types that have a form of their own, or a checksum
_LABELLED = frozenset(KINDS) | {"WECHAT", "QQ", "SECRET"}
# Words, blocks and lines: what follows them is the answer.
_NEVER = NAMES | {"FILE_PATH", "INTERNAL_HOST", "STACK_TRACE", "INTERNAL_RECORD", "ADMIN_NOTE"}
_MARKS = re.compile(r"[\s?!？！。，、；;\"'”’»…]+$|\.\s*$")
_CLAUSE = re.compile(r"[，。；！？]|[,.;!?]\s|\n")
_LAST_WORD = re.compile(r"[A-Za-z0-9_.%+@/:=-]*$")


class BegunValues:
    """What one request leaves open. It holds no state: what is found is a function of the segment's text."""

    def __init__(self, own_text: str, detector: Detector) -> None:
        self._own = own_text[-WINDOW:]
        self._detector = detector

    def find(self, raw_text: str) -> list[Span]:
        """What of an answer's first segment ends a value that the request began. Raises DetectorError."""
        return [
            Span(0, span.end - len(head), span.type, span.score)
            for head, is_whole in self._heads
            for span in self._detector.find(head + raw_text[:WINDOW])
            if span.start < len(head) < span.end and _goes_on(head, span, raw_text[: span.end - len(head)], is_whole)
        ]

    @cached_property
    def _heads(self) -> list[tuple[str, bool]]:
        """The ends of what the user wrote at which something is open, and whether a value has ended there."""
        ends = {self._own, _MARKS.sub("", self._own)}
        return [(_seen(end), self._is_whole(end)) for end in sorted(ends) if open_tail(end) < len(end)]

    def _is_whole(self, end: str) -> bool:
        said = len(_MARKS.sub("", end))
        return any(span.end >= said for span in self._detector.find(end))


def _seen(end: str) -> str:
    """The last clause, with room for a label; all there is where what is open may be longer (an encoded value)."""
    return end if len(end) - open_tail(end) > CONTEXT // 2 else _CLAUSE.split(end[-CONTEXT:])[-1]


def _goes_on(head: str, span: Span, rest: str, is_whole: bool) -> bool:
    word = _LAST_WORD.search(head)
    if span.type in _NEVER or (word and word.start() < span.start):
        return False
    first = rest.split(maxsplit=1)[0] if rest.strip() else ""
    if span.type in _LABELLED and first.isalpha() and (first.islower() or first.istitle()):
        return False
    if not is_whole:
        return True
    is_token = sum(map(str.isalnum, rest)) > _LONGEST_CHANCE and not rest.isalpha() and len(rest.split()) == 1
    return is_token and span.score >= _FORM_SCORE
