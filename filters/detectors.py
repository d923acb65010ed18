"""All detectors of a profile as one: typed values (pii/detector.py) and special categories tied to a person."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from filters.evidence import Detector, DetectorError
from filters.pii.detector import Detectors, build_detector
from filters.pii.nlp_engine import NlpEngine
from filters.profile import Profile
from filters.spans import Span
from filters.specificity.special import SpecialCategories

_PERSON = frozenset({"PERSON"})


class WithCategories:
    """Fulfils `filters.evidence.Detector`: another one's findings and those of special categories."""

    def __init__(self, typed: Detector, categories: SpecialCategories) -> None:
        self._typed, self._categories = typed, categories

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        """As the other detector's `find`. Raises DetectorError."""
        return [*self._typed.find(raw_text, since), *self._categories_in(raw_text)]

    def _categories_in(self, raw_text: str) -> list[Span]:
        try:
            return self._categories.find(raw_text)
        except DetectorError:
            raise
        except Exception as error:  # noqa: BLE001 -- raised again below, as the one error that the caller knows
            failed = type(error).__name__
        # Outside the handler: the other exception, whose message or frames may hold text, must not travel along.
        raise DetectorError(f"special categories failed: {failed}")


class ProfileDetectors:
    """The detectors of profiles, each built at its first use and kept."""

    def __init__(self, names_engine: NlpEngine | None = None) -> None:
        """`names_engine`: as for `filters.pii.detector.build_detector`."""
        self._typed = Detectors(names_engine)
        self._names_engine = names_engine
        self._once = lru_cache(1)(self._build)

    def of(self, profile: Profile) -> Detector:
        """The one with all that this profile looks for."""
        typed = self._typed.of(profile)
        return WithCategories(typed, self._once()[1]) if profile.persons else typed

    @property
    def names(self) -> Detector:
        """Finds PERSON spans, whatever a profile looks for."""
        return self._once()[0]

    def _build(self) -> tuple[Detector, SpecialCategories]:
        names = build_detector(_PERSON, names_engine=self._names_engine)
        return names, SpecialCategories(names)


detector_of = ProfileDetectors().of
