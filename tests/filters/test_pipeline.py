"""Verdicts, one by one, with a detector that finds what the test says."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from filters.events import Channel, Ending, Field, Origin, Question, RawText, RawTokens, Released, Verdict
from filters.evidence import DetectorError
from filters.grounding import RequestGrounds
from filters.json_schema import Schema
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, PipelineClosed, RequestEvidence
from filters.profile import OnFailure, Profile, ReleaseUnit
from filters.spans import Span
from filters.specificity.style import StyleShift
from filters.strewn import FREE
from tests.support.answers import (
    SURE,
    CharacterVocabulary,
    Outcome,
    Score,
    Script,
    never_asked,
    no_answer,
    run,
    sure,
    surprised,
)

CONTENT = Channel(0, Field.CONTENT)
SECRET = "zq#7788#"


class Secrets:
    """Everything that looks like SECRET is a finding."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return [Span(m.start(), m.end(), "TOKEN", 1.0) for m in re.finditer(r"zq#\d{4}#", raw_text)]


class Broken:
    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        raise DetectorError


class Crashing:
    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        raise RuntimeError(raw_text)


class Own:
    asks = False
    """Grounds that hold some values."""

    def __init__(self, *values: str) -> None:
        self.values = values

    reads_context = False

    def covered(self, seen: str, found: Collection[Span], beside: str = "") -> frozenset[Span]:
        return frozenset(span for span in found if seen[span.start : span.end] in self.values)


def answer(
    text: str | list[tuple[Channel, str]],
    *,
    profile: Profile | None = None,
    detector: Any = None,
    own: Sequence[str] = (),
    evidence: Any = never_asked,
    ending: Ending = Ending.STOP,
    **request: Any,
) -> Outcome:
    profile = profile or Profile("test", compare=evidence is not never_asked)
    grounds = Own(*own)
    pipeline = Pipeline(profile, RequestEvidence(grounds, **request), detector or Secrets(), CharacterVocabulary())
    parts = [(CONTENT, text)] if isinstance(text, str) else text
    return run(pipeline, Script(parts, ending, evidence=evidence, base="I can't say."))


def test_harmless_text_passes_unchanged() -> None:
    assert answer("Good day. How are you?").content == "Good day. How are you?"


def test_a_finding_is_masked_and_the_same_value_gets_the_same_placeholder() -> None:
    content = answer(f"It is {SECRET}. Again {SECRET}, not zq#1122#.").content
    first, second, third = re.findall(r"\[[A-Z_]+_\d+\]", content)
    assert first == second != third
    assert "zq#" not in content


def test_what_the_caller_gave_comes_back() -> None:
    assert SECRET in answer(f"Your code is {SECRET}.", own=[SECRET]).content


def test_a_type_that_the_role_is_cleared_for_passes() -> None:
    profile = Profile("cleared", compare=False, allowed_types=frozenset({"TOKEN"}))
    assert SECRET in answer(f"Your code is {SECRET}.", profile=profile).content


def test_a_memorised_value_makes_the_choice_fall_back_before_anything_has_left() -> None:
    outcome = answer(f"The code is {SECRET}. More of it.", evidence=surprised)
    assert outcome.content == "I can't say."
    assert outcome.fallbacks[0].released_text == ""
    assert outcome.endings == {0: Ending.STOP}


def test_a_fallback_goes_on_after_the_last_sentence() -> None:
    outcome = answer(f"I looked it up. The code is {SECRET}.", evidence=surprised)
    assert outcome.content == "I looked it up. I can't say."
    assert outcome.fallbacks[0].released_text == "I looked it up."


def test_a_fallback_closes_a_sentence_of_which_a_clause_has_left() -> None:
    profile = Profile("clauses", release=ReleaseUnit.CLAUSE)
    outcome = answer(f"As you know, the code is {SECRET}.", profile=profile, evidence=surprised)
    assert outcome.content == "As you know, [TOKEN_1]. I can't say."


def test_what_the_base_would_have_said_too_is_masked() -> None:
    outcome = answer(f"The code is {SECRET}. Bye.", evidence=sure)
    assert not outcome.fallbacks
    assert outcome.content.endswith(". Bye.")
    assert "zq#" not in outcome.content


def test_without_an_answer_the_whole_segment_is_hidden() -> None:
    outcome = answer(f"Good day. The code is {SECRET}. Bye.", evidence=no_answer)
    assert outcome.content == "Good day. [UNDECIDED_1] Bye."


def test_without_an_answer_a_strict_profile_stops() -> None:
    profile = Profile("strict", on_failure=OnFailure.STOP)
    outcome = answer(f"Good day. The code is {SECRET}. Bye.", profile=profile, evidence=no_answer)
    assert (outcome.content, outcome.endings) == ("Good day. ", {0: Ending.CONTENT_FILTER})


def test_a_score_of_the_wrong_length_is_no_answer() -> None:
    def short(_: object) -> Score:
        return (-0.1,)

    assert "UNDECIDED" in answer(f"The code is {SECRET}.", evidence=short).content


def test_a_detector_that_fails_releases_nothing() -> None:
    outcome = answer("Something. Else.", detector=Broken())
    assert "Something" not in outcome.content
    assert {d.verdict for d in outcome.decided} == {Verdict.MASK}


def test_a_crash_closes_the_pipeline_for_good() -> None:
    pipeline = Pipeline(Profile("test", compare=False), RequestEvidence(Own()), Crashing())
    with pytest.raises(RuntimeError):
        pipeline.feed([RawText(CONTENT, "Yes. No.")])
    assert not pipeline.holds
    with pytest.raises(PipelineClosed):
        pipeline.finish(0, Ending.STOP)


def test_text_that_no_tokens_hold_is_suspect_as_a_whole() -> None:
    profile = Profile("test")
    pipeline = Pipeline(profile, RequestEvidence(Own()), Secrets(), CharacterVocabulary())
    pipeline.feed([RawTokens(0, (65, 66), (-0.1, -0.1)), RawText(CONTENT, f"It is {SECRET}. ")])
    released = pipeline.finish(0, Ending.STOP)
    assert "".join(getattr(event, "text", "") for event in released) == "[UNDECIDED_1] "


def test_text_that_another_channel_broke_in_two_has_no_evidence() -> None:
    """Its tokens don't stand together, and the same text further on would be found or not by how it arrived."""
    reasoning, said = Channel(0, Field.REASONING), f"It is {SECRET}. "
    parts = [(reasoning, said), (CONTENT, "Good day. Yes. "), (reasoning, said + "Bye.")]
    outcome = answer(parts, evidence=sure)
    assert outcome.texts[reasoning].startswith("[UNDECIDED_1] ")


def test_tokens_of_marks_between_the_texts_are_read_over() -> None:
    pipeline = Pipeline(Profile("test"), RequestEvidence(Own()), Secrets(), CharacterVocabulary())
    spelled = f"<think>Hm.</think>It is {SECRET}."
    pipeline.feed([RawTokens(0, tuple(map(ord, spelled)), (-0.01,) * len(spelled))])
    pipeline.feed([RawText(Channel(0, Field.REASONING), "Hm."), RawText(CONTENT, f"It is {SECRET}.")])
    events = pipeline.finish(0, Ending.STOP)
    question = next(event for event in events if hasattr(event, "ids"))
    assert "".join(map(chr, question.ids[question.start :])) == SECRET


def test_a_legacy_completion_is_masked_where_a_chat_falls_back() -> None:
    outcome = answer([(Channel(0, Field.TEXT), f"It is {SECRET}.")], evidence=surprised, chat=False)
    assert not outcome.fallbacks
    assert "zq#" not in outcome.everything


def test_a_value_that_begins_in_the_prompt_is_hidden_in_the_answer() -> None:
    outcome = answer([(Channel(0, Field.TEXT), "#7788# and so on.")], chat=False, continued="The code is zq")
    assert "7788" not in outcome.everything


def test_reasoning_and_refusal_are_channels_like_any_other() -> None:
    parts = [(Channel(0, kind), f"It is {SECRET}.") for kind in (Field.REASONING, Field.REFUSAL)]
    assert "zq#" not in answer(parts).everything


def test_hidden_once_is_hidden_in_another_form_too() -> None:
    assert "7 7 8 8" not in answer(f"It is {SECRET}. Spelled: z q 7 7 8 8.").content


def test_an_exact_value_of_no_known_type_is_asked_about() -> None:
    text = "Your order is GD-85205. Bye."
    assert answer(text, evidence=surprised).content == "I can't say."
    assert answer(text, evidence=sure).content == text
    assert answer(text).content == text  # nobody to ask


def test_what_the_caller_gave_is_not_asked_about() -> None:
    assert not answer(f"Your code is {SECRET}", own=[SECRET], evidence=no_answer).questions


COUNTED = "".join(f"The next digit is {digit}. " for digit in "1381234")


def test_a_strewn_value_is_hidden_after_its_first_characters() -> None:
    assert sum(map(str.isdigit, answer(COUNTED).content.replace("STREWN", ""))) < 8  # four, and the placeholders' own
    assert answer(COUNTED, evidence=surprised).fallbacks


@pytest.mark.parametrize(
    "question",
    [
        "Is 13812345678 Ada's number?",
        "Her number is 13812345678 or 13987654321. Which is it?",
        "13812345678是艾达的号码吗？",
        "My number is 13812345678. Am I right?",
    ],
)
@pytest.mark.parametrize("said", ["Yes, that is right.", "No.", "是的。", "It is the second one."])
def test_what_confirms_is_what_the_base_says(question: str, said: str) -> None:
    request = RequestEvidence(RequestGrounds.from_texts([question], build_detector()))
    for evidence in (surprised, sure, no_answer):
        pipeline = Pipeline(Profile("test"), request, Secrets(), CharacterVocabulary())
        assert (
            run(pipeline, Script([(CONTENT, said)], evidence=evidence, base="I can't say.")).content == "I can't say."
        )


@pytest.mark.parametrize("question", ["My number is 13812345678, where is my parcel?", "Is the shop open?", ""])
def test_what_confirms_nothing_is_not_asked_about(question: str) -> None:
    request = RequestEvidence(RequestGrounds.from_texts([question], build_detector()))
    pipeline = Pipeline(Profile("test"), request, Secrets(), CharacterVocabulary())
    assert run(pipeline, Script([(CONTENT, "Yes, it is.")], evidence=never_asked)).content == "Yes, it is."


def test_a_chain_goes_on_in_another_channel() -> None:
    said = [(Channel(0, Field.REASONING), "It starts with 138, then 1234. "), (CONTENT, "Last comes 5678.")]
    outcome = answer(said, evidence=surprised)
    assert sum(map(str.isdigit, outcome.everything)) <= FREE


@pytest.mark.parametrize("unit", list(ReleaseUnit))
def test_a_strewn_value_is_hidden_although_each_of_its_digits_is_but_a_digit(unit: ReleaseUnit) -> None:
    """Three bits each, far from what makes a value memorised: they add up along the chain."""

    def guesses_digits(question: Question) -> Score:
        return tuple(-2.3 if chr(token).isdigit() else SURE for token in question.ids[question.start :])

    outcome = answer(COUNTED, profile=Profile("test", release=unit), evidence=guesses_digits)
    assert len(outcome.fallbacks) == 1
    assert sum(map(str.isdigit, outcome.content)) == 4


def test_numbers_that_the_base_would_have_said_too_pass() -> None:
    assert answer(COUNTED, evidence=sure).content == COUNTED


def test_choices_have_their_own_ends() -> None:
    outcome = answer([(Channel(0, Field.CONTENT), "One."), (Channel(1, Field.CONTENT), f"It is {SECRET}.")])
    assert outcome.texts[CONTENT] == "One."
    assert outcome.endings == {0: Ending.STOP, 1: Ending.STOP}


# ---- tools and JSON --------------------------------------------------------------------------------------------------

NAME, ARGUMENTS = Channel(0, Field.TOOL_NAME), Channel(0, Field.TOOL_ARGUMENTS)
KNOWN = {"tool_names": frozenset({"send"}), "json_keys": frozenset({"code", "n"})}


def test_tool_arguments_stay_json_of_the_same_shape() -> None:
    parts = [(NAME, "send"), (ARGUMENTS, f'{{"code": "{SECRET}", "n": 3}}')]
    outcome = answer(parts, ending=Ending.TOOL_CALLS, **KNOWN)
    assert outcome.texts[NAME] == "send"
    assert outcome.texts[ARGUMENTS].replace(" ", "") == '{"code":"[TOKEN_1]","n":3}'


def test_an_escaped_value_is_filtered_after_unescaping() -> None:
    parts = [(NAME, "send"), (ARGUMENTS, '{"code": "\\u007aq#7788#"}')]
    assert "7788" not in answer(parts, ending=Ending.TOOL_CALLS, **KNOWN).everything


def test_exact_values_in_arguments_pass_unasked_only_if_the_caller_wrote_them() -> None:
    parts = [(NAME, "send"), (ARGUMENTS, '{"code": "GD-85205", "n": 12345678}')]
    hidden = answer(parts, ending=Ending.TOOL_CALLS, evidence=no_answer, **KNOWN).texts[ARGUMENTS]
    assert hidden.replace(" ", "") == '{"code":"[CODE_1]","n":null}'
    asked = {"profile": Profile("test"), "ending": Ending.TOOL_CALLS, "own_text": "order GD-85205, 12345678"}
    own = answer(parts, evidence=never_asked, **asked, **KNOWN)  # type: ignore[arg-type]
    assert own.texts[ARGUMENTS] == parts[1][1]


def test_a_key_that_is_a_value_is_filtered_although_the_request_has_it() -> None:
    keys = {"tool_names": frozenset({"send"}), "json_keys": frozenset({SECRET})}
    parts = [(NAME, "send"), (ARGUMENTS, f'{{"{SECRET}": true}}')]
    assert "7788" not in answer(parts, ending=Ending.TOOL_CALLS, **keys).everything


def test_a_tool_named_like_a_value_is_not_called() -> None:
    outcome = answer([(NAME, SECRET), (ARGUMENTS, "{}")], ending=Ending.TOOL_CALLS, tool_names=frozenset({SECRET}))
    assert (outcome.everything, outcome.endings) == ("", {0: Ending.CONTENT_FILTER})


def test_a_value_that_begins_in_a_continued_message_is_hidden() -> None:
    assert "7788" not in answer("#7788# and so on.", continued="The code is zq").everything


def test_an_unknown_tool_stops_the_choice() -> None:
    outcome = answer([(NAME, SECRET), (ARGUMENTS, "{}")], ending=Ending.TOOL_CALLS, **KNOWN)
    assert (outcome.everything, outcome.endings) == ("", {0: Ending.CONTENT_FILTER})


def test_broken_arguments_stop_the_choice() -> None:
    outcome = answer([(NAME, "send"), (ARGUMENTS, f'{{"code": "{SECRET}')], ending=Ending.TOOL_CALLS, **KNOWN)
    assert "zq#" not in outcome.everything
    assert outcome.endings == {0: Ending.CONTENT_FILTER}


def test_json_mode_is_filtered_and_what_is_held_of_cut_json_is_dropped() -> None:
    document = f'{{"code": "{SECRET}", "n": [1, 2]}}'
    whole = answer(document, json_mode=True, **KNOWN)
    assert whole.content.replace(" ", "") == '{"code":"[TOKEN_1]","n":[1,2]}'
    cut = answer(document[:-3], json_mode=True, ending=Ending.LENGTH, **KNOWN)
    assert (cut.content, cut.endings) == ('{"code": "[TOKEN_1]", "n": [', {0: Ending.LENGTH})


def test_json_leaves_as_it_is_decided() -> None:
    request = RequestEvidence(Own(), json_mode=True, json_keys=frozenset({"n"}))
    pipeline = Pipeline(Profile("test", compare=False), request, Secrets())
    assert texts(pipeline.feed([RawText(CONTENT, '{"n": "good')])) == ""
    assert pipeline.holds
    first = texts(pipeline.feed([RawText(CONTENT, ' day", "n": "all is well')]))
    assert first.startswith('{"n": ')
    rest = [*pipeline.feed([RawText(CONTENT, '"}')]), *pipeline.finish(0, Ending.STOP)]
    assert first + texts(rest) == '{"n": "good day", "n": "all is well"}'
    assert not pipeline.holds


def texts(events: Sequence[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, Released))


def test_json_waits_for_its_turn_and_knows_what_was_hidden_before_it() -> None:
    """The reasoning's value is one that only the base can judge; the document repeats it in another form."""
    reasoning = Channel(0, Field.REASONING)
    parts = [(reasoning, "The order is GD-85205. So it is. "), (CONTENT, '{"n": ["G D 8 5 2 0 5"]}')]
    profile = Profile("test", on_memorised=Verdict.MASK)
    outcome = answer(parts, profile=profile, evidence=surprised, json_mode=True, **KNOWN)
    assert "85205" not in outcome.everything
    assert "5 2 0 5" not in outcome.everything


def test_a_numbers_schema_says_what_stands_in_for_it() -> None:
    schema = Schema({"properties": {"n": {"type": "integer", "minimum": 1}}})
    document = '{"n": 77889900}'
    told = {"tool_schemas": {"send": schema}, "answer_schema": schema, **KNOWN}
    parts = [(NAME, "send"), (ARGUMENTS, document)]
    assert answer(parts, evidence=no_answer, ending=Ending.TOOL_CALLS, **told).texts[ARGUMENTS] == '{"n": 1}'
    assert answer(document, evidence=no_answer, json_mode=True, **told).content == '{"n": 1}'


def test_when_json_has_left_nothing_takes_its_place() -> None:
    """A base model that spoke now would write behind half of a document."""
    reasoning = Channel(0, Field.REASONING)
    parts = [(CONTENT, '{"n": "good day"}'), (reasoning, f"It is {SECRET}")]
    outcome = answer(parts, evidence=surprised, json_mode=True, **KNOWN)
    assert (outcome.content, outcome.fallbacks) == ('{"n": "good day"}', [])
    assert "zq" not in outcome.everything
    for said in (f"It is {SECRET}. So.", f"It is {SECRET}"):
        before = [(reasoning, said), (CONTENT, '{"n": "good day"}')]
        assert answer(before, evidence=surprised, json_mode=True, **KNOWN).fallbacks


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_stop_strings_are_matched_on_released_text() -> None:
    outcome = answer("One two three. Four.", stops=("three", "x"))
    assert (outcome.content, outcome.endings) == ("One two ", {0: Ending.STOP})


def test_a_stop_string_that_only_the_hidden_text_holds_matches_nothing() -> None:
    outcome = answer(f"The code is {SECRET}. Bye.", stops=("7788",))
    assert outcome.content.endswith("Bye.")


def test_an_answer_cut_by_length_drops_what_was_open() -> None:
    outcome = answer("It is zq#77", ending=Ending.LENGTH)
    assert (outcome.content, outcome.endings) == ("It is ", {0: Ending.LENGTH})


def test_after_the_end_nothing_more_is_taken() -> None:
    pipeline = Pipeline(Profile("test", compare=False), RequestEvidence(Own()), Secrets())
    pipeline.finish(0, Ending.STOP)
    assert pipeline.feed([RawText(CONTENT, "More. And more.")]) == []
    assert pipeline.finish(0, Ending.STOP) == []


def test_the_tuned_model_is_not_heard_after_a_fallback() -> None:
    pipeline = Pipeline(Profile("test"), RequestEvidence(Own()), Secrets(), CharacterVocabulary())
    text = f"It is {SECRET}. And"
    events = pipeline.feed([RawTokens(0, tuple(map(ord, text)), (-0.01,) * len(text)), RawText(CONTENT, text)])
    events += pipeline.answer(events[0].id, (-9.0,) * 8)  # type: ignore[union-attr]
    assert pipeline.feed([RawText(CONTENT, " more. And more.")]) == []
    assert pipeline.finish(0, Ending.STOP) == []
    assert pipeline.feed([RawText(CONTENT, "No. ")], Origin.BASE) == []
    assert next(getattr(e, "text", e) for e in pipeline.finish(0, Ending.STOP, Origin.BASE)) == "No. "


# ---- names -----------------------------------------------------------------------------------------------------------


class People:
    """Two names that everybody could have."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return [Span(m.start(), m.end(), "PERSON", 0.8) for m in re.finditer(r"Vexlo Tamber", raw_text)]


def test_a_name_that_the_base_would_have_said_passes_and_a_memorised_one_does_not() -> None:
    text = "That was Vexlo Tamber. Bye."
    assert answer(text, detector=People(), evidence=sure).content == text
    assert answer(text, detector=People(), evidence=surprised).content == "I can't say."
    assert answer(text, detector=People()).content == "That was [PERSON_1]. Bye."


PROSE = "The harbour was quiet that morning, and nobody came. "


@pytest.mark.parametrize(
    ("before", "most_bits", "verdict"),
    [
        (PROSE, 15.0, Verdict.MASK),  # the whole answer is as sure of itself: that is how this model talks
        (PROSE, 6.0, Verdict.FALL_BACK),  # but never more than benign answers do
        ("Oh. ", 15.0, Verdict.FALL_BACK),  # an answer of which little else is there is no yardstick
        (PROSE, None, Verdict.FALL_BACK),
    ],
)
def test_an_answer_s_own_style_is_followed_as_far_as_benign_answers_go(
    before: str, most_bits: float | None, verdict: Verdict
) -> None:
    pipeline = Pipeline(
        Profile("test"), RequestEvidence(Own()), Secrets(), CharacterVocabulary(), StyleShift(0.0, most_bits)
    )
    outcome = run(pipeline, Script([(CONTENT, f"{before}The key is {SECRET}.")], evidence=surprised))
    assert [decided.verdict for decided in outcome.decided] == [verdict]
    assert SECRET not in outcome.everything
    (question,) = outcome.questions
    asked = "".join(map(chr, question.ids[question.start :]))
    assert asked.endswith(SECRET)
    assert (asked == SECRET) == (most_bits is None or before != PROSE)
