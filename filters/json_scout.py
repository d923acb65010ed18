"""Reads a document ahead of its filter, to say about which of its stretches the base model must be asked.

It looks at each scalar by itself and counts what is strewn over all of them. That is about what the filter will find
there; what it has missed stays hidden for want of evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from filters.json_reader import JsonReader, JsonTextError, Kind
from filters.segment import CONTEXT
from filters.spans import Span
from filters.strewn import StrewnValues

# Whether the base could clear a suspect of this text, behind this context and with these strewn characters.
Clears = Callable[[str, str, Sequence[Span]], bool]


class Scout:
    """One document. Give it the stretches in order."""

    def __init__(self, clears: Clears, allowed_keys: Collection[str]) -> None:
        self._clears = clears
        self._allowed_keys = allowed_keys
        self._reader = JsonReader()
        self._strewn = StrewnValues()
        self._kind = Kind.STRING  # of the string that is being read
        self._label = ""  # the last key
        self._parts: list[str] = []
        self._is_broken = False  # it is no JSON from somewhere on, where the filter stops

    def wants(self, raw_text: str) -> bool:
        """Whether this stretch must be asked about. Raises DetectorError."""
        if self._is_broken:
            return False
        try:
            scalars = self._scalars(raw_text)
        except JsonTextError:
            self._is_broken = True
            return False
        clearable = [self._is_clearable(label, text) for label, text in scalars]  # of all: what is strewn is counted
        return any(clearable)

    def _scalars(self, raw_text: str) -> list[tuple[str, str]]:
        """What stands there, each with its label; of a string that goes on behind the stretch what has come."""
        scalars: list[tuple[str, str]] = []
        for token in self._reader.read(raw_text):
            if token.kind in (Kind.KEY, Kind.STRING):
                self._kind = token.kind
            elif token.kind is Kind.TEXT:
                self._parts.append(token.text)
            elif token.kind is Kind.END:
                scalars += self._said()
            elif token.kind is Kind.NUMBER:
                scalars.append((self._label, token.text))
        return [*scalars, *self._said()] if self._parts else scalars

    def _said(self) -> list[tuple[str, str]]:
        text = "".join(self._parts)
        self._parts.clear()
        if self._kind is Kind.STRING:
            return [(self._label, text)] if text else []
        self._label = text
        return [("", text)] if text and text not in self._allowed_keys else []

    def _is_clearable(self, label: str, text: str) -> bool:
        context = f"{label}: "[-CONTEXT:] if label else ""
        return self._clears(context, text, self._strewn.find(text + " "))
