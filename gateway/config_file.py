"""YAML files that people write: read strictly, and explained by file, line and key when they are wrong.

Differs from plain PyYAML: only `true` and `false` are booleans (a profile may be called `off`), dates stay text, a key
that stands twice in one mapping is refused. An explanation never quotes a value: it might be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

MAX_FILE_BYTES: Final = 1 << 20  # far above any policy; a wrong path (a log, a model) fails at once
MAX_DEPTH: Final = 32  # levels; a configuration has six
MAX_PLACES: Final = 200_000  # keys and list entries, each as often as aliases repeat it

Location = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where."""

    file: str
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigError(Exception):
    """A configuration that can't be used. Stops the start; its text may be shown to the operator."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content, with the line of each key and list entry."""

    path: Path
    raw: bytes
    data: Mapping[str, Any]
    lines: Mapping[Location, int]

    def problem(self, location: Sequence[str | int], text: str) -> Problem:
        """At the nearest place that exists: a missing key is reported on the line of what should have it."""
        path = tuple(location)
        while path and path not in self.lines:
            path = path[:-1]
        return Problem(str(self.path), self.lines.get(path), dotted(location), text)

    def error(self, location: Sequence[str | int], text: str) -> ConfigError:
        return ConfigError(self.problem(location, text))


def read(path: Path) -> Document:
    """Raises ConfigError: not there, too large, not UTF-8, not YAML, not a mapping, a key twice."""
    raw = read_bytes(path, MAX_FILE_BYTES)
    node = _compose(path, raw)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(Problem(str(path), 1, "", "must be a mapping of keys to values"))
    lines: dict[Location, int] = {}
    _note_lines(path, node, (), lines)
    return Document(path, raw, _construct(path, node), lines)


def read_bytes(path: Path, limit: int) -> bytes:
    """Raises ConfigError when there is no such file, or it has more than `limit` bytes."""
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None
    except ValueError:  # a zero byte in it, or half a character
        raise ConfigError(Problem(ascii(str(path)), None, "", "is not a file's name")) from None
    if len(raw) > limit:
        raise ConfigError(Problem(str(path), None, "", f"is larger than {limit} bytes"))
    return raw


def check(model: type[ModelT], document: Document) -> ModelT:
    """The document as a model. Raises ConfigError with every problem in it."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(*problems(error, document)) from None


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """Each of pydantic's complaints, without the values that they complain about."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [document.problem(detail["loc"], complaint(detail["type"], detail["msg"])) for detail in details]


def complaint(kind: str, message: str) -> str:
    """Pydantic's text in our words; its own texts state what was expected and not what was found."""
    if kind == "extra_forbidden":
        return "is not a known key"
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def dotted(location: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


# ---- YAML ------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of plain values: no yes/no/on/off, no dates, no base-60 numbers."""


_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [(tag, regexp) for tag, regexp in resolvers if tag.rsplit(":", 1)[1] in {"null", "merge"}])
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z"),
    list("-+.0123456789"),
)


def _compose(path: Path, raw: bytes) -> yaml.Node | None:
    text = _text(path, raw)
    try:
        return yaml.compose(text, _Loader)
    except yaml.YAMLError as error:  # its own text may quote what it met
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(Problem(str(path), mark.line + 1 if mark else None, "", "is not valid YAML")) from None
    except RecursionError:
        raise ConfigError(Problem(str(path), None, "", "is nested too deep")) from None


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), None, "", "is not UTF-8")) from None


def _construct(path: Path, node: yaml.Node) -> Mapping[str, Any]:
    try:
        data: Mapping[str, Any] = _Loader("").construct_document(node)
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        AttributeError,
    ):  # a tag that does not fit its value, a huge number
        raise ConfigError(Problem(str(path), None, "", "is not valid YAML")) from None
    return data


def _note_lines(path: Path, node: yaml.Node, at: Location, lines: dict[Location, int]) -> None:
    if len(lines) > MAX_PLACES:
        raise ConfigError(Problem(str(path), node.start_mark.line + 1, "", f"has more than {MAX_PLACES} places"))
    if len(at) > MAX_DEPTH:
        raise ConfigError(Problem(str(path), node.start_mark.line + 1, "", "is nested too deep, or refers to itself"))
    if isinstance(node, yaml.MappingNode):
        _note_mapping(path, node, at, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            lines[(*at, index)] = entry.start_mark.line + 1
            _note_lines(path, entry, (*at, index), lines)


def _note_mapping(path: Path, node: yaml.MappingNode, at: Location, lines: dict[Location, int]) -> None:
    seen: set[str] = set()
    for key, value in node.value:
        name = _key(path, key)
        if name in seen:
            raise ConfigError(Problem(str(path), key.start_mark.line + 1, dotted((*at, name)), "stands here twice"))
        seen.add(name)
        lines[(*at, name)] = key.start_mark.line + 1
        _note_lines(path, value, (*at, name), lines)


def _key(path: Path, key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise ConfigError(Problem(str(path), key.start_mark.line + 1, "", "a key must be text"))
    if key.tag != "tag:yaml.org,2002:merge":
        key.tag = "tag:yaml.org,2002:str"  # a key is its text, also when it looks like a number or a boolean
    return str(key.value)
