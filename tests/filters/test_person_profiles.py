"""What harmless parts of an answer add up to is generalised on its way out, in every channel and form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from filters.detectors import ProfileDetectors
from filters.events import Channel, Decided, Ending, Event, Field, Finished, RawText, RawTokens, Released
from filters.evidence import Detector, DetectorError
from filters.grounding import RequestGrounds
from filters.json_schema import Schema
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Action, OnFailure, Profile, ReleaseUnit
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.described import Describing, Speaker, Turn
from tests.support.answers import SURE, CharacterVocabulary, Script, run, sure, surprised

CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)
PROFILE = Profile("test", compare=False, release=ReleaseUnit.SENTENCE)
QUASI = "QUASI_IDENTIFIER"
KNOWN = "She is 34, lives in Leeds and is a beekeeper. "
CHINESE = "她今年三十四岁，住在西藏拉萨。"


@cache
def detectors() -> ProfileDetectors:
    return ProfileDetectors()


def pipeline(k: int = 20, turns: Sequence[Turn] = (), profile: Profile = PROFILE, **request: Any) -> Pipeline:
    describing = Describing(AttributeFinder(shipped_crowds()), detectors().names, k)
    evidence = RequestEvidence(RequestGrounds(), described=describing.begin(turns), **request)
    vocabulary = CharacterVocabulary() if profile.compare else None
    return Pipeline(profile, evidence, detectors().of(profile), vocabulary)


def said(of: Pipeline, *parts: tuple[Channel, str], ending: Ending = Ending.STOP) -> list[Event]:
    return of.feed([RawText(*part) for part in parts]) + of.finish(0, ending)


def text(events: Sequence[Event], channel: Channel = CONTENT) -> str:
    return "".join(event.text for event in events if isinstance(event, Released) and event.channel == channel)


def test_the_newest_trait_is_said_in_general_and_counted() -> None:
    events = said(pipeline(), (CONTENT, KNOWN + "She is divorced. It rained."))
    assert text(events).endswith("It rained.")
    assert "beekeeper" not in text(events) or "divorced" not in text(events)
    assert {event.kind for event in events if isinstance(event, Decided)} == {QUASI}
    assert text(said(pipeline(k=3), (CONTENT, "She is 34. It rained."))) == "She is 34. It rained."


def test_in_chinese() -> None:
    left = text(said(pipeline(k=100_000), (CONTENT, CHINESE + "下雨了。")))
    assert left.endswith("下雨了。")
    assert left != CHINESE + "下雨了。"


def test_reasoning_and_content_count_together() -> None:
    alone = "She is a beekeeper."
    assert text(said(pipeline(), (CONTENT, alone))) == alone
    together = said(pipeline(), (REASONING, "She is 34, lives in Leeds. "), (CONTENT, alone))
    assert "beekeeper" not in text(together)


def test_what_was_generalised_stays_so_where_nobody_is_spoken_of() -> None:
    left = text(
        said(
            pipeline(k=10_000_000), (CONTENT, "She works as a beekeeper. We met a beekeeper, not a beekeepers' guild.")
        )
    )
    assert left.count("a beekeeper") == 1  # a longer word is another one
    assert left.endswith("a beekeepers' guild.")
    assert "[" not in left


def test_a_chosen_action_stands_instead() -> None:
    profile = Profile("test", compare=False, actions={QUASI: Action.MASK})
    assert "[QUASI_IDENTIFIER_1]" in text(
        said(pipeline(k=10_000_000, profile=profile), (CONTENT, "She is a beekeeper."))
    )


def test_a_value_that_is_hidden_anyway_stays_hidden_whole() -> None:
    left = text(said(pipeline(k=10_000_000), (CONTENT, "She is a beekeeper; her number is 13812345678.")))
    assert "beekeeper" not in left
    assert "1381" not in left
    assert "[PHONE_1]" in left


def test_a_special_category_falls_back_and_is_masked_in_what_the_base_says() -> None:
    said_by_base = Script([(CONTENT, "Good day. She has asthma. Bye.")], base="She has lupus.", evidence=sure)
    outcome = run(pipeline(profile=Profile("test")), said_by_base)
    assert outcome.content.startswith("Good day. ")
    assert "She has [SPECIAL_HEALTH_" in outcome.content
    assert not {"asthma", "lupus"} & set(outcome.content.split())
    assert "Bye" not in outcome.content
    assert len(outcome.fallbacks) == 1
    assert {each.kind for each in outcome.decided} == {"SPECIAL_HEALTH"}


def test_earlier_turns_count() -> None:
    turns = [Turn(Speaker.MODEL, "She is 34, lives in Leeds."), Turn(Speaker.CALLER, "Her job?")]
    assert "beekeeper" not in text(said(pipeline(turns=turns), (CONTENT, "She is a beekeeper.")))


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_finder_that_fails_hides_the_segment(monkeypatch: pytest.MonkeyPatch, on_failure: OnFailure) -> None:
    def fail(*_: object, **__: object) -> list[object]:
        raise DetectorError("out of time")

    of = pipeline(profile=Profile("test", compare=False, on_failure=on_failure))
    monkeypatch.setattr(AttributeFinder, "find", fail)
    events = said(of, (CONTENT, "canary lives here. "))
    assert "canary" not in text(events)
    ends = [event.ending for event in events if isinstance(event, Finished)]
    assert ends == [Ending.CONTENT_FILTER if on_failure is OnFailure.STOP else Ending.STOP]


def test_a_finder_that_breaks_ends_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list[object]:
        raise RuntimeError("canary")

    of = pipeline()
    monkeypatch.setattr(AttributeFinder, "find", fail)
    with pytest.raises(RuntimeError):
        said(of, (CONTENT, "canary lives here. "))
    assert of.holds is False


def test_a_generalised_word_tells_no_tokens() -> None:
    of = pipeline(k=10_000_000, profile=Profile("test"), tells_tokens=True)
    words = "She is a beekeeper. Good."
    ids = tuple(map(ord, words))
    events = of.feed([RawTokens(0, ids, (SURE,) * len(ids)), RawText(CONTENT, words)]) + of.finish(0, Ending.STOP)
    told = b"".join(token.spelling for event in events if isinstance(event, Released) for token in event.tokens)
    assert b"beekeeper" not in told
    assert told.endswith(b" Good.")
    left = text(events)
    for event in events:
        for token in event.tokens if isinstance(event, Released) else ():
            assert left[token.offset : token.offset + 1].encode() == token.spelling


SCHEMA = Schema({"type": "object", "properties": {"note": {"type": "string"}, "age": {"type": "integer"}}})


def test_traits_in_documents_count_and_the_document_stays_one() -> None:
    of = pipeline(json_mode=True, json_keys=frozenset({"note", "age"}), answer_schema=SCHEMA)
    document = json.dumps({"note": "She is divorced, lives in Leeds and is a beekeeper.", "age": 34})
    left = json.loads(text(said(of, (CONTENT, document))))
    assert left.keys() == {"note", "age"}
    assert type(left["age"]) is int
    assert left != json.loads(document)
    free = pipeline(k=3, json_mode=True, json_keys=frozenset({"note", "age"}), answer_schema=SCHEMA)
    harmless = json.dumps({"note": "She lives in Leeds.", "age": 34})
    assert text(said(free, (CONTENT, harmless))) == harmless


def test_tool_arguments_and_prose_count_together() -> None:
    call, name = Channel(0, Field.TOOL_ARGUMENTS, 0), Channel(0, Field.TOOL_NAME, 0)
    of = pipeline(json_keys=frozenset({"note"}), tool_names=frozenset({"save"}))
    arguments = json.dumps({"note": "She is a beekeeper."})
    events = said(
        of, (CONTENT, "She is 34, lives in Leeds. "), (name, "save"), (call, arguments), ending=Ending.TOOL_CALLS
    )
    prose = text(events)
    assert "beekeeper" not in text(events, call) or "34" not in prose or "Leeds" not in prose
    assert json.loads(text(events, call)).keys() == {"note"}


def test_a_person_whom_the_base_knows_is_not_counted() -> None:
    profile = Profile("test", names=True)
    figure = "Margaret Holloway was a beekeeper from Leeds. "
    parts = [(CONTENT, figure)]
    known = run(pipeline(k=10_000_000, profile=profile), Script(parts, evidence=sure))
    assert known.content == figure
    unknown = run(pipeline(k=10_000_000, profile=profile), Script(parts, evidence=surprised))
    assert "beekeeper" not in unknown.content


class Unready:
    def find(self, raw_text: str, since: int = 0) -> list[object]:
        raise DetectorError("not loaded")


def test_names_that_can_not_be_looked_for_hide_the_segment() -> None:
    unready: Detector = Unready()  # type: ignore[assignment]
    described = Describing(AttributeFinder(shipped_crowds()), unready, 20).begin(())
    of = Pipeline(PROFILE, RequestEvidence(RequestGrounds(), described=described), detectors().of(PROFILE))
    left = text(said(of, (CONTENT, "The canary is a beekeeper. Good day.")))
    assert "canary" not in left
    assert left.endswith("Good day.")
