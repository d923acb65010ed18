"""All readings of a text: the plain one, those that decoding gives, and those of values that are told otherwise.

A further reading can only add findings. Each is behind a cheap test, so that ordinary prose has the plain one alone,
and their number is bounded, so that the cost stays linear in the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate

from filters.normalise import Normalised, normalise
from filters.pii.encoded import decodings
from filters.pii.spelled import spellings, turned
from filters.spans import Span

# An encoding inside an encoding inside an encoding.
_DEPTH = 3
# Decoded readings of one text: four places where base64 may begin, and a step or two further for the one that is right.
_MOST_DECODED = 12


def readings(raw_text: str) -> Iterator[Normalised]:
    """The plain reading first, then each further reading that this text calls for. All map to `raw_text`."""
    plain = normalise(raw_text)
    for reading in (plain, *_decoded(plain)):
        yield reading
        yield from spellings(reading)


def backwards(forward: Iterable[Normalised], found: Collection[Span]) -> Iterator[Normalised]:
    """The `forward` readings with what may be a value turned round, except what was `found` whole as it stands."""

    spans = sorted(found)
    starts = [span.start for span in spans]
    reach = [0, *accumulate((span.end for span in spans), max)]  # how far those that begin up to here go

    def known(raw_start: int, raw_end: int) -> bool:
        return raw_end <= reach[bisect_right(starts, raw_start)]

    for reading in forward:
        yield from turned(reading, known)


def _decoded(plain: Normalised) -> list[Normalised]:
    found: list[Normalised] = []
    layer, seen = [plain], {plain.text}
    for _ in range(_DEPTH):
        layer = [deeper for reading in layer for deeper in decodings(reading) if deeper.text not in seen]
        layer = layer[: _MOST_DECODED - len(found)]
        seen.update(reading.text for reading in layer)
        found += layer
        if not layer:
            break
    return found
