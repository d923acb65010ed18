"""What of one choice has left, as far as it decides how the base model takes over (docs/fallback.md).

What has left is never taken back. Where a part of a sentence has left, the sentence is closed with what stands in for
the rest of it and an end mark of its language, so that who goes on begins a new one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from filters.events import Channel, Field
from filters.pii.generalise import is_chinese
from filters.segment import WINDOW

# Stands in for the rest of a sentence of which nothing may be said. Behind a bare ellipsis models finish the sentence.
OMITTED = "[…]"
_DOCUMENTS = frozenset({Field.TOOL_NAME, Field.TOOL_ARGUMENTS})
# A sentence's end, as in segment.py and with the mark-up that may stand behind it.
_ENDED = re.compile(r"""[.!?…。！？；]["'”’»)\]）】」』》*_`]*+\s*+\Z|\n\s*+\Z""")
_SENTENCES = re.compile(r"[.!?…]\s|[。！？；\n]")
_OPENING = "([{“‘（【「『《"


class Left:
    """What has left of one choice."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._ends: defaultdict[Channel, str] = defaultdict(str)  # of each channel of text, as far as a cut is seen
        self._fields: set[Field] = set()

    def add(self, channel: Channel, text: str) -> None:
        """This has left."""
        if not text:
            return
        self._fields.add(channel.field)
        if channel.field is Field.CONTENT:
            self._content.append(text)
        if channel.field not in _DOCUMENTS:
            self._ends[channel] = (self._ends[channel] + text)[-WINDOW:]

    @property
    def content(self) -> str:
        """All of the content so far. Joined only when asked for: a string would be copied with every segment."""
        self._content = ["".join(self._content)]
        return self._content[0]

    def any_of(self, *fields: Field) -> bool:
        """Whether anything has left in one of these; without any named, in any at all."""
        return not self._fields.isdisjoint(fields or Field)

    def closing(self, channel: Channel, placeholder: str = "") -> str:
        """What ends the sentence of this channel of which a part has left; "" where none is open. `placeholder` stands
        in for the rest of it, OMITTED if it is empty."""
        said = self._ends[channel]
        if not said.strip() or _ENDED.search(said):
            return ""
        sentence = said[max(_ends_of(said), default=0) :]
        chinese = is_chinese(sentence, sentence)
        gap = "" if chinese or said[-1].isspace() or said[-1] in _OPENING else " "
        return gap + (placeholder or OMITTED) + ("。" if chinese else ". ")


def _ends_of(said: str) -> Iterable[int]:
    return (match.end() for match in _SENTENCES.finditer(said))
