"""With what is said of persons counted, every way of cutting an answer still gives the same."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.detectors import ProfileDetectors
from filters.events import Channel, Ending, Field, Verdict
from filters.grounding import RequestGrounds
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.described import Describing, Speaker, Turn
from tests.properties.test_chunks import DEEP, PROSE, same
from tests.support.answers import CharacterVocabulary, Script, run

EXAMPLES = 2000 if DEEP else 100
SAID = (
    "She is 34, lives in Leeds and is a beekeeper. ",
    "Priya Tamber is a judge from Galway, ",
    "Age: 34; City: Bristol\n",
    "她今年三十四岁，住在西藏拉萨，",
    "育有两个女儿。",
    "She was diagnosed with lupus. ",
    "The beekeeper from Leeds is divorced. ",
    "Her number is 13812345678. ",
    *PROSE,
)
EARLIER = ([], [Turn(Speaker.MODEL, SAID[0]), Turn(Speaker.CALLER, "And what else?")])
texts = st.lists(st.sampled_from(SAID), min_size=1, max_size=8).map("".join)
channels = st.sampled_from((Field.CONTENT, Field.REASONING))


@cache
def detectors() -> ProfileDetectors:
    return ProfileDetectors()


def pipeline(profile: Profile, k: int, earlier: list[Turn], **request: Any) -> Pipeline:
    describing = Describing(AttributeFinder(shipped_crowds()), detectors().names, k)
    evidence = RequestEvidence(RequestGrounds(), described=describing.begin(earlier), **request)
    return Pipeline(profile, evidence, detectors().of(profile), CharacterVocabulary())


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.tuples(st.integers(0, 1), channels, texts), min_size=1, max_size=4),
    profile=st.builds(
        Profile,
        name=st.just("test"),
        compare=st.booleans(),
        names=st.booleans(),
        release=st.sampled_from(list(ReleaseUnit)),
        on_memorised=st.sampled_from([Verdict.FALL_BACK, Verdict.MASK]),
    ),
    k=st.sampled_from([3, 20, 1000, 10_000_000]),
    earlier=st.sampled_from(EARLIER),
    ending=st.sampled_from([Ending.STOP, Ending.LENGTH]),
    tells_tokens=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_cutting_gives_the_same(
    parts: list[tuple[int, Field, str]],
    profile: Profile,
    k: int,
    earlier: list[Turn],
    ending: Ending,
    tells_tokens: bool,
    seed: int,
) -> None:
    script = Script([(Channel(choice, kind), text) for choice, kind, text in parts], ending)
    whole = run(pipeline(profile, k, earlier, tells_tokens=tells_tokens), script)
    assert same(whole, run(pipeline(profile, k, earlier, tells_tokens=tells_tokens), script, seed))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    thought=texts,
    notes=st.lists(texts, min_size=1, max_size=4),
    age=st.integers(1, 99),
    k=st.sampled_from([20, 10_000_000]),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_cutting_a_document_gives_the_same(
    thought: str, notes: list[str], age: int, k: int, seed: int
) -> None:
    document = json.dumps({"notes": notes, "age": age}, ensure_ascii=False)
    script = Script([(Channel(0, Field.REASONING), thought), (Channel(0, Field.CONTENT), document)])
    profile = Profile("test", compare=False)
    asked = {"json_mode": True, "json_keys": frozenset({"notes", "age"})}
    whole = run(pipeline(profile, k, [], **asked), script)
    assert same(whole, run(pipeline(profile, k, [], **asked), script, seed))
    if whole.endings == {0: Ending.STOP} and not whole.fallbacks:
        assert json.loads(whole.content).keys() == {"notes", "age"}
