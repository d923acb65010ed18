"""What a JSON schema asks of one place in a document, so that what is hidden there can be replaced by what fits.

Schemas come with the request; they are read as JSON Schema 2020-12 with what older drafts write otherwise. Only keys
and scalars are ever replaced, so only what speaks of those is read. The rules:

1. A place has every sub-schema that may speak of it: `$ref` into the same document is followed, and of `allOf`,
   `anyOf`, `oneOf`, `if`, `then`, `else`, `not`, `contains` and dependent schemas all branches count, since which one
   the document takes is not known while it streams.
2. A replacement is accepted by each of them that accepted the original, so that what was valid stays so. Below `oneOf`,
   `not`, `if` and `contains`, where accepting more may break the document, it is refused by those that refused it too.
   What all accept, also those that the original broke, is preferred.
3. What can't be read (a reference elsewhere, a pattern that is none or takes too long, more than MOST_SCHEMAS
   sub-schemas at one place) accepts no replacement at all.
4. Candidates for a number are null, 0 and what lies nearest the schema's own bounds, never anything made of the
   original; for a string its filtered text, then a placeholder that is cut or filled up to the length asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise
from typing import Any

import regex

MOST_SCHEMAS = 256  # that speak of one place; a union of many tools' arguments has some dozens
MOST_EXPONENT = 400  # beyond a double's; exact arithmetic on more would take memory, not sense
_MOST_NESTED = 32  # schemas inside schemas for one scalar
_MOST_EDGES = 16
_MOST_STEPS = 4
_PATTERN_SECONDS = 0.05
_MOST_SLOW_PATTERNS = 3  # after so many time-outs no pattern of the schema is tried again
PLACEHOLDER = "[HIDDEN]"
_FILL = "*"

Scalar = str | Fraction | None
Node = tuple[Any, bool]  # a sub-schema, and whether it must go on refusing what it refused


class Unreadable(Exception):
    """A schema that can't be followed. Never carries text."""


class Schema:
    """One schema document."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._expanded: dict[tuple[int, bool], tuple[Node, ...]] = {}
        self._slow_patterns = 0

    def top(self) -> Place:
        """The place of the document itself."""
        return self.place([(self._root, False)])

    def place(self, nodes: Sequence[Node]) -> Place:
        """The place of which these speak."""
        try:
            return Place(self, tuple(nodes), tuple(self._expand(nodes)))
        except Unreadable:
            return Place(self, fixed=True)

    def _expand(self, nodes: Sequence[Node]) -> Iterable[Node]:
        """These and all that stand in them for the same place; booleans, which say nothing of it, left out."""
        found: dict[tuple[int, bool], Node] = {}
        for node, exact in nodes:
            for entry in self._expand_one(node, exact):
                found[id(entry[0]), entry[1]] = entry
            if len(found) > MOST_SCHEMAS:
                raise Unreadable
        return found.values()

    def _expand_one(self, node: Any, exact: bool) -> tuple[Node, ...]:
        key = id(node), exact
        if key not in self._expanded:
            found: dict[tuple[int, bool], Node] = {}
            waiting = [(node, exact)]
            while waiting and len(found) <= MOST_SCHEMAS:
                current = waiting.pop()
                if isinstance(current[0], dict) and (id(current[0]), current[1]) not in found:
                    found[id(current[0]), current[1]] = current
                    waiting.extend(self._branches(*current))
            self._expanded[key] = tuple(found.values())
        return self._expanded[key]

    def _branches(self, node: dict[str, Any], exact: bool) -> Iterator[Node]:
        if not _UNFOLLOWED.isdisjoint(node):
            raise Unreadable
        if "$ref" in node:
            yield self.resolve(node["$ref"]), exact
        for word in ("allOf", "anyOf", "oneOf"):
            yield from ((branch, exact or word == "oneOf") for branch in _list(node.get(word)))
        for word in ("then", "else", "if", "not"):
            if word in node:
                yield node[word], exact or word in ("if", "not")
        for word in ("dependentSchemas", "dependencies"):
            yield from ((branch, True) for branch in _dict(node.get(word)).values() if isinstance(branch, dict))

    def resolve(self, reference: Any) -> Any:
        """What a reference into this document means. Raises Unreadable."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise Unreadable
        current: Any = self._root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            try:
                current = current[int(name)] if isinstance(current, list) else current[name]
            except (KeyError, IndexError, ValueError, TypeError):
                raise Unreadable from None
        return current

    def finds(self, pattern: Any, text: str) -> bool:
        """Whether a pattern of the schema, which is not anchored, matches. Raises Unreadable."""
        if not isinstance(pattern, str) or self._slow_patterns >= _MOST_SLOW_PATTERNS:
            raise Unreadable
        try:
            return regex.search(pattern, text, timeout=_PATTERN_SECONDS) is not None
        except TimeoutError:
            self._slow_patterns += 1
            raise Unreadable from None
        except (regex.error, RecursionError, OverflowError, MemoryError):
            raise Unreadable from None


_UNFOLLOWED = frozenset({"$dynamicRef", "$recursiveRef"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands. Without a schema anything may stand anywhere."""

    schema: Schema | None = None
    nodes: tuple[Node, ...] = ()  # the sub-schemas that a value must pass
    speaking: tuple[Node, ...] = ()  # the same and all inside them that speak of this place
    fixed: bool = False  # rule 3, or inside a value that an enum or const gives whole

    def child(self, key: str) -> Place:
        """The place of a member of the object that stands here."""
        return self._inner(lambda schema, node: _under_key(schema, node, key))

    def item(self, index: int) -> Place:
        """The place of an entry of the array that stands here."""
        return self._inner(lambda _, node: _under_index(node, index))

    def _inner(self, step: Callable[[Schema, dict[str, Any]], Iterator[Node]]) -> Place:
        if self.schema is None or self.fixed:
            return self
        if any(_gives_whole(node) for node, _ in self.speaking):
            return Place(self.schema, fixed=True)
        try:
            below = [
                (inner, exact or strict) for node, exact in self.speaking for inner, strict in step(self.schema, node)
            ]
        except Unreadable:
            return Place(self.schema, fixed=True)
        return self.schema.place(below)

    # ---- what is asked here ------------------------------------------------------------------------------------------

    @property
    def wants_all_text(self) -> bool:
        """Whether a string that stands here must be known whole before any of it may be changed."""
        return self.fixed or any(not _TEXT_WORDS.isdisjoint(node) for node, _ in self.speaking)

    @property
    def wants_unique_items(self) -> bool:
        """Whether no two entries of an array that stands here may be equal."""
        return self.fixed or any(node.get("uniqueItems") for node, _ in self.speaking)

    def gives(self, value: Scalar) -> bool:
        """Whether an `enum` or `const` here has exactly this value."""
        return any(_same(member, value) for node, _ in self.speaking for member in _members(node))

    # ---- what fits here ----------------------------------------------------------------------------------------------

    def number(self, raw_number: str) -> str | None:
        """What is written instead of this number; None if nothing fits."""
        if self.schema is None:
            return "null"
        old = read_number(raw_number)
        if old is None:
            return None
        new = self._first(old, self._numbers())
        return None if new is _NOTHING else _written(new)

    def text(self, old: str, filtered: str) -> str | None:
        """What is written instead of this string, at best its filtered text; None if nothing fits."""
        if self.schema is None:
            return filtered
        new = self._first(old, self._texts(filtered))
        return new if isinstance(new, str) else None

    def renames(self, old: str, new: str) -> bool:
        """Whether this key of the object that stands here may be called so instead."""
        if self.schema is None:
            return True
        try:
            return not self.fixed and all(_renames(self.schema, node, old, new) for node, _ in self.speaking)
        except Unreadable:
            return False

    def _first(self, old: Scalar, candidates: Iterable[Any]) -> Any:
        """The first that all schemas accept, else the first by rule 2 alone; _NOTHING if there is none."""
        if self.fixed:
            return _NOTHING
        others = [new for new in candidates if new != old]
        try:
            best = (new for everywhere in (True, False) for new in others if self._accepts(old, new, everywhere))
            return next(best, _NOTHING)
        except Unreadable:
            return _NOTHING

    def _accepts(self, old: Scalar, new: Scalar, everywhere: bool) -> bool:
        assert self.schema is not None
        for node, exact in self.nodes:
            before, after = _judged(self.schema, node, old, new)
            if (before or (everywhere and not exact)) > after or (exact and before != after):
                return False
        return True

    def _numbers(self) -> Iterator[Fraction | None]:
        nodes = [node for node, _ in self.speaking]
        edges = {edge for node in nodes for word in _BOUNDS if (edge := _fraction(node.get(word))) is not None}
        steps = {step for node in nodes if (step := _fraction(node.get("multipleOf")))} | {Fraction(1)}
        nearest = sorted(edges, key=abs)[:_MOST_EDGES]
        between = [(low + high) / 2 for low, high in pairwise(sorted([*nearest, Fraction(0)]))]
        yield from (None, Fraction(0))
        for edge in [*nearest, *between]:
            yield edge
            for step in sorted(steps)[:_MOST_STEPS]:
                yield from (step * (edge // step + by) for by in (0, 1, -1))

    def _texts(self, filtered: str) -> Iterator[str]:
        nodes = [node for node, _ in self.speaking]
        least = max((_size(node.get("minLength"), 0) for node in nodes), default=0)
        most = min((_size(node.get("maxLength"), len(PLACEHOLDER)) for node in nodes), default=len(PLACEHOLDER))
        yield filtered
        if least <= _MOST_FILLED:
            yield PLACEHOLDER.ljust(least, _FILL) if most >= len(PLACEHOLDER) or least > most else _FILL * most


_NOTHING = object()
_MOST_FILLED = 4096
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_TEXT_WORDS = frozenset({"enum", "const", "pattern", "format", "minLength", "maxLength"})


# ---- inside containers -----------------------------------------------------------------------------------------------


def _under_key(schema: Schema, node: dict[str, Any], key: str) -> Iterator[Node]:
    covering = _covering(schema, node, key)
    yield from ((node[word][name], False) for word, name in covering)
    if not covering and "additionalProperties" in node:
        yield node["additionalProperties"], False
    if "unevaluatedProperties" in node:
        yield node["unevaluatedProperties"], True


def _covering(schema: Schema, node: dict[str, Any], key: str) -> list[tuple[str, str]]:
    """Which of the node's `properties` and `patternProperties` speak of this key. Raises Unreadable."""
    covering = [("properties", key)] if key in _dict(node.get("properties")) else []
    patterns = _dict(node.get("patternProperties"))
    return covering + [("patternProperties", pattern) for pattern in patterns if schema.finds(pattern, key)]


def _plain(node: dict[str, Any], *keys: str) -> bool:
    """Whether the node names none of these keys in a rule about which keys there are."""
    named = {*_list(node.get("required"))}
    for word in ("dependentRequired", "dependentSchemas", "dependencies"):
        for name, needed in _dict(node.get(word)).items():
            named |= {name, *_list(needed)}
    return named.isdisjoint(keys) and not any(key in _dict(node.get("properties")) for key in keys)


def _renames(schema: Schema, node: dict[str, Any], old: str, new: str) -> bool:
    if _covering(schema, node, old) != _covering(schema, node, new) or not _plain(node, old, new):
        return False
    return "propertyNames" not in node or _judged(schema, node["propertyNames"], old, new) == (True, True)


def _under_index(node: dict[str, Any], index: int) -> Iterator[Node]:
    items = node.get("items")
    first = items if isinstance(items, list) else _list(node.get("prefixItems"))
    rest = node.get("additionalItems") if isinstance(items, list) else items
    if index < len(first):
        yield first[index], False
    elif rest is not None:
        yield rest, False
    for word in ("contains", "unevaluatedItems"):
        if word in node:
            yield node[word], True


def _gives_whole(node: dict[str, Any]) -> bool:
    return any(isinstance(member, dict | list) for member in _members(node))


def _members(node: dict[str, Any]) -> list[Any]:
    return [*_list(node.get("enum")), *([node["const"]] if "const" in node else [])]


# ---- one scalar against one schema -----------------------------------------------------------------------------------


def _judged(schema: Schema, node: Any, old: Scalar, new: Scalar) -> tuple[bool, bool]:
    return _accepts(schema, node, old, _MOST_NESTED, formats=False), _accepts(schema, node, new, _MOST_NESTED)


def _accepts(schema: Schema, node: Any, value: Scalar, depth: int, *, formats: bool = True) -> bool:
    """Whether a value is valid. `formats`: it must also have the form that `format` names, which no original is asked.

    Raises Unreadable.
    """
    if isinstance(node, bool):
        return node
    if not isinstance(node, dict) or depth <= 0 or not _UNFOLLOWED.isdisjoint(node):
        raise Unreadable
    if not (_has_type(node, value) and _is_given(node, value)):
        return False
    if isinstance(value, str):
        fits = _fits_text(schema, node, value, formats=formats)
    else:
        fits = value is None or _fits_number(node, value)
    return fits and _fits_branches(schema, node, value, depth - 1, formats=formats)


def _fits_branches(schema: Schema, node: dict[str, Any], value: Scalar, depth: int, *, formats: bool) -> bool:
    def passes(branch: Any) -> bool:
        return _accepts(schema, branch, value, depth, formats=formats)

    if "$ref" in node and not passes(schema.resolve(node["$ref"])):
        return False
    if not all(passes(branch) for branch in _list(node.get("allOf"))):
        return False
    if "anyOf" in node and not any(passes(branch) for branch in _list(node["anyOf"])):
        return False
    if "oneOf" in node and sum(passes(branch) for branch in _list(node["oneOf"])) != 1:
        return False
    if "not" in node and passes(node["not"]):
        return False
    return "if" not in node or passes(node.get("then" if passes(node["if"]) else "else", True))


def _has_type(node: dict[str, Any], value: Scalar) -> bool:
    kinds = node.get("type")
    if kinds is None:
        return True
    if value is None:
        names = {"null"}
    elif isinstance(value, str):
        names = {"string"}
    else:
        names = {"number", "integer"} if value.denominator == 1 else {"number"}
    return not names.isdisjoint([kinds] if isinstance(kinds, str) else _list(kinds))


def _is_given(node: dict[str, Any], value: Scalar) -> bool:
    if "enum" in node and not any(_same(member, value) for member in _list(node["enum"])):
        return False
    return "const" not in node or _same(node["const"], value)


def _fits_text(schema: Schema, node: dict[str, Any], text: str, *, formats: bool) -> bool:
    if not _size(node.get("minLength"), 0) <= len(text) <= _size(node.get("maxLength"), len(text)):
        return False
    if "pattern" in node and not schema.finds(node["pattern"], text):
        return False
    return not formats or "format" not in node or _has_format(node["format"], text)


def _fits_number(node: dict[str, Any], number: Fraction) -> bool:
    least, most = _fraction(node.get("minimum")), _fraction(node.get("maximum"))
    over, under = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if (least is not None and (number < least or (over is True and number == least))) or (
        most is not None and (number > most or (under is True and number == most))
    ):
        return False
    lower, upper = _fraction(over), _fraction(under)
    if (lower is not None and number <= lower) or (upper is not None and number >= upper):
        return False
    step = _fraction(node.get("multipleOf"))
    return not step or number % step == 0


# Forms that a replacement can have; one with another name has none that we could answer for.
_FORMATS = {
    "email": r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}",
    "date": r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])",
    "ipv4": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}",
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
}


def _has_format(name: Any, text: str) -> bool:
    return isinstance(name, str) and name in _FORMATS and regex.fullmatch(_FORMATS[name], text) is not None


# ---- values ----------------------------------------------------------------------------------------------------------


def read_number(raw_number: str) -> Fraction | None:
    """A JSON number as it is written, exactly; None for one with an absurd exponent."""
    try:
        value = Decimal(raw_number)
    except InvalidOperation:
        return None
    return Fraction(value) if value.is_finite() and abs(value.adjusted()) <= MOST_EXPONENT else None


def _written(number: Fraction | None) -> str:
    if number is None:
        return "null"
    if number.denominator == 1:
        return str(number.numerator)
    return format(Decimal(number.numerator) / Decimal(number.denominator), "f")


def _fraction(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return read_number(repr(value))


def _same(member: Any, value: Scalar) -> bool:
    if isinstance(member, str) or member is None or isinstance(value, str) or value is None:
        return type(member) is type(value) and member == value
    return _fraction(member) == value


def _size(value: Any, otherwise: int) -> int:
    number = _fraction(value)
    return otherwise if number is None else int(number)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
