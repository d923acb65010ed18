"""What a JSON schema makes an answer hold: the literals of its rules, wherever in the document they stand.

A caller who can't read a value in an answer may still have the model choose it: an `enum` of candidates, a `pattern`
with most of a number in it, bounds that are halved with each request. Read are `enum`, `const`, `pattern`, numeric and
length bounds, and the names that properties may or must have. Descriptions, titles, defaults and examples force
nothing. The rules:

1. The whole document counts, since `$ref` may point anywhere in it: what stands under an unknown word is read as a
   schema too. A word that takes a schema's name in a table of schemas is a name there.
2. Four digits in a value or a pattern are too many, together and in any script; they may stand apart. A bound may have
   three that count: zeros at its end don't, nor what one more or less would make zeros, nor powers of two.
3. Values that stand side by side and leave no choice (each entry of `prefixItems`, each property, each branch of
   `allOf`) are read together as well.
4. Of a pattern what is fixed counts: characters outside of classes, classes of up to three digits, as often as they
   must come. What can't be read can't be told to be harmless.
5. A name may have six digits: `sha256`, `iso_8601`.

What the literals say, beside their digits, is for detectors and the tuning index (gateway/shaping.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from re import _constants as sre  # type: ignore[attr-defined]  # the only parser of patterns that Python has
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Final

from filters.json_schema import Schema, Unreadable

MOST_DIGITS: Final = 3  # of a value
MOST_DIGITS_OF_NAMES: Final = 6
MOST_LITERALS: Final = 4096  # different ones in a request: about a second of detection
MOST_CHARACTERS: Final = 65_536  # of them all
_FEW_DIGITS: Final = 3  # a class of so many leaves little open
_MOST_REPEATED: Final = 16
_MOST_TEXT: Final = 256  # of what repetitions come to
_MOST_PATTERN: Final = 4096
_MOST_NESTED: Final = 24  # groups in groups: parsing takes the square of it
_MOST_FOLLOWED: Final = 8  # references, one behind the other

_VALUES: Final = ("enum", "const")
_BOUNDS: Final = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "minContains",
        "maxContains",
    }
)
_TABLES: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies", "dependentRequired"}
)
_SIDE_BY_SIDE: Final = ("prefixItems", "allOf", "items")
_CHINESE_DIGITS: Final = "〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖两"
_SEVERAL_CHINESE: Final = re.compile(f"[{_CHINESE_DIGITS}]{{2,}}")
_PROPERTY_CLASS: Final = re.compile(r"\\(?:[pP]\{[^{}]*\}|.)", re.DOTALL)


class Extracts(Exception):
    """A schema that holds too many digits, or that can't be read. Carries no text."""


class TooMuch(Exception):
    """More literals than are looked at."""


@dataclass(slots=True)
class Literals:
    """Of one request."""

    values: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    patterns: int = 0  # characters of them

    def add_value(self, text: str) -> None:
        """Raises Extracts."""
        if digits_in(text) > MOST_DIGITS:
            raise Extracts
        self._add(self.values, text)

    def add_name(self, text: str) -> None:
        """Raises Extracts."""
        if digits_in(text) > MOST_DIGITS_OF_NAMES:
            raise Extracts
        self._add(self.names, text)

    def add_bound(self, value: Any) -> None:
        """Raises Extracts."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if (digits := _counting_digits(value)) > MOST_DIGITS:
            raise Extracts
        if digits == MOST_DIGITS:
            self._add(self.values, _written(value))

    def add_pattern(self, pattern: Any) -> None:
        """Raises Extracts."""
        self.patterns += len(pattern) if isinstance(pattern, str) else 0
        if self.patterns > MOST_CHARACTERS:
            raise TooMuch
        texts, digits = _fixed_in(pattern)
        if digits > MOST_DIGITS:
            raise Extracts
        for text in texts:
            self._add(self.values, text)

    def add_schema(self, schema: Mapping[str, Any]) -> None:
        """Everything in this document. Raises Extracts, TooMuch."""
        resolver = Schema(schema)
        waiting: list[Any] = [schema]
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting += node
            elif isinstance(node, dict):
                self._add_together(resolver, node)
                for word, value in node.items():
                    waiting += self._word(word, value)

    def add_grammar(self, grammar: str) -> None:
        """Of a grammar every digit counts that stands in no class and no count. Raises Extracts."""
        fixed = re.sub(r"\[[^\]\n]*\]|\{[\d,\s]*\}", " ", grammar)
        for line in fixed.splitlines():
            self.add_value(line)

    def _word(self, word: str, value: Any) -> Iterator[Any]:
        """What one word of a schema says; yields the schemas in it."""
        if word in _VALUES:
            self._add_all(value)
        elif word == "pattern":
            if not isinstance(value, dict | list):
                self.add_pattern(value)
        elif word in _BOUNDS:
            self.add_bound(value)
        elif word == "required":
            self._add_all(value, named=True)
        elif word.startswith("x-guidance"):  # an engine's own: patterns between all tokens
            raise Extracts
        elif word in _TABLES and isinstance(value, dict):
            yield from self._table(word, value)
            return
        yield value

    def _table(self, word: str, table: Mapping[str, Any]) -> Iterator[Any]:
        for name, entry in table.items():
            if word == "patternProperties":
                self.add_pattern(name)
            elif word not in ("$defs", "definitions"):
                self.add_name(name)
            if isinstance(entry, dict | bool):
                yield entry
            elif word in ("dependentRequired", "dependencies"):
                self._add_all(entry, named=True)
            else:  # no schema: a reference may still mean the table itself as one
                yield {name: entry}

    def _add_all(self, value: Any, *, named: bool = False) -> None:
        """Every scalar in a value, and the keys beside them."""
        waiting = [value]
        while waiting:
            current = waiting.pop()
            if isinstance(current, dict):
                waiting += [*current, *current.values()]
            elif isinstance(current, list):
                waiting += current
            elif isinstance(current, str):
                self.add_name(current) if named else self.add_value(current)
            elif isinstance(current, int | float) and not isinstance(current, bool):
                self.add_value(_written(current))

    def _add_together(self, resolver: Schema, node: Mapping[str, Any]) -> None:
        for word in (*_SIDE_BY_SIDE, "properties"):
            inner = node.get(word)
            entries: Iterable[Any] = inner.values() if isinstance(inner, dict) and word == "properties" else ()
            if isinstance(inner, list):
                entries = inner
            fixed = [text for entry in entries if (text := _only(resolver, entry))]
            if len(fixed) > 1:
                if sum(map(digits_in, fixed)) > MOST_DIGITS:
                    raise Extracts
                self._add(self.values, " ".join(fixed))

    def _add(self, texts: set[str], text: str) -> None:
        texts.add(text)
        if len(self.values) + len(self.names) > MOST_LITERALS:
            raise TooMuch


# ---- digits ----------------------------------------------------------------------------------------------------------


def digits_in(text: str) -> int:
    """Decimal digits of every script, and Chinese numerals of which at least two stand together."""
    plain = unicodedata.normalize("NFKC", text)
    return sum(map(str.isdecimal, plain)) + sum(len(run[0]) for run in _SEVERAL_CHINESE.finditer(plain))


def _written(value: float) -> str:
    return format(Decimal(repr(value)), "f") if abs(value) < 1e40 else repr(value)


def _counting_digits(value: float) -> int:
    """Of a bound, by rule 2."""
    if float(value).is_integer() and abs(value) < 1e30:
        whole = abs(int(value))
        if not whole & (whole - 1) or not whole & (whole + 1):
            return 1
        return min(_significant(number) for number in (whole - 1, whole, whole + 1))
    return _significant(value)


def _significant(value: float) -> int:
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


# ---- what leaves no choice -------------------------------------------------------------------------------------------


def _only(resolver: Schema, node: Any) -> str:
    """The one value that a schema lets be, or what is fixed of it; "" where it leaves a choice."""
    for _ in range(_MOST_FOLLOWED):
        if not isinstance(node, dict):
            return ""
        if "$ref" in node:
            try:
                node = resolver.resolve(node["$ref"])
            except Unreadable:
                return ""
            continue
        single = next((node[w] for w in ("allOf", "anyOf", "oneOf") if _is_single(node.get(w))), None)
        if single is None:
            return _fixed(node)
        node = single[0]
    return ""


def _fixed(node: Mapping[str, Any]) -> str:
    if "const" in node:
        return _scalar(node["const"])
    if _is_single(node.get("enum")):
        return _scalar(node["enum"][0])
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and low == high:
        return _scalar(low)
    if isinstance(node.get("pattern"), str):
        return " ".join(_fixed_in(node["pattern"])[0])
    return ""


def _is_single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    return _written(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


# ---- patterns --------------------------------------------------------------------------------------------------------


def _fixed_in(pattern: Any) -> tuple[list[str], int]:
    """What a pattern fixes: texts, and the most digits that one way through it has. Raises Extracts."""
    if not isinstance(pattern, str) or len(pattern) > _MOST_PATTERN or _nested(pattern) > _MOST_NESTED:
        raise Extracts
    try:
        # a property of Unicode is a class like any other, and is written `(?<` where we have `(?P<`
        spelled = _PROPERTY_CLASS.sub(lambda m: r"\w" if m[0][1:2] in ("p", "P") and len(m[0]) > 2 else m[0], pattern)
        parsed = sre_parser.parse(re.sub(r"\(\?<(?![=!])", "(?P<", spelled))
        texts, digits = [text.strip() for text in _texts(parsed)], _digits(parsed)
    except (re.error, RecursionError, OverflowError, ValueError):
        raise Extracts from None
    return [text for text in texts if text], digits


def _nested(pattern: str) -> int:
    depth = deepest = 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest


def _inner(operation: Any, argument: Any) -> list[Any]:
    """The patterns inside a node that stand one behind the other; those of a branch one beside the other."""
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return [argument[2]]
    if operation is sre.SUBPATTERN:
        return [argument[3]]
    if operation in (sre.ASSERT, sre.ASSERT_NOT):
        return [argument[1]]
    if operation is sre.ATOMIC_GROUP:
        return [argument]
    if operation is sre.BRANCH:
        return list(argument[1])
    if operation is sre.GROUPREF_EXISTS:
        return [part for part in argument[1:] if part is not None]
    return []


def _character(operation: Any, argument: Any) -> str:
    """The one character that a node stands for, or one of few digits; a space where it leaves more open."""
    if operation is sre.GROUPREF:  # says a part again, however often
        raise Extracts
    if operation is sre.LITERAL:
        return chr(argument)
    if operation is sre.IN:
        members = [chr(code) for code in _members(argument)]
        if members and (len(members) == 1 or (len(members) <= _FEW_DIGITS and all(map(str.isdecimal, members)))):
            return members[0]
    return " "


def _members(argument: Any) -> list[int]:
    """The characters of a class that has few; none of one that has many."""
    members: list[int] = []
    for operation, value in argument:
        if operation is sre.LITERAL:
            members.append(value)
        elif operation is sre.RANGE and value[1] - value[0] < _FEW_DIGITS:
            members += range(value[0], value[1] + 1)
        else:
            return []
    return members


def _times(operation: Any, argument: Any) -> int:
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return min(max(int(argument[0]), 1), _MOST_REPEATED)
    return 1


def _digits(parsed: Any) -> int:
    count = 0
    for operation, argument in parsed:
        inner = [_digits(part) for part in _inner(operation, argument)]
        if operation is sre.BRANCH:
            count += max(inner)
        elif inner:
            count += _times(operation, argument) * sum(inner)
        else:
            count += digits_in(_character(operation, argument))
    return count


def _texts(parsed: Any) -> list[str]:
    """What is fixed one behind the other as one text; each branch as one of its own."""
    line, apart = [], []
    for operation, argument in parsed:
        inner = [_texts(part) for part in _inner(operation, argument)]
        if operation is sre.BRANCH:
            apart += [text for texts in inner for text in texts]
            line.append(" ")
        elif inner:
            for texts in inner:
                line.append((texts[0] * _times(operation, argument))[:_MOST_TEXT])
                apart += texts[1:]
        elif operation is not sre.AT:
            line.append(_character(operation, argument))
    return ["".join(line)[:_MOST_TEXT], *apart]
