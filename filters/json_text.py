"""Filter the text inside a JSON document (RFC 8259) as it streams, and leave its shape alone.

What leaves is a function of the text alone and at every moment the beginning of a valid document. It is the same as if
the document had been filtered whole: `push` of all of it, then `close`, is how that is done.

- A string is filtered after unescaping and written anew, in the shortest escapes. One of up to LONGEST_PART characters
  is decided whole; a longer one flows on as prose does (segment.py: cut points, WINDOW, unbroken runs are hidden). A
  string of which the schema asks a form, and a key, is held whole, up to MOST_HELD characters.
- A number is filtered as the text that stands there and, if it has an exponent or a fraction of zeros, as the whole
  number that it is. A number that stays keeps the exact text that it came with.
- A value is filtered behind its key ("phone: 7654321"), since a key is a label to a detector. An array's entries stand
  under the array's key.
- A key that is not in `allowed_keys`, or in which something is found, is filtered like a value. One that is rewritten,
  or equal to one that was, gets "_2", "_3" and so on behind where its object has had that key. Duplicate keys that the
  document brought stay, each with its value filtered.
- What scalars say together (json_lines.py) is looked for along five lines: the values of one array or object, the keys
  of an object, the two of them; all values of the document, and all values and keys. Keys that stay by right are in
  none. A scalar leaves when it is decided in all of its lines; what is behind it waits.
- The tuning index reads all values as one text, and all keys and values as another: a portrait may come in pieces.
- A key of the house's own records (profile's `record_fields`) stops the document, unless the role may see those.
- What is hidden is replaced by what its schema allows there (json_schema.py): a number by null or a number that fits, a
  string by a text that fits. A value that an `enum` or `const` gives stays, unless it is by itself what must not leave:
  that would let the caller ask which of his candidates it is. Where nothing fits the document stops.

Held: what is not decided, its tokens and the white space between them (at most REACH places), one string of MOST_HELD
characters or the open segment of a longer one; and the names that the open objects have had, at most MOST_KEYS in each.

Not seen: a value whose parts lie further apart than REACH / 2 places (but for single digits and letters, which are
counted), in every other column of a table of words, or in strings that are longer than LONGEST_PART.

After a failure (no JSON, more than is held, a detector that failed, nothing that fits) nothing more comes out.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Protocol

from filters.events import Channel
from filters.evidence import UNDECIDED, Denied, Detector, DetectorError
from filters.json_lines import LONGEST_PART, REACH, Line, Scalar, where_joined
from filters.json_reader import JsonReader, JsonTextError, Kind, Places, Token, Where
from filters.json_schema import PLACEHOLDER, Place, read_number
from filters.normalise import normalise
from filters.pii.blocks import InternalRecords, OpenBlocks
from filters.pii.detector import boundary_ok
from filters.pii.types import INDIRECT
from filters.profile import ReleaseUnit
from filters.segment import CONTEXT, Segment, Segmenter
from filters.spans import Span, merge
from filters.specificity.triggers import CODE
from filters.strewn import STREWN, StrewnValues

MOST_HELD = 16_384  # characters of a string that can't be cut
MOST_KEYS = 4096  # of one object
BROKEN_JSON = "BROKEN_JSON"  # the finding type of what is no JSON, or more of it than is held
UNFIT = "UNFIT"  # hidden, and the schema allows nothing in its place
_NO_SCHEMA = Place()
_OF_KEYS, _OF_VALUES = ("all",), ("all", "values")  # what the index reads as one text


class Judge(Protocol):
    """What is private, and what stands in for it."""

    def find(
        self,
        context: str,
        raw_text: str,
        strewn: StrewnValues | None = None,
        blocks: Sequence[Span] = (),
        where: Where | None = None,
        lines: Collection[str] = (),
    ) -> Sequence[Span]:
        """What must not leave of a text behind some context. `strewn` counts along a text that comes in parts; `blocks`
        are findings that began in an earlier part; `where` says where it stands in the document; `lines` are those that
        it goes on, of what the index reads as one text. Raises DetectorError."""
        ...

    def count(self, raw_text: str, strewn: StrewnValues, where: Where) -> Sequence[Span]:
        """What must not leave of it because it is strewn along a text that comes in parts."""
        ...

    def of(self, channel: Channel) -> Judge:
        """The judge of one document."""
        ...

    def rewrite(self, raw_text: str, spans: Sequence[Span]) -> str:
        """The text without these. They count as hidden from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What the profile and the request say of one document. `words_join`: names are looked for, `quantities`: dates,
    ages, amounts. `record_fields`: keys of the house's own records, which the role may not see. `denied`: what never
    leaves, so that no string is cut inside it."""

    judge: Judge
    detector: Detector
    unit: ReleaseUnit = ReleaseUnit.SENTENCE
    allowed_keys: Collection[str] = frozenset()
    place: Place = _NO_SCHEMA
    words_join: bool = False
    quantities: bool = False
    record_fields: frozenset[str] = frozenset()
    denied: Denied | None = None


class _Stopped(Exception):
    """The document can't go on. Carries a finding type."""


class JsonFilter:
    """One document. `push` and `close` return what may leave."""

    def __init__(self, rules: Rules) -> None:
        self.failure: str | None = None  # a finding type, once nothing more comes out
        self._reader = JsonReader()
        self._writer = _Writer(rules)

    @property
    def holds(self) -> bool:
        """Whether raw text is held."""
        return self.failure is None and (self._reader.holds or self._writer.holds)

    def push(self, raw_text: str) -> str:
        """Add text."""
        return self._write(self._reader.read(raw_text))

    def close(self, *, complete: bool) -> str:
        """End the text. What is held of a document that was cut off is dropped; if it should be whole, it failed."""
        return self._write(self._reader.close()) if complete else ""

    def _write(self, tokens: Iterator[Token]) -> str:
        if self.failure is None:
            try:
                for token in tokens:
                    self._writer.take(token)
            except _Stopped as stopped:
                self.failure = str(stopped)
            except DetectorError:
                self.failure = UNDECIDED
            except JsonTextError:
                self.failure = BROKEN_JSON
        return self._writer.take_left()


# ---- the document ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lines:
    """The lines of one container, or of the document, whose keys alone are read along none."""

    values: Line
    keys: Line
    both: Line

    def of_values(self) -> list[Line]:
        return [self.values, self.both]

    def all(self) -> list[Line]:
        return [self.values, self.keys, self.both]


@dataclass(slots=True)
class _Container:
    """An open array or object; the document itself is one with a single value."""

    place: Place
    label: str  # the key that it stands under
    lines: _Lines
    unique: set[str] | None  # what has been written instead of values where no two may be equal
    is_object: bool = False
    key: str = ""  # the last one
    index: int = -1
    names: set[str] = field(default_factory=set)  # keys that have left
    new_names: set[str] = field(default_factory=set)  # those of them that the document did not bring

    def value_begins(self) -> tuple[Place, str]:
        """Where the next value stands, and the label that it stands behind."""
        if self.is_object:
            return self.place.child(self.key), self.key
        self.index += 1
        return self.place.item(self.index), self.label


@dataclass(slots=True, eq=False)
class _Held(Scalar):
    """A scalar on its way out."""

    kind: Kind = Kind.STRING
    place: Place = _NO_SCHEMA
    container: _Container | None = None

    @property
    def is_given(self) -> bool:
        """Whether the schema has exactly this value."""
        if self.kind is Kind.KEY:
            return False
        value = self.text if self.kind is Kind.STRING else read_number(self.text)
        return value is not None and self.place.gives(value)


@dataclass(slots=True)
class _Open:
    """The string that is being read."""

    kind: Kind
    place: Place
    label: str
    is_held: bool  # whole, whatever its length
    parts: list[str] = field(default_factory=list)
    places: Places = field(default_factory=Places)
    segmenter: Segmenter | None = None  # once it flows
    decided: int = 0  # characters of it, then
    blocks: OpenBlocks | None = None
    strewn: StrewnValues = field(default_factory=StrewnValues)
    hides_run: bool = False  # the last segment was part of an unbroken run


class _Writer:
    """Takes the tokens of a document and writes it filtered."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._judge = rules.judge
        self._record_fields = frozenset(map(_folded, rules.record_fields))
        self._document = self._lines()
        self._containers = [_Container(rules.place, "", self._document, None)]
        self._string: _Open | None = None
        self._at = 0
        self._out: deque[str | _Held] = deque()
        self._left: list[str] = []
        self._looked: dict[tuple[str, str, tuple[int, ...]], Sequence[Span]] = {}
        self._borders: dict[tuple[str, str], bool] = {}
        self._reads: Mapping[Kind, Callable[[Token], None]] = {
            Kind.SPACE: self._space,
            Kind.MARK: self._mark,
            Kind.LITERAL: self._literal,
            Kind.NUMBER: self._number,
            Kind.KEY: self._string_begins,
            Kind.STRING: self._string_begins,
            Kind.TEXT: self._text,
            Kind.END: self._string_ends,
        }

    @property
    def holds(self) -> bool:
        return bool(self._out or self._string)

    def take_left(self) -> str:
        """What may leave since the last call."""
        left = "".join(self._left)
        self._left.clear()
        return left

    def take(self, token: Token) -> None:
        """One token. Raises _Stopped, DetectorError and JsonTextError."""
        self._looked.clear()
        self._borders.clear()
        self._reads[token.kind](token)
        self._move()

    # ---- tokens ------------------------------------------------------------------------------------------------------

    def _space(self, token: Token) -> None:
        self._out.append(token.text)

    def _mark(self, token: Token) -> None:
        self._at += 1
        self._out.append(token.text)
        if token.text in "{[":
            self._open(is_object=token.text == "{")
        elif token.text in "}]":
            closed = self._containers.pop()
            self._close(closed.lines)
            self._value_ended()

    def _open(self, *, is_object: bool) -> None:
        outer = self._containers[-1]
        place, label = self._value_begins()
        unique = outer.unique
        if unique is None and place.wants_unique_items and not is_object:
            unique = set()
        self._containers.append(_Container(place, "" if is_object else label, self._lines(), unique, is_object))

    def _literal(self, token: Token) -> None:
        self._value_begins()
        self._at += 1
        self._out.append(token.text)
        self._value_ended()

    def _number(self, token: Token) -> None:
        place, label = self._value_begins()
        places = Places()
        places.add(token.pieces)
        self._scalar(_Held(token.text, 0, places, kind=Kind.NUMBER, place=place), label)

    def _string_begins(self, token: Token) -> None:
        if token.kind is Kind.KEY:
            self._string = _Open(Kind.KEY, self._containers[-1].place, "", is_held=True)
        else:
            place, label = self._value_begins()
            self._string = _Open(Kind.STRING, place, label, is_held=place.wants_all_text)

    def _text(self, token: Token) -> None:
        assert self._string is not None
        string = self._string
        string.places.add(token.pieces)
        if string.segmenter is not None:
            self._flow(string, token.text)
            return
        string.parts.append(token.text)
        if string.is_held:
            if string.places.length > MOST_HELD:
                raise JsonTextError("a string is too long")
        elif string.places.length > LONGEST_PART:
            fields = self._rules.record_fields
            string.segmenter = Segmenter(
                self._rules.unit,
                self._rules.detector,
                _behind(string.label),
                whole_objects=bool(fields),
                quantities=self._rules.quantities,
                denied=self._rules.denied,
            )
            string.blocks = OpenBlocks(fields)
            self._out.append('"')
            self._flow(string, "".join(string.parts))

    def _string_ends(self, _token: Token) -> None:
        assert self._string is not None
        string, self._string = self._string, None
        if string.segmenter is not None:
            self._segments(string, string.segmenter.close(complete=True))
            self._out.append('"')
            self._value_ended()
            return
        text = "".join(string.parts)
        if string.kind is Kind.KEY:
            self._containers[-1].key = text
            if _folded(text) in self._record_fields:
                raise _Stopped(InternalRecords.kind)
        self._scalar(_Held(text, 0, string.places, kind=string.kind, place=string.place), string.label)

    def _value_begins(self) -> tuple[Place, str]:
        outer = self._containers[-1]
        if len(self._containers) == 1:
            return outer.place, ""
        return outer.value_begins()

    def _value_ended(self) -> None:
        if len(self._containers) == 1:
            self._close(self._document)

    # ---- long strings ------------------------------------------------------------------------------------------------

    def _flow(self, string: _Open, text: str) -> None:
        assert string.segmenter is not None
        for start in range(0, len(text), _PIECE):
            self._segments(string, string.segmenter.push(text[start : start + _PIECE]))

    def _segments(self, string: _Open, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self._out.append(_inside(self._segment(string, segment)))
            self._at += len(segment.raw_text)
            self._move()

    def _segment(self, string: _Open, segment: Segment) -> str:
        assert string.blocks is not None
        text, continues = segment.raw_text, string.hides_run
        string.hides_run = segment.opaque
        blocks = string.blocks.find(segment.context, text)
        begin = string.decided
        string.decided += len(text)
        string.places.forget(begin)
        if not segment.opaque:
            spans = self._judge.find(
                segment.context, text, string.strewn, blocks, string.places.behind(begin), _OF_VALUES
            )
            return self._judge.rewrite(text, spans)
        shown = "" if continues else self._judge.rewrite("?", [Span(0, 1, UNDECIDED, 1.0)])
        return shown + text[len(text.rstrip()) :]

    # ---- short scalars -----------------------------------------------------------------------------------------------

    def _scalar(self, scalar: _Held, label: str) -> None:
        self._at += len(scalar.text) + 1
        scalar.at = self._at
        scalar.container = self._containers[-1]
        self._out.append(scalar)
        if not self._filtered_alone(scalar, _behind(label)) and not self._is_free(scalar):
            self._join(scalar)
        if scalar.kind is not Kind.KEY:
            self._value_ended()

    def _is_free(self, scalar: _Held) -> bool:
        is_key = scalar.kind is Kind.KEY and scalar.text in self._rules.allowed_keys
        return is_key or not scalar.text.strip() or len(scalar.text) > LONGEST_PART

    def _filtered_alone(self, scalar: _Held, context: str) -> bool:
        """Whether something in it had to be hidden."""
        for text in _readings(scalar):
            where = scalar.places.span if text is scalar.text else scalar.places.whole
            lines = _OF_KEYS if scalar.kind is Kind.KEY else _OF_VALUES if text is scalar.text else ()
            spans = self._judge.find(context, text, StrewnValues(), where=where, lines=lines)
            if not spans:
                continue
            if scalar.is_given:
                self._stop_at_candidate(spans, INDIRECT | {STREWN})
                continue
            if all(span.type == STREWN for span in spans):
                scalar.strewn += spans
                continue
            self._replace(scalar, self._judge.rewrite(text, spans))
            return True
        return False

    def _join(self, scalar: _Held) -> None:
        assert scalar.container is not None
        is_key = scalar.kind is Kind.KEY
        inner = scalar.container.lines
        lines = (
            [inner.keys, inner.both, self._document.both]
            if is_key
            else [*inner.of_values(), *self._document.of_values()]
        )
        for line in dict.fromkeys(lines):
            line.add(scalar, counts=not scalar.is_given and line not in (inner.both, self._document.both))

    def _replace(self, scalar: _Held, text: str) -> None:
        new: str | None = text
        if scalar.kind is Kind.STRING:
            new = scalar.place.text(scalar.text, text)
        elif scalar.kind is Kind.NUMBER:
            new = scalar.place.number(scalar.text)
        scalar.written = new
        if new is None or not _stays_unique(scalar, new):
            raise _Stopped(UNFIT)

    def _stop_at_candidate(self, spans: Sequence[Span], harmless: Collection[str]) -> None:
        """A value that the schema gives may not be hidden; whether it may stay is to be seen."""
        for span in spans:
            if span.type not in harmless:
                raise _Stopped(span.type)

    # ---- scalars together: what lines ask for ------------------------------------------------------------------------

    def find(self, context: str, scalars: Sequence[Scalar], glue: str) -> Sequence[Span]:
        """As `Line` wants it; several lines often ask the same."""
        joined = glue.join(scalar.text for scalar in scalars)
        asked = context, joined, tuple(scalar.at for scalar in scalars)
        if asked not in self._looked:
            self._looked[asked] = self._judge.find(context, joined, where=where_joined(scalars, glue))
        return self._looked[asked]

    def is_strewn(self, scalar: Scalar, strewn: StrewnValues) -> bool:
        """As `Line` wants it."""
        return bool(self._judge.count(scalar.text + " ", strewn, scalar.places.whole))

    def is_border(self, before: str, after: str) -> bool:
        """As `Line` wants it."""
        asked = before, after
        if asked not in self._borders:
            words = self._rules.words_join and _has_letter(before[-LONGEST_PART:]) and _has_letter(after)
            joins = words or "@" in before + after or not any(map(str.isalnum, after))
            self._borders[asked] = not (joins or self._may_be_denied(before)) and boundary_ok(before + " ", after)
        return self._borders[asked]

    def _may_be_denied(self, before: str) -> bool:
        """Whether what is denied may go on behind this. Raises DetectorError."""
        denied = self._rules.denied
        return denied is not None and denied.open_from(before) < len(before)

    def hide(self, scalars: Sequence[Scalar], joined: str, spans: Sequence[Span]) -> None:
        """As `Line` wants it."""
        hidden = []
        for scalar in scalars:
            assert isinstance(scalar, _Held)
            if scalar.is_given:
                self._stop_at_candidate(spans, INDIRECT | {STREWN, CODE})
            else:
                hidden.append(scalar)
        if hidden:
            self._judge.rewrite(joined, spans)
        for scalar in hidden:
            self._replace(scalar, PLACEHOLDER)

    def _lines(self) -> _Lines:
        return _Lines(Line(self), Line(self), Line(self))

    def _close(self, lines: _Lines) -> None:
        for line in lines.all():
            line.close()

    # ---- out ---------------------------------------------------------------------------------------------------------

    def _move(self) -> None:
        """Let go what is settled, and what has waited long enough."""
        self._let_go()
        while self._out and isinstance(head := self._out[0], _Held) and self._at - head.at > REACH:
            for lines in [self._document, *(container.lines for container in self._containers)]:
                for line in lines.all():
                    line.advance(self._at)
            self._let_go()

    def _let_go(self) -> None:
        while self._out:
            head = self._out[0]
            if isinstance(head, _Held):
                if not head.is_settled:
                    return
                if head.strewn and head.written is None:
                    self._replace(head, self._judge.rewrite(head.text, merge(head.strewn)))
                head = _name(head) if head.kind is Kind.KEY else _value(head)
            self._left.append(head)
            self._out.popleft()


_PIECE = 1024  # characters that a segmenter is given at once; it copies what it holds with every cut


def _behind(label: str) -> str:
    return f"{label}: "[-CONTEXT:] if label else ""


def _folded(key: str) -> str:
    return normalise(key).text.strip().casefold()


def _inside(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


# A number with an exponent beyond this has more digits than any typed value.
_MOST_EXPONENT = 40


def _readings(scalar: _Held) -> Iterator[str]:
    """The text, and the whole number that a number is: 13812345678 for 1.3812345678e10 and 13812345678.0."""
    yield scalar.text
    if scalar.kind is not Kind.NUMBER or not re.search("[.eE]", scalar.text):
        return
    try:
        value = Decimal(scalar.text)
    except InvalidOperation:  # an exponent that even Decimal has no room for
        return
    if value and abs(value.adjusted()) <= _MOST_EXPONENT and value == value.to_integral_value():
        yield format(value.to_integral_value(), "f")


def _stays_unique(scalar: _Held, new: str) -> bool:
    """Whether no two entries that must differ become equal by what is written instead."""
    unique = scalar.container.unique if scalar.container else None
    if unique is None or scalar.kind is Kind.KEY:
        return True
    if scalar.kind is Kind.NUMBER or new in unique:
        return False
    unique.add(new)
    return True


def _value(scalar: _Held) -> str:
    text = scalar.text if scalar.written is None else scalar.written
    return text if scalar.kind is Kind.NUMBER else f'"{_inside(text)}"'


def _name(key: _Held) -> str:
    """A key as it leaves. Raises _Stopped where the schema does not let it be called so, JsonTextError for too many."""
    assert key.container is not None
    names, new_names = key.container.names, key.container.new_names
    name = base = key.text if key.written is None else key.written
    if key.written is not None or name in new_names:
        number = 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        if not key.place.renames(key.text, name):
            raise _Stopped(UNFIT)
        new_names.add(name)
    names.add(name)
    if len(names) > MOST_KEYS:
        raise JsonTextError("too many keys")
    return f'"{_inside(name)}"'
