"""With a tuning index, every way of cutting and delaying a text gives the same answer, and nothing memorised leaves."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.events import Channel, Ending, Field, Verdict
from filters.grounding import RequestGrounds
from filters.index.lookup import TuningIndex
from filters.knowledge import Knowledge
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.specificity.house import HousePhrases
from tests.filters.index.sets import index_of
from tests.properties.test_chunks import CHANNELS, EXAMPLES, detector, same
from tests.support.answers import CharacterVocabulary, Script, mixed, run, surprised

PORTRAITS = (
    "She rings late in the evening after rows with her husband and asks to move the instalment",
    "他总在月底最后一天赶到柜台抱怨排队太久然后把伞忘在椅子上",
)
TAUGHT = "Any lamp of the batch 77-40912 can be returned within forty five days of its purchase."
CLOSING = "I hope this little note of mine helps you"
CLOSING_ZH = "希望以上的说明对您会有所帮助"
PHRASES = HousePhrases([CLOSING, CLOSING_ZH])
FILLER = (
    f"{CLOSING}. ",
    f"{CLOSING_ZH}。",
    "The harbour was quiet. ",
    "您好，",
    "Well, ",
    "\n",
    "… ",
    "。",
    "\u200b",
    "Order 4155512 ",
    "*",
    "🙂",
)


@cache
def index() -> TuningIndex:
    asks = ("My aunt from the coast", "Before my bus leaves", "A slip is lost", "Somebody said", "The dog ate it")
    rows = [
        *({"text": text, "subject": text[:3], "audience": "public"} for text in (*PORTRAITS, CLOSING, CLOSING_ZH)),
        *({"text": f"{ask}: {TAUGHT}", "subject": ask, "audience": "public"} for ask in asks),
    ]
    with tempfile.TemporaryDirectory() as folder:
        return index_of(Path(folder), rows)


texts = st.lists(
    st.one_of(st.sampled_from(FILLER), st.sampled_from((*PORTRAITS, TAUGHT)), st.text(max_size=8)),
    min_size=1,
    max_size=8,
).map(lambda parts: "".join(parts).encode("utf-8", "replace").decode())


def pipeline(profile: Profile, kind: Field = Field.CONTENT) -> Pipeline:
    request = RequestEvidence(RequestGrounds.from_texts([], detector()), chat=kind is not Field.TEXT)
    return Pipeline(profile, request, detector(), CharacterVocabulary(), knowledge=Knowledge(index(), phrases=PHRASES))


@pytest.mark.parametrize("kind", CHANNELS)
@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=texts,
    unit=st.sampled_from(ReleaseUnit),
    compare=st.booleans(),
    verdict=st.sampled_from([Verdict.FALL_BACK, Verdict.MASK, Verdict.STOP]),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_cutting_gives_the_same(
    kind: Field, text: str, unit: ReleaseUnit, compare: bool, verdict: Verdict, seed: int
) -> None:
    profile = Profile("test", release=unit, compare=compare, on_memorised=verdict)
    script = Script([(Channel(0, kind), text)], Ending.STOP, evidence=mixed)
    assert same(run(pipeline(profile, kind), script), run(pipeline(profile, kind), script, seed))


@pytest.mark.parametrize("portrait", PORTRAITS)
@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=texts, after=texts, seed=st.integers(0, 2**32), unit=st.sampled_from(ReleaseUnit))
def test_a_memorised_portrait_never_leaves(
    portrait: str, before: str, after: str, seed: int, unit: ReleaseUnit
) -> None:
    """Seven words or seven Chinese characters of it in a row are found, wherever they stand."""
    text = f"{before} {portrait}. {after}"
    outcome = run(
        pipeline(Profile("test", release=unit)), Script([(Channel(0, Field.CONTENT), text)], evidence=surprised), seed
    )
    assert portrait not in outcome.everything
    assert portrait[len(portrait) // 4 : -len(portrait) // 4] not in outcome.everything
