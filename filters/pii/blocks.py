"""What runs over many lines of the house's own: notes for staff, and JSON objects with one of its field names.

A text is read in parts where an answer is (segments), so each kind of block is a reader that keeps its place: `feed`
takes the next part and gives what of it belongs to a block. The recognizers feed a new reader with one whole text.

Rules
-----
1. A note goes from its heading to the next empty line behind something that it says. A heading is one of a few words
   with a colon behind them, or alone on its line.
2. A record goes from the brace that opens the innermost object around the field to the one that closes it; braces in
   strings don't count. What is not closed goes on.
3. The lines of an object before its field would have left when the field comes. So where there are field names the
   segmenter keeps an object together as far as its window reaches (`open_object`); of a longer one, what stands before
   the window in which the field comes has left.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import regex

from filters.normalise import normalise
from filters.pii.view import View, label, scan, search
from filters.spans import Span

# ---- notes -----------------------------------------------------------------------------------------------------------

_WORDS = (
    r"(?:\b(?:admin|internal|staff|agent) (?:notes?|remarks?)\b|\binternal use only\b"
    r"|(?:管理员|内部|客服|员工)(?:备注|说明)|内部信息)"
)
_MARKS = r"[ \t\r>#*_~=\[\]()【】（）「」'\"-]"
_HEADING = label(
    rf"{_WORDS}['\"*_\])】）」]{{0,3}}[ \t]{{0,2}}(?:[:：]|-(?![a-z]))['\"*_]{{0,3}}"
    rf"|(?<=^|\n){_MARKS}{{0,16}}{_WORDS}{_MARKS}{{0,16}}(?=\n|$)"
)
_HEADING_SIGNS = ("note", "remark", "internal use", "备注", "说明", "内部信息")
_SAID = regex.compile(r"[^\W_]")
_EMPTY_LINE = regex.compile(r"\n[ \t\r]*\n")


class Notes:
    """Notes for staff in one text, part by part."""

    kind = "ADMIN_NOTE"
    score = 0.7

    def __init__(self) -> None:
        self._in_note = self._said = False

    def feed(self, text: str, begin: int) -> Iterator[tuple[int, int]]:
        """The pieces of `text` behind `begin` that are notes; up to there it has been read before."""
        at = begin
        while self._in_note or (heading := self._heading(text, at)) is not None:
            start = at if self._in_note else heading.start()
            end = self._end(text, at if self._in_note else heading.end())
            yield start, len(text) if end is None else end
            if end is None:
                return
            at = end

    def _heading(self, text: str, at: int) -> Any:
        lower = text.lower()
        if not any(sign in lower for sign in _HEADING_SIGNS):
            return None
        # Lower case of all letters may have another length.
        return next((match for match in scan(_HEADING, View(text).lower) if match.end() > at), None)

    def _end(self, text: str, at: int) -> int | None:
        """Where the note that is open at `at` ends."""
        self._in_note = True
        # White space before this part may be the first half of an empty line.
        since = len(text[:at].rstrip())
        if not self._said:
            said = search(_SAID, text, at)
            if said is None:
                return None
            self._said, since = True, said.start()
        empty = search(_EMPTY_LINE, text, since)
        if empty is None:
            return None
        self._in_note = self._said = False
        return max(at, int(empty.start()))


# ---- records ---------------------------------------------------------------------------------------------------------

# What opens an object outside of one, where apostrophes and quotes are anybody's; inside one, strings are read over.
_OPENS = regex.compile(r"\{(?=[ \t\r\n]*+(?:\\{0,3}[\"']|$))")
_INSIDE = regex.compile(r""""(?:\\.|[^"\\\n])*+"|'(?:\\.|[^'\\\n])*+'|[{}]""")
# A string, one that has not ended, or a brace; and what ends a string that began before.
_PARTS = {
    quote: (
        regex.compile(rf"{body}{quote}|(?P<open>{body}\Z)|[{{}}]", regex.DOTALL),
        regex.compile(rf"{body[1:]}{quote}", regex.DOTALL),
    )
    for quote, body in (('"', r'"(?:\\.|[^"\\])*+'), ("'", r"'(?:\\.|[^'\\])*+"))
}
_BRACES = regex.compile(r"[{}]")


class Records:
    """JSON objects that have one of the house's field names, in one text, part by part."""

    kind = "INTERNAL_RECORD"
    score = 0.8

    def __init__(self, fields: Collection[str]) -> None:
        self._field = _field_pattern(frozenset(fields))
        self._open: _ObjectEnd | None = None
        self._objects = _Objects()

    def feed(self, text: str, begin: int) -> Iterator[tuple[int, int]]:
        """As `Notes.feed`; a record may begin before `begin`."""
        if self._field is not None:
            self._objects.begin(begin)
            yield from self._read(text, begin)
            self._objects.read(text, len(text))

    def _read(self, text: str, begin: int) -> Iterator[tuple[int, int]]:
        at = begin
        if self._open is not None:
            end = self._open.feed(text, begin)
            yield begin, len(text) if end is None else end
            if end is None:
                return
            at, self._open = end, None
        for field in scan(self._field, text):
            self._objects.read(text, field.start())
            if field.end() <= at or not self._objects.starts:
                continue
            rest = _ObjectEnd(field["quote"])
            end = rest.feed(text, field.start())
            yield max(self._objects.starts[-1], at), len(text) if end is None else end
            if end is None:
                self._open = rest
                return
            at = end


def _field_pattern(fields: frozenset[str]) -> Any:
    names = "|".join(sorted(regex.escape(normalise(name).text) for name in fields))
    field = rf"(?P<quote>\\{{0,3}}[\"'])(?:{names})(?P=quote)[ \t\r\n]{{0,4}}:"
    return regex.compile(field, regex.IGNORECASE) if names else None


class _Objects:
    """The objects that are open at a place of a text. `starts` has the brace of each, the outermost first."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._at = 0

    def begin(self, at: int) -> None:
        """Another part, which is read from here on."""
        self.starts = [at] * len(self.starts)
        self._at = at

    def read(self, text: str, end: int) -> None:
        """Go on up to `end`."""
        while part := (_INSIDE if self.starts else _OPENS).search(text, self._at, end):
            self._at = part.end()
            if part.group() == "{":
                self.starts.append(part.start())
            elif part.group() == "}":
                self.starts.pop()


def open_object(text: str) -> int:
    """Where the outermost object begins that is still open at the end of `text`; its length if there is none."""
    objects = _Objects()
    objects.read(text, len(text))
    return objects.starts[0] if objects.starts else len(text)


class _ObjectEnd:
    """Looks for the brace that closes an object, from one of its fields on, whose `quote` its strings have too."""

    def __init__(self, quote: str) -> None:
        # In a record that is a string itself the quotes are escaped: braces are all that can be counted there.
        self._parts, self._string_end = _PARTS.get(quote, (_BRACES, None))
        self._depth, self._in_string = 0, False

    def feed(self, text: str, at: int) -> int | None:
        """Behind that brace, or None if it is not in this part."""
        if self._in_string:
            end = self._string_end.match(text, at)
            if end is None:
                return None
            at = end.end()
        self._in_string = False
        for part in self._parts.finditer(text, at):
            if part.group() == "}" and self._depth == 0:
                return int(part.end())
            self._depth += {"{": 1, "}": -1}.get(part.group(), 0)
            self._in_string = part.lastgroup == "open"
        return None


# ---- recognizers -----------------------------------------------------------------------------------------------------


class AdminNotes:
    """Fulfils `filters.pii.recognizers.Recognizer`."""

    kind = Notes.kind
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        if view.says(_HEADING_SIGNS):
            pieces = _trimmed(view.text, Notes().feed(view.text, 0))
            yield from (Span(*piece, self.kind, Notes.score) for piece in pieces)


class InternalRecords:
    """Fulfils `filters.pii.recognizers.Recognizer`."""

    kind = Records.kind
    digits = digit_run = 0

    def __init__(self, fields: Collection[str] = ()) -> None:
        self._fields = frozenset(fields)

    def find(self, view: View) -> Iterator[Span]:
        if self._fields and "{" in view.text:
            pieces = _trimmed(view.text, Records(self._fields).feed(view.text, 0))
            yield from (Span(*piece, self.kind, Records.score) for piece in pieces)


class OpenBlocks:
    """The blocks of one channel of an answer, segment by segment."""

    def __init__(self, record_fields: Collection[str] = ()) -> None:
        self._readers = (Notes(), Records(record_fields))
        self._first = True

    def find(self, context: str, raw_text: str) -> list[Span]:
        """What of the next segment is in a block, in offsets of `raw_text`. `context` is the end of what came before.

        Raises DetectorError.
        """
        plain = normalise(context + raw_text)
        # What the text goes on from has been read by nobody: a block may have begun in it.
        begin = 0 if self._first else bisect_left(plain.offsets, len(context))
        self._first = False
        spans = [
            Span(*plain.raw_span(start, end), reader.kind, reader.score).shifted(-len(context))
            for reader in self._readers
            for start, end in _trimmed(plain.text, reader.feed(plain.text, begin))
        ]
        return [Span(max(0, span.start), span.end, span.type, span.score) for span in spans if span.end > 0]


def _trimmed(text: str, pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Without the white space behind them, so that placeholders stand like words."""
    for start, end in pieces:
        end = len(text[:end].rstrip())
        if start < end:
            yield start, end
