"""What one choice of an answer holds: its channels' open text, its tokens, and the queue of what is being decided."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from filters.documents import Documents
from filters.events import (
    Channel,
    Decided,
    Ending,
    Field,
    Origin,
    RawText,
    ReleasedToken,
    Unavailable,
    Verdict,
)
from filters.evidence import UNDECIDED, Denied, Detector, Vocabulary
from filters.hidden import HiddenValues
from filters.json_evidence import Part, Stretches, Wants
from filters.knowledge import KnownText
from filters.left import Left
from filters.opening import Gate
from filters.pii.actions import Rewriter
from filters.pii.blocks import OpenBlocks
from filters.profile import ReleaseUnit
from filters.segment import Segment, Segmenter
from filters.spans import Span
from filters.specificity.described import Described
from filters.specificity.excess import surprise_bits
from filters.specificity.quasi_identifiers import PERSON, QUASI_IDENTIFIER
from filters.specificity.style import HarmlessTokens
from filters.specificity.triggers import CODE
from filters.stops import StopMatcher
from filters.strewn import FEWEST_ITEMS, FEWEST_UNASKED, STREWN, StrewnValues
from filters.tokens import TextLedger, TokenLedger
from filters.told import ToldTokens
from filters.verdicts import CONFIRMATION, Known, Suspect

PROSE = frozenset({Field.CONTENT, Field.REASONING, Field.REFUSAL, Field.TEXT})
_GRAVITY = (Verdict.RELEASE, Verdict.MASK, Verdict.GENERALISE, Verdict.FALL_BACK, Verdict.STOP)
_COPIES_OF_STREWN = frozenset({CODE, STREWN})
ANSWERS = frozenset({Field.CONTENT, Field.TEXT})  # what a caller's stop strings and JSON mode speak of


@dataclass(frozen=True, slots=True)
class Hidden:
    """A span that must not leave, in offsets of its segment, and its excess bits where the base was asked."""

    span: Span
    verdict: Verdict
    bits: float | None = None
    known: Known = Known.NOTHING


@dataclass(slots=True)
class Pending:
    """One segment in its choice's queue. `verdict` is None while the base is being asked."""

    channel: Channel
    segment: Segment
    at: int | None = None  # the byte of the choice's tokens at which the segment begins
    verdict: Verdict | None = None  # the gravest
    hidden: list[Hidden] = field(default_factory=list)  # the spans that must not leave
    asked: list[Suspect] = field(default_factory=list)  # those that the base decides about
    tokens: tuple[tuple[int, int], ...] = ()  # of each span that is asked about
    style: tuple[int, ...] = ()  # tokens outside every suspect span, which show the answer's style
    score: Sequence[float] | Unavailable | None = None  # the base's answer, until its turn comes
    tuned: Sequence[float] | Unavailable | None = None  # the tuned model's, where it is asked too
    chains: frozenset[int] = frozenset()  # of strewn values, that its own spans of that kind may belong to
    is_glimpse: bool = False  # of a segment that is still open: it tells what must stay hidden, and nothing leaves

    def hide(self, suspect: Suspect, verdict: Verdict, bits: float | None = None) -> None:
        """Note what has been decided about one of its spans."""
        if verdict is not Verdict.RELEASE:
            self.hidden.append(Hidden(suspect.span, verdict, bits, suspect.known))

    @property
    def gravest(self) -> Verdict:
        """Of what has been noted."""
        return max((hidden.verdict for hidden in self.hidden), key=_GRAVITY.index, default=Verdict.RELEASE)

    @property
    def reach(self) -> tuple[int, int]:
        """From the first token that was asked about to behind the last."""
        firsts = [first for first, _ in self.tokens]
        return min(firsts + list(self.style[:1])), max(last for _, last in self.tokens)


@dataclass(frozen=True, slots=True)
class End:
    """The place in the queue where the choice ends."""

    ending: Ending


class Choice:
    """The state of one choice. It knows what is held; what happens to it is the pipeline's to say."""

    def __init__(
        self,
        index: int,
        vocabulary: Vocabulary | None,
        stops: tuple[str, ...],
        rewriter: Rewriter,
        documents: Callable[[Choice], Documents],
        described: Described | None,
        *,
        compares: bool,
        scored: bool,
        tells_tokens: bool,
        record_fields: frozenset[str],
        quantities: bool,
        denied: Denied | None,
    ) -> None:
        """`described` is what was said of persons before, where that counts. `compares`: suspects are asked about.
        `scored`: about their text alone, since no tokens come with it.
        `tells_tokens`: released text comes with its tokens. `record_fields`: where there are any, JSON objects in prose
        stay together. `quantities`: so do dates, ages, amounts; so does what is `denied`."""
        self.index = index
        self.compares = compares
        self.told = ToldTokens() if tells_tokens else None
        self._vocabulary = vocabulary
        self.origin = Origin.TUNED
        self.done = False
        self.queue: deque[Gate | Pending | Part | End] = deque()
        self.ledger = TokenLedger(vocabulary) if vocabulary and not scored else None
        self._texts = (
            defaultdict[Channel, TextLedger](lambda: TextLedger(vocabulary)) if vocabulary and scored else None
        )
        self.rewriter = rewriter
        self.hidden = HiddenValues()
        self.described = described.choice() if described is not None else None
        self.stretches: Stretches | None = Stretches(self.ledger if compares else None)  # of its documents
        self.documents = documents(self)
        self.strewn = StrewnValues(FEWEST_ITEMS if compares else FEWEST_UNASKED)
        self.strewn_bits: defaultdict[int, float] = defaultdict(float)  # by chain
        self.blocks: defaultdict[Channel, OpenBlocks] = defaultdict(lambda: OpenBlocks(record_fields))
        self.notes: list[Decided] = []  # of its documents, since the last text came out of them
        self.known: dict[Channel, KnownText] = {}
        self.harmless = HarmlessTokens()
        self.begun: set[Channel] = set()  # channels of which a segment has been examined
        self.left = Left()
        self.unheard: frozenset[Field] = frozenset()  # reasoning has ended where the answer starts anew
        self._segmenter = partial(Segmenter, whole_objects=bool(record_fields), quantities=quantities, denied=denied)
        self._stops = stops
        self._matchers: dict[Channel, StopMatcher] = {}
        self._segmenters: dict[Channel, Segmenter] = {}
        self._at_seam = False
        self._speaking: Channel | None = None
        self._interrupted: set[Channel] = set()

    def ledger_of(self, channel: Channel) -> TokenLedger | None:
        """The tokens of this channel's text. Those that a model sends are of all its channels; those of our own
        tokenizer are of one, since what stands between two channels is the template's to say."""
        if self._texts is None or not self.compares:
            return self.ledger
        return self._texts[channel]

    def place(self, channel: Channel, segment: Segment) -> int | None:
        """The byte of its tokens at which the channel's next segment begins; None where they don't hold it."""
        ledger = self.ledger_of(channel)
        if ledger is None or (segment.scattered and self._texts is None):
            return None
        return ledger.match(segment.raw_text)

    def tuned_score(self, pending: Pending) -> Sequence[float] | None:
        """The tuned model's natural log-probabilities of the tokens that were asked about; None: not to be had."""
        if self.ledger is not None:
            return self.ledger.logprobs(*pending.reach)
        return None if isinstance(pending.tuned, Unavailable) else pending.tuned

    @property
    def holds(self) -> bool:
        """Whether any raw text is undecided."""
        if self.done:
            return False
        if (self.queue and not isinstance(self.queue[-1], Gate)) or self.documents.holds:
            return True
        if self.stretches is not None and self.stretches.holds:
            return True
        return any(segmenter.holds for segmenter in self._segmenters.values())

    def open_tails(self, before: Channel) -> list[tuple[Channel, Segment]]:
        """The open segments of other channels' prose, if this channel begins or goes on behind them."""
        if before == self._speaking:
            return []
        others = ((channel, segmenter) for channel, segmenter in self._segmenters.items() if channel != before)
        return [(channel, segmenter.tail) for channel, segmenter in others if segmenter.holds]

    def speaks_json(self, item: RawText, wants: Wants) -> Iterable[Part]:
        """The parts of documents that this piece of one, or of a tool's name, completes."""
        self._speaking = item.channel
        if self.stretches is None:
            return [Part(item.channel, item.raw_text)]
        if item.channel.field is Field.TOOL_NAME:
            return [*self.close_json(wants), Part(item.channel, item.raw_text)]
        return self.stretches.push(item.channel, item.raw_text, wants)

    def close_json(self, wants: Wants) -> Iterable[Part]:
        """The part of a document that is held until more of it comes: something else does, or the choice ends."""
        return self.stretches.close(wants) if self.stretches is not None else []

    def can_be_taken_over(self, channel: Channel) -> bool:
        """Whether the base model can answer in place of what this channel would say next. Behind a document, a tool
        call or a refusal nothing can stand; and what answers already has nobody behind it."""
        if self.origin is Origin.BASE or self.documents.has_told or self.left.any_of(Field.REFUSAL):
            return False
        return channel.field is not Field.REFUSAL or not self.left.any_of(Field.CONTENT)

    def cut(self, item: RawText, unit: ReleaseUnit, detector: Detector, primed: Callable[[], str]) -> list[Segment]:
        """Add prose to its channel; the segments that it completed. `primed` gives what a new channel goes on from."""
        channel, raw_text = item.channel, item.raw_text
        if self._at_seam and channel.field is Field.CONTENT:
            raw_text = self._without_seam(raw_text)
        segmenter = self._segmenters.get(channel)
        if segmenter is None:
            segmenter = self._segmenter(unit, detector, primed())
            self._segmenters[channel] = segmenter
        if self._speaking != channel:
            if segmenter.holds:
                self._interrupted.add(channel)
            self._speaking = channel
        segments = segmenter.push(raw_text)
        if segments and channel in self._interrupted:
            self._interrupted.discard(channel)
            segments[0] = replace(segments[0], scattered=True)
        return segments

    def close(self, *, complete: bool) -> list[tuple[Channel, Segment]]:
        """The tails of all channels of prose."""
        tails = [
            (channel, replace(segment, last=segment is segments[-1]))
            for channel, segmenter in self._segmenters.items()
            for segments in [segmenter.close(complete=complete)]
            for segment in segments
        ]
        self._segmenters.clear()
        return tails

    def may_be_copied(self, kind: str) -> bool:
        """Whether the base may find what is of this type plausible since it has read it before, in what was hidden: as
        a whole that nobody judged or that answered, or in single characters, which are not found again."""
        if self.origin is not Origin.TUNED:
            return False
        hidden = self.hidden.types
        is_copy = (kind in _COPIES_OF_STREWN and STREWN in hidden) or (kind == CONFIRMATION and CONFIRMATION in hidden)
        return is_copy or UNDECIDED in hidden

    def generalise(self, raw_text: str, context: str) -> list[Span]:
        """What of the text that leaves next would say too much of somebody. The rewriter knows what to say instead.

        Raises DetectorError; the text must then be hidden."""
        found = self.described.feed(raw_text, context) if self.described is not None else []
        for each in found:
            self.rewriter.give(QUASI_IDENTIFIER, raw_text[each.start : each.end], each.text)
        return [Span(each.start, each.end, QUASI_IDENTIFIER, 0.0) for each in found]

    def judge_names(self, pending: Pending, scores: Iterable[Sequence[float]]) -> None:
        """Take the base model's log-probabilities of a segment's suspects: whom it knows is a public figure."""
        for span, score in zip((suspect.span for suspect in pending.asked), scores, strict=True):
            if self.described is not None and span.type == PERSON:
                self.described.judge_name(pending.segment.raw_text[span.start : span.end], surprise_bits(score))

    def matcher(self, channel: Channel) -> StopMatcher:
        """The stop strings of this channel; only what answers the caller has any."""
        stops = self._stops if channel.field in ANSWERS else ()
        return self._matchers.setdefault(channel, StopMatcher(stops))

    def tokens_of(self, channel: Channel, text: str) -> tuple[ReleasedToken, ...]:
        """The tokens that end in this text, which leaves now; none where the request may not see them."""
        return self.told.take(channel, len(text)) if self.told is not None else ()

    def open_matchers(self) -> list[tuple[Channel, StopMatcher]]:
        """All channels of which something has been decided."""
        return list(self._matchers.items())

    def start_over(self) -> None:
        """Let the base model speak from here on. What was released and hidden stays known; what was held is gone."""
        self.origin = Origin.BASE
        if self.left.any_of():
            self.unheard = frozenset({Field.REASONING})
        self.queue.clear()
        self.compares = False
        self.ledger = self._texts = None
        if self.told is not None and self._vocabulary is not None:
            self.told.start_over()
            self.ledger = TokenLedger(self._vocabulary)
        self.strewn_bits.clear()
        self.strewn = StrewnValues()  # they have read text behind the place at which the base takes over
        self.blocks.clear()
        self.known.clear()
        self._segmenters.clear()
        self.stretches = None
        self.documents.start_over()
        self._at_seam = self.left.content[-1:].isspace()

    def end(self) -> None:
        """Nothing more comes."""
        self.done = True
        self.queue.clear()
        self._segmenters.clear()
        self.stretches = None
        self.documents.forget()

    def _without_seam(self, raw_text: str) -> str:
        """The base model continues behind a released space, and writes its own."""
        raw_text = raw_text.lstrip()
        self._at_seam = not raw_text
        return raw_text
