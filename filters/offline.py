"""The filters without a server: a whole text, or one that is fed in pieces of any size.

The pipeline of an answer, without a second opinion: there is no base model to ask, so everything that was found, is not
allowed and was not said by the caller is hidden. However a text is fed, what comes out is the same.

Held at a time: the open segment and its context, and one entry for each different value that was hidden so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from filters.channels import Hidden
from filters.detectors import detector_of
from filters.events import Channel, Ending, Event, Field, Finished, RawText, Released, Verdict
from filters.evidence import Detector, DetectorError
from filters.grounding import RequestGrounds
from filters.pass_through import PassThrough
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.segment import CONTEXT
from filters.spans import Span, merge

PIECE = 4096  # characters that the pipeline is fed at once, so that what it holds and gives back at once is bounded
DEFAULT_PROFILE = Profile("strict", compare=False, evidence=False)
_CHANNEL = Channel(0, Field.TEXT)  # what a text goes on from plays no part, and nothing falls back


@dataclass(frozen=True, slots=True)
class Finding:
    """A typed value in characters `start` to `end` (exclusive) of the input, and what became of it."""

    start: int
    end: int
    type: str
    score: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Filtered:
    """`stopped`: the profile's `on_failure` ended the text early."""

    text: str
    findings: tuple[Finding, ...]
    stopped: bool = False


def filter_text(
    raw_text: str,
    *,
    own: Sequence[str] = (),
    profile: Profile = DEFAULT_PROFILE,
    key: bytes = b"",
    detector: Detector | None = None,
    chunks: int = 1,
) -> Filtered:
    """The text with what must not leave replaced, and what was found in it.

    `own` is what the caller said himself: his values come back. `key` makes pseudonyms and surrogates, where the
    profile has any. The detector with all types is built at the first call. ValueError for a profile that has keyed
    actions and no key, DetectorError if `own` can't be read.
    """
    stream = TextFilter(detector or detector_of(profile), own=own, profile=profile, key=key)
    parts = [stream.push(piece) for piece in pieces(raw_text, chunks)]
    return Filtered("".join([*parts, stream.close()]), tuple(stream.take_findings()), stream.stopped)


def pieces(text: str, chunks: int) -> Iterator[str]:
    """The text in `chunks` parts of about one size, none longer than PIECE."""
    size = min(PIECE, max(1, -(-len(text) // chunks)))
    return (text[at : at + size] for at in range(0, len(text), size))


class TextFilter:
    """One text on its way through the filters: `push` what there is, `close` at its end."""

    def __init__(
        self,
        detector: Detector,
        *,
        own: Sequence[str] = (),
        profile: Profile = DEFAULT_PROFILE,
        key: bytes = b"",
        released_findings: bool = True,
    ) -> None:
        """Without `released_findings` only what was hidden is told, which spares a second look at every segment."""
        profile = replace(profile, compare=False)
        request = RequestEvidence(RequestGrounds.from_texts(own, detector), chat=False)
        self._findings = _Findings(detector, released=released_findings and bool(own or profile.allowed_types))
        self._pipeline: Pipeline | PassThrough = (
            Pipeline(profile, request, detector, key=key, watch=self._findings.watch)
            if profile.detect
            else PassThrough()
        )
        self.stopped = False

    def push(self, raw_text: str) -> str:
        """What may leave now."""
        return "".join(self._read(self._pipeline.feed([RawText(_CHANNEL, piece)])) for piece in pieces(raw_text, 1))

    def close(self) -> str:
        """The rest."""
        return self._read(self._pipeline.finish(0, Ending.STOP))

    def take_findings(self) -> list[Finding]:
        """What was found in the text that has been decided since the last call, in order."""
        return self._findings.take()

    def _read(self, events: Sequence[Event]) -> str:
        if not events:
            return ""
        texts = []
        for event in events:
            if isinstance(event, Released):
                texts.append(event.text)
            elif isinstance(event, Finished):
                self.stopped = self.stopped or event.ending is Ending.CONTENT_FILTER
        return "".join(texts)


class _Findings:
    """Watches a pipeline and tells places in segments as places in the whole text."""

    def __init__(self, detector: Detector, *, released: bool) -> None:
        self._detector, self._released = detector, released
        self._context = ""
        self._offset = 0
        self._found: list[Finding] = []

    def watch(self, raw_text: str, hidden: Sequence[Span], _: Sequence[Hidden]) -> None:
        """A segment has been decided."""
        passed = self._passed(raw_text, hidden) if self._released else []
        spans = [(span, Verdict.MASK) for span in hidden] + [(span, Verdict.RELEASE) for span in passed]
        for span, verdict in sorted(spans, key=lambda entry: entry[0]):
            start, end = span.start + self._offset, span.end + self._offset
            self._found.append(Finding(start, end, span.type, span.score, verdict))
        self._context = (self._context + raw_text)[-CONTEXT:]
        self._offset += len(raw_text)

    def take(self) -> list[Finding]:
        """All since the last call."""
        found, self._found = self._found, []
        return found

    def _passed(self, raw_text: str, hidden: Sequence[Span]) -> list[Span]:
        """What was found and not hidden."""
        try:
            found = merge(self._detector.find(self._context + raw_text, len(self._context)))
        except DetectorError:
            return []  # the pipeline met it too, and hid the segment whole
        shifted = [span.shifted(-len(self._context)) for span in found]
        return [span for span in shifted if span.start >= 0 and not any(map(span.overlaps, hidden))]
