"""All typed detectors as one.

`find` makes the plain readings of a text (normalise.py), shows each to every recognizer and maps what they find back to
the raw text. A text with too few digits, or none near each other, is not shown to recognizers of numbers; the others
have a cheap test of their own first. So most of them do not run on most texts (tests/bench/bench_detectors.py).

A text of any length is read in pieces that overlap, so that the time-out of a pattern is one on a bounded text. What
is longer than the overlap (a private key) is found from its head.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from filters.evidence import DetectorError
from filters.normalise import Normalised
from filters.pii.addresses import Addresses
from filters.pii.blocks import AdminNotes, InternalRecords
from filters.pii.chinese import ChinesePassports, CreditCodes, Plates, QqNumbers, ResidentIds, WeChatIds
from filters.pii.dates import Dates, WebAddresses
from filters.pii.emails import Emails
from filters.pii.internals import FilePaths, HighEntropyKeys, InternalHosts, PrivateAddresses, StackFrames
from filters.pii.labelled import KINDS, Labelled
from filters.pii.names import Names
from filters.pii.nlp_engine import EngineNames, NlpEngine
from filters.pii.numbers import Cards, Ibans, Phones
from filters.pii.quantities import KINDS as QUANTITY_KINDS
from filters.pii.quantities import Quantities, without_parts
from filters.pii.readings import backwards, readings
from filters.pii.recognizers import CHOICES, PresidioPatterns, Recognizer, silence_presidio
from filters.pii.secrets import PEM, Secrets, private_keys
from filters.pii.tail import boundary_ok, open_tail
from filters.pii.types import NAMES, OF_LISTS, OF_PERSONS, ON_REQUEST, QUANTITIES, TYPES
from filters.pii.view import View
from filters.profile import Profile
from filters.spans import Span

__all__ = ["TYPES", "Detectors", "PatternDetector", "boundary_ok", "build_detector", "detector_of", "open_tail"]

# Longer than any value with a form of its own except keys and tokens; short enough for the time-out.
_PIECE = 16_384
_OVERLAP = 2_048

# What every profile looks for.
_ALWAYS = TYPES.keys() - ON_REQUEST - QUANTITIES - OF_PERSONS - OF_LISTS


def build_detector(
    types: Collection[str] | None = None,
    *,
    internal_hosts: Collection[str] = (),
    record_fields: Collection[str] = (),
    names_engine: NlpEngine | None = None,
    all_dates: bool = False,
) -> PatternDetector:
    """Every recognizer but those ON_REQUEST and of QUANTITIES, or those that find one of `types`. The name model is
    loaded if one of NAMES is asked for: TYPES asks for all. Raises ValueError for a type that is not in TYPES.

    `all_dates`: those without a day or a year are found too, where DATE is one of `types`.
    `names_engine`: finds names in place of the embedded model, or beside it, as it was loaded to.

    `internal_hosts`: names that are INTERNAL_HOST besides those of private networks (see internals.InternalHosts).
    `record_fields`: a JSON object with one of these field names is an INTERNAL_RECORD.
    """
    wanted = frozenset(_ALWAYS if types is None else types)
    unknown = wanted - TYPES.keys()
    if unknown:
        raise ValueError(f"no such finding types: {sorted(unknown)}")
    silence_presidio()
    recognizers = [r for r in _all_recognizers(internal_hosts, record_fields, all_dates) if r.kind in wanted]
    return PatternDetector([*recognizers, *_names(sorted(wanted & NAMES), names_engine)])


def _names(kinds: Sequence[str], engine: NlpEngine | None) -> Iterator[Recognizer]:
    if engine is None or engine.beside_embedded:
        yield from map(Names, kinds)
    if engine is not None:
        yield from (EngineNames(kind, engine) for kind in kinds)


class Detectors:
    """The detectors of profiles, each built at its first use and kept."""

    def __init__(self, names_engine: NlpEngine | None = None) -> None:
        self._names_engine = names_engine
        self._of = lru_cache(_MOST_DETECTORS)(self._build)

    def of(self, profile: Profile) -> PatternDetector:
        """The one with all types that this profile looks for."""
        return self._of(profile.names, profile.quantities, profile.internal_hosts, profile.record_fields)

    def _build(
        self, names: bool, quantities: frozenset[str], hosts: frozenset[str], fields: frozenset[str]
    ) -> PatternDetector:
        return build_detector(
            _ALWAYS | quantities | (ON_REQUEST if names else frozenset()),
            internal_hosts=hosts,
            record_fields=fields,
            names_engine=self._names_engine,
            all_dates="DATE" in quantities,
        )


# As many as a policy and its predecessors have: the lists are the policy's, so a new one may bring others.
_MOST_DETECTORS = 8
detector_of = Detectors().of


def _all_recognizers(
    internal_hosts: Collection[str], record_fields: Collection[str], all_dates: bool
) -> list[Recognizer]:
    own: list[Recognizer] = [
        Emails(),
        Phones(),
        Cards(),
        Ibans(),
        ResidentIds(),
        CreditCodes(),
        ChinesePassports(),
        Plates(),
        WeChatIds(),
        QqNumbers(),
        Addresses(),
        Secrets(),
        HighEntropyKeys(),
        InternalHosts(internal_hosts),
        PrivateAddresses(),
        FilePaths(),
        StackFrames(),
        InternalRecords(record_fields),
        AdminNotes(),
        Dates(all_dates=all_dates),
        WebAddresses(),
    ]
    labelled: list[Recognizer] = [Labelled(kind) for kind in KINDS]
    quantities: list[Recognizer] = [Quantities(kind) for kind in QUANTITY_KINDS]
    return own + labelled + quantities + [PresidioPatterns(choice) for choice in CHOICES]


# No recognizer asks for more, so that the table of who sees what stays small.
MOST_DIGITS_ASKED = 16


class PatternDetector:
    """Fulfils `filters.evidence.Detector`."""

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        self._recognizers = tuple(recognizers)
        self._without_digits = tuple(r for r in recognizers if r.digits == 0)
        self._by_digits: dict[tuple[int, int], tuple[Recognizer, ...]] = {}
        self._has_quantities = not self.types.isdisjoint(QUANTITIES)

    @property
    def recognizers(self) -> tuple[Recognizer, ...]:
        return self._recognizers

    @property
    def types(self) -> frozenset[str]:
        return frozenset(r.kind for r in self._recognizers)

    def find(self, raw_text: str, since: int = 0) -> list[Span]:
        """Spans in offsets of `raw_text`, sorted, overlapping where recognizers disagree. What stands before `since`
        is context: names that end there are left out.

        Raises DetectorError, which never holds text.
        """
        spans: set[Span] = set()
        for start in range(0, max(1, len(raw_text) - _OVERLAP), _PIECE - _OVERLAP):
            piece = raw_text[start : start + _PIECE]
            spans.update(span.shifted(start) for span in self._find_in_piece(piece, since - start))
        if len(raw_text) > _PIECE and PEM in raw_text and Secrets.kind in self.types:
            # A key's lines may fill more than a piece. Its head is plain ASCII, so the raw text will do.
            spans.update(private_keys(raw_text))
        return sorted(without_parts(spans) if self._has_quantities else spans)

    def _find_in_piece(self, raw_text: str, since: int) -> list[Span]:
        try:
            return self._find_in_readings(raw_text, since)
        except DetectorError:
            raise
        except Exception as error:  # noqa: BLE001 -- raised again below, as the one error that the caller knows
            failed = type(error).__name__
        # Outside the handler: the other exception, whose message or frames may hold text, must not travel along.
        raise DetectorError(f"recognizer failed: {failed}")

    def _find_in_readings(self, raw_text: str, since: int) -> list[Span]:
        forward = list(readings(raw_text))
        plain, *further = forward
        spans = list(self._find_in_reading(plain, View(plain.text, since=bisect_left(plain.offsets, since))))
        for reading in further:
            spans += self._find_in_reading(reading, View(reading.text))
        for reading in backwards(forward, tuple(spans)):
            spans += self._find_in_reading(reading, View(reading.text, backwards=True))
        return spans

    def _find_in_reading(self, reading: Normalised, view: View) -> Iterator[Span]:
        for recognizer in self._worth_showing(view):
            for found in recognizer.find(view):
                start, end = reading.raw_span(found.start, found.end)
                yield Span(start, end, found.type, found.score)

    def _worth_showing(self, view: View) -> Sequence[Recognizer]:
        if not view.digits:
            return self._without_digits
        digits, run = min(view.digits, MOST_DIGITS_ASKED), min(view.digit_run, MOST_DIGITS_ASKED)
        if (digits, run) not in self._by_digits:
            self._by_digits[digits, run] = tuple(
                r for r in self._recognizers if r.digits <= digits and r.digit_run <= run
            )
        return self._by_digits[digits, run]
