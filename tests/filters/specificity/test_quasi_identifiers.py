"""Traits gathered per person: what is generalised, what is not counted, and that no crowd gets too small."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.evidence import DetectorError
from filters.pii.detector import build_detector
from filters.profile import ReleaseUnit
from filters.segment import Segment, Segmenter
from filters.spans import Span
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.quasi_identifiers import Generalisation, PersonLedger

FINDER = AttributeFinder(shipped_crowds())
K = 20
EXAMPLES = 5000 if os.environ.get("TIGHTLIP_DEEP") else 200


def ledger(k: int = K, **chosen: object) -> PersonLedger:
    return PersonLedger(FINDER, k, **chosen)  # type: ignore[arg-type]


def rewritten(text: str, found: Sequence[Generalisation]) -> str:
    for one in reversed(found):
        text = text[: one.start] + one.text + text[one.end :]
    return text


def said(of: PersonLedger, *texts: str, names: Sequence[str] = ()) -> str:
    """What leaves of these sentences; `names` are what a name model finds."""
    out = []
    for text in texts:
        spans = [Span(text.find(name), text.find(name) + len(name), "PERSON", 1.0) for name in names if name in text]
        out.append(rewritten(text, of.feed(text, names=spans)))
    return " ".join(out)


# ---- what is generalised ---------------------------------------------------------------------------------------------


def test_few_traits_pass() -> None:
    for text in ("She is 34 and lives in Leeds.", "He is a nurse from Dublin.", "她今年三十四岁，住在杭州。"):
        assert said(ledger(), text) == text


def test_the_newest_trait_is_generalised_and_no_more_than_needed() -> None:
    person = ledger()
    assert said(person, "She is 34, lives in Leeds and is a nurse.") == "She is 34, lives in Leeds and is a nurse."
    assert said(person, "She has asthma.") == "She has a personal matter."
    other = ledger()
    assert said(other, "She lives in Leeds and is a beekeeper.") == "She lives in Leeds and is a beekeeper."
    assert said(other, "She is 93.") == "She is of a certain age."
    third = ledger(k=10)
    assert said(third, "He lives in Bristol. He is 34. He is a judge.").endswith("someone in the law.")


def test_in_chinese() -> None:
    person = ledger()
    assert said(person, "她住在西藏拉萨，", "是一名法官，") == "她住在西藏拉萨， 是一名法官，"
    assert "34岁" not in said(person, "今年34岁，", "育有两个女儿。")
    assert said(ledger(k=10_000), "她住在青禾镇，是护士。") == "她住在某地，是护士。"


def test_a_value_that_was_said_may_be_said_again() -> None:
    person = ledger()
    texts = ["She is 34, lives in Leeds and is a nurse.", "The nurse in Leeds is 34."]
    assert said(person, *texts) == " ".join(texts)


def test_one_value_has_one_wording() -> None:
    person = ledger()
    said(person, "She is 34, lives in Leeds and is a nurse.")
    first = said(person, "She has lupus.")
    assert "lupus" not in first
    assert said(person, "She has lupus.") == first


def test_a_larger_k_lets_less_through() -> None:
    text = "She is 34, lives in Leeds and is a nurse."
    assert said(ledger(k=5), text) == text
    assert said(ledger(k=5_000), text) != text


def test_a_trait_cut_by_a_segment_is_found() -> None:
    person = ledger()
    assert not person.feed("She lives in ")
    assert [one.kind for one in person.feed("Kelvo Sands, ", context="She lives in ")] == []
    assert person.smallest_crowd == pytest.approx(5_000)


# ---- who -----------------------------------------------------------------------------------------------------------

NAMES = ("Vexlo Tamber", "Ruva Plimsol")


def test_two_full_names_are_two_persons() -> None:
    texts = ("Vexlo Tamber is 34, lives in Leeds and is a nurse.", "Ruva Plimsol is 51, lives in York and is a judge.")
    person = ledger()
    assert said(person, texts[0], names=NAMES) == texts[0]
    assert said(person, "Ruva Plimsol is 51.", names=NAMES) == "Ruva Plimsol is 51."
    assert "51" not in said(ledger(), texts[0], "She is 51.", names=NAMES)


def test_in_doubt_it_is_the_same_person() -> None:
    texts = ["Vexlo Tamber is 34, lives in Leeds and is a nurse.", "{} has lupus."]
    for who in ("She", "The customer", "Tamber", "Ms Tamber", "Vexlo J. Tamber", "The other one, somebody,"):
        names = (*NAMES, who) if "Tamber" in who else NAMES
        assert "lupus" not in said(ledger(), texts[0], texts[1].format(who), names=names), who


def test_what_was_said_before_the_name_counts_for_it() -> None:
    assert "lupus" not in said(
        ledger(), "The customer is 34, lives in Leeds and is a nurse.", "Vexlo Tamber has lupus.", names=NAMES
    )


def test_public_figures_do_not_count() -> None:
    person = ledger(is_public=lambda name: name == "Vexlo Tamber")
    text = "Vexlo Tamber was born on 14 March 1879 in Ulm. He was a physicist from Bern and had three children."
    assert said(person, text, names=NAMES) == text
    assert "lupus" not in said(person, "The customer is 34, lives in Leeds and is a nurse.", "She has lupus.")
    assert "1879" not in said(ledger(), "She is a nurse from Hull, aged 50.", text, names=NAMES)


def test_a_customer_is_not_hidden_behind_a_public_figure() -> None:
    person = ledger(is_public=lambda name: name == "Vexlo Tamber")
    told = said(
        person,
        "Vexlo Tamber writes that the customer is 34, lives in Leeds and is a nurse.",
        "The customer has lupus.",
        names=NAMES,
    )
    assert "lupus" not in told


# ---- the caller's own ------------------------------------------------------------------------------------------------


def test_what_the_caller_described_does_not_count() -> None:
    person = ledger()
    person.hear("I'm a 34-year-old nurse from Leeds with two children. I have lupus.")
    text = "You are a nurse from Leeds, 34 years old, and have two children; as you have lupus, she has lupus too."
    assert said(person, text) == text


def test_a_question_tells_nothing() -> None:
    person = ledger()
    person.hear("She is 34, a nurse, and lives in Leeds. Does she have lupus?")
    assert said(person, "She has lupus.") == "She has lupus."  # alone it fits many
    assert person.smallest_crowd < 5_000


def test_a_list_of_candidates_tells_nothing() -> None:
    person = ledger()
    person.hear("She is 31. She is 32. She is 33. She is 34.")
    said(person, "She is 34.")
    assert person.smallest_crowd < 100_000


def test_an_answer_that_the_caller_repeats_still_counts() -> None:
    person = ledger()
    person.prime("She is 34, lives in Leeds and is a nurse.")
    person.hear("So she is a nurse in Leeds. She is 34.")
    assert "lupus" not in said(person, "She has lupus.")


# ---- five turns ------------------------------------------------------------------------------------------------------

PORTRAITS = (
    [
        "She lives in Leeds.",
        "She is a nurse at Plimsol Hospital.",
        "She is 34; her birthday is on 12 March.",
        "She is divorced and has three children.",
        "She was diagnosed with lupus and holds a PhD.",
    ],
    [
        "该客户住在杭州市西湖区。",
        "她在浦林索医院工作，是一名护士。",
        "她今年三十四岁，出生于1991年3月12日。",
        "她离异，育有三个孩子。",
        "她患有红斑狼疮，是彝族，博士毕业于青禾大学。",
    ],
    [
        "Age: 34; City: Bristol",
        "Occupation: beekeeper; Employer: Tamber Foods",
        "Marital status: widowed; Children: 3",
        "Ethnicity: Navajo; Education: PhD",
        "Diagnosis: Crohn's disease; Date of birth: 1991-03-12",
    ],
)


@pytest.mark.parametrize("turns", PORTRAITS, ids=["English", "Chinese", "a record"])
@pytest.mark.parametrize("k", [3, 20, 1000])
def test_over_five_turns_the_crowd_stays_large_enough(turns: list[str], k: int) -> None:
    earlier: list[str] = []
    for turn in turns:
        person = ledger(k)
        for answer in earlier:
            person.prime(answer)
            person.hear("And what else?")
        assert person.smallest_crowd >= k
        earlier.append(said(person, turn))
        assert person.smallest_crowd >= k
    reader = ledger(3)
    for answer in earlier:
        reader.prime(answer)
    assert reader.smallest_crowd >= k, earlier
    assert earlier != list(turns)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        ledger(k=2)
    with pytest.raises(ValueError, match="no table for"):
        ledger(countries=frozenset({"GB", "ZZ"}))


def test_a_finder_that_fails_is_an_error_and_nothing_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list[object]:
        raise DetectorError("pattern out of time")

    person = ledger()
    monkeypatch.setattr(AttributeFinder, "find", fail)
    for take in (person.feed, person.prime, person.hear):
        with pytest.raises(DetectorError):
            take("She is 34 and has lupus.")


# ---- properties ------------------------------------------------------------------------------------------------------

SENTENCES = [sentence + " " for turns in PORTRAITS for sentence in turns] + [
    "He lives in Chipping Norton, ",
    "moved to Hull and works as a tuba tuner. ",
    "Vexlo Tamber is 29, a judge from Galway. ",
    "The ferry waits until the last passenger is on. ",
    "王先生是上海人，",
    "她再婚了。",
    "The other customer is non-binary. ",
    "She was born in the 1990s. ",
]
texts = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=10)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=texts, k=st.sampled_from([3, 20, 500, 100_000]), named=st.booleans())
def test_the_crowd_never_falls_below_k(told: list[str], k: int, named: bool) -> None:
    person = ledger(k)
    for text in told:
        said(person, text, names=NAMES if named else ())
        assert person.smallest_crowd >= k


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=texts, told=texts)
def test_what_earlier_answers_spent_is_spent_once(before: list[str], told: list[str]) -> None:
    person = ledger()
    for text in before:
        person.prime(text)
    left = person.smallest_crowd
    for text in told:
        said(person, text)
        assert person.smallest_crowd >= min(left, K)


DETECTOR = build_detector(["PHONE"])


def segments(text: str, sizes: random.Random | None, unit: ReleaseUnit) -> list[Segment]:
    segmenter = Segmenter(unit, DETECTOR)
    found: list[Segment] = []
    at = 0
    while at < len(text):
        size = sizes.randint(1, 12) if sizes else len(text)
        found += segmenter.push(text[at : at + size])
        at += size
    return found + segmenter.close(complete=True)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=texts, seed=st.integers(0, 2**32), unit=st.sampled_from(ReleaseUnit))
def test_how_the_text_arrived_changes_nothing(told: list[str], seed: int, unit: ReleaseUnit) -> None:
    text = "".join(told)
    answers = []
    for sizes in (None, random.Random(seed)):
        person = ledger()
        cut = segments(text, sizes, unit)
        answers.append([rewritten(s.raw_text, person.feed(s.raw_text, s.context)) for s in cut])
    assert answers[0] == answers[1]
