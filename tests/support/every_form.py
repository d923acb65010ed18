"""A pipeline that a written value is put through, and what of the value came out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from filters.events import Channel, Ending, Event, Field, RawText, Released
from filters.grounding import RequestGrounds
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.spans import Span
from tests.support.forms import SENTENCES, Written, every_form, write

DEEP = bool(os.environ.get("TIGHTLIP_DEEP"))
UNITS = (ReleaseUnit.CLAUSE, ReleaseUnit.SENTENCE)
KINDS = (Field.CONTENT, Field.REASONING, Field.REFUSAL, Field.TEXT)
TYPES_TRIED = sorted({vector.type for vector, _ in every_form()})
_PLACEHOLDER = re.compile(r"\[[A-Z_]+_\d+\]")
_MOST_REMEMBERED = 4096


class RememberingDetector:
    """What is found is a function of the text, so that each text is searched once, however it arrives."""

    def __init__(self) -> None:
        self._find = build_detector().find
        self._found: dict[str, list[Span]] = {}

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        if raw_text not in self._found:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[raw_text] = self._find(raw_text)
        return self._found[raw_text]


@cache
def detector() -> RememberingDetector:
    return RememberingDetector()


def cases(kind: str) -> Iterator[tuple[int, Written]]:
    """Every value of a type in every form, numbered: in either sentence by turns; in both where there is time."""
    for number, (vector, form) in enumerate(every_form()):
        if vector.type != kind:
            continue
        for sentence in SENTENCES if DEEP else (SENTENCES[number % 2],):
            yield number, write(vector, form, sentence)


def pipeline(unit: ReleaseUnit, **request: Any) -> Pipeline:
    """With patterns alone and nobody to ask; `request` goes into the RequestEvidence."""
    evidence = RequestEvidence(RequestGrounds(frozenset()), **request)
    return Pipeline(Profile("test", compare=False, release=unit), evidence, detector())


def said(built: Pipeline, kind: Field, pieces: Sequence[str], ending: Ending | None = Ending.STOP) -> str:
    """What a client gets of an answer that arrives in these pieces. No ending: it is broken off."""
    channel, events = Channel(0, kind), list[Event]()
    for piece in pieces:
        events += built.feed([RawText(channel, piece)])
    if ending is not None:
        events += built.finish(0, ending)
    return "".join(event.text for event in events if isinstance(event, Released))


def escaped(before: str, value: str, after: str, output: str) -> str:
    """The letters and digits of `value` that stand in the output of `before + value + after`, or of its beginning.

    A placeholder may take more than the value; of what stands around it nothing may be added or turned round.
    """
    first, *others = _PLACEHOLDER.split(output)
    if not (before + value + after).startswith(first):
        return output  # neither the text nor its beginning
    rest = iter(after)
    behind = "".join(char for char in "".join(others) if char not in rest)
    return _plain(first[len(before) : len(before + value)]) + _plain(behind)


def harmless(leak: str) -> bool:
    """One character is no part of a value: "X" may be the beginning of anything, and so may 北. Nor is a told "+"."""
    return len(leak) <= 1 or leak == "plus"


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text))
