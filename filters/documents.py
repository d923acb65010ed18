"""The JSON of one choice: its answer in JSON mode, and its tool calls, each a name and a document of arguments.

A tool's name leaves when its arguments begin, when another call is spoken of, or when the answer ends and says that it
is whole; then its arguments follow as they are decided. A name that the request does not have, in which something is
found or that comes after its arguments, and arguments without a name, stop the choice. So does a document that fails.
What is held of a document or a name that was cut off is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from filters.events import Channel, Field
from filters.evidence import UNDECIDED, DetectorError
from filters.json_schema import Place, Schema
from filters.json_text import JsonFilter, Rules
from filters.strewn import StrewnValues

UNKNOWN_TOOL = "UNKNOWN_TOOL"  # the finding type of a tool that can't be called
Told = list[tuple[Channel, str]]


@dataclass(frozen=True, slots=True)
class Schemas:
    """What the request says of the documents that answer it."""

    tool_names: frozenset[str] = frozenset()
    answer: Schema | None = None
    arguments: Mapping[str, Schema] = field(default_factory=dict)  # by tool

    def of(self, tool: str | None) -> Place:
        """The place at the top of a tool's arguments, or of the answer."""
        schema = self.answer if tool is None else self.arguments.get(tool)
        return schema.top() if schema is not None else Place()


class Documents:
    """Takes raw text in the order of the choice's queue. `push` and `close` return what may leave."""

    def __init__(self, choice: int, rules: Rules, schemas: Schemas) -> None:
        """`rules` are for every document, but for its place."""
        self._choice = choice
        self.failure: str | None = None  # a finding type, once nothing more comes out
        self.has_told = False  # whether anything has come out
        self._rules, self._schemas = rules, schemas
        self._documents: dict[Channel, JsonFilter] = {}
        self._names: dict[int, str] = {}  # of calls whose name has not left, as far as it has come
        self._called: dict[int, str] = {}  # of calls whose name has

    @property
    def holds(self) -> bool:
        """Whether raw text is held."""
        return bool(self._names) or any(document.holds for document in self._documents.values())

    def push(self, channel: Channel, raw_text: str) -> Told:
        """Add text of one channel."""
        told: Told = []
        if channel.field is Field.TOOL_NAME:
            told = self._call([call for call in self._names if call != channel.call])
            self._read_name(channel.call, raw_text)
        elif channel.field is Field.TOOL_ARGUMENTS:
            told = self._call([*self._names, channel.call])
        if channel.field is not Field.TOOL_NAME and self.failure is None:
            told += self._read_document(channel, raw_text)
        return self._noted(told)

    def close(self, *, complete: bool) -> Told:
        """The upstream's end, which says whether all is whole."""
        told = self._call(list(self._names)) if complete else []
        for channel, document in self._documents.items():
            if self.failure is None:
                told += self._told(channel, document, document.close(complete=complete))
        self.forget()
        return self._noted(told)

    def start_over(self) -> None:
        """Nothing has come out, and another model speaks from here on."""
        self.forget()
        self._called.clear()

    def forget(self) -> None:
        """Drop what is held. Nothing of it can come out any more."""
        self._documents.clear()
        self._names.clear()

    def _noted(self, told: Told) -> Told:
        self.has_told = self.has_told or bool(told)
        return told

    # ---- names -------------------------------------------------------------------------------------------------------

    def _read_name(self, call: int, raw_text: str) -> None:
        name = self._names.get(call, "") + raw_text
        if call in self._called or not any(known.startswith(name) for known in self._schemas.tool_names):
            self._fail(UNKNOWN_TOOL)
        self._names[call] = name

    def _call(self, calls: list[int]) -> Told:
        """Let the names of these calls go, where they have not gone yet."""
        told: Told = []
        for call in calls:
            if call not in self._called and self.failure is None:
                name = self._names.pop(call, "")
                if self._may_call(name):
                    self._called[call] = name
                    told.append((Channel(self._choice, Field.TOOL_NAME, call), name))
        return told

    def _may_call(self, name: str) -> bool:
        try:
            hidden = self._rules.judge.find("", name, StrewnValues())
        except DetectorError:
            self._fail(UNDECIDED)
        else:
            if hidden or name not in self._schemas.tool_names:
                self._fail(UNKNOWN_TOOL)
        return self.failure is None

    # ---- documents ---------------------------------------------------------------------------------------------------

    def _read_document(self, channel: Channel, raw_text: str) -> Told:
        if channel not in self._documents:
            tool = self._called[channel.call] if channel.field is Field.TOOL_ARGUMENTS else None
            rules = replace(self._rules, judge=self._rules.judge.of(channel), place=self._schemas.of(tool))
            self._documents[channel] = JsonFilter(rules)
        document = self._documents[channel]
        return self._told(channel, document, document.push(raw_text))

    def _told(self, channel: Channel, document: JsonFilter, text: str) -> Told:
        if document.failure is not None:
            self._fail(document.failure)
        return [(channel, text)] if text else []

    def _fail(self, kind: str) -> None:
        self.failure = self.failure or kind
