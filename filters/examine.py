"""What of a text must not leave unless something clears it: typed values, suspicions, what the tuning index knows.

1. A typed value passes if the role is cleared for its type, the caller gave it himself, or it is on the list of public
   values. What is on the deny list never passes.
2. Suspicions are strewn characters, exact values of no known type (where the base can be asked), and all of an answer
   to a request that puts identifiers up to be confirmed, denied or picked from.
3. A run of n-grams that few people's rows hold, or that is above the caller's clearance, is a suspicion too, whatever
   it says: a portrait holds no name and no number. What of it passes by rule 1 is not asked about; what is left of it
   then counts from FEWEST_LEFT letters and digits on.
4. With an index, tokens that the tuned model is all but certain of are asked about where nothing else in them is. It
   is as certain of what it was taught on purpose, and only an index can tell that.
5. What of a suspicion about words lies within a house phrase (specificity/house.py) is the pair's style and none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from filters.begun import BegunValues
from filters.channels import Choice
from filters.events import Channel, Origin
from filters.evidence import Detector, Grounds
from filters.index.grams import WORDS
from filters.index.lookup import Run, Standing
from filters.knowledge import Knowledge, KnownText, outside, standing_of
from filters.profile import Profile
from filters.segment import Segment
from filters.spans import Span, merge
from filters.specificity.house import says_something
from filters.specificity.triggers import CERTAIN, Own, TextTriggers, certain_runs, exact_values, words
from filters.tokens import encoded
from filters.verdicts import ABOVE_CLEARANCE, CONFIRMATION, FEW_SUBJECTS, KNOWN, MAY_BE_STYLE, Known, Suspect

FEWEST_LEFT = 4
_SCORE = 0.5  # of what the index knows
# Not values but places for words. A role that is cleared for them is not for what stands above its clearance.
_HOLD_ANYTHING = frozenset({"ADMIN_NOTE", "FILE_PATH", "INTERNAL_RECORD", "STACK_TRACE"})
_OF_STANDING = {Standing.FEW: FEW_SUBJECTS, Standing.ABOVE: ABOVE_CLEARANCE}


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed value, in offsets of the text that was examined. `grounded`: the caller gave it himself."""

    span: Span
    passes: bool
    grounded: bool = False


class Examiner:
    """Looks at the text of one answer."""

    def __init__(
        self,
        profile: Profile,
        grounds: Grounds,
        detector: Detector,
        begun: BegunValues,
        knowledge: Knowledge,
        clearance: str | None,
        own: Own,
        *,
        hides_grounded: bool,
    ) -> None:
        """`begun` are values that the request began. `clearance` is the highest audience whose text the caller may see,
        the lowest of all if it is None. `own` is what the caller wrote. `hides_grounded`: as the profile's table says.
        ValueError for a language nobody knows."""
        self._profile, self._grounds, self._detector, self._begun = profile, grounds, detector, begun
        self._knowledge, self._clearance = knowledge, clearance
        self._own, self._triggers = own, TextTriggers(own, profile.languages)
        self._hides_grounded = hides_grounded

    def read(self, choice: Choice, channel: Channel, segment: Segment) -> list[Run]:
        """What the index says of the next segment of the tuned model's text; the base has never seen the set."""
        if self._knowledge.index is None or choice.origin is not Origin.TUNED:
            return []
        if channel not in choice.known:
            known = self.known()
            assert known is not None
            choice.known[channel] = known
        return choice.known[channel].read(segment)

    def suspects(
        self,
        choice: Choice,
        channel: Channel,
        segment: Segment,
        runs: Sequence[Run],
        blocks: Sequence[Span],
        at: int | None,
    ) -> list[Suspect]:
        """Of the next segment of a channel of prose; `runs` and `blocks` are what else is known of it, and its tokens
        begin at byte `at` of the choice's.

        Raises DetectorError.
        """
        raw_text, phrases = segment.raw_text, self.phrases(segment)
        found = self.find(segment.context, raw_text, blocks)
        found += self._begun_in_request(choice, channel, raw_text, found)
        suspicions = choice.strewn.find(raw_text)
        if choice.compares:
            suspicions += exact_values(raw_text)
        suspects = self._suspects(found, suspicions, runs, raw_text, phrases)
        if choice.compares:
            told = self._triggers.find(raw_text)
            suspects += self._about_words(choice, raw_text, told, suspects, runs, phrases, at)
        if choice.compares and self._grounds.asks:
            suspects.append(Suspect(Span(0, len(raw_text), CONFIRMATION, 0.0)))
        return suspects

    def suspects_so_far(self, choice: Choice, tail: Segment, at: int | None) -> list[Suspect]:
        """Of prose that is still open, as if it ended here; otherwise as `suspects`, but for what the request put up.
        Raises DetectorError."""
        raw_text, phrases = tail.raw_text, self.phrases(tail)
        known = self.known() if choice.origin is Origin.TUNED else None
        runs = known.read(replace(tail, last=True)) if known is not None else []
        suspicions = [*replace(choice.strewn).find(raw_text), *exact_values(raw_text)]
        suspects = self._suspects(self.find(tail.context, raw_text), suspicions, runs, raw_text, phrases)
        told = self._triggers.find(raw_text, still_open=True)
        return suspects + self._about_words(choice, raw_text, told, suspects, runs, phrases, at)

    def _about_words(
        self,
        choice: Choice,
        raw_text: str,
        triggered: Sequence[Span],
        suspects: Sequence[Suspect],
        runs: Sequence[Run],
        phrases: Sequence[Span],
        at: int | None,
    ) -> list[Suspect]:
        """What `triggered` a question and is no house phrase, and what else the tuned model is all but certain of."""
        told = [*_outside_phrases(triggered, phrases, raw_text)]
        asked = [*told, *(suspect.span for suspect in suspects)]
        certain = _outside_phrases(self._certain(choice, raw_text, at), phrases, raw_text)
        certain = _not_taught(certain, raw_text, runs)
        told += [span for span in certain if not any(map(span.overlaps, asked))]
        return [Suspect(span, _known(span, raw_text, runs)) for span in told]

    def phrases(self, segment: Segment) -> list[Span]:
        """The house phrases in a segment."""
        return self._knowledge.phrases.find(segment)

    def _certain(self, choice: Choice, raw_text: str, at: int | None) -> Iterator[Span]:
        if at is None or choice.ledger is None or self._knowledge.index is None:
            return
        spelled = encoded(raw_text)
        tokens = choice.ledger.ending_in(at, at + len(spelled))
        for first, last in certain_runs(tokens, choice.ledger.rare_from):
            start, end = (len(spelled[: max(0, byte - at)].decode("utf-8", "ignore")) for byte in (first, last))
            if not self._own.holds(raw_text[start:end]):
                yield Span(start, end, CERTAIN, _SCORE)

    def suspects_in_part(
        self,
        context: str,
        raw_text: str,
        suspicions: Sequence[Span],
        blocks: Sequence[Span],
        runs: Sequence[Run] = (),
    ) -> list[Suspect]:
        """Of a part of a document, behind what labels it; `runs` go on from earlier parts. Raises DetectorError."""
        known = self.known()
        told = [*runs, *(known.read(Segment(context, raw_text, last=True)) if known is not None else [])]
        phrases = self.phrases(Segment(context, raw_text))
        return self._suspects(self.find(context, raw_text, blocks), suspicions, told, raw_text, phrases)

    def _suspects(
        self,
        found: Sequence[Typed],
        suspicions: Iterable[Span],
        runs: Sequence[Run],
        raw_text: str,
        phrases: Sequence[Span],
    ) -> list[Suspect]:
        of_index = _outside_phrases(_of_index(runs, raw_text, found), phrases, raw_text)
        spans = [*_hidden(found, suspicions), *of_index]
        own = [each.span for each in found if each.grounded] if self._hides_grounded else []
        return [
            *(Suspect(span, _known(span, raw_text, runs)) for span in sorted(spans)),
            *(Suspect(span, _known(span, raw_text, runs), grounded=True) for span in own),
        ]

    def find(self, context: str, raw_text: str, blocks: Sequence[Span] = ()) -> list[Typed]:
        """Typed values that end in `raw_text`. `blocks` are what else has been found in it. Raises DetectorError."""
        seen = context + raw_text
        since = 0 if self._grounds.reads_context else len(context)
        found = [*self._detector.find(seen, since), *(span.shifted(len(context)) for span in blocks)]
        own = self._grounds.covered(seen, found) if found else frozenset()
        public = [span for span in found if self._is_public(span, seen)]
        typed = [
            Typed(_clipped(span.shifted(-len(context))), span in own or self._passes(span, public), span in own)
            for span in found
            if span.end > len(context)
        ]
        return typed + self._denied(seen, len(context))

    def known(self) -> KnownText | None:
        """For a text of its own; None without an index."""
        return self._knowledge.text(self._clearance, self._profile.k)

    def _passes(self, span: Span, public: Sequence[Span]) -> bool:
        """A part of a public value is as public."""
        return span.type in self._profile.allowed_types or span.within(public)

    def _is_public(self, span: Span, seen: str) -> bool:
        public = self._knowledge.public
        return public is not None and public.covers(seen[span.start : span.end], span.type)

    def _denied(self, seen: str, begin: int) -> list[Typed]:
        if self._knowledge.denied is None:
            return []
        found = self._knowledge.denied.find(seen, begin)
        return [Typed(_clipped(span.shifted(-begin)), passes=False) for span in found if span.end > begin]

    def _begun_in_request(self, choice: Choice, channel: Channel, raw_text: str, found: Sequence[Typed]) -> list[Typed]:
        """The rest of a value that the request began; not inside what the caller gave whole."""
        if channel in choice.begun:
            return []
        choice.begun.add(channel)
        return [
            Typed(span, span.type in self._profile.allowed_types)
            for span in self._begun.find(raw_text)
            if not any(each.passes and span.overlaps(each.span) for each in found)
        ]


def _hidden(found: Sequence[Typed], suspicions: Iterable[Span]) -> list[Span]:
    """Typed values that may not pass, and suspicions about what no detector has a type for."""
    untyped = [span for span in suspicions if not any(span.overlaps(each.span) for each in found)]
    return merge([*(each.span for each in found if not each.passes), *untyped])


def _of_index(runs: Iterable[Run], raw_text: str, found: Sequence[Typed]) -> Iterator[Span]:
    passing = [each.span for each in found if each.passes]
    values = [span for span in passing if span.type not in _HOLD_ANYTHING]
    for run in runs:
        if run.standing is not Standing.MANY:
            yield from _left_of(run, raw_text, values if run.standing is Standing.ABOVE else passing)


def _outside_phrases(spans: Iterable[Span], phrases: Sequence[Span], raw_text: str) -> Iterator[Span]:
    """What of suspicions about words sticks out of the house phrases; of others all."""
    for span in spans:
        if span.type not in MAY_BE_STYLE or not any(map(span.overlaps, phrases)):
            yield span
            continue
        for start, end in outside(span, phrases):
            if says_something(raw_text[start:end]):
                yield Span(start, end, span.type, span.score)


def _not_taught(certain: Iterable[Span], raw_text: str, runs: Sequence[Run]) -> Iterator[Span]:
    """What many were taught is certain on purpose. Beside it so many words as the index is sure to find are no part of
    that; of fewer nobody knows, and they say little."""
    taught = [run for run in runs if run.standing is Standing.MANY]
    for span in certain:
        for start, end in outside(span, taught):
            if (start, end) == (span.start, span.end) or words(raw_text[start:end]) >= WORDS.found_from:
                yield Span(start, end, span.type, span.score)


def _left_of(run: Run, raw_text: str, passing: Sequence[Span]) -> Iterator[Span]:
    """What of a run passes nowhere else, whole or where it still says something."""
    for start, end in outside(run, passing):
        whole = (start, end) == (run.start, run.end)
        if whole or sum(map(str.isalnum, raw_text[start:end])) >= FEWEST_LEFT:
            yield Span(start, end, _OF_STANDING[run.standing], _SCORE)


def _known(span: Span, raw_text: str, runs: Sequence[Run]) -> Known:
    standing = standing_of(span, raw_text, runs)
    return Known.NOTHING if standing is None else KNOWN[standing]


def _clipped(span: Span) -> Span:
    return Span(max(0, span.start), span.end, span.type, span.score)
