"""`tightlip filter`: standard input through the filters, as text or as JSONL, in bounded memory.

A text is read as it comes and written as it is decided. Of JSONL each line is a text of its own: an object with
"text" and, optionally, "own", a list of what the caller said himself. Other members are not carried over: nobody has
looked at them. A line that can't be read ends the run; what stood before it has been written.
"""

from __future__ import annotations

import codecs
import enum
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from filters.detectors import ProfileDetectors
from filters.evidence import Detector
from filters.offline import Filtered, Finding, TextFilter, filter_text, pieces
from filters.profile import Profile
from gateway.config_file import ConfigError, Problem
from gateway.names_engine import build_detectors
from gateway.policy.load import load
from gateway.policy.schema import DEFAULT_PROFILES
from gateway.settings import load as load_settings
from gateway.tenant_keys import MIN_MASTER_BYTES

READ_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 16 << 20  # of JSONL, which is read line by line; far above any answer
_BOM: Final = codecs.BOM_UTF8


class InputForm(enum.StrEnum):
    """How the input is read. `auto`: as JSONL if it begins with "{"."""

    AUTO = "auto"
    TEXT = "text"
    JSONL = "jsonl"


class InputError(Exception):
    """The input can't be read. Its text names a line and quotes nothing."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


@dataclass(frozen=True, slots=True)
class Options:
    """`as_json`: one object for each text, with its findings. `chunks`: in how many pieces a text is fed."""

    profile: Profile
    as_json: bool = False
    chunks: int = 1
    form: InputForm = InputForm.AUTO


def configured(config: Path | None, policy: Path | None) -> tuple[ProfileDetectors, Path | None]:
    """The server's detectors, and its policy if there is no other. Raises ConfigError."""
    settings = load_settings(config) if config else None
    detectors = build_detectors(settings.names_engine if settings else None)
    return detectors, policy or (settings.policy if settings else None)


def find_profile(policy: Path | None, name: str) -> Profile:
    """Raises ConfigError: a bad policy, or one without that profile."""
    rules = load(policy) if policy else None
    profiles = rules.profiles if rules else {key: p.profile(key) for key, p in DEFAULT_PROFILES.items()}
    if name not in profiles:
        place = str(policy) if policy else "without --policy"
        raise ConfigError(Problem(place, None, "", f"there is no such profile, only {', '.join(sorted(profiles))}"))
    return rules.profile(name, time.time()) if rules else profiles[name]


def run(source: BufferedReader, sink: BinaryIO, detector: Detector, options: Options) -> bool:
    """Filter all of `source` into `sink`; whether everything was filtered to its end, none of it stopped.

    Raises InputError; what was decided before has been written then.
    """
    key = secrets.token_bytes(MIN_MASTER_BYTES)  # pseudonyms are the same within a run
    if _is_jsonl(source, options.form):
        return _filter_lines(source, sink, detector, options, key)
    return _filter_whole(source, sink, TextFilter(detector, profile=options.profile, key=key), options)


def _is_jsonl(source: BufferedReader, form: InputForm) -> bool:
    if form is not InputForm.AUTO:
        return form is InputForm.JSONL
    return source.peek(1).removeprefix(_BOM).lstrip().startswith(b"{")


# ---- text ------------------------------------------------------------------------------------------------------------


def _filter_whole(source: BufferedReader, sink: BinaryIO, stream: TextFilter, options: Options) -> bool:
    writer = _JsonWriter(sink) if options.as_json else _TextWriter(sink)
    try:
        for text in _decoded(source):
            for piece in pieces(text, options.chunks):
                writer.write(stream.push(piece), stream.take_findings())
    except InputError:  # what is held could still have become a value
        writer.close(stopped=True)
        raise
    writer.write(stream.close(), stream.take_findings())
    writer.close(stopped=stream.stopped)
    return not stream.stopped


def _decoded(source: BufferedReader) -> Iterator[str]:
    """What has come so far, again and again. Raises InputError."""
    decoder, line, ended = codecs.getincrementaldecoder("utf-8")(), 1, False
    while not ended:
        raw = source.read1(READ_BYTES)
        ended = not raw
        try:
            text = decoder.decode(raw, final=ended)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode("utf-8")
        else:
            line += text.count("\n")
            yield text
            continue
        yield before
        raise InputError(line + before.count("\n"), "is not UTF-8")


class _TextWriter:
    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write(self, text: str, findings: list[Finding]) -> None:
        _write(self._sink, text)

    def close(self, *, stopped: bool) -> None:
        """A text has no place for more."""


class _JsonWriter:
    """One object whose text is written while it comes; the findings wait until its end."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._findings: list[Finding] = []
        _write(sink, '{"text": "')

    def write(self, text: str, findings: list[Finding]) -> None:
        self._findings += findings
        _write(self._sink, _dumps(text)[1:-1])

    def close(self, *, stopped: bool) -> None:
        _write(self._sink, f'", {_dumps(_told(self._findings, stopped=stopped))[1:]}\n')


# ---- JSONL -----------------------------------------------------------------------------------------------------------


class _Record(BaseModel):
    """One line. Other members are ignored: they are not carried over."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    text: str
    own: Annotated[list[str], Field(default_factory=list)]


def _filter_lines(source: BufferedReader, sink: BinaryIO, detector: Detector, options: Options, key: bytes) -> bool:
    complete = True
    for record in _records(source):
        filtered = filter_text(
            record.text, own=record.own, profile=options.profile, key=key, detector=detector, chunks=options.chunks
        )
        complete = complete and not filtered.stopped
        _write(sink, _dumps(_object(filtered, options)) + "\n")
    return complete


def _records(source: BufferedReader) -> Iterator[_Record]:
    number = 0
    while raw := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise InputError(number, f"is longer than {MAX_LINE_BYTES} bytes")
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if line.strip():
            yield _record(number, line)


def _record(number: int, raw: bytes) -> _Record:
    try:
        return _Record.model_validate(json.loads(raw.decode("utf-8")))
    except (ValidationError, ValueError, RecursionError):  # their texts quote the line
        hint = "; for plain text that begins with a brace there is --input text" if number == 1 else ""
    raise InputError(number, f'is not a JSON object with "text" (a string) and maybe "own" (a list of strings){hint}')


def _object(filtered: Filtered, options: Options) -> dict[str, Any]:
    told = _told(filtered.findings, stopped=filtered.stopped) if options.as_json else {}
    return {"text": filtered.text, **told}


# ---- writing ---------------------------------------------------------------------------------------------------------


def _told(findings: tuple[Finding, ...] | list[Finding], *, stopped: bool) -> dict[str, Any]:
    entries = [
        {"start": f.start, "end": f.end, "type": f.type, "score": round(f.score, 3), "verdict": f.verdict}
        for f in findings
    ]
    return {"findings": entries, **({"stopped": True} if stopped else {})}


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write(sink: BinaryIO, text: str) -> None:
    # A lone surrogate, which JSON can bring, becomes the escape that it is in JSON.
    sink.write(text.encode("utf-8", "backslashreplace"))
    sink.flush()
