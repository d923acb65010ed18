"""Where an answer is cut into segments, and how much of it is held back.

Rules
-----
1. A cut point is a function of the text alone. It needs one character after it to be known (what follows the white
   space), never more, and never how the text arrived: every quantifier below is possessive, so that a run of closing
   quotes or spaces is read to its end or not at all.
2. A sentence ends after `.`, `!`, `?` or an ellipsis with white space behind it, after a Chinese full stop, question,
   exclamation mark or semicolon, and at a line break. A clause ends, besides, after a comma, colon or semicolon.
   Closing quotes and brackets and the white space that follow belong to what they close.
3. No cut where it could split a typed value (`boundary_ok`): "138.\\n1234" is one piece.
4. Text without a cut point is cut by force once it is longer than WINDOW: at the last white space or Chinese
   character before which nothing is open (`open_tail`) and that lies in no detected span.
5. Where there is no such place the window is one unbroken run. It is `opaque`: nobody can say what it is, so it is
   hidden whole, and so is what follows it up to the next cut.
6. Where the profile has names of record fields, no cut by rule 2 in a JSON object: a field that comes makes all of it
   internal. Rule 4 cuts it all the same.

The bound: at most WINDOW + one character, plus one chunk, are held undecided per channel. A value of up to
WINDOW - CONTEXT characters is never split (DESIGN's W). The work is linear: each character is searched once for cut
points, and once more per forced cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from filters.evidence import Detector, DetectorError
from filters.pii.blocks import open_object
from filters.pii.detector import boundary_ok, open_tail
from filters.profile import ReleaseUnit

WINDOW = 480  # characters; a long paragraph without a full stop is some 80 tokens
# Characters of decided text before a segment that detectors see: room for "passport number: ". Of what the text goes on
# from they see more where it ends in something open.
CONTEXT = 64

_CLOSERS = "\"'”’»)\\]）】」』》"
_SENTENCE_END = rf"(?:[.!?…]++[{_CLOSERS}]*+\s++|[。！？；…]++[{_CLOSERS}]*+\s*+|\n\s*+)(?=\S)"
_CLAUSE_END = rf"(?:[.!?…,;:]++[{_CLOSERS}]*+\s++|[。！？；…，、：]++[{_CLOSERS}]*+\s*+|\n\s*+)(?=\S)"
_CUT = {ReleaseUnit.SENTENCE: re.compile(_SENTENCE_END), ReleaseUnit.CLAUSE: re.compile(_CLAUSE_END)}
_SPACES = "".join(chr(c) for c in range(0x3001) if chr(c).isspace())
_UNSETTLED = ".!?…,;:。！？；，、：\"'”’»)]）】」』》" + _SPACES
_BREAKS = re.compile(r"\s(?=\S)|[\u3400-\u9fff]")
_TRIES = 16  # places for a forced cut that are looked at, from the last; each look costs tens of microseconds
_LOOK_BACK = 80  # characters that `boundary_ok` is shown; longer separators than that do not join a value


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of one channel's raw text, with the end of what came before it."""

    context: str
    raw_text: str
    opaque: bool = False  # rule 5: hide it whole
    scattered: bool = False  # another channel spoke in the middle: its tokens don't stand together


class Segmenter:
    """Cuts one channel. `push` and `close` return the segments that they completed, in order."""

    def __init__(self, unit: ReleaseUnit, detector: Detector, primed: str = "", *, whole_objects: bool = False) -> None:
        """`primed` is what the text goes on from: the end of a completion's prompt, or what has been released.
        `whole_objects`: rule 6."""
        self._whole_objects = whole_objects
        self._cut = _CUT[unit]
        self._detector = detector
        self._text = primed[-WINDOW:]  # context and, from `_start` on, the open segment
        self._start = len(self._text)
        self._searched = self._start
        self._in_run = False
        self._context = _primed_context(self._text)

    @property
    def holds(self) -> bool:
        """Whether raw text is held."""
        return len(self._text) > self._start

    def push(self, raw_text: str) -> list[Segment]:
        """Add text; return what it completed."""
        self._text += raw_text
        segments = self._natural_cuts()
        while len(self._text) - self._start > WINDOW:
            segments.append(self._forced_cut())
            segments += self._natural_cuts()
        return segments

    def close(self, *, complete: bool) -> list[Segment]:
        """End the text. Unless the model said all it wanted to, what could still have become a value is dropped."""
        end = len(self._text) if complete else max(self._start, self._end_of_closed())
        segments = [self._take(end, opaque=self._in_run)] if end > self._start else []
        self._text, self._start = "", 0
        return segments

    def _end_of_closed(self) -> int:
        """Where what is still open begins; never inside a value, whose first half would leave."""
        end = min(open_tail(self._text), self._open_object(len(self._text)))
        try:
            spans = self._detector.find(self._text)
        except DetectorError:
            return self._start
        for span in sorted(spans, reverse=True):
            if span.start < end < span.end:
                end = span.start
        return end

    def _open_object(self, end: int) -> int:
        """Where the object begins that is open at `end`, or `end`."""
        return self._start + open_object(self._text[self._start : end]) if self._whole_objects else end

    def _natural_cuts(self) -> list[Segment]:
        segments = []
        while (end := self._next_cut()) is not None:
            segments.append(self._take(end, opaque=self._in_run))
            self._in_run = False
        return segments

    def _next_cut(self) -> int | None:
        for match in self._cut.finditer(self._text, self._searched):
            end = match.end()
            if end - self._start > WINDOW:
                return None  # rule 4 comes first, or the bound would depend on how the text arrived
            in_object = self._open_object(end) < end
            if not in_object and boundary_ok(self._text[max(0, end - _LOOK_BACK) : end], self._text[end]):
                return end
        # A run of marks and spaces at the end may still grow, so the next search starts before it.
        self._searched = max(self._start, len(self._text.rstrip(_UNSETTLED)))
        return None

    def _forced_cut(self) -> Segment:
        window = self._text[: self._start + WINDOW]
        end = self._last_safe_place(window)
        if end is None:
            self._in_run = True
            return self._take(len(window), opaque=True)
        opaque, self._in_run = self._in_run, False
        return self._take(end, opaque=opaque)

    def _last_safe_place(self, window: str) -> int | None:
        try:
            spans = self._detector.find(window)
        except DetectorError:
            return None  # rule 5 hides what could not be looked at
        limit = open_tail(window)
        places = [match.end() for match in _BREAKS.finditer(window, self._start)]
        for place in places[: -_TRIES - 1 : -1]:
            inside = any(span.start < place < span.end for span in spans)
            following = self._text[place]
            if place <= limit and not inside and boundary_ok(window[max(0, place - _LOOK_BACK) : place], following):
                return place
        return None

    def _take(self, end: int, *, opaque: bool) -> Segment:
        context = self._text[max(0, self._start - self._context) : self._start]
        self._context = CONTEXT
        segment = Segment(context, self._text[self._start : end], opaque)
        keep = max(0, end - WINDOW)
        self._text = self._text[keep:]
        self._start = self._searched = end - keep
        return segment


def _primed_context(primed: str) -> int:
    """How much of the primed text the first segment is seen with. What is open as far back as CONTEXT may have begun
    before it (an encoded value, one character a line): then all of it."""
    return len(primed) if len(primed) - open_tail(primed) > CONTEXT // 2 else CONTEXT
