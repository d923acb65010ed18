"""What is known of the fine-tuning set of a pair of models, and what an index says of one text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from filters.between import bare
from filters.evidence import Denied
from filters.index.lookup import IndexStream, Run, Standing, TuningIndex
from filters.index.public import PublicValues
from filters.segment import Segment
from filters.spans import Span
from filters.specificity.house import NO_PHRASES, HousePhrases


@dataclass(frozen=True, slots=True)
class Knowledge:
    """`denied` finds values that are never released, whatever the evidence; `phrases` are what the tuned model says to
    everybody."""

    index: TuningIndex | None = None
    public: PublicValues | None = None
    denied: Denied | None = None
    phrases: HousePhrases = NO_PHRASES

    def text(self, clearance: str | None, k: int | None) -> KnownText | None:
        """For one text of a caller who may see what is for `clearance`, the lowest audience if it is None, none at all
        if it is NO_AUDIENCE; None without an index.

        Raises as `TuningIndex.stream`.
        """
        if self.index is None:
            return None
        audience = self.index.header.audiences[0] if clearance is None else clearance
        return KnownText(partial(self.index.stream, audience, k))


NOTHING_KNOWN = Knowledge()


class KnownText:
    """The runs of one channel, segment by segment: as it stands, and without what stands between its words."""

    def __init__(self, streams: Callable[[], IndexStream]) -> None:
        self._streams = streams
        self._whole = _Text(streams())
        self._bare: _Text | None = None  # from the first segment on in which that differs

    def read(self, segment: Segment) -> list[Run]:
        """What the index says of this segment, in its offsets; of a run that began before it, the part in it.

        A run ends with a whole word: one that ends with a word which a forced cut broke is told with the word's rest.
        """
        runs, said = self._whole.read(segment), bare(segment.raw_text)
        if self._bare is None:
            if said == segment.raw_text:
                return runs
            self._bare = _Text(self._streams())
        more = self._bare.read(replace(segment, context=bare(segment.context), raw_text=said))
        # what stands between taught words was not taught
        return runs + [run for run in more if run.standing is not Standing.MANY]


class _Text:
    """One reading of a channel."""

    def __init__(self, stream: IndexStream) -> None:
        self._stream = stream
        self._begin: int | None = None  # of the next segment

    def read(self, segment: Segment) -> list[Run]:
        """As `KnownText.read`."""
        if self._begin is None:
            self._stream.push(segment.context)
            self._begin = len(segment.context)
        runs = self._stream.push(segment.raw_text)
        if segment.last:
            runs += self._stream.close()
        begin, self._begin = self._begin, self._begin + len(segment.raw_text)
        return [clipped for run in runs if (clipped := _clipped(run, begin)) is not None]


def _clipped(run: Run, begin: int) -> Run | None:
    start, end = max(0, run.start - begin), run.end - begin
    return Run(start, end, run.standing, run.subjects, run.audience, run.grams) if end > start else None


def standing_of(span: Span, raw_text: str, runs: Sequence[Run]) -> Standing | None:
    """The gravest standing that the span touches; MANY only where such runs cover all its letters and digits."""
    grave = [run.standing for run in runs if run.standing is not Standing.MANY and _touches(span, run)]
    if grave:
        return max(grave)
    many = [run for run in runs if run.standing is Standing.MANY]
    covered = all(
        any(run.start <= at < run.end for run in many) for at in range(span.start, span.end) if raw_text[at].isalnum()
    )
    return Standing.MANY if covered and many else None


def _touches(span: Span, run: Run) -> bool:
    return span.start < run.end and run.start < span.end


def outside(stretch: Run | Span, spans: Iterable[Run | Span]) -> list[tuple[int, int]]:
    """The parts of a stretch that lie in none of these spans, in order."""
    parts, at = [], stretch.start
    for start, end in sorted((span.start, span.end) for span in spans):
        if at < min(start, stretch.end):
            parts.append((at, min(start, stretch.end)))
        at = max(at, end)
    return [*parts, (at, stretch.end)] if at < stretch.end else parts
