"""JSON documents for tests: a judge that hides what its detector finds, and a filter fed at will."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from filters.events import Channel
from filters.evidence import Detector
from filters.json_reader import Where
from filters.json_schema import Place, Schema
from filters.json_text import JsonFilter, Rules
from filters.pii.actions import Rewriter
from filters.spans import Span, merge
from filters.strewn import StrewnValues

KEYS = frozenset({"name", "phone", "items", "note", "amount", "email", "id"})


class Hiding:
    """A `filters.json_text.Judge` that hides all that is found."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._rewriter = Rewriter({})

    def find(
        self,
        context: str,
        raw_text: str,
        strewn: StrewnValues | None = None,
        blocks: Sequence[Span] = (),
        where: Where | None = None,
        lines: Collection[str] = (),
    ) -> list[Span]:
        found = [span.shifted(-len(context)) for span in self._detector.find(context + raw_text)]
        spans = [Span(max(0, span.start), span.end, span.type, span.score) for span in found if span.end > 0]
        return merge([*spans, *blocks, *(strewn.find(raw_text) if strewn else [])])

    def count(self, raw_text: str, strewn: StrewnValues, where: Where) -> list[Span]:
        return strewn.find(raw_text)

    def of(self, channel: Channel) -> Hiding:
        return self

    def rewrite(self, raw_text: str, spans: Sequence[Span]) -> str:
        parts, at = [], 0
        for span in spans:
            parts += [raw_text[at : span.start], self._rewriter.rewrite(span.type, raw_text[span.start : span.end])]
            at = span.end
        return "".join([*parts, raw_text[at:]])


def document(detector: Detector, schema: Any = None, *, names: bool = False, **options: Any) -> JsonFilter:
    """A filter for one document; `schema` is a JSON schema, None for none."""
    place = Schema(schema).top() if schema is not None else Place()
    options.setdefault("allowed_keys", KEYS)
    return JsonFilter(Rules(Hiding(detector), detector, place=place, words_join=names, **options))


def filtered(made: JsonFilter, parts: Iterable[str], *, complete: bool = True) -> tuple[str, str | None]:
    """What comes out of these parts, and the failure if it ended in one."""
    told = "".join([made.push(part) for part in parts])
    return told + made.close(complete=complete), made.failure
