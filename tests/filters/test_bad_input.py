"""Prose as no model should write it: bounded work, bounded hold-back, no canary, a clean end.

Work is counted in characters that the detector is shown, never timed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.channels import Hidden
from filters.events import Channel, Ending, Event, Field, Finished, RawText, Released
from filters.evidence import Detector, DetectorError
from filters.grounding import RequestGrounds
from filters.pii.detector import detector_of
from filters.pipeline import Pipeline, PipelineClosed, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.segment import AHEAD, WINDOW
from filters.spans import Span

CANARY = "vexlo.trund47@kipmora.example"
CHANNELS = (Field.CONTENT, Field.REASONING, Field.REFUSAL, Field.TEXT)
# A character is in one segment, in the context of a few short ones after it, and in the windows of two forced cuts.
MOST_LOOKS = 12


class Counting:
    """Another detector, and how many characters it has been shown."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.characters = 0

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        self.characters += len(raw_text)
        return self._detector.find(raw_text, since)


class Blind:
    """Finds nothing."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return []


class Run:
    """One answer through a pipeline."""

    def __init__(self, detector: Detector, unit: ReleaseUnit = ReleaseUnit.CLAUSE, kind: Field = Field.CONTENT) -> None:
        profile = Profile("test", compare=False, evidence=False, release=unit)
        self.channel = Channel(0, kind)
        self.decided = self.fed = self.most_held = 0
        evidence = RequestEvidence(RequestGrounds(frozenset()), chat=kind is not Field.TEXT, stops=("never said",))
        self.pipeline = Pipeline(profile, evidence, detector, watch=self._watch)
        self.text = ""
        self.endings: list[Ending] = []

    def feed(self, deltas: Iterable[str]) -> Run:
        for delta in deltas:
            self.fed += len(delta)
            self._take(self.pipeline.feed([RawText(self.channel, delta)]))
            self.most_held = max(self.most_held, self.fed - self.decided)
        return self

    def end(self, ending: Ending = Ending.STOP) -> str:
        self._take(self.pipeline.finish(0, ending))
        assert not self.pipeline.holds
        return self.text

    def _watch(self, raw_text: str, spans: Sequence[Span], hidden: Sequence[Hidden]) -> None:
        self.decided += len(raw_text)

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Released):
                self.text += event.text
            elif isinstance(event, Finished):
                self.endings.append(event.ending)


def in_pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return detector_of(Profile("test"))


def leaks(seen: str) -> bool:
    return any(CANARY[at : at + 4] in seen for at in range(len(CANARY) - 3))


BROKEN = {
    "lone surrogates": "\ud800 {} \udfff\udfff",
    "surrogates inside": "mail \ud83d{}\ude00 now",
    "half characters": "\ufffd\ufffd {} \ufffd",
    "noncharacters": "\uffff\ufdd0{}\U0010ffff",
    "controls": "\x00\x1b[2J{}\x07\x00",
    "marks over marks": "e" + "\u0301" * 500 + " {} " + "\u0489" * 500,
    "invisible": "\u200b" * 700 + "{}" + "\u2060" * 700,
    "both directions": "\u202e{}\u202c\u2066",
    "blanks": " " * 1500 + "{}" + "\n" * 1500,
    "marks": ".,;:!?" * 300 + " {} " + "。，！？" * 300,
    "brackets": "([{" * 400 + "{}" + "}])" * 400,
}


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("name", BROKEN)
def test_no_canary_gets_through_broken_text(detector: Detector, name: str, kind: Field) -> None:
    text = BROKEN[name].replace("{}", CANARY, 1)
    whole = Run(detector, kind=kind).feed([text])
    for size in (1, 7):
        pieces = Run(detector, kind=kind).feed(in_pieces(text, size))
        assert pieces.most_held <= WINDOW + AHEAD + size
        assert pieces.end() == whole.text or whole.end() == pieces.text
    assert not leaks(whole.text)
    assert whole.endings == [Ending.STOP]


@pytest.mark.parametrize("ending", [Ending.STOP, Ending.LENGTH])
def test_a_canary_broken_by_surrogates_is_no_less_hidden(detector: Detector, ending: Ending) -> None:
    text = "Her mail is " + "\ud800".join(CANARY) + " they say. "
    assert not leaks(Run(detector).feed(text).end(ending).replace("\ud800", ""))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(
        st.one_of(
            st.text(alphabet=st.characters(categories=("Cs", "Co", "Cn", "Cc", "Cf", "Mn", "Lo", "Po")), max_size=20),
            st.sampled_from([CANARY, "one. ", "“", "\ud800"]),
        ),
        max_size=8,
    ),
    size=st.integers(1, 9),
)
def test_no_text_raises_and_every_way_of_cutting_it_gives_the_same(parts: list[str], size: int) -> None:
    text, detector = " ".join(parts), detector_of(Profile("test"))
    whole = Run(detector).feed([text]).end()
    assert Run(detector).feed(in_pieces(text, size)).end() == whole
    assert not leaks(whole)


@pytest.mark.parametrize("unit", list(ReleaseUnit))
@pytest.mark.parametrize("size", [1_000_000, 4_096, 50])
def test_a_megabyte_without_a_space_is_hidden_in_bounded_work(unit: ReleaseUnit, size: int) -> None:
    line = "k7Qz" * 125_000 + CANARY + "Zq7k" * 125_000
    detector = Counting(Blind())
    run = Run(detector, unit).feed(in_pieces(line, size))
    assert run.most_held <= WINDOW + AHEAD + size
    assert "k7Qz" not in run.end()
    assert not leaks(run.text)
    assert detector.characters <= MOST_LOOKS * len(line)


def test_a_hundred_thousand_deltas_of_nothing_cost_nothing() -> None:
    detector = Counting(Blind())
    run = Run(detector).feed([""] * 100_000)
    assert not run.pipeline.holds
    assert run.end() == ""
    assert detector.characters == 0


@pytest.mark.parametrize(
    "unit", ["word ", "字", "a\n", "1 ", ", ", "it was so. ", "{", '{"a": 1, ', "-----BEGIN ", "at ", "one "]
)
def test_a_hundred_thousand_deltas_of_one_character_take_linear_work(unit: str) -> None:
    looks = []
    for length in (10_000, 100_000):
        detector = Counting(Blind())
        run = Run(detector).feed((unit * length)[:length])
        assert run.most_held <= WINDOW + AHEAD + 1
        run.end()
        looks.append(detector.characters / length)
    assert looks[1] <= looks[0] * 1.1
    assert looks[1] <= (CONTEXT_LOOKS if len(unit) < 8 else MOST_LOOKS)


# A segment of two characters is shown with its context of 64.
CONTEXT_LOOKS = 34


def test_after_a_failure_nothing_that_was_held_comes_out() -> None:
    class Failing:
        def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
            raise MemoryError

    run = Run(Failing())
    run.feed(["Her mail is " + CANARY])
    with pytest.raises(MemoryError):
        run.feed([" they say. And so on."])
    with pytest.raises(PipelineClosed):
        run.feed(["more"])
    assert run.text == ""
    assert not run.pipeline.holds


def test_a_detector_that_cannot_look_releases_nothing() -> None:
    class Broken:
        def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
            raise DetectorError

    text = Run(Broken()).feed(f"Her mail is {CANARY}, they say. " * 40).end()
    assert not leaks(text)
    assert "Her" not in text
