"""What must not leave of the JSON of one choice, once the base model has been asked about it.

A direct identifier is hidden without asking. A suspicion (a code, strewn characters, a name, what the index knows) is
released where the base would have said the same. Without its answer, or tokens that hold the text, it stays hidden.
A code that the caller wrote himself is none. An answer to a request that puts identifiers up to be confirmed is
compared stretch by stretch, its keys and its shape too: there is no mask for those.

Once something was hidden whole because nobody could judge it, no answer counts: what it said may have been copied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from filters.channels import Choice
from filters.events import Channel, Origin, Verdict
from filters.evidence import DetectorError
from filters.examine import Examiner
from filters.index.lookup import Run
from filters.json_evidence import Evidence, Part
from filters.json_reader import Where
from filters.json_scout import Scout
from filters.knowledge import KnownText
from filters.segment import Segment
from filters.spans import Span, merge
from filters.specificity.triggers import exact_values
from filters.strewn import STREWN, StrewnValues
from filters.verdicts import CONFIRMATION, Bits, Known, Suspect, VerdictTable

BitsOf = Callable[[Span], float | None]  # excess bits of a span of what is examined, where there is evidence
_ENDS = (Verdict.STOP, Verdict.FALL_BACK)  # the gravest first


class JsonJudge:
    """Fulfils `filters.json_text.Judge` for one choice; `of` gives the judge of one document, which has evidence."""

    def __init__(
        self,
        choice: Choice,
        examiner: Examiner,
        table: VerdictTable,
        *,
        class_of: Callable[[float, float], Bits],
        rewrite: Callable[[str, Sequence[Span]], str],
        style_shift_bits: float,
        own_text: str,
        allowed_keys: Collection[str],
        asks: bool,
        reads_types: bool,
    ) -> None:
        """`class_of` says what the excess bits of a span and of its strewn chain mean. `asks`: the request puts
        identifiers up. `reads_types`: the base may clear more than codes and strewn characters."""
        self._choice, self._examiner, self._table = choice, examiner, table
        self._class_of, self._rewrite = class_of, rewrite
        self._style_shift_bits = style_shift_bits
        self._own_text, self._allowed_keys = own_text, allowed_keys
        self._asks, self._reads_types = asks, reads_types
        self._evidence: dict[tuple[Origin, Channel], Evidence] = {}
        self._scouts: dict[Channel, Scout] = {}
        self._noted: dict[Verdict, tuple[str, float | None]] = {}

    # ---- before: what is asked ---------------------------------------------------------------------------------------

    def wants(self, channel: Channel, raw_text: str) -> bool:
        """Whether the base must be asked about this unit. Give it those of a document in order."""
        scout = self._scouts.setdefault(channel, Scout(self._clears, self._allowed_keys))
        try:
            return scout.wants(raw_text) or self._asks
        except DetectorError:
            return False

    def _clears(self, context: str, raw_text: str, strewn: Sequence[Span]) -> bool:
        suspicions = [*strewn, *self._codes(raw_text)]
        if not suspicions and not self._reads_types:
            return False
        suspects = self._examiner.suspects_in_part(context, raw_text, suspicions, ())
        return any(self._is_clearable(suspect) for suspect in suspects)

    def _codes(self, raw_text: str) -> list[Span]:
        if not self._choice.compares:
            return []
        return [code for code in exact_values(raw_text) if not self._is_own(raw_text[code.start : code.end])]

    def _is_own(self, raw_code: str) -> bool:
        return all(part in self._own_text for part in raw_code.split())

    def _may_clear(self, suspect: Suspect) -> bool:
        return self._is_clearable(suspect) and not self._choice.may_be_copied(suspect.span.type)

    def _is_clearable(self, suspect: Suspect) -> bool:
        kind, known = suspect.span.type, suspect.known
        if suspect.grounded or self._table.decide(kind, known, Bits.PLAUSIBLE) is not Verdict.RELEASE:
            return False
        return self._table.decide(kind, known, Bits.UNKNOWN) is not Verdict.RELEASE

    # ---- after: what was answered ------------------------------------------------------------------------------------

    def take(self, part: Part) -> None:
        """The next stretch that is filtered, with its answer."""
        evidence = self._evidence_of(part.channel)
        begin = evidence.end
        evidence.add(part, self._choice.ledger)
        if self._asks and self._choice.compares:
            bits = self.bits(evidence, begin, evidence.end)
            is_copy = self._choice.may_be_copied(CONFIRMATION)
            verdict = Verdict.MASK if bits is None or is_copy else self._decide(CONFIRMATION, Known.NOTHING, bits)
            self._note(CONFIRMATION, Verdict.STOP if verdict is Verdict.MASK else verdict, bits)

    def take_noted(self) -> tuple[Verdict, str, float | None] | None:
        """The gravest verdict since the last time that hides more than the span which it is about, with the span's
        type and excess bits."""
        noted = next(((verdict, *self._noted[verdict]) for verdict in _ENDS if verdict in self._noted), None)
        self._noted.clear()
        return noted

    def of(self, channel: Channel) -> _OfDocument:
        """The judge of this channel's document."""
        return _OfDocument(self, self._evidence_of(channel))

    def _evidence_of(self, channel: Channel) -> Evidence:
        return self._evidence.setdefault((self._choice.origin, channel), Evidence(self._style_shift_bits))

    def bits(self, evidence: Evidence, start: int, end: int) -> float | None:
        """Excess bits of these characters of a document; None where nobody has told."""
        ledger = self._choice.ledger
        if ledger is None or not self._choice.compares:
            return None
        return evidence.bits(start, end, ledger)

    def find(
        self,
        context: str,
        raw_text: str,
        strewn: StrewnValues | None = None,
        blocks: Sequence[Span] = (),
        where: Where | None = None,
        lines: Collection[str] = (),
    ) -> list[Span]:
        """As `filters.json_text.Judge`, without evidence."""
        return self.hidden_in(context, raw_text, strewn, blocks, _unknown, ())

    def count(self, raw_text: str, strewn: StrewnValues, where: Where) -> list[Span]:
        """As `filters.json_text.Judge`, without evidence."""
        return strewn.find(raw_text)

    def rewrite(self, raw_text: str, spans: Sequence[Span]) -> str:
        """As `filters.json_text.Judge`."""
        return self._rewrite(raw_text, spans)

    def hidden_in(
        self,
        context: str,
        raw_text: str,
        strewn: StrewnValues | None,
        blocks: Sequence[Span],
        bits_of: BitsOf,
        runs: Sequence[Run],
    ) -> list[Span]:
        """What must not leave of a part of a document; `runs` go on from earlier ones. Raises DetectorError."""
        before = strewn.bits if strewn else ()
        suspicions = (
            [*strewn.find(raw_text), *self._codes(raw_text)] if strewn else []
        )  # joined scalars look like codes
        suspects = self._examiner.suspects_in_part(context, raw_text, suspicions, blocks, runs)
        hidden = self._hidden(suspects, bits_of, strewn, before)
        traits = self._choice.generalise(raw_text, context) if strewn else []
        return merge([*hidden, *traits, *self._choice.hidden.find(raw_text)])

    def known(self) -> KnownText | None:
        """For a text of the tuned model's own; None without an index."""
        return self._examiner.known() if self._choice.origin is Origin.TUNED else None

    def strewn_in(self, raw_text: str, strewn: StrewnValues, bits_of: BitsOf) -> list[Span]:
        """What must not leave of a scalar because it is strewn along a line."""
        before = strewn.bits
        suspects = [Suspect(span) for span in strewn.find(raw_text)]
        return self._hidden(suspects, bits_of, strewn, before)

    def _hidden(
        self,
        suspects: Sequence[Suspect],
        bits_of: BitsOf,
        strewn: StrewnValues | None,
        before: Sequence[float],
    ) -> list[Span]:
        """What is strewn is decided first: whatever else there is may be a copy of it."""
        strewn_suspects = [suspect for suspect in suspects if suspect.span.type == STREWN]
        bits = [self._bits(suspect, bits_of) for suspect in strewn_suspects]
        told = [number for number in bits if number is not None]
        chain = strewn.add_bits(told, before) if strewn and strewn_suspects else 0.0
        verdicts = {s: self._verdict(s, number, chain) for s, number in zip(strewn_suspects, bits, strict=True)}
        if any(verdict is not Verdict.RELEASE for verdict in verdicts.values()):
            self._choice.hidden.types.add(STREWN)
        others = (suspect for suspect in suspects if suspect.span.type != STREWN)
        verdicts |= {suspect: self._verdict(suspect, self._bits(suspect, bits_of), 0.0) for suspect in others}
        return [suspect.span for suspect, verdict in verdicts.items() if verdict is not Verdict.RELEASE]

    def _bits(self, suspect: Suspect, bits_of: BitsOf) -> float | None:
        return bits_of(suspect.span) if self._may_clear(suspect) else None

    def _verdict(self, suspect: Suspect, bits: float | None, chain: float) -> Verdict:
        span, known = suspect.span, suspect.known
        if suspect.grounded:
            verdict = self._table.of_grounded(span.type, known)
        elif bits is not None:
            verdict = self._decide(span.type, known, bits, chain)
        elif self._choice.compares and self._is_clearable(suspect):
            verdict = Verdict.MASK  # whoever was asked has not answered
        else:
            verdict = self._table.decide(span.type, known, Bits.UNKNOWN)
        self._note(span.type, verdict, bits)
        return verdict

    def _decide(self, kind: str, known: Known, bits: float, chain: float = 0.0) -> Verdict:
        return self._table.decide(kind, known, self._class_of(bits, chain), bits)

    def _note(self, kind: str, verdict: Verdict, bits: float | None) -> None:
        self._noted.setdefault(verdict, (kind, bits))


class _OfDocument:
    """Fulfils `filters.json_text.Judge` for one document."""

    def __init__(self, judge: JsonJudge, evidence: Evidence) -> None:
        self._judge, self._evidence = judge, evidence
        self._known: dict[str, KnownText] = {}  # by line

    def of(self, channel: Channel) -> _OfDocument:
        return self._judge.of(channel)

    def find(
        self,
        context: str,
        raw_text: str,
        strewn: StrewnValues | None = None,
        blocks: Sequence[Span] = (),
        where: Where | None = None,
        lines: Collection[str] = (),
    ) -> list[Span]:
        runs = [run for line in lines for run in self._read(line, raw_text)]
        return self._judge.hidden_in(context, raw_text, strewn, blocks, self._bits_of(where), runs)

    def _read(self, line: str, raw_text: str) -> list[Run]:
        """What the index says of the next words of this line."""
        if line not in self._known and (known := self._judge.known()) is not None:
            self._known[line] = known
        if line not in self._known:
            return []
        runs = self._known[line].read(Segment("", f"{raw_text} "))  # the space ends its last word
        return [replace(run, end=min(run.end, len(raw_text))) for run in runs if run.start < len(raw_text)]

    def count(self, raw_text: str, strewn: StrewnValues, where: Where) -> list[Span]:
        return self._judge.strewn_in(raw_text, strewn, self._bits_of(where))

    def rewrite(self, raw_text: str, spans: Sequence[Span]) -> str:
        return self._judge.rewrite(raw_text, spans)

    def _bits_of(self, where: Where | None) -> BitsOf:
        if where is None:
            return _unknown
        return lambda span: self._judge.bits(self._evidence, *where(span.start, span.end))


def _unknown(_: Span) -> None:
    return None
