"""Of a denied value fewer characters leave than it is known by, in prose and JSON, however it is spelled, wherever the
answer could be cut and however it comes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.denied import START, DeniedValues
from filters.events import Channel, Ending, Field
from filters.evidence import Detector
from filters.grounding import RequestGrounds
from filters.hidden import skeleton
from filters.knowledge import Knowledge
from filters.normalise import normalise
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from tests.support.answers import CharacterVocabulary, Outcome, Script, run, sure
from tests.support.knowledge import SECRET, deny

VALUE = "Vexlo Tamber & Quonzy"
LETTERS = "vexlotamberquonzy"
CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)
GAPS = ["", "", "", "", " ", "-", ". ", "! ", ", ", "\u200b", "\n", "  ", "。"]


@cache
def detector() -> Detector:
    return build_detector()


@cache
def knowledge() -> Knowledge:
    with TemporaryDirectory() as folder:
        return Knowledge(denied=DeniedValues.load(deny(Path(folder), ["Hark", VALUE, "甄禾砚"]), SECRET.encode()))


def said(text: str, *, unit: ReleaseUnit, seed: int | None, ending: Ending, channel: Channel, as_json: bool) -> Outcome:
    request = RequestEvidence(
        RequestGrounds.from_texts([VALUE], detector()), own_text=VALUE, json_mode=as_json, json_keys=frozenset({"note"})
    )
    profile = Profile("strict", release=unit)
    pipeline = Pipeline(profile, request, detector(), CharacterVocabulary(), knowledge=knowledge())
    base = json.dumps({"note": f"It is {VALUE}."}) if as_json else f"It is {VALUE}."
    return run(pipeline, Script([(channel, text)], ending=ending, base=base, evidence=sure), seed)


def tells(outcome: Outcome) -> bool:
    """Whether so much of the value stands in a row that it is known by it."""
    told = skeleton(normalise(outcome.everything).text)
    return any(LETTERS[at : at + START] in told for at in range(len(LETTERS) - START + 1))


SPELT = st.lists(st.sampled_from(GAPS), min_size=len(LETTERS), max_size=len(LETTERS)).map(
    lambda gaps: "".join(gap + char for gap, char in zip(gaps, LETTERS, strict=True))
)
PROSE = st.lists(
    st.sampled_from(
        ["It rained. ", "We hark back, ", "下雨了。", "Vex. ", "so ", "\n", "One moment! ", "x" * 40 + " "]
    ),
    max_size=12,
).map("".join)


@pytest.mark.parametrize("unit", ReleaseUnit)
@settings(max_examples=60, deadline=None)
@given(PROSE, SPELT, PROSE, st.integers(0, 1000), st.sampled_from([Ending.STOP, Ending.LENGTH]), st.booleans())
def test_prose(
    unit: ReleaseUnit, before: str, spelt: str, after: str, seed: int, ending: Ending, reasons: bool
) -> None:
    text, channel = before + spelt + " " + after, REASONING if reasons else CONTENT
    whole, cut = (
        said(text, unit=unit, seed=chosen, ending=ending, channel=channel, as_json=False) for chosen in (None, seed)
    )
    assert whole.texts == cut.texts
    assert not tells(whole)


@settings(max_examples=60, deadline=None)
@given(PROSE, SPELT, st.integers(0, 1000), st.integers(0, 1))
def test_json(before: str, spelt: str, seed: int, long: int) -> None:
    text = json.dumps({"note": "All is well. " * 40 * long + before + spelt + " it was."}, ensure_ascii=False)
    whole, cut = (
        said(text, unit=ReleaseUnit.SENTENCE, seed=chosen, ending=Ending.STOP, channel=CONTENT, as_json=True)
        for chosen in (None, seed)
    )
    assert whole.texts == cut.texts
    assert not tells(whole)
    assert "note" in json.loads(whole.content)


@settings(max_examples=60, deadline=None)
@given(PROSE, SPELT, st.integers(1, 40))
def test_an_answer_that_ends_before_its_time(before: str, spelt: str, cut: int) -> None:
    text = (before + spelt)[: -min(cut, len(spelt))]
    outcome = said(text, unit=ReleaseUnit.SENTENCE, seed=None, ending=Ending.LENGTH, channel=CONTENT, as_json=False)
    assert not tells(outcome)
