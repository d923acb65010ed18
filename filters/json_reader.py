"""JSON (RFC 8259), token by token as its text arrives.

What comes out is a function of the text alone: the tokens, and where the text stops being JSON. Numbers, literals and
escapes are told when they are whole; a string's text as it comes, unescaped. Half of a surrogate pair, written raw or
as an escape, becomes U+FFFD.

Refused are what the standard refuses (NaN, comments, a comma too many, a second document, controls in strings), what
is nested deeper than MOST_DEPTH and a number longer than MOST_NUMBER. Held is one number, literal or escape at most. Of
the white space between two tokens MOST_SPACE characters are told: more carries nothing, and could go on for ever.
Numbers and what strings say come with their places in the document's text, where evidence about them can be found.
"""

from __future__ import annotations

import enum
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

MOST_DEPTH = 64  # deeper than any tool's arguments
MOST_NUMBER = 480  # characters; numbers can't be cut, and no number that says something is as long
MOST_SPACE = 64


class JsonTextError(ValueError):
    """The text is no JSON, or more of it than is held. Never carries text."""


class Kind(enum.Enum):
    SPACE = enum.auto()
    MARK = enum.auto()  # one of { } [ ] : ,
    LITERAL = enum.auto()  # true, false, null
    NUMBER = enum.auto()
    KEY = enum.auto()  # a key begins
    STRING = enum.auto()  # a string begins
    TEXT = enum.auto()  # what is said in the open key or string
    END = enum.auto()  # of the open key or string


# So many characters that are said, and where they stand in the document's text: as they are said, or as one escape.
Piece = tuple[int, int, int]
# Where characters from one to behind another stand in the document's text.
Where = Callable[[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str = ""
    pieces: tuple[Piece, ...] = field(default=(), compare=False)  # of a number and of what is said, in order


class _Expects(enum.Enum):
    VALUE = enum.auto()
    VALUE_OR_END = enum.auto()
    KEY = enum.auto()
    KEY_OR_END = enum.auto()
    COLON = enum.auto()
    COMMA_OR_END = enum.auto()
    NOTHING = enum.auto()


_VALUES = frozenset({_Expects.VALUE, _Expects.VALUE_OR_END})
_KEYS = frozenset({_Expects.KEY, _Expects.KEY_OR_END})
_ENDS = frozenset({_Expects.VALUE_OR_END, _Expects.KEY_OR_END, _Expects.COMMA_OR_END})
_SPACE = re.compile(r"[ \t\n\r]+")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_NUMBER_RUN = re.compile(r"[-+.0-9eE]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[a-z]+")
_LITERALS = ("true", "false", "null")
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = re.compile(r"[0-9a-fA-F]*")
_LONE = re.compile(r"[\ud800-\udfff]")
_NO_CHARACTER = "\ufffd"


class Places:
    """Where the characters of one number or string stand in the document's text."""

    __slots__ = ("_ends", "_offsets", "_starts", "length")

    def __init__(self) -> None:
        self.length = 0  # characters that are said
        self._offsets: list[int] = []  # of the pieces, among them
        self._starts: list[int] = []  # and in the document's text
        self._ends: list[int] = []

    def add(self, pieces: Iterable[Piece]) -> None:
        """What is said next."""
        for said, start, end in pieces:
            if self._goes_on(said, start, end):
                self._ends[-1] = end
            else:
                self._offsets.append(self.length)
                self._starts.append(start)
                self._ends.append(end)
            self.length += said

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where these characters, of which there is at least one, begin in the document's text, and where they end."""
        first, last = bisect_right(self._offsets, start) - 1, bisect_right(self._offsets, end - 1) - 1
        behind = self._offsets[last + 1] if last + 1 < len(self._offsets) else self.length
        return self._starts[first] + start - self._offsets[first], self._ends[last] - (behind - end)

    def whole(self, _start: int, _end: int) -> tuple[int, int]:
        """The same for all of them, whatever of it is asked about."""
        return self.span(0, self.length)

    def behind(self, begin: int) -> Where:
        """The same for what is said from this character on."""
        return lambda start, end: self.span(begin + start, begin + end)

    def forget(self, before: int) -> None:
        """Nobody will ask about the characters before this one."""
        gone = max(0, bisect_right(self._offsets, before) - 1)
        for row in (self._offsets, self._starts, self._ends):
            del row[:gone]

    def _goes_on(self, said: int, start: int, end: int) -> bool:
        """Whether this and the piece before it stand there as they are said, in one."""
        if not self._starts or end - start != said or start != self._ends[-1]:
            return False
        return self._ends[-1] - self._starts[-1] == self.length - self._offsets[-1]


class JsonReader:
    """One document. After a JsonTextError it must not be asked again."""

    def __init__(self) -> None:
        self._rest = ""  # the beginning of a token that is not whole
        self._open: list[str] = []
        self._expects = _Expects.VALUE
        self._in_string = False
        self._spaces = 0
        self._begin = 0  # of the text that is being read, in the document

    @property
    def holds(self) -> bool:
        """Whether the beginning of a token is held."""
        return bool(self._rest)

    @property
    def is_complete(self) -> bool:
        """Whether the document's value has been told whole."""
        return self._expects is _Expects.NOTHING and not self._in_string

    def read(self, raw_text: str) -> Iterator[Token]:
        """The tokens that this text completes. Take them all. Raises JsonTextError behind the last good one."""
        text, at = self._rest + raw_text, 0
        self._rest = ""
        while at < len(text):
            tokens, end = self._string(text, at) if self._in_string else self._token(text, at, last=False)
            yield from tokens
            if end == at:
                self._rest = text[at:]
                break
            at = end
        self._begin += at

    def close(self) -> Iterator[Token]:
        """The end of the text: a number at the top is whole now. JsonTextError unless the document is."""
        if self._rest and not self._in_string and not self._open:
            tokens, _ = self._token(self._rest, 0, last=True)
            yield from tokens
        if not self.is_complete:
            raise JsonTextError("not JSON")

    # ---- between strings: (tokens, where the next one begins; the same place if more text is needed) -----------------

    def _token(self, text: str, at: int, *, last: bool) -> tuple[list[Token], int]:
        char = text[at]
        if char in " \t\n\r":
            return self._space(text, at)
        self._spaces = 0
        if char in "{}[]:,":
            self._mark(char)
            return [Token(Kind.MARK, char)], at + 1
        if char == '"':
            return [Token(self._begin_string())], at + 1
        if char in "-0123456789":
            return self._number(text, at, last=last)
        return self._literal(text, at, last=last)

    def _space(self, text: str, at: int) -> tuple[list[Token], int]:
        end = _end(_SPACE, text, at)
        told = text[at : min(end, at + max(0, MOST_SPACE - self._spaces))]
        self._spaces += len(told)
        return [Token(Kind.SPACE, told)] if told else [], end

    def _mark(self, char: str) -> None:
        if char in "{[":
            self._require(_VALUES)
            self._open.append(char)
            if len(self._open) > MOST_DEPTH:
                raise JsonTextError("nested too deeply")
            self._expects = _Expects.KEY_OR_END if char == "{" else _Expects.VALUE_OR_END
        elif char in "}]":
            self._require(_ENDS)
            if not self._open or self._open.pop() + char not in ("{}", "[]"):
                raise JsonTextError("not JSON")
            self._value_ends()
        elif char == ":":
            self._require(frozenset({_Expects.COLON}))
            self._expects = _Expects.VALUE
        else:
            self._require(frozenset({_Expects.COMMA_OR_END}))
            self._expects = _Expects.KEY if self._open[-1] == "{" else _Expects.VALUE

    def _begin_string(self) -> Kind:
        self._require(_KEYS | _VALUES)
        self._in_string = True
        if self._expects in _KEYS:
            self._expects = _Expects.COLON
            return Kind.KEY
        self._value_ends()
        return Kind.STRING

    def _number(self, text: str, at: int, *, last: bool) -> tuple[list[Token], int]:
        self._require(_VALUES)
        end = _end(_NUMBER_RUN, text, at)
        if end - at > MOST_NUMBER:
            raise JsonTextError("a number is too long")
        if end == len(text) and not last:
            return [], at
        if not _NUMBER.fullmatch(text, at, end):
            raise JsonTextError("not JSON")
        self._value_ends()
        return [Token(Kind.NUMBER, text[at:end], (self._piece(end - at, at, end),))], end

    def _literal(self, text: str, at: int, *, last: bool) -> tuple[list[Token], int]:
        self._require(_VALUES)
        end = _end(_WORD, text, at)
        word = text[at:end]
        if end == len(text) and not last and any(literal.startswith(word) for literal in _LITERALS):
            return [], at
        if word not in _LITERALS:
            raise JsonTextError("not JSON")
        self._value_ends()
        return [Token(Kind.LITERAL, word)], end

    def _require(self, expected: frozenset[_Expects]) -> None:
        if self._expects not in expected:
            raise JsonTextError("not JSON")

    def _value_ends(self) -> None:
        self._expects = _Expects.COMMA_OR_END if self._open else _Expects.NOTHING

    # ---- inside one --------------------------------------------------------------------------------------------------

    def _string(self, text: str, at: int) -> tuple[list[Token], int]:
        """All that is left of the string, or as much as can be told. What is broken is met with nothing before it."""
        parts: list[str] = []
        pieces: list[Piece] = []
        while at < len(text) and text[at] != '"':
            try:
                told = _told(text, at)
            except JsonTextError:
                if parts:
                    break
                raise
            if told is None:
                break
            said, end = told
            parts.append(said)
            pieces.append(self._piece(len(said), at, end))
            at = end
        else:
            if at < len(text):
                self._in_string = False
                return [*_said(parts, pieces), Token(Kind.END)], at + 1
        return _said(parts, pieces), at

    def _piece(self, said: int, start: int, end: int) -> Piece:
        return said, self._begin + start, self._begin + end


def _said(parts: list[str], pieces: list[Piece]) -> list[Token]:
    return [Token(Kind.TEXT, "".join(parts), tuple(pieces))] if parts else []


def _told(text: str, at: int) -> tuple[str, int] | None:
    """What is said from here on, one escape or all up to the next, and where it ends; None if more text is needed."""
    if text[at] == "\\":
        return _escape(text, at)
    end = _end(_PLAIN, text, at)
    if end == at:
        raise JsonTextError("not JSON")
    return _LONE.sub(_NO_CHARACTER, text[at:end]), end


def _escape(text: str, at: int) -> tuple[str, int] | None:
    kind = text[at + 1 : at + 2]
    if kind == "u":
        return _unicode_escape(text, at)
    if kind and kind not in _ESCAPED:
        raise JsonTextError("not JSON")
    return (_ESCAPED[kind], at + 2) if kind else None


def _unicode_escape(text: str, at: int) -> tuple[str, int] | None:
    first = _unit(text, at)
    if first is None or not 0xD800 <= first <= 0xDFFF:
        return None if first is None else (chr(first), at + 6)
    if first >= 0xDC00:
        return _NO_CHARACTER, at + 6
    follows = text[at + 6 : at + 8]
    if follows in ("", "\\"):
        return None
    if follows != "\\u":
        return _NO_CHARACTER, at + 6
    second = _unit(text, at + 6)
    if second is None:
        return None
    if 0xDC00 <= second <= 0xDFFF:
        return chr(0x10000 + (first - 0xD800 << 10) + second - 0xDC00), at + 12
    return _NO_CHARACTER, at + 6


def _unit(text: str, at: int) -> int | None:
    """The UTF-16 unit that the escape at `at` stands for; None if its digits have not all come."""
    digits = text[at + 2 : at + 6]
    if not _HEX.fullmatch(digits):
        raise JsonTextError("not JSON")
    return int(digits, 16) if len(digits) == 4 else None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
