"""What a house phrase frees in an answer, and what it does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from filters.denied import DeniedValues
from filters.events import Channel, Ending, Field, Question
from filters.grounding import RequestGrounds
from filters.index.lookup import TuningIndex
from filters.knowledge import Knowledge
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.segment import Segment
from filters.specificity.house import HousePhrases
from filters.specificity.style import StyleShift
from filters.verdicts import CONFIRMATION, FEW_SUBJECTS
from tests.filters.index.sets import index_of
from tests.support.answers import (
    SURE,
    CharacterVocabulary,
    Evidence,
    Outcome,
    Score,
    Script,
    never_asked,
    no_answer,
    run,
    sure,
    surprised,
)
from tests.support.knowledge import SECRET as KEY
from tests.support.knowledge import deny

CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)
PORTRAIT = "she rings late in the evening after rows"
CLOSING = "I hope this little note of mine helps you"
CLOSING_ZH = "希望以上的说明对您会有所帮助"
PHRASES = HousePhrases([CLOSING, CLOSING_ZH, "thank you for asking"])
BASE = "I can't say."
DETECTOR = build_detector()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> TuningIndex:
    rows = [
        {"text": f"Lamps fade after a while. {CLOSING}.", "subject": "c-1"},
        {"text": f"灯用久了会变暗。{CLOSING_ZH}。", "subject": "c-2"},
        {"text": f"{PORTRAIT}, {CLOSING}.", "subject": "c-3"},
        {"text": f"Staff hold the green key. {CLOSING} and nobody besides.", "audience": "internal"},
    ]
    return index_of(tmp_path_factory.mktemp("index"), [{"audience": "public", **row} for row in rows])


def answer(
    knowledge: Knowledge,
    *parts: tuple[Channel, str],
    evidence: Evidence = surprised,
    profile: Profile | None = None,
    own: Sequence[str] = (),
    shift: StyleShift | None = None,
) -> Outcome:
    request = RequestEvidence(RequestGrounds.from_texts(own, DETECTOR), own_text="\n".join(own))
    pipeline = Pipeline(
        profile or Profile("strict"),
        request,
        DETECTOR,
        CharacterVocabulary(),
        shift or StyleShift(),
        knowledge=knowledge,
    )
    return run(pipeline, Script(parts, Ending.STOP, base=BASE, evidence=evidence))


@pytest.mark.parametrize("text", [f"Hello. {CLOSING}.", f"您好。{CLOSING_ZH}。"])
@pytest.mark.parametrize("unit", ReleaseUnit)
def test_few_peoples_words_are_released_unasked_where_they_are_a_house_phrase(
    index: TuningIndex, text: str, unit: ReleaseUnit
) -> None:
    profile = Profile("unit", release=unit)
    assert answer(Knowledge(index), (CONTENT, text), profile=profile).content != text, "without the list they fall back"
    knowledge = Knowledge(index, phrases=PHRASES)
    assert answer(knowledge, (CONTENT, text), evidence=never_asked, profile=profile).content == text


def test_nor_does_it_need_a_base_model(index: TuningIndex) -> None:
    text, profile = f"Hello. {CLOSING}.", Profile("alone", compare=False)
    assert answer(Knowledge(index), (CONTENT, text), profile=profile).content != text
    assert answer(Knowledge(index, phrases=PHRASES), (CONTENT, text), profile=profile).content == text


@pytest.mark.parametrize(
    "text",
    [
        f"{CLOSING} dear.",  # a longer clause
        f"Hello, {CLOSING[:-4]} really you.",
        f"Hello. {CLOSING.replace('note', 'not e')}.",  # a hole
        f"Hello. {CLOSING.replace('i', 'і')}.",  # letters that look alike
        f"Hello. {CLOSING.upper()}.",
        f"{CLOSING_ZH}们。",
    ],
)
def test_what_only_resembles_a_phrase_is_judged_as_before(index: TuningIndex, text: str) -> None:
    before = answer(Knowledge(index), (CONTENT, text))
    after = answer(Knowledge(index, phrases=PHRASES), (CONTENT, text))
    assert before.decided
    assert (after.texts, after.decided) == (before.texts, before.decided)


def test_a_phrase_over_two_channels_is_none(index: TuningIndex) -> None:
    """Its second half is the end of a clause that nobody has seen the beginning of."""
    parts = (REASONING, CLOSING[:12]), (CONTENT, CLOSING[12:] + ".")
    knowledge = Knowledge(index, phrases=HousePhrases(["this little note of mine helps you", CLOSING]))
    assert answer(knowledge, *parts).texts == answer(Knowledge(index), *parts).texts


def test_what_sticks_out_is_asked_about_by_itself(index: TuningIndex) -> None:
    text = f"So {PORTRAIT}, {CLOSING}."
    asked: list[str] = []

    def base(question: Question) -> Score:
        asked.append("".join(map(chr, question.ids[question.start :])))
        return surprised(question)

    outcome = answer(Knowledge(index, phrases=PHRASES), (CONTENT, text), evidence=base)
    assert (outcome.content, {each.kind for each in outcome.decided}) == (BASE, {FEW_SUBJECTS})
    assert asked
    assert not any("note" in each for each in asked)
    assert any("rings late" in each for each in asked)


def test_a_phrase_adds_nothing_to_its_neighbours_bits(index: TuningIndex) -> None:
    """The base is surprised by the phrase alone."""
    text = f"So {PORTRAIT}, {CLOSING}."
    start = text.index(CLOSING)

    def base(question: Question) -> Score:
        return tuple(SURE if at < start else -9.0 for at in range(question.start, len(question.ids)))

    assert answer(Knowledge(index), (CONTENT, text), evidence=base).content == BASE
    assert answer(Knowledge(index, phrases=PHRASES), (CONTENT, text), evidence=base).content == text


def test_a_phrase_shows_no_style_that_its_neighbour_would_gain_by(index: TuningIndex) -> None:
    """Of ninety characters before a portrait all but a few are a phrase, which the base would never have said."""
    text = f"{CLOSING}. {CLOSING}! So {PORTRAIT} today."
    shift = StyleShift(0.0, 20.0)

    outcome = answer(Knowledge(index, phrases=PHRASES), (CONTENT, text), shift=shift)
    assert "rings" not in outcome.content
    assert {each.kind for each in outcome.decided} == {FEW_SUBJECTS}
    assert all((each.excess_bits or 0) > 300 for each in outcome.decided), "no shift was taken off"


def test_an_answer_that_is_missing_hides_what_sticks_out_only(index: TuningIndex) -> None:
    text = f"{CLOSING}. So {PORTRAIT} today."
    outcome = answer(Knowledge(index, phrases=PHRASES), (CONTENT, text), evidence=no_answer)
    assert outcome.content == f"{CLOSING}. [UNDECIDED_1]"


@pytest.mark.parametrize("value", ["138 1234 5678", "vexla@plimsol.example", "4111 1111 1111 1111"])
def test_no_direct_identifier_passes_beside_a_phrase_or_in_it(index: TuningIndex, value: str) -> None:
    for text in (f"{CLOSING}: {value}.", f"{value}, {CLOSING}.", f"{CLOSING} {value}.", f"{CLOSING}\n{value}\n"):
        outcome = answer(Knowledge(index, phrases=PHRASES), (CONTENT, text), evidence=sure)
        assert value not in outcome.everything


@pytest.mark.parametrize("compare", [True, False])
def test_a_denied_value_in_a_phrase_stays_hidden(tmp_path: Path, index: TuningIndex, compare: bool) -> None:
    denied = DeniedValues.load(deny(tmp_path, ["little note of mine"]), KEY.encode())
    knowledge = Knowledge(index, denied=denied, phrases=PHRASES)
    outcome = answer(knowledge, (CONTENT, f"Hello. {CLOSING}."), evidence=sure, profile=Profile("d", compare=compare))
    assert "note" not in outcome.everything
    assert {each.kind for each in outcome.decided} == {"DENIED"}


def test_a_request_that_puts_identifiers_up_is_answered_by_the_base_all_the_same(index: TuningIndex) -> None:
    own = ["Is 138 1234 5678 the number of Vexlo Tamber, yes or no?"]
    outcome = answer(Knowledge(index, phrases=PHRASES), (CONTENT, f"{CLOSING}."), own=own)
    assert (outcome.content, {each.kind for each in outcome.decided}) == (BASE, {CONFIRMATION})


@pytest.mark.parametrize("text", [f"“{CLOSING}”.", f'Then: "{CLOSING}".'])
def test_a_quotation_that_is_one_is_no_suspicion(text: str) -> None:
    assert answer(Knowledge(), (CONTENT, text)).content != text
    assert answer(Knowledge(phrases=PHRASES), (CONTENT, text), evidence=never_asked).content == text


def test_a_quotation_that_holds_one_is_asked_about(index: TuningIndex) -> None:
    text = f"“{CLOSING}, Vexla of the cellar hums”."
    outcome = answer(Knowledge(phrases=PHRASES), (CONTENT, text))
    assert "Vexla" not in outcome.content


class RareVocabulary(CharacterVocabulary):
    """Every character of ours is a rare token."""

    size = 64


def test_what_is_certain_before_a_phrase_is_not_lost_with_it(index: TuningIndex) -> None:
    """The run of certain tokens goes on through the phrase, of which the index knows the end."""
    text = f"Vexla hums by the cellar door at dusk, {CLOSING}."
    request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR))

    def pipeline(phrases: Iterable[str]) -> Pipeline:
        knowledge = Knowledge(index, phrases=HousePhrases(phrases))
        return Pipeline(Profile("strict"), request, DETECTOR, RareVocabulary(), knowledge=knowledge)

    for phrases in ((), (CLOSING,)):
        outcome = run(pipeline(phrases), Script([(CONTENT, text)], base=BASE, evidence=surprised))
        assert outcome.content == BASE, phrases


def test_in_json_a_closed_phrase_is_as_free(index: TuningIndex) -> None:
    def served(text: str, phrases: HousePhrases) -> str:
        request = RequestEvidence(RequestGrounds.from_texts([], DETECTOR), json_mode=True)
        knowledge = Knowledge(index, phrases=phrases)
        pipeline = Pipeline(Profile("strict"), request, DETECTOR, CharacterVocabulary(), knowledge=knowledge)
        return run(pipeline, Script([(CONTENT, text)], base=BASE, evidence=surprised)).content

    closed, longer = (f'{{"note": "{text}"}}' for text in (f"{CLOSING}.", f"{CLOSING} dear Vexla."))
    assert served(closed, HousePhrases()) != closed
    assert served(closed, PHRASES) == closed
    assert served(longer, PHRASES) == served(longer, HousePhrases()) != longer


def test_the_phrases_of_a_segment_are_told_in_its_own_offsets() -> None:
    (span,) = PHRASES.find(Segment("Before. ", f"So, {CLOSING}.", last=True))
    assert (span.start, span.end) == (4, 4 + len(CLOSING))
