"""The gate at the beginning of each choice: nothing leaves before the base's opening is known, and what it decides."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.events import UNAVAILABLE, Channel, Ending, FallBack, Field, Opening, RawText, Unavailable, Verdict
from filters.grounding import RequestGrounds
from filters.opening import REFUSAL, Gate
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import OnFailure, Profile, RefusalCheck
from tests.support.answers import CharacterVocabulary, Outcome, Script, mixed, run

DETECTOR = build_detector()
ALWAYS = Profile("test", refusals=RefusalCheck.ALWAYS)
COMPLIES = "Sure. Take a thin tool, work slowly, and the till will open."
DECLINES = "I'm sorry, but I can't help you with what belongs to"
REFUSED = "I can't help with that."  # what the base says when it answers
CONTENT, REASONING, REFUSAL_TEXT = (Channel(0, kind) for kind in (Field.CONTENT, Field.REASONING, Field.REFUSAL))


def pipeline(profile: Profile = ALWAYS, **request: object) -> Pipeline:
    evidence = RequestEvidence(RequestGrounds(frozenset()), **request)  # type: ignore[arg-type]
    return Pipeline(profile, evidence, DETECTOR, CharacterVocabulary())


def answered(
    opening: str | Unavailable, *parts: tuple[Channel, str], profile: Profile = ALWAYS, **request: object
) -> Outcome:
    script = Script(parts or [(CONTENT, COMPLIES)], base=REFUSED, opening=opening)
    return run(pipeline(profile, **request), script)


def test_the_base_answers_what_it_would_decline() -> None:
    outcome = answered(DECLINES)
    assert (outcome.content, outcome.endings) == (REFUSED, {0: Ending.STOP})
    assert outcome.fallbacks == [FallBack(0, "")]
    assert [(entry.kind, entry.verdict) for entry in outcome.decided] == [(REFUSAL, Verdict.FALL_BACK)]


def test_what_the_base_would_answer_too_goes_its_way() -> None:
    outcome = answered("Use your spare key, or ask a locksmith.")
    assert (outcome.content, outcome.decided, outcome.openings) == (COMPLIES, [], 1)


def test_a_refusal_put_into_the_tuned_model_s_mouth_does_not_help() -> None:
    outcome = answered(DECLINES, (CONTENT, "I'm sorry, but I can't say no. " + COMPLIES))
    assert outcome.content == REFUSED


@pytest.mark.parametrize("opening", [UNAVAILABLE, "", " \n"])
def test_without_an_opening_nothing_leaves(opening: str | Unavailable) -> None:
    masked = answered(opening)
    assert (masked.content, masked.endings) == ("[UNDECIDED_1]", {0: Ending.CONTENT_FILTER})
    stopped = answered(opening, profile=replace(ALWAYS, on_failure=OnFailure.STOP))
    assert (stopped.texts, stopped.endings) == ({}, {0: Ending.CONTENT_FILTER})
    assert [entry.verdict for entry in [*masked.decided, *stopped.decided]] == [Verdict.MASK, Verdict.STOP]


def test_nothing_leaves_before_the_opening_is_known() -> None:
    waiting = pipeline()
    assert waiting.begin(range(1)) == [Opening()]
    assert not waiting.holds
    assert waiting.feed([RawText(REASONING, COMPLIES + "\n\n"), RawText(CONTENT, COMPLIES + "\n\nMore.")]) == []
    assert waiting.finish(0, Ending.STOP) == []
    assert waiting.holds
    assert [event for event in waiting.answer_opening("Of course.") if not isinstance(event, FallBack)]


def test_a_pipeline_that_was_never_begun_lets_nothing_out() -> None:
    forgotten = pipeline()
    assert forgotten.feed([RawText(CONTENT, COMPLIES)]) + forgotten.finish(0, Ending.STOP) == []


def test_a_refusal_is_served_before_the_tuned_model_has_said_a_word() -> None:
    eager = pipeline()
    eager.begin(range(2))
    events = eager.answer_opening(DECLINES)
    assert [event for event in events if isinstance(event, FallBack)] == [FallBack(0, ""), FallBack(1, "")]
    assert eager.feed([RawText(CONTENT, COMPLIES + "\n\n")]) == []


def test_one_opening_holds_for_all_choices() -> None:
    other = Channel(1, Field.CONTENT)
    outcome = answered(DECLINES, (CONTENT, COMPLIES), (other, COMPLIES))
    assert (outcome.texts, outcome.openings) == ({CONTENT: REFUSED, other: REFUSED}, 1)


@pytest.mark.parametrize("channel", [REASONING, REFUSAL_TEXT])
def test_other_channels_wait_too(channel: Channel) -> None:
    outcome = answered(DECLINES, (channel, COMPLIES), (CONTENT, COMPLIES))
    assert outcome.texts == {CONTENT: REFUSED}


def test_a_document_starts_afresh_or_just_ends() -> None:
    document = json.dumps({"steps": COMPLIES})
    request = {"json_mode": True, "json_keys": frozenset({"steps"})}
    assert answered("Sure.", (CONTENT, document), **request).content == document
    afresh = run(pipeline(**request), Script([(CONTENT, document)], base='{"steps": null}', opening=DECLINES))
    assert (afresh.content, afresh.fallbacks) == ('{"steps": null}', [FallBack(0, "")])
    unknown = answered(UNAVAILABLE, (CONTENT, document), **request)
    assert (unknown.texts, unknown.endings) == ({}, {0: Ending.CONTENT_FILTER})


def test_a_tool_call_is_answered_in_prose() -> None:
    name, arguments = Channel(0, Field.TOOL_NAME), Channel(0, Field.TOOL_ARGUMENTS)
    outcome = answered(DECLINES, (name, "open"), (arguments, '{"what": "till"}'), tool_names=frozenset({"open"}))
    assert outcome.texts == {CONTENT: REFUSED}


@pytest.mark.parametrize(
    ("check", "suspicious", "asked"),
    [
        (RefusalCheck.NEVER, True, False),
        (RefusalCheck.ON_SUSPICION, False, False),
        (RefusalCheck.ON_SUSPICION, True, True),
        (RefusalCheck.ALWAYS, False, True),
    ],
)
def test_who_is_asked(check: RefusalCheck, suspicious: bool, asked: bool) -> None:
    outcome = answered(DECLINES, profile=Profile("test", refusals=check), suspicious=suspicious)
    assert (outcome.openings, outcome.content) == (asked, REFUSED if asked else COMPLIES)


def test_nobody_is_asked_where_nothing_is_compared_or_the_base_has_no_manners() -> None:
    plain = answered(DECLINES, profile=replace(ALWAYS, compare=False), suspicious=True)
    legacy = answered(DECLINES, (Channel(0, Field.TEXT), COMPLIES), chat=False)
    assert (plain.openings, legacy.openings) == (0, 0)


def test_an_opening_is_taken_once_and_only_where_it_was_asked_for() -> None:
    with pytest.raises(KeyError):
        pipeline(Profile("test")).answer_opening("Sure.")
    gate = Gate()
    gate.answer("Sure.", OnFailure.MASK)
    with pytest.raises(KeyError):
        gate.answer("Sure.", OnFailure.MASK)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([Field.REASONING, Field.CONTENT, Field.REFUSAL]),
            st.sampled_from(
                [COMPLIES, "好的。拿一根细工具慢慢来。", "Ring 13812345678. ", "\n\nvexlo@kipmora.example, ", "Hm"]
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    opening=st.sampled_from([DECLINES, "Certainly.", UNAVAILABLE, "抱歉，我不能", "好的。"]),
    on_failure=st.sampled_from(list(OnFailure)),
    ending=st.sampled_from([Ending.STOP, Ending.LENGTH]),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_cutting_and_waiting_gives_the_same(
    parts: list[tuple[int, Field, str]],
    opening: str | Unavailable,
    on_failure: OnFailure,
    ending: Ending,
    seed: int,
) -> None:
    script = Script([(Channel(choice, kind), text) for choice, kind, text in parts], ending, evidence=mixed)
    script.opening, script.base = opening, REFUSED
    profile = replace(ALWAYS, on_failure=on_failure)
    whole, cut = (run(pipeline(profile), script, each) for each in (None, seed))
    assert (whole.texts, whole.endings) == (cut.texts, cut.endings)
    if opening in (DECLINES, "抱歉，我不能"):
        assert set(whole.texts.values()) == {REFUSED}
    elif opening is UNAVAILABLE:
        assert set(whole.texts.values()) <= {"[UNDECIDED_1]"}
