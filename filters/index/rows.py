"""The rows of a fine-tuning set: what each says, whose it is, and who may see it.

JSONL in UTF-8, an object a line, or Parquet. A row has `messages` (chat), `text`, or `prompt` and `completion`; of
several all count. Of a message every text counts: content (a string or text parts), reasoning, refusal, tool names and
arguments.

A row is refused, and with it the whole set, if it can't be read or if what it lacks was not provided for: a missing
field must not publish data. What a row holds stands in no error, only where it stands.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

MAX_ROW_BYTES: Final = 16 * 2**20  # a longer line is no conversation but a file without line ends
PARQUET_SUFFIX: Final = ".parquet"
MAX_AUDIENCES: Final = 255

# Members of a message that name its parts and are no text of it, and those that hold pictures and sound.
_NOT_TEXT: Final = frozenset({"role", "type", "id", "tool_call_id", "image_url", "input_audio", "file"})


class NoSubject(enum.StrEnum):
    """What a row without a subject is."""

    PRIVATE = "private"  # of somebody, and all of them of the same: never enough to count as many
    PUBLIC = "public"  # told to everybody: as good as many subjects


class SourceError(Exception):
    """The set can't be used. The message says where, and holds nothing of what stands there."""


class RowError(Exception):
    """This row can't be used; where it stands is for the caller to add."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a row says whose it is and who may see it, and what holds where it does not.

    `audiences` are all there are, the lowest (whom everybody belongs to) first. Field names may lead into nested
    objects with dots. `aliases` gives for an id the one that stands for the person.
    """

    audiences: tuple[str, ...]
    subject: str | None = None
    no_subject: NoSubject | None = None
    audience: str | None = None
    no_audience: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not all(self.audiences) or not self.audiences or len(set(self.audiences)) < len(self.audiences):
            raise ValueError("audiences must be named, each once")
        if len(self.audiences) > MAX_AUDIENCES:
            raise ValueError(f"there can be at most {MAX_AUDIENCES} audiences")
        if self.no_audience is not None and self.no_audience not in self.audiences:
            raise ValueError("the audience of rows without one is none of the audiences")
        if self.subject is None and self.no_subject is None:
            raise ValueError("a set without a subject field needs to be told what its rows are: private or public")
        if self.audience is None and self.no_audience is None:
            raise ValueError("a set without an audience field needs to be told its audience")


@dataclass(frozen=True, slots=True)
class Row:
    """Its texts, apart from each other; its subject, or None; the number of its audience, 0 being the lowest."""

    raw_texts: tuple[str, ...]
    subject: str | None
    audience: int


def decode_row(raw_line: bytes, fields: Fields) -> Row:
    """Raises RowError."""
    if len(raw_line) > MAX_ROW_BYTES:
        raise RowError(f"is longer than {MAX_ROW_BYTES} bytes")
    try:
        members = msgspec.json.decode(raw_line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # their texts may quote the line
        members = None
    if not isinstance(members, dict):
        raise RowError("is not a JSON object in UTF-8")
    return read_row(members, fields)


def read_row(members: Mapping[str, Any], fields: Fields) -> Row:
    """Raises RowError."""
    try:
        raw_texts = tuple(_row_texts(members))
    except RecursionError:
        raise RowError("is nested too deep") from None
    return Row(raw_texts, _subject(members, fields), _audience(members, fields))


# ---- texts -----------------------------------------------------------------------------------------------------------


def _row_texts(members: Mapping[str, Any]) -> Iterator[str]:
    messages, text = members.get("messages"), members.get("text")
    prompt, completion = members.get("prompt"), members.get("completion")
    if messages is None and text is None and completion is None:
        raise RowError('has neither "messages" nor "text" nor "prompt" and "completion"')
    if messages is not None:
        yield from _messages(messages)
    if text is not None:
        if not isinstance(text, str):
            raise RowError('has a "text" that is no string')
        yield text
    if isinstance(prompt, str) and isinstance(completion, str):
        yield prompt + completion  # as it is trained: a value may begin in one and end in the other
    elif completion is not None:
        yield from _messages(prompt or [])
        yield from _messages(completion)


def _messages(messages: object) -> Iterator[str]:
    if isinstance(messages, str):
        yield messages
        return
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise RowError("has messages that are no list of objects")
    for message in messages:
        yield from _strings(message)


def _strings(value: object) -> Iterator[str]:
    """Every text of a message, in fields that we never heard of too: they are trained as well."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NOT_TEXT:
                yield from _strings(item)


# ---- whose, and for whom ---------------------------------------------------------------------------------------------


def _subject(members: Mapping[str, Any], fields: Fields) -> str | None:
    value = _member(members, fields.subject)
    if value is None or value == "":
        if fields.no_subject is None:
            raise RowError("has no subject, and nothing says what such rows are (private or public)")
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise RowError("has a subject that is neither a text nor a whole number")
    name = str(value).strip()
    return fields.aliases.get(name, name)


def _audience(members: Mapping[str, Any], fields: Fields) -> int:
    value = _member(members, fields.audience)
    if value is None:
        value = fields.no_audience
        if value is None:
            raise RowError("has no audience, and nothing says which such rows have")
    if value not in fields.audiences:
        raise RowError("has an audience that is none of those that were named")
    return fields.audiences.index(value)


def _member(members: Mapping[str, Any], path: str | None) -> object:
    if path is None:
        return None
    value: object = members
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def read_aliases(path: Path) -> dict[str, str]:
    """For every id of a person with several the first of them. The file: one JSON list of ids a line, a person each.

    Raises SourceError, also where an id stands on two lines.
    """
    first: dict[str, str] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            ids = _alias_line(line, f"{path}:{number}")
            if not first.keys().isdisjoint(ids):
                raise SourceError(f"{path}:{number}: has an id that stands on another line too; put them on one")
            first.update(dict.fromkeys(ids, ids[0]))
    return first


def _alias_line(line: bytes, place: str) -> list[str]:
    try:
        ids = msgspec.json.decode(line, type=list[str | int])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        ids = []
    if not ids or any(not str(i).strip() for i in ids):
        raise SourceError(f"{place}: is not a JSON list of ids, all of one person")
    return [str(i).strip() for i in ids]
