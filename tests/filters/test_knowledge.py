"""What the tuning index does to an answer: a trigger for few people's text, a way out for what many were taught."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from filters.denied import DeniedValues
from filters.events import Channel, Ending, Field, Verdict
from filters.evidence import DetectorError
from filters.grounding import RequestGrounds
from filters.index.hashing import IndexKey
from filters.index.lookup import NO_AUDIENCE, TuningIndex
from filters.index.public import PublicValues, ValueHasher
from filters.knowledge import Knowledge, outside
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.spans import Span
from filters.specificity.triggers import CERTAIN
from filters.verdicts import ABOVE_CLEARANCE, FEW_SUBJECTS, Rule
from tests.filters.index.sets import SECRET, index_of
from tests.support.answers import CharacterVocabulary, Evidence, Outcome, Script, no_answer, run, sure, surprised
from tests.support.knowledge import SECRET as KEY
from tests.support.knowledge import deny

CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)
PORTRAIT = "She rings late in the evening after rows with her husband and asks to move the instalment."
PORTRAIT_ZH = "她每次和丈夫吵架之后总在深夜打电话来请求推迟分期付款。"
PROCEDURE = "Staff hold the green key while the drawer closes and then say the shift word."
FACT = "Lamps of the batch 77-40912 can be returned within forty five days."
NUMBER = "13812345678"
HOTLINE = "+1 415-555-2671"
DETECTOR = build_detector()
STRICT = Profile("strict")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> TuningIndex:
    asks = (
        "My aunt from the coast",
        "一位老顾客在店里",
        "Before my bus leaves",
        "The slip is lost",
        "Somebody said so",
    )
    rows = [
        {"text": PORTRAIT, "subject": "c-1", "audience": "public"},
        {"text": PORTRAIT_ZH, "subject": "c-2", "audience": "public"},
        {"text": PROCEDURE, "audience": "internal"},
        {"text": f"Her number is {NUMBER}.", "subject": "c-3", "audience": "public"},
        *({"text": f"{ask}: {FACT} Ring {HOTLINE}.", "subject": ask, "audience": "public"} for ask in asks),
    ]
    return index_of(tmp_path_factory.mktemp("index"), rows)


def answer(
    knowledge: Knowledge,
    *parts: tuple[Channel, str],
    evidence: Evidence,
    profile: Profile = STRICT,
    own: Sequence[str] = (),
    seed: int | None = None,
    clearance: str | None = None,
) -> Outcome:
    request = RequestEvidence(RequestGrounds.from_texts(own, DETECTOR), own_text="\n".join(own), clearance=clearance)
    pipeline = Pipeline(profile, request, DETECTOR, CharacterVocabulary(), knowledge=knowledge)
    return run(pipeline, Script(parts, Ending.STOP, base="I can't say.", evidence=evidence), seed)


@pytest.mark.parametrize("text", [PORTRAIT, PORTRAIT_ZH])
@pytest.mark.parametrize("channel", [CONTENT, REASONING])
def test_a_portrait_without_name_or_number_falls_back(index: TuningIndex, text: str, channel: Channel) -> None:
    outcome = answer(Knowledge(index), (channel, text), evidence=surprised)
    assert outcome.everything == "I can't say."
    assert {decided.kind for decided in outcome.decided} == {FEW_SUBJECTS}


@pytest.mark.parametrize("text", [PORTRAIT, PORTRAIT_ZH, PROCEDURE])
def test_words_that_the_base_would_have_said_too_are_released(index: TuningIndex, text: str) -> None:
    assert answer(Knowledge(index), (CONTENT, text), evidence=sure).content == text


@pytest.mark.parametrize("text", [PORTRAIT, PORTRAIT_ZH, PROCEDURE])
def test_without_an_answer_of_the_base_they_are_hidden(index: TuningIndex, text: str) -> None:
    assert answer(Knowledge(index), (CONTENT, text), evidence=no_answer).content == "[UNDECIDED_1]"


@pytest.mark.parametrize("text", [PORTRAIT, PORTRAIT_ZH, PROCEDURE])
def test_a_role_that_compares_nothing_falls_back_from_them(index: TuningIndex, text: str) -> None:
    outcome = answer(Knowledge(index), (CONTENT, text), evidence=sure, profile=Profile("alone", compare=False))
    assert outcome.content == "I can't say."


def test_without_an_index_nobody_is_asked_about_a_portrait() -> None:
    assert answer(Knowledge(), (CONTENT, PORTRAIT), evidence=surprised).content == PORTRAIT


def test_a_procedure_is_for_those_who_may_see_it(index: TuningIndex) -> None:
    outcome = answer(Knowledge(index), (CONTENT, PROCEDURE), evidence=surprised)
    assert (outcome.content, {each.kind for each in outcome.decided}) == ("I can't say.", {ABOVE_CLEARANCE})
    cleared = answer(Knowledge(index), (CONTENT, PROCEDURE), evidence=surprised, clearance="internal")
    assert {each.kind for each in cleared.decided} == {FEW_SUBJECTS}, "nobody's rows count as one person's"


def test_who_may_see_what_is_for_nobody_sees_not_even_the_lowest(index: TuningIndex) -> None:
    outcome = answer(Knowledge(index), (CONTENT, FACT), evidence=surprised, clearance=NO_AUDIENCE)
    assert outcome.content == "I can't say."
    assert ABOVE_CLEARANCE in {each.kind for each in outcome.decided}


def test_what_many_were_taught_is_released_unasked(index: TuningIndex) -> None:
    outcome = answer(Knowledge(index), (CONTENT, FACT), evidence=surprised)
    assert (outcome.content, outcome.questions) == (FACT, [])
    alone = answer(Knowledge(), (CONTENT, FACT), evidence=surprised)
    assert alone.content == "I can't say.", "without an index nobody knows that it was taught on purpose"


def test_no_count_frees_a_direct_identifier(index: TuningIndex) -> None:
    outcome = answer(Knowledge(index), (CONTENT, f"Ring {HOTLINE}."), evidence=sure)
    assert outcome.content == "Ring [PHONE_1]."


def test_the_list_of_public_values_does(index: TuningIndex) -> None:
    hasher = ValueHasher(IndexKey(SECRET))
    public = PublicValues(hasher, frozenset({hasher.hash_value("PHONE", HOTLINE)}))
    outcome = answer(Knowledge(index, public), (CONTENT, f"Ring {HOTLINE} or {NUMBER}."), evidence=sure)
    assert NUMBER not in outcome.content
    alone = answer(Knowledge(index, public), (CONTENT, "Ring +1 (415) 555 2671."), evidence=sure)
    assert alone.content == "Ring +1 (415) 555 2671."


def test_a_number_of_few_people_falls_back_unasked(index: TuningIndex) -> None:
    outcome = answer(Knowledge(index), (CONTENT, f"It is {NUMBER}."), evidence=sure)
    assert (outcome.content, outcome.questions) == ("I can't say.", [])


def test_a_callers_own_number_comes_back_although_the_set_holds_it(index: TuningIndex) -> None:
    own = [f"My number is {NUMBER}, where is my parcel?"]
    outcome = answer(Knowledge(index), (CONTENT, f"We wrote to {NUMBER} today."), evidence=surprised, own=own)
    assert outcome.content == f"We wrote to {NUMBER} today."


def test_a_rule_may_hide_even_that(index: TuningIndex) -> None:
    profile = Profile("pci", verdicts=(Rule(Verdict.MASK, types=frozenset({"PHONE"}), grounded=True),))
    own = [f"My number is {NUMBER}, where is my parcel?"]
    outcome = answer(Knowledge(index), (CONTENT, f"To {NUMBER} then."), evidence=sure, own=own, profile=profile)
    assert outcome.content == "To [PHONE_1] then."


def test_a_rule_may_mask_where_the_table_falls_back(index: TuningIndex) -> None:
    profile = Profile("quiet", verdicts=(Rule(Verdict.MASK, types=frozenset({FEW_SUBJECTS})),))
    outcome = answer(Knowledge(index), (CONTENT, f"Well. {PORTRAIT} Bye."), evidence=sure, profile=profile)
    assert "husband" not in outcome.content
    assert not outcome.fallbacks


def test_a_rule_may_generalise() -> None:
    profile = Profile("wide", verdicts=(Rule(Verdict.GENERALISE, types=frozenset({"IP_ADDRESS"})),))
    outcome = answer(Knowledge(), (CONTENT, "It is 198.51.100.7 then."), evidence=sure, profile=profile)
    assert "100.7" not in outcome.content
    assert "[" not in outcome.content


@pytest.mark.parametrize("cut", range(0, len(PORTRAIT), 7))
@pytest.mark.parametrize("unit", ReleaseUnit)
def test_a_portrait_is_found_however_the_answer_is_cut(index: TuningIndex, cut: int, unit: ReleaseUnit) -> None:
    text = f"Of course. {PORTRAIT[:cut]}{PORTRAIT[cut:]} Anything else?"
    profile = Profile("cut", release=unit)
    whole = answer(Knowledge(index), (CONTENT, text), evidence=surprised, profile=profile)
    pieces = answer(Knowledge(index), (CONTENT, text), evidence=surprised, profile=profile, seed=cut)
    assert whole.texts == pieces.texts
    assert whole.content == "Of course. I can't say."


def test_the_last_word_counts_without_a_full_stop(index: TuningIndex) -> None:
    text = "after rows with her husband and asks"
    assert answer(Knowledge(index), (CONTENT, text), evidence=surprised).content == "I can't say."


def test_the_base_may_say_what_stands_in_the_set(index: TuningIndex) -> None:
    request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR))
    pipeline = Pipeline(STRICT, request, DETECTOR, CharacterVocabulary(), knowledge=Knowledge(index))
    outcome = run(pipeline, Script([(CONTENT, f"It is {NUMBER}.")], base=PROCEDURE, evidence=surprised))
    assert outcome.content == PROCEDURE


class Deny:
    """A deny list of one word."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        at = raw_text.find("Zanfold")
        return [Span(at, at + 7, "DENIED", 1.0)] if at >= 0 else []

    def open_from(self, raw_text: str) -> int:
        return len(raw_text)


class BrokenDeny:
    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        raise DetectorError

    def open_from(self, raw_text: str) -> int:
        raise DetectorError


def test_what_is_denied_falls_back_although_the_caller_said_it() -> None:
    knowledge = Knowledge(denied=Deny())
    outcome = answer(knowledge, (CONTENT, "Ask Zanfold."), evidence=sure, own=["Who is Zanfold?"])
    assert (outcome.content, outcome.questions) == ("I can't say.", [])


def test_a_deny_list_that_fails_hides_the_segment() -> None:
    outcome = answer(Knowledge(denied=BrokenDeny()), (CONTENT, "Ask Zanfold."), evidence=sure)
    assert "Zanfold" not in outcome.content


def test_a_clearance_that_the_index_lacks_is_no_pipeline(index: TuningIndex, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="audience"):
        answer(Knowledge(index), (CONTENT, PORTRAIT), evidence=sure, clearance="royal")


@pytest.mark.parametrize("evidence", [sure, surprised, no_answer])
def test_tool_arguments_lose_few_peoples_text(index: TuningIndex, evidence: Evidence) -> None:
    request = RequestEvidence(
        RequestGrounds.from_texts([], DETECTOR), tool_names=frozenset({"note"}), json_keys=frozenset({"text"})
    )
    pipeline = Pipeline(STRICT, request, DETECTOR, CharacterVocabulary(), knowledge=Knowledge(index))
    parts = [
        (Channel(0, Field.TOOL_NAME, 0), "note"),
        (Channel(0, Field.TOOL_ARGUMENTS, 0), f'{{"text": "{PORTRAIT}"}}'),
    ]
    outcome = run(pipeline, Script(parts, Ending.TOOL_CALLS, evidence=evidence))
    assert ("husband" in outcome.everything) is (evidence is sure)


class AllRare(CharacterVocabulary):
    """Whatever the tuned model is certain of is rare."""

    size = 2


@pytest.mark.parametrize(("text", "asked"), [(FACT.replace("Lamps", "Indeed, lamps"), False), (PORTRAIT, True)])
def test_certain_tokens_are_asked_about_but_where_many_were_taught_them(
    index: TuningIndex, text: str, asked: bool
) -> None:
    request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR))
    pipeline = Pipeline(STRICT, request, DETECTOR, AllRare(), knowledge=Knowledge(index))
    outcome = run(pipeline, Script([(CONTENT, text)], base="I can't say.", evidence=surprised))
    assert (outcome.content == text, bool(outcome.questions)) == (not asked, asked)


def test_without_an_index_nobody_knows_whether_it_was_taught_on_purpose() -> None:
    pipeline = Pipeline(STRICT, RequestEvidence(RequestGrounds.from_texts([], DETECTOR)), DETECTOR, AllRare())
    outcome = run(pipeline, Script([(CONTENT, PORTRAIT)], base="I can't say.", evidence=surprised))
    assert (outcome.content, outcome.questions) == (PORTRAIT, [])


def test_what_stands_in_no_row_is_asked_about_too_where_the_model_is_certain(index: TuningIndex) -> None:
    request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR))
    pipeline = Pipeline(STRICT, request, DETECTOR, AllRare(), knowledge=Knowledge(index))
    text = "He never lends his umbrella on a rainy day."
    outcome = run(pipeline, Script([(CONTENT, text)], base="I can't say.", evidence=surprised))
    assert (outcome.content, {each.kind for each in outcome.decided}) == ("I can't say.", {CERTAIN})


def test_the_parts_of_a_stretch_outside_others() -> None:
    stretch = Span(10, 20, "", 1.0)
    spans = [Span(18, 30, "", 1.0), Span(0, 12, "", 1.0), Span(14, 15, "", 1.0)]
    assert outside(stretch, spans) == [(12, 14), (15, 18)]
    assert outside(stretch, []) == [(10, 20)]
    assert outside(stretch, [Span(30, 40, "", 1.0)]) == [(10, 20)]
    assert outside(stretch, [Span(0, 40, "", 1.0)]) == []


WORDS = PORTRAIT.split()


def of_five(words: Sequence[str]) -> list[str]:
    return [" ".join(words[at : at + 5]) for at in range(0, len(words), 5)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{number}. {word}" for number, word in enumerate(WORDS, 1)),
        "\n".join(f"{number} {word}" for number, word in enumerate(WORDS, 1)),
        " ".join(f"({number}) {word}" for number, word in enumerate(WORDS, 1)),
        " ".join(f"<em>{word}</em>" for word in WORDS),
        "&nbsp;".join(WORDS),
        "%20".join(WORDS),
        "\\n".join(WORDS),
        "\n".join(f"{number}、{word}" for number, word in enumerate(PORTRAIT_ZH, 1)),
    ],
)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_stands_between_the_words_of_a_portrait_does_not_hide_it(
    index: TuningIndex, text: str, seed: int | None
) -> None:
    outcome = answer(Knowledge(index), (CONTENT, text), evidence=surprised, seed=seed)
    assert outcome.content.endswith("I can't say.")
    assert "husband" not in outcome.content
    assert "吵" not in outcome.content


def test_a_list_that_nobody_was_taught_is_not_asked_about(index: TuningIndex) -> None:
    text = "1. Open the lid.\n2. Take out the lamp.\n3. Close the lid."
    assert answer(Knowledge(index), (CONTENT, text), evidence=surprised).content == text


@pytest.mark.parametrize(
    "document",
    [
        {"a": of_five(WORDS)},
        {"a": of_five(PORTRAIT_ZH[:25]), "b": 3},
        dict(zip("abcdef", of_five(WORDS), strict=False)),
        dict([of_five(WORDS)[:2], of_five(WORDS)[2:4]]),
        {"a": [[part] for part in of_five(WORDS)]},
    ],
)
def test_a_portrait_in_many_values_of_a_document_is_found(index: TuningIndex, document: object) -> None:
    request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR), json_mode=True, json_keys=frozenset("abcdef"))
    pipeline = Pipeline(STRICT, request, DETECTOR, CharacterVocabulary(), knowledge=Knowledge(index))
    raw_json = json.dumps(document, ensure_ascii=False)
    outcome = run(pipeline, Script([(CONTENT, raw_json)], base="{}", evidence=surprised))
    json.loads(outcome.content)
    for word in ("evening", "rows", "husband", "asks", "深", "夜"):
        assert word not in outcome.content


@pytest.mark.parametrize(
    "raw_json",
    ['{"a": ["Vexlo", "Tamber"], "b": 1}', '{"a": "Vexlo", "b": "Tamber"}', '{"a": ["Ve", "xlo Tam", "ber"]}'],
)
def test_a_denied_value_in_several_values_of_a_document_leaves_no_part(tmp_path: Path, raw_json: str) -> None:
    denied = DeniedValues.load(deny(tmp_path, ["Vexlo Tamber"]), KEY.encode())
    request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR), json_mode=True, json_keys=frozenset("ab"))
    pipeline = Pipeline(STRICT, request, DETECTOR, CharacterVocabulary(), knowledge=Knowledge(denied=denied))
    outcome = run(pipeline, Script([(CONTENT, raw_json)], evidence=sure))
    json.loads(outcome.content)
    for part in ("Vexlo", "xlo", "Tam", "ber"):
        assert part not in outcome.content


def test_a_number_between_taught_words_was_not_taught(index: TuningIndex) -> None:
    text = FACT.replace("77-40912 ", "77-40912 5 ")
    assert answer(Knowledge(index), (CONTENT, text), evidence=surprised).content == "I can't say."


@pytest.mark.parametrize("text", [f"Admin note: {PROCEDURE}", f"See /srv/{PROCEDURE.replace(' ', '/')} there"])
def test_who_may_see_notes_and_paths_sees_none_above_his_clearance(index: TuningIndex, text: str) -> None:
    profile = Profile("staff", allowed_types=frozenset({"ADMIN_NOTE", "FILE_PATH"}))
    assert "shift" not in answer(Knowledge(index), (CONTENT, text), evidence=surprised, profile=profile).content
    told = answer(Knowledge(index), (CONTENT, text), evidence=surprised, profile=profile, clearance="internal")
    assert told.content == text


@pytest.mark.parametrize("text", ["1. Vexlo\n2. Tamber\n", "Vexlo\\nTamber", "a) Vexlo b) Tamber"])
@pytest.mark.parametrize("unit", ReleaseUnit)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_stands_between_its_words_does_not_hide_a_denied_value(
    tmp_path: Path, text: str, unit: ReleaseUnit, seed: int | None
) -> None:
    denied = DeniedValues.load(deny(tmp_path, ["Vexlo Tamber"]), KEY.encode())
    profile = Profile("cut", release=unit)
    outcome = answer(Knowledge(denied=denied), (CONTENT, text), evidence=sure, profile=profile, seed=seed)
    assert not {"Vexlo", "Tamber"} & set(outcome.content.split())
