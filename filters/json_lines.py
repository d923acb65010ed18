"""Scalars of a JSON document that could say one thing together: ["138","1234","5678"] is one number.

A line is a row of short scalars that are read joined, by a space, and by nothing where one of them holds an "@". What
has been hidden, and strings that are longer than LONGEST_PART, are no part of it and are read over: they could stand
there on purpose. The rules of one line:

1. A scalar stays in the open run until the next one shows that no value goes over the border between them
   (`boundary_ok`, with a space between); where names are looked for, words never show that of words. Then the run is
   looked at joined, behind the last CONTEXT characters before it, and what a finding touches is hidden whole.
2. The bound: what is REACH places away waits no longer. The run is looked at then, and the older half of it is let go,
   so that a value whose parts lie within REACH / 2 places is always seen whole. A place is a character of a scalar, a
   mark or a literal; white space counts nothing, so that it can't be used to push two parts apart.
3. Single digits and letters are counted along the whole line (strewn.py): from the fifth character on they are hidden
   however far apart they stand. So of a value that rule 2 lets go in parts the first part may leave, and what follows
   within CONTEXT characters of the line is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from filters.json_reader import Places, Where
from filters.segment import CONTEXT, WINDOW
from filters.spans import Span
from filters.strewn import STREWN, StrewnValues

REACH = WINDOW
LONGEST_PART = 24  # characters; longer scalars are no part of a strewn value
_LOOK_BACK = 80  # characters before a border; longer separators than that do not join a value


@dataclass(slots=True, eq=False)
class Scalar:
    """A string, number or key that has been filtered by itself."""

    text: str
    at: int  # the place of its end
    places: Places  # of its characters in the document's text
    written: str | None = None  # what stands there instead; None while it may say what it said
    strewn: list[Span] = field(default_factory=list)  # what of it is hidden by rule 3, when it leaves
    open_lines: int = 0  # in whose run it is

    @property
    def is_settled(self) -> bool:
        """Whether nothing that comes can change it any more."""
        return self.written is not None or not self.open_lines


class Reader(Protocol):
    """Looks at what a line joins."""

    def find(self, context: str, scalars: Sequence[Scalar], glue: str) -> Sequence[Span]:
        """What must not leave of these, joined, behind some context."""
        ...

    def is_strewn(self, scalar: Scalar, strewn: StrewnValues) -> bool:
        """Count it; whether it says too much of what is strewn along the line."""
        ...

    def is_border(self, before: str, after: str) -> bool:
        """Whether no value goes over the border between the two texts."""
        ...

    def hide(self, scalars: Sequence[Scalar], joined: str, spans: Sequence[Span]) -> None:
        """These say something together, of which the spans tell. Sets what is written instead, or raises."""
        ...


@dataclass(slots=True, eq=False)
class Line:
    """One row."""

    reader: Reader
    _context: list[str] = field(default_factory=list)
    _run: list[Scalar] = field(default_factory=list)
    _strewn: StrewnValues = field(default_factory=StrewnValues)

    def add(self, scalar: Scalar, *, counts: bool) -> None:
        """The next scalar, which says nothing by itself. `counts`: it falls under rule 3."""
        if counts and self.reader.is_strewn(scalar, self._strewn):
            scalar.strewn.append(Span(0, len(scalar.text), STREWN, 1.0))
        if self._run and self._is_border(scalar.text):
            self.close()
        scalar.open_lines += 1
        self._run.append(scalar)

    def advance(self, at: int) -> None:
        """Rule 2, at this place of the document."""
        if self._run and at - self._run[0].at > REACH:
            self._look()
            self._let_go(sum(at - scalar.at > REACH // 2 for scalar in self._run))

    def close(self) -> None:
        """No more comes, or nothing that goes on with the run."""
        self._look()
        self._let_go(len(self._run))

    def _is_border(self, following: str) -> bool:
        before = " ".join([*self._context, *(scalar.text for scalar in self._run[-_LOOK_BACK:])])
        return self.reader.is_border(before[-_LOOK_BACK:], following)

    def _look(self) -> None:
        for glue in (" ", "") if any("@" in scalar.text for scalar in self._run) else (" ",):
            self._drop_hidden()
            while self._hides_any(glue):
                self._drop_hidden()  # what is left may say another thing together

    def _hides_any(self, glue: str) -> bool:
        if len(self._run) + len(self._context) < 2:
            return False
        spans = self.reader.find("".join(part + glue for part in self._context), self._run, glue)
        hit = [scalar for scalar, at in joined(self._run, glue) if any(at.overlaps(span) for span in spans)]
        if hit:
            self.reader.hide(hit, glue.join(scalar.text for scalar in self._run), spans)
        return any(scalar.written is not None for scalar in hit)

    def _drop_hidden(self) -> None:
        self._run = [scalar for scalar in self._run if scalar.written is None]

    def _let_go(self, count: int) -> None:
        gone, self._run = self._run[:count], self._run[count:]
        for scalar in gone:
            scalar.open_lines -= 1
        self._context += [scalar.text for scalar in gone]
        while sum(len(text) + 1 for text in self._context) > CONTEXT:
            del self._context[0]


def joined(scalars: Sequence[Scalar], glue: str) -> Iterator[tuple[Scalar, Span]]:
    """Each scalar with its place in the text that they make."""
    start = 0
    for scalar in scalars:
        end = start + len(scalar.text)
        yield scalar, Span(start, end, "", 0.0)
        start = end + len(glue)


def where_joined(scalars: Sequence[Scalar], glue: str) -> Where:
    """Where a part of the text that they make stands in the document's: with all that is between what it touches."""

    def where(start: int, end: int) -> tuple[int, int]:
        part = Span(start, end, "", 0.0)
        hit = [scalar.places.span(0, len(scalar.text)) for scalar, at in joined(scalars, glue) if at.overlaps(part)]
        return (hit[0][0], hit[-1][1]) if hit else (0, 0)

    return where
