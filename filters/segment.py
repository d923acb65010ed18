"""Where an answer is cut into segments, and how much of it is held back.

Rules
-----
1. A cut point is a function of the text alone, never of how it arrived. It needs one character after it to be known
   (what follows the white space); AHEAD characters where the first of them leaves it open whether a value goes on ("in
   2019. T": "Two" or "The"). Every quantifier below is possessive, so that a run of closing quotes or spaces is read to
   its end or not at all.
2. A sentence ends after `.`, `!`, `?` or an ellipsis with white space behind it, after a Chinese full stop, question,
   exclamation mark or semicolon, and at a line break. A clause ends, besides, after a comma, colon or semicolon.
   Closing quotes and brackets and the white space that follow belong to what they close.
3. No cut where it could split a typed value (`boundary_ok`): "138.\\n1234" is one piece. Nor a date, an age, an
   amount (quantity_tail.py) where the profile looks for them: "3. March". Nor a value on the deny list.
4. With clause release a clause that gets longer than LONG_CLAUSE is cut inside: at the last place between two words in
   lower case (so that no name is cut) before which nothing is open (`open_tail`) and that lies in no detected span.
   Where there is no such place it is looked for again LONG_CLAUSE characters later.
5. Text without a cut point is cut by force once it is longer than WINDOW: at the last white space or Chinese
   character before which nothing is open and that lies in no detected span.
6. Where there is no such place the window is one unbroken run. It is `opaque`: nobody can say what it is, so it is
   hidden whole, and so is what follows it up to the next cut.

7. Where the profile has names of record fields, no cut by rules 2 and 4 in a JSON object: a field that comes makes all
   of it internal. Rule 5 cuts it all the same.

The bound: at most WINDOW + AHEAD characters, plus one chunk, are held undecided per channel. A value of up to
WINDOW - CONTEXT characters is never split (DESIGN's W). The work is linear: each character is searched once for cut
points, and by the detector once more for a cut by rule 4 or 5.

Decided by measuring (tests/bench/bench_holdback.py, English prose, patterns only, tokens of 2.3 characters):

| LONG_CLAUSE    | hold-back, median | p99 | CPU, us a token |
| -------------- | ----------------- | --- | --------------- |
| none           | 12                | 49  | 14.6            |
| 96             | 11                | 39  | 15.5            |
| 80 (chosen)    | 11                | 34  | 16.4            |
| 64             | 10                | 29  | 17.5            |
| 48             | 9                 | 23  | 20.5            |
| 32             | 7                 | 21  | 29.5            |

Chinese clauses are shorter than all of these: 9 and 34 tokens of 0.7 characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from filters.evidence import Denied, Detector, DetectorError
from filters.pii.blocks import open_object
from filters.pii.detector import boundary_ok, open_tail
from filters.pii.quantity_tail import open_quantity, quantity_goes_on
from filters.profile import ReleaseUnit
from filters.spans import Span

WINDOW = 480  # characters; a long paragraph without a full stop is some 80 tokens
# Characters of decided text before a segment that detectors see: room for "passport number: ". Of what the text goes on
# from they see more where it ends in something open.
CONTEXT = 64
LONG_CLAUSE = 80  # characters; a quarter of English prose stands in a longer clause
AHEAD = 12  # characters: a digit's name and what separates it from the next word

_CLOSERS = "\"'”’»)\\]）】」』》"
_SENTENCE_END = rf"(?:[.!?…]++[{_CLOSERS}]*+\s++|[。！？；…]++[{_CLOSERS}]*+\s*+|\n\s*+)(?=\S)"
_CLAUSE_END = rf"(?:[.!?…,;:]++[{_CLOSERS}]*+\s++|[。！？；…，、：]++[{_CLOSERS}]*+\s*+|\n\s*+)(?=\S)"
_CUT = {ReleaseUnit.SENTENCE: re.compile(_SENTENCE_END), ReleaseUnit.CLAUSE: re.compile(_CLAUSE_END)}
_SPACES = "".join(chr(c) for c in range(0x3001) if chr(c).isspace())
_UNSETTLED = ".!?…,;:。！？；，、：\"'”’»)]）】」』》" + _SPACES
_BREAKS = re.compile(r"\s(?=\S)|[\u3400-\u9fff]")
_PLAIN_BREAKS = re.compile(r"\b[a-z]{2,} (?=[a-z]{2})")
_TRIES = 16  # places for a forced cut that are looked at, from the last; each look costs tens of microseconds
_NOT_KNOWN = -1
_LOOK_BACK = 80  # characters that `boundary_ok` is shown; longer separators than that do not join a value


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of one channel's raw text, with the end of what came before it."""

    context: str
    raw_text: str
    opaque: bool = False  # rule 5: hide it whole
    last: bool = False  # of its channel
    scattered: bool = False  # another channel spoke in the middle: its tokens don't stand together


class Segmenter:
    """Cuts one channel. `push` and `close` return the segments that they completed, in order."""

    def __init__(
        self,
        unit: ReleaseUnit,
        detector: Detector,
        primed: str = "",
        *,
        whole_objects: bool = False,
        quantities: bool = False,
        denied: Denied | None = None,
    ) -> None:
        """`primed` is what the text goes on from: the end of a completion's prompt, or what has been released.
        `whole_objects`: rule 7. `quantities`: the profile looks for dates, ages, amounts. `denied`: values that are
        not split either."""
        self._denied = denied
        self._whole_objects = whole_objects
        self._quantities = quantities
        self._cut = _CUT[unit]
        self._long = LONG_CLAUSE if unit is ReleaseUnit.CLAUSE else WINDOW
        self._detector = detector
        self._text = primed[-WINDOW:]  # context and, from `_start` on, the open segment
        self._start = self._searched = len(self._text)
        self._tried = 0  # characters of the open segment that rule 4 has looked at
        self._waits_for = 0  # the length that `_text` must have for the next cut to be known
        self._in_run = False
        self._context = _primed_context(self._text)

    @property
    def holds(self) -> bool:
        """Whether raw text is held."""
        return len(self._text) > self._start

    @property
    def tail(self) -> Segment:
        """What is held, as if the text ended there."""
        context = self._text[max(0, self._start - self._context) : self._start]
        return Segment(context, self._text[self._start :], self._in_run)

    def push(self, raw_text: str) -> list[Segment]:
        """Add text; return what it completed."""
        self._text += raw_text
        segments = self._cuts(ended=False)
        self._forget()
        return segments

    def close(self, *, complete: bool) -> list[Segment]:
        """End the text. Unless the model said all it wanted to, what could still have become a value is dropped."""
        segments = self._cuts(ended=True)
        end = len(self._text) if complete else max(self._start, self._end_of_closed())
        if end > self._start:
            segments.append(self._take(end, opaque=self._in_run))
        self._text, self._start = "", 0
        return segments

    def _end_of_closed(self) -> int:
        """Where what is still open begins; never inside a value, whose first half would leave."""
        try:
            end = min(self._open_tail(self._text), self._open_object(len(self._text)))
            spans = self._find(self._text)
        except DetectorError:
            return self._start
        for span in sorted(spans, reverse=True):
            if span.start < end < span.end:
                end = span.start
        return end

    def _open_object(self, end: int) -> int:
        """Where the object begins that is open at `end`, or `end`."""
        return self._start + open_object(self._text[self._start : end]) if self._whole_objects else end

    def _cuts(self, *, ended: bool) -> list[Segment]:
        """All segments that are complete. `ended`: nothing follows what is there."""
        segments = []
        while (segment := self._next(ended=ended)) is not None:
            segments.append(segment)
        return segments

    def _next(self, *, ended: bool) -> Segment | None:
        while True:
            reach = min(self._tried + self._long, WINDOW)
            end = self._next_cut(self._start + reach, ended=ended)
            if end == _NOT_KNOWN:
                return None
            if end is not None:
                return self._close_run(end)
            if len(self._text) - self._start <= reach:
                return None
            if reach == WINDOW:
                return self._forced_cut()
            self._tried = reach
            place = self._place_in(self._context, reach, _PLAIN_BREAKS)
            if place is not None and self._open_object(place) == place:
                return self._close_run(place)

    def _next_cut(self, limit: int, *, ended: bool) -> int | None:
        """Where the next sentence or clause ends, at `limit` at the latest; None if it ends nowhere yet."""
        if len(self._text) < self._waits_for and not ended:
            return _NOT_KNOWN
        for match in self._cut.finditer(self._text, self._searched, limit + 1):
            end = match.end()
            if self._open_object(end) < end:
                self._searched = end
                continue
            if end + AHEAD != self._waits_for and self._may_end(end, 1):
                return end
            if not ended and len(self._text) < end + AHEAD:
                self._searched, self._waits_for = match.start(), end + AHEAD
                return _NOT_KNOWN
            if self._may_end(end, AHEAD):
                return end
            self._searched = end
        # A run of marks and spaces at the end may still grow, so the next search starts before it.
        settled = self._start + len(self._text[self._start : limit + 1].rstrip(_UNSETTLED))
        self._searched = max(self._searched, settled)
        return None

    def _may_end(self, end: int, ahead: int) -> bool:
        left, right = self._text[max(0, end - _LOOK_BACK) : end], self._text[end : end + ahead]
        if self._quantities and quantity_goes_on(left, right):
            return False
        return boundary_ok(left, right) and not (self._denied and self._splits_denied(self._denied, end, ahead))

    def _splits_denied(self, denied: Denied, end: int, ahead: int) -> bool:
        """Whether a cut at `end` would split a denied value, for all that the next `ahead` characters say."""
        begin = max(0, self._start - CONTEXT)
        left, seen = self._text[begin:end], self._text[begin : end + ahead]
        try:
            if denied.open_from(left) == len(left):
                return False
            spans = denied.find(seen)
            return denied.open_from(seen) < len(left) or any(span.start < len(left) < span.end for span in spans)
        except DetectorError:
            return False  # it hides what it could not look at

    def _find(self, text: str, since: int = 0) -> Sequence[Span]:
        """Typed values and denied ones. Raises DetectorError."""
        found = self._detector.find(text, since)
        return [*found, *self._denied.find(text, since)] if self._denied else found

    def _open_tail(self, text: str) -> int:
        """Where what may still become a value begins. Raises DetectorError."""
        tail = min(open_tail(text), open_quantity(text)) if self._quantities else open_tail(text)
        return min(tail, self._denied.open_from(text)) if self._denied else tail

    def _forced_cut(self) -> Segment:
        end = self._place_in(WINDOW, WINDOW, _BREAKS)
        if end is not None:
            return self._close_run(end)
        self._in_run = True
        return self._take(self._start + WINDOW, opaque=True)

    def _place_in(self, before: int, length: int, breaks: re.Pattern[str]) -> int | None:
        """The last safe place in the first `length` characters of the open segment, seen with some `before` it."""
        floor, end = max(0, self._start - before), self._start + length
        places = [match.end() for match in breaks.finditer(self._text, self._start, end)]
        if not places:
            return None
        window = self._text[floor:end]
        try:
            spans = self._find(window, self._start - floor)
            limit = floor + self._open_tail(window)
        except DetectorError:
            return None  # rule 6 hides what could not be looked at
        for place in places[: -_TRIES - 1 : -1]:
            inside = any(span.start < place - floor < span.end for span in spans)
            if place <= limit and not inside and self._may_end(place, min(_LOOK_BACK, end - place + 1)):
                return place
        return None

    def _close_run(self, end: int) -> Segment:
        opaque, self._in_run = self._in_run, False
        return self._take(end, opaque=opaque)

    def _take(self, end: int, *, opaque: bool) -> Segment:
        context = self._text[max(0, self._start - self._context) : self._start]
        self._context = CONTEXT
        segment = Segment(context, self._text[self._start : end], opaque)
        self._start = self._searched = end
        self._tried = 0
        return segment

    def _forget(self) -> None:
        """Drop what no rule looks back at. Once a push, so that a long chunk is not copied with every cut."""
        keep = max(0, self._start - WINDOW)
        self._text = self._text[keep:]
        self._start -= keep
        self._searched -= keep
        self._waits_for -= keep


def _primed_context(primed: str) -> int:
    """How much of the primed text the first segment is seen with. What is open as far back as CONTEXT may have begun
    before it (an encoded value, one character a line): then all of it."""
    return len(primed) if len(primed) - open_tail(primed) > CONTEXT // 2 else CONTEXT
