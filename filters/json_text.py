"""Filter the text inside a JSON document (RFC 8259) and leave its shape alone.

The document is checked by the standard library's parser first. Then its tokens are walked once: untouched tokens and
the white space between them go out as they came (the exact text of every number with them), strings and numbers that
the filter changes are written anew.

- A string is filtered after unescaping, and written with JSON's escapes where it changed. A lone surrogate becomes
  U+FFFD.
- A number is filtered as the text that stands there and, if it has an exponent or a fraction of zeros, as the whole
  number that it is. A hidden number becomes `null`: 0 would be a statement, and the
  schema, which might forbid null, is not known here.
- A key that is not in `allowed_keys`, or in which the filter finds something, is filtered like a value; if that makes
  it equal to another key of its object, it gets "_2", "_3" and so on behind. Duplicate keys that the document brought
  stay, each with its value filtered.
- A value is filtered behind its key ("phone: 7654321"), since a key is a label to a detector.
- The scalars that stand next to each other in one array or object are also filtered joined, by a space, and by nothing
  where one holds an "@": ["138","1234","5678"] is one number. Where the joined text changes although its parts did not,
  all of its parts become placeholders (strings) or null (numbers).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

# Deeper than any tool's arguments, and far below what the parser's recursion bears.
MOST_DEPTH = 64
# Scalars that are looked at together: nineteen digits, the longest card number, one a scalar, and some keys.
WINDOW = 24
# Longer scalars are no part of a strewn value.
_LONGEST_PART = 24
_HIDDEN_STRING = "[HIDDEN]"


class JsonTextError(ValueError):
    """The text is no JSON, is nested too deeply, or holds NaN or Infinity. Never carries text."""


def filter_json(raw_json: str, filter_value: Callable[[str], str], *, allowed_keys: frozenset[str]) -> str:
    """`raw_json` with `filter_value` applied to what it says. The result is valid JSON of the same shape.

    `filter_value` returns its argument unchanged where nothing is to hide. Raises JsonTextError, and whatever
    `filter_value` raises.
    """
    tokens = _tokens(raw_json)
    scalars = _scalars(tokens, allowed_keys)
    for scalar in scalars:
        _filter_scalar(scalar, filter_value)
    for members in _members(scalars):
        _filter_joined(members, filter_value)
    _make_keys_unique(tokens, scalars)
    for scalar in scalars:
        tokens[scalar.at] = scalar.token()
    return "".join(tokens)


# ---- reading ---------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r'[ \t\n\r]+|"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^ \t\n\r"{}\[\]:,]+', re.DOTALL)
_OBJECT, _ARRAY, _COMMA = "{[,"
_LITERALS = frozenset({"true", "false", "null"})


def _tokens(raw_json: str) -> list[str]:
    tokens = _TOKEN.findall(raw_json)
    depth = 0
    for token in tokens:
        depth += token in ("{", "[")
        depth -= token in ("}", "]")
        if depth > MOST_DEPTH:
            raise JsonTextError("nested too deeply")
    if not _is_json(raw_json):
        raise JsonTextError("not JSON")
    return tokens


def _is_json(raw_json: str) -> bool:
    try:
        # Numbers stay text: an integer of a million digits would otherwise be converted, or refused, by its length.
        json.loads(raw_json, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # JSONDecodeError holds the document; it must not become the context of ours.
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError


@dataclass(slots=True)
class _Scalar:
    """A string, number or key: its place among the tokens, its container, what it said and what it may say."""

    at: int
    container: int
    raw_token: str
    is_key: bool
    is_free: bool  # an allowed key: neither filtered nor joined
    label: str  # the key that a value stands under, "" in an array
    text: str
    filtered: str

    @property
    def is_string(self) -> bool:
        return self.raw_token.startswith('"')

    @property
    def changed(self) -> bool:
        return self.filtered != self.text

    def token(self) -> str:
        if self.changed and not self.is_string:
            return "null"
        if self.changed or _LONE_SURROGATE_ESCAPE.search(self.raw_token):
            return json.dumps(_whole(self.filtered), ensure_ascii=False)
        return self.raw_token


# Any surrogate escape: a pair is decoded to one character and written again as it, which does no harm.
_LONE_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _whole(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


@dataclass(slots=True)
class _Open:
    id: int
    is_object: bool
    expects_key: bool
    key: str = ""


def _scalars(tokens: list[str], allowed_keys: frozenset[str]) -> list[_Scalar]:
    scalars: list[_Scalar] = []
    stack = [_Open(0, is_object=False, expects_key=False)]
    for at, token in enumerate(tokens):
        here = stack[-1]
        if token in ("{", "["):
            # An array's members stand under the key of the array.
            stack.append(
                _Open(at + 1, token == _OBJECT, expects_key=token == _OBJECT, key=here.key if token == _ARRAY else "")
            )
        elif token in ("}", "]"):
            stack.pop()
        elif token in (":", ","):
            here.expects_key = token == _COMMA and here.is_object
        elif not token.isspace() and token not in _LITERALS:
            text = _whole(json.loads(token)) if token.startswith('"') else token
            is_free = here.expects_key and text in allowed_keys
            label = "" if here.expects_key else here.key
            scalars.append(_Scalar(at, here.id, token, here.expects_key, is_free, label, text, text))
            if here.expects_key:
                here.key = text
    return scalars


# ---- filtering -------------------------------------------------------------------------------------------------------


def _filter_scalar(scalar: _Scalar, filter_value: Callable[[str], str]) -> None:
    if scalar.is_free and filter_value(scalar.text) == scalar.text:
        return
    scalar.filtered = _filter_under(scalar.label, scalar.text, filter_value)
    if not scalar.is_string and not scalar.changed:
        plain = _as_whole_number(scalar.text)
        if plain is not None and _filter_under(scalar.label, plain, filter_value) != plain:
            scalar.filtered = ""


def _filter_under(label: str, text: str, filter_value: Callable[[str], str]) -> str:
    if not label:
        return filter_value(text)
    head = f"{label}: "
    filtered = filter_value(head + text)
    if filtered == head + text:
        return text
    if filtered.startswith(head):
        return filtered[len(head) :]
    alone = filter_value(text)
    if alone != text or filter_value(label) != label:
        # The key is a finding, which is seen to in its own place, and no label.
        return alone
    return _HIDDEN_STRING  # key and value are a finding together


# A number with an exponent beyond this has more digits than any typed value.
_MOST_EXPONENT = 40


def _as_whole_number(number: str) -> str | None:
    """13812345678 for 1.3812345678e10 and 13812345678.0; None for an integer as it stands and for true fractions."""
    if not re.search("[.eE]", number) or len(number) > 2 * _MOST_EXPONENT:
        return None
    try:
        value = Decimal(number)
    except InvalidOperation:  # an exponent that even Decimal has no room for
        return None
    if not value or abs(value.adjusted()) > _MOST_EXPONENT or value != value.to_integral_value():
        return None
    return format(value.to_integral_value(), "f")


def _members(scalars: list[_Scalar]) -> Iterator[list[_Scalar]]:
    """The filtered scalars of each container, in their order."""
    containers: dict[int, list[_Scalar]] = {}
    for scalar in scalars:
        if not scalar.is_free:
            containers.setdefault(scalar.container, []).append(scalar)
    yield from (members for members in containers.values() if len(members) > 1)


def _filter_joined(members: list[_Scalar], filter_value: Callable[[str], str]) -> None:
    """Scalars that are still in the open are joined, WINDOW at a time, the windows overlapping by half.

    What stands between two of them (a long text, a hidden value) is read over: it could stand there on purpose.
    """
    run = [member for member in members if not member.changed and len(member.text) <= _LONGEST_PART]
    for start in range(0, max(1, len(run) - WINDOW // 2), WINDOW // 2):
        _filter_window(run[start : start + WINDOW], filter_value)


def _filter_window(window: list[_Scalar], filter_value: Callable[[str], str]) -> None:
    for glue in _glues(window):
        while len(window) > 1 and _says_too_much(window, glue, filter_value):
            end = next(n for n in range(1, len(window) + 1) if _says_too_much(window[:n], glue, filter_value))
            size = next(n for n in range(1, end + 1) if _says_too_much(window[end - n : end], glue, filter_value))
            for scalar in window[end - size : end]:
                scalar.filtered = _HIDDEN_STRING
            window = window[end:]


def _glues(run: list[_Scalar]) -> tuple[str, ...]:
    return (" ", "") if any("@" in scalar.text for scalar in run) else (" ",)


def _says_too_much(run: list[_Scalar], glue: str, filter_value: Callable[[str], str]) -> bool:
    joined = glue.join(scalar.text for scalar in run)
    return filter_value(joined) != joined


def _make_keys_unique(tokens: list[str], scalars: list[_Scalar]) -> None:
    taken: dict[int, set[str]] = {}
    for scalar in scalars:
        if scalar.is_key and not scalar.changed:
            taken.setdefault(scalar.container, set()).add(scalar.text)
    for scalar in scalars:
        if scalar.is_key and scalar.changed:
            names = taken.setdefault(scalar.container, set())
            name, number = scalar.filtered, 2
            while name in names:
                name, number = f"{scalar.filtered}_{number}", number + 1
            names.add(name)
            scalar.filtered = name
