"""Bytes to a JSON object, strictly. What two parsers could read differently is refused: the engine has another one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway.errors import BadJson, OverLimit

MIN_INT, MAX_INT = -(2**63), 2**64 - 1  # what every JSON encoder on the way can write
MAX_INT_CHARS: Final = 20

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """`depth`: a JSON schema in a tool is about ten deep; recursion in parsers and templates ends far above. `values`:
    of objects, arrays and what is in them; a hundred tools have some ten thousand."""

    depth: int = 64
    values: int = 100_000


DEFAULT_BOUNDS: Final = BodyBounds()


def parse_object(raw_body: bytes, bounds: BodyBounds = DEFAULT_BOUNDS) -> Json:
    """The body as an object.

    Raises BadJson: not UTF-8, not JSON (NaN and Infinity are not), no object, a key twice, a number that is not finite
    or has more than 64 bits, half of a surrogate pair. OverLimit: deeper or of more values than the bounds.
    """
    value = _parse(raw_body)
    if not isinstance(value, dict):
        raise BadJson("not_object")
    containers = raw_body.count(b"{") + raw_body.count(b"[")
    if containers > bounds.depth and _depth(value, bounds.depth) > bounds.depth:
        raise OverLimit("depth")
    if containers + raw_body.count(b",") >= bounds.values and _values(value) > bounds.values:
        raise OverLimit("values")
    if _SURROGATE.search(raw_body):
        _refuse_lone_surrogates(value)
    return value


def _parse(raw_body: bytes) -> Any:
    try:
        return _DECODER.decode(raw_body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadJson("not_utf8") from None
    except RecursionError:
        raise OverLimit("depth") from None
    except ValueError:  # the decoder's own; it carries the text, so it goes no further
        raise BadJson("not_json") from None


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("duplicate_key")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_INT_CHARS or not MIN_INT <= (value := int(text)) <= MAX_INT:
        raise BadJson("number")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadJson("number")
    return value


def _no_constant(_name: str) -> NoReturn:
    raise BadJson("number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_no_constant
)


def _depth(value: Any, enough: int) -> int:
    """How deep containers are nested; counting stops one above `enough`."""
    depth, level = 0, [value]
    while level and depth <= enough:
        level = [child for parent in level for child in _children(parent)]
        depth += 1
    return depth


def _values(value: Any) -> int:
    """How many there are, itself among them."""
    count, level = 1, [value]
    while level:
        count += sum(map(len, level))
        level = [child for parent in level for child in _children(parent)]
    return count


def _children(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return (child for child in inner if isinstance(child, dict | list))


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadJson("surrogate") from None
