"""What a JSON schema makes an answer hold: the literals of its rules, wherever in the document they stand.

A caller who can't read a value in an answer may still have the model choose it: an `enum` of candidates, a `pattern`
with most of a number in it, bounds that are halved with each request. Read are `enum`, `const`, `pattern`, numeric and
length bounds, and the names that properties may or must have. Descriptions, titles, defaults and examples force
nothing. The rules:

1. The whole document counts, since `$ref` may point anywhere in it: what stands under an unknown word is read as a
   schema too. A word that takes a schema's name in a table of schemas is a name there, unless a reference means the
   table itself. A reference that leads out of the document, or nowhere, is refused.
2. Four digits in a value or a pattern are too many, together and in any script, also as words; they may stand apart,
   and in several places of a value that is a list or an object. A bound may have three that count: zeros at its end
   don't, nor what one more or less would make zeros, nor powers of two.
3. Values that stand side by side and leave no choice (each entry of `prefixItems`, each property, each branch of
   `allOf`), however deep, are read together as well.
4. Of a pattern what is fixed counts: characters outside of classes, classes that take up to three digits, whatever else
   they take, as often as they must come. What can't be read can't be told to be harmless.
5. A name may have six digits: `sha256`, `iso_8601`. A schema has few of those that have four.

What the literals say, beside their digits, is for detectors and the tuning index (gateway/shaping.py).
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from re import _constants as sre  # type: ignore[attr-defined]  # the only parser of patterns that Python has
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Final
from urllib.parse import unquote

from filters.json_schema import Schema, Unreadable

MOST_DIGITS: Final = 3  # of a value
MOST_DIGITS_OF_NAMES: Final = 6
MOST_LITERALS: Final = 4096  # different ones in a request: about a second of detection
MOST_CHARACTERS: Final = 65_536  # of them all
MOST_OF_PATTERNS: Final = 16_384  # characters of all patterns: a quarter of a second of parsing
MOST_NUMBERED: Final = 16  # names with four digits or more: ten years' columns are fewer, candidates are more
_FEW_DIGITS: Final = 3  # a class of so many leaves little open
_MOST_REPEATED: Final = 16
_MOST_TEXT: Final = 256  # of what repetitions come to
_MOST_TOGETHER: Final = 4096  # characters of what is read together
_WIDE: Final = 256  # characters of a range that is looked at one by one
_MOST_PATTERN: Final = 4096
_MOST_NESTED: Final = 24  # groups in groups: parsing takes the square of it
_MOST_FOLLOWED: Final = 96  # schemas in schemas, and references one behind the other

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
# Those of every spelling (壹, 參, 幺); between two of them may stand units (一千三百八十二) and signs.
_CHINESE_DIGITS: Final = "".join(
    char for char in map(chr, range(0x3007, 0xFAFF)) if 0 <= unicodedata.numeric(char, -1) < 10 and char.isalpha()
)
_SEVERAL_CHINESE: Final = re.compile(rf"[{_CHINESE_DIGITS}○](?:[十百千万亿拾佰仟萬億\W_]{{0,3}}[{_CHINESE_DIGITS}○])+")
_CHINESE_DIGIT: Final = re.compile(f"[{_CHINESE_DIGITS}○]")
_ONES: Final = r"(?:zero|one|two|three|four|five|six|seven|eight|nine|nought|naught|oh)"
_DIGIT_WORDS: Final = re.compile(
    rf"(?P<glued>{_ONES}{{4,}})|(?<![a-z])(?:"
    rf"(?P<ten>ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)"
    rf"|(?P<tens>twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)|{_ONES})(?![a-z])",
    re.IGNORECASE,
)
_TENS_ALONE: Final = re.compile(rf"(?![-_ ]?{_ONES}(?![a-z]))", re.IGNORECASE)
_PROPERTY_CLASS: Final = re.compile(r"\\(?:[pP]\{[^{}]*\}|.)", re.DOTALL)
# Comments, and what makes spaces and signs mean nothing.
_COMMENTED: Final = re.compile(r"(?<!\\)\(\?(?:#|[A-Za-z-]*x)")
# Classes, none of them twice; sets that are made of two (engines of Rust read `[0-9&&[1]]`).
_CLASSES: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*", re.DOTALL)
_OF_TWO: Final = re.compile(r"\[.*(?:&&|~~|--)", re.DOTALL)
_ALL_DIGITS: Final = frozenset("0123456789")
_CATEGORIES: Final = dict.fromkeys((sre.CATEGORY_DIGIT, sre.CATEGORY_WORD, sre.CATEGORY_NOT_SPACE), _ALL_DIGITS)
# A nested set means the same to us and to those that know them; Python only says that it may not for ever.
warnings.filterwarnings("ignore", message="Possible nested set", category=FutureWarning)


# Of grammars: names of rules, counts and classes; whole texts; whatever else stands there.
_GRAMMAR: Final = re.compile(  # whose last text or class may have no end
    r"\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|/(?:\\.|[^/\\\n])+/?|(?P<class>\[(?:\\.|[^\]\\])*\]?)"
    r"|(?P<count>\{[\d,\s]*\})|(?P<rule>[A-Za-z_][\w-]*)|[^\s\"'/\[{A-Za-z_]+|\S"
)
_TOKEN_IDS: Final = re.compile(r"<\[")  # of llguidance
_UNFOLLOWED: Final = frozenset({"$dynamicRef", "$recursiveRef"})

_ENGINES: Final = "x-guidance"  # patterns between all tokens

_Fixed = tuple[list[str], int]  # texts, and the most digits that one way through has


class Extracts(Exception):
    """A schema that holds too many digits, or that can't be read. Carries no text."""


class TooMuch(Exception):
    """More literals than are looked at."""


@dataclass(slots=True)
class Literals:
    """Of one request."""

    values: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    numbered: set[str] = field(default_factory=set)  # names with more digits than a value may have
    patterns: dict[str, _Fixed] = field(default_factory=dict)

    def add_value(self, text: str) -> None:
        """Raises Extracts."""
        if digits_in(text) > MOST_DIGITS:
            raise Extracts
        self._add(self.values, text)

    def add_name(self, text: str) -> None:
        """Raises Extracts."""
        if (digits := digits_in(text)) > MOST_DIGITS_OF_NAMES:
            raise Extracts
        if digits > MOST_DIGITS:
            self.numbered.add(text)
            if len(self.numbered) > MOST_NUMBERED:
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
        texts, digits = self.read_pattern(pattern)
        if digits > MOST_DIGITS or any(digits_in(text) > MOST_DIGITS for text in texts):
            raise Extracts
        for text in texts:
            self._add(self.values, text)

    def read_pattern(self, pattern: Any) -> _Fixed:
        """What it fixes; parsed once. Raises Extracts, TooMuch."""
        if not isinstance(pattern, str):
            raise Extracts
        if pattern not in self.patterns:
            if len(pattern) + sum(map(len, self.patterns)) > MOST_OF_PATTERNS:
                raise TooMuch
            self.patterns[pattern] = _fixed_in(pattern)
        return self.patterns[pattern]

    def add_schema(self, schema: Mapping[str, Any]) -> None:
        """Everything in this document. Raises Extracts, TooMuch."""
        together = _Together(Schema(schema), self)
        waiting: list[Any] = [schema]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting += node
            elif isinstance(node, dict) and id(node) not in seen:
                seen.add(id(node))
                together.fixed(node)
                for word, value in node.items():
                    waiting += [together.resolve(value)] if word == "$ref" else self._word(word, value)

    def add_grammar(self, grammar: str) -> None:
        """Of a grammar every digit counts that stands in no name of a rule, no count and no class of many. Raises
        Extracts."""
        if _TOKEN_IDS.search(grammar):
            raise Extracts
        said = [match[0] for match in _GRAMMAR.finditer(grammar) if match.lastgroup is None]
        classes = [match[0] for match in _GRAMMAR.finditer(grammar) if match.lastgroup == "class"]
        if digits_in(" ".join(said)) + sum(self.read_pattern(each)[1] for each in classes) > MOST_DIGITS:
            raise Extracts
        for line in grammar.splitlines():
            self._add(self.values, " ".join(match[0] for match in _GRAMMAR.finditer(line) if match.lastgroup is None))

    def _word(self, word: str, value: Any) -> Iterator[Any]:
        """What one word of a schema says; yields the schemas in it."""
        if word in _VALUES:
            self._add_all(value)
            for whole in value if word == "enum" and isinstance(value, list) else [value]:
                if isinstance(whole, list | dict):
                    self.add_value(_scalars(whole))
        elif word == "pattern":
            if not isinstance(value, dict | list):
                self.add_pattern(value)
        elif word in _BOUNDS:
            self.add_bound(value)
        elif word == "required":
            self._add_all(value, named=True)
        elif word.startswith(_ENGINES) or (word in _UNFOLLOWED and isinstance(value, str)):
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

    def _add(self, texts: set[str], text: str) -> None:
        texts.add(text)
        if len(self.values) + len(self.names) > MOST_LITERALS:
            raise TooMuch


# ---- digits ----------------------------------------------------------------------------------------------------------


def digits_in(text: str) -> int:
    """Digits of every script, English ones in words, and Chinese numerals of which at least two stand together."""
    plain = unicodedata.normalize("NFKC", text)
    signs = sum(char.isdigit() or _is_counting_sign(char) for char in plain)
    chinese = sum(len(_CHINESE_DIGIT.findall(run[0])) for run in _SEVERAL_CHINESE.finditer(plain))
    return signs + chinese + sum(map(_digits_of_word, _DIGIT_WORDS.finditer(plain)))


def _is_counting_sign(char: str) -> bool:
    """Numbers that are no digits: 〡, Ⅳ (which NFKC makes letters of), ⓿."""
    return unicodedata.category(char) in ("Nl", "No") and 0 <= unicodedata.numeric(char, -1) < 10


def _digits_of_word(match: re.Match[str]) -> int:
    if match["glued"]:
        return MOST_DIGITS + 1
    return 2 if match["ten"] or (match["tens"] and _TENS_ALONE.match(match.string, match.end())) else 1


def _written(value: float) -> str:
    if abs(value) >= 1e40:
        return repr(value)
    return str(int(value)) if float(value).is_integer() else format(Decimal(repr(value)), "f")


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


@dataclass(slots=True)
class _Together:
    """What a schema fixes of a document, each node read once."""

    resolver: Schema
    literals: Literals
    _known: dict[int, str] = field(default_factory=dict)
    _depth: int = 0

    def fixed(self, node: Any) -> str:
        """All that a schema leaves no choice of; "" of one that is being read. Raises Extracts, TooMuch."""
        if not isinstance(node, dict):
            return ""
        if id(node) not in self._known:
            self._known[id(node)] = ""
            self._depth += 1
            if self._depth > _MOST_FOLLOWED:
                raise Extracts
            self._known[id(node)] = self._joined([text for text in self._parts(node) if text])
            self._depth -= 1
        return self._known[id(node)]

    def resolve(self, reference: Any) -> Any:
        """Raises Extracts."""
        if not isinstance(reference, str):  # a member of that name
            return reference
        for spelled in (reference, unquote(reference)):
            try:
                return self.resolver.resolve(spelled)
            except Unreadable:
                continue
        raise Extracts

    def _joined(self, texts: list[str]) -> str:
        whole = " ".join(texts)[:_MOST_TOGETHER]
        if len(texts) > 1:
            self.literals.add_value(whole)
        return whole

    def _parts(self, node: Mapping[str, Any]) -> Iterator[str]:
        yield self._own(node)
        if isinstance(node.get("$ref"), str):
            yield self.fixed(self.resolve(node["$ref"]))
        for word in ("anyOf", "oneOf"):
            if _is_single(node.get(word)):
                yield self.fixed(node[word][0])
        for word in _SIDE_BY_SIDE:
            inner = node.get(word)
            for entry in inner if isinstance(inner, list) else ():
                yield self.fixed(entry)
        if isinstance(node.get("properties"), dict):
            for entry in node["properties"].values():
                yield self.fixed(entry)
        yield self.fixed(node.get("items"))

    def _own(self, node: Mapping[str, Any]) -> str:
        if "const" in node:
            return _scalars(node["const"])
        if _is_single(node.get("enum")):
            return _scalars(node["enum"])
        low, high = node.get("minimum"), node.get("maximum")
        if low is not None and low == high:
            return _scalars(low)
        if isinstance(node.get("pattern"), str):
            return " ".join(self.literals.read_pattern(node["pattern"])[0])
        return ""


def _is_single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _scalars(value: Any) -> str:
    """All scalars in a value, one behind the other; switches and null say nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return "" if isinstance(value, bool) else _written(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return " ".join(text for text in map(_scalars, inner) if text)


# ---- patterns --------------------------------------------------------------------------------------------------------


def _fixed_in(pattern: str) -> _Fixed:
    """What a pattern fixes: texts, and the most digits that one way through it has. Raises Extracts."""
    if len(pattern) > _MOST_PATTERN or _nested(pattern) > _MOST_NESTED or _COMMENTED.search(pattern):
        raise Extracts
    if any(_OF_TWO.match(found[0]) for found in _CLASSES.finditer(pattern)):
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
        digits = _digits_of_class(argument)
        if 1 <= len(digits) <= _FEW_DIGITS:
            return min(digits)
        if len(argument) == 1 and argument[0][0] is sre.LITERAL:
            return chr(argument[0][1])
    return " "


def _digits_of_class(argument: Any) -> frozenset[str]:
    """Which digits a class takes, those of other scripts as ours."""
    digits: frozenset[str] = frozenset()
    for operation, value in argument:
        if operation is sre.LITERAL:
            digits |= _as_digits(value, value)
        elif operation is sre.RANGE:
            digits |= _as_digits(*value)
        elif operation is sre.CATEGORY:
            digits |= _CATEGORIES.get(value, frozenset())
    return _ALL_DIGITS - digits if argument[0][0] is sre.NEGATE else digits


def _as_digits(first: int, last: int) -> frozenset[str]:
    if last - first >= _WIDE:  # of one that spans scripts
        return frozenset(digit for digit in _ALL_DIGITS if first <= ord(digit) <= last)
    return frozenset(str(unicodedata.digit(char)) for char in map(chr, range(first, last + 1)) if char.isdigit())


def _times(operation: Any, argument: Any) -> int:
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return min(max(int(argument[0]), 1), _MOST_REPEATED)
    return 1


def _digits(parsed: Any) -> int:
    count = 0
    for operation, argument in parsed:
        if operation is sre.ASSERT_NOT:  # what it forbids may leave few digits open
            count += _digits_left(argument[1])
        inner = [_digits(part) for part in _inner(operation, argument)]
        if operation is sre.BRANCH:
            count += max(inner)
        elif inner:
            count += _times(operation, argument) * sum(inner)
        else:
            count += digits_in(_character(operation, argument))
    return count


def _digits_left(forbidden: Any) -> int:
    return sum(
        1 for operation, argument in forbidden if operation is sre.IN and 10 > len(_digits_of_class(argument)) > 6
    )


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
