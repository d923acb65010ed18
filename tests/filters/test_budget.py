"""What an answer's budget counts, and what follows when it is spent. Values are made up."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.budget import LEAK_BUDGET, Budget, Cost, Limits, cost_of
from filters.events import (
    Channel,
    Decided,
    Ending,
    Event,
    FallBack,
    Field,
    Finished,
    Origin,
    RawText,
    Released,
    Verdict,
)
from filters.evidence import UNDECIDED
from filters.grounding import RequestGrounds
from filters.opening import REFUSAL
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.spans import Span
from filters.specificity.sampling import Sampler
from filters.specificity.style import NO_SHIFT, StyleShift
from filters.strewn import STREWN
from filters.verdicts import CONFIRMATION, FEW_SUBJECTS
from tests.support.answers import (
    SURE,
    CharacterVocabulary,
    Evidence,
    Outcome,
    Script,
    mixed,
    no_answer,
    run,
    sure,
    surprised,
)

CONTENT, REASONING, TEXT, ARGUMENTS = (
    Channel(0, field) for field in (Field.CONTENT, Field.REASONING, Field.TEXT, Field.TOOL_ARGUMENTS)
)
ENOUGH = 12.0
KEY = b"k" * 32


class Secrets:
    """Everything that looks like zq#1234# is a secret."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return [Span(m.start(), m.end(), "SECRET", 1.0) for m in re.finditer(r"zq#\d{4}#", raw_text)]


SECRETS = ("zq#7788#", "zq#1020#", "zq#5566#")
TELLING = " ".join(f"The key is {secret}." for secret in SECRETS) + " Goodbye."
BITS = (9.0 + SURE) / math.log(2) * len(SECRETS[0])  # of one of them, where the base is `surprised`


class Hour:
    """A caller's account that others write to as well."""

    def __init__(self, bits: float = 0.0, most: float = math.inf) -> None:
        self.bits, self.most, self.findings = bits, most, 0

    def spend(self, cost: Cost) -> None:
        self.bits += cost.bits
        self.findings += cost.findings

    @property
    def spent(self) -> bool:
        return self.bits >= self.most


def pipeline(
    limits: Limits,
    hour: Hour | None = None,
    *,
    on_memorised: Verdict = Verdict.MASK,
    chat: bool = True,
    sampler: Sampler | None = None,
    style: StyleShift = NO_SHIFT,
) -> Pipeline:
    """With the verdict "mask" nobody is asked about a secret: it is hidden whatever the base says."""
    profile = Profile("test", on_memorised=on_memorised, budget=limits)
    request = RequestEvidence(RequestGrounds.from_texts([], Secrets()), chat=chat, tool_names=frozenset({"send"}))
    budget = Budget(limits, hour)
    return Pipeline(profile, request, Secrets(), CharacterVocabulary(), style, budget=budget, sampler=sampler)


def told(answer: Pipeline, evidence: Evidence = surprised) -> Outcome:
    outcome = run(answer, Script([(CONTENT, TELLING)], evidence=evidence))
    assert not any(secret in outcome.everything for secret in SECRETS)
    return outcome


def test_over_the_answer_s_budget_the_rest_is_the_base_s() -> None:
    assert told(pipeline(Limits())).content.endswith("Goodbye.")
    outcome = told(pipeline(Limits(answer_bits=1.5 * ENOUGH)))
    assert outcome.content == "The key is [SECRET_1]. The key is [SECRET_2]. I can't help with that."
    assert [fallback.released_text for fallback in outcome.fallbacks] == [
        "The key is [SECRET_1]. The key is [SECRET_2]."
    ]
    assert [each.kind for each in outcome.decided if each.verdict is Verdict.FALL_BACK] == [LEAK_BUDGET]


@pytest.mark.parametrize(
    ("evidence", "bits"), [(surprised, BITS), (sure, 0.0), (no_answer, 0.0)], ids=["memorised", "plausible", "late"]
)
def test_what_a_finding_costs_is_what_the_comparison_says(evidence: Evidence, bits: float) -> None:
    hour = Hour()
    told(pipeline(Limits(answer_bits=1e6), hour, on_memorised=Verdict.FALL_BACK), evidence)
    assert hour.bits == pytest.approx(bits)


def test_the_caller_s_hour_is_read_at_each_segment_s_end() -> None:
    hour = Hour(50.0, 50.0 + ENOUGH / 2)
    outcome = told(pipeline(Limits(), hour))
    assert outcome.content == "The key is [SECRET_1]. I can't help with that."
    assert hour.bits == 50.0 + ENOUGH


def test_what_another_answer_shows_ends_this_one() -> None:
    hour = Hour(most=50.0)
    answer = pipeline(Limits(), hour)
    first = answer.feed([RawText(CONTENT, "Boats came in. The harbour was qui")])
    hour.spend(Cost(50.0))
    second = answer.feed([RawText(CONTENT, "et that morning. Rain fell later on. ")])
    assert [event.text for event in first if isinstance(event, Released)] == ["Boats came in. "]
    assert [type(event) for event in second] == [Decided, FallBack]
    assert answer.feed([RawText(CONTENT, "Nobody minded at all. ")]) == []


def test_a_caller_over_his_hour_hears_the_base_from_the_start() -> None:
    outcome = told(pipeline(Limits(), Hour(50.0, 50.0)))
    assert (outcome.content, outcome.questions) == ("I can't help with that.", [])
    assert [fallback.released_text for fallback in outcome.fallbacks] == [""]


@pytest.mark.parametrize("channel", [TEXT, ARGUMENTS], ids=["legacy", "tool"])
def test_where_the_base_can_not_go_on_nobody_does(channel: Channel) -> None:
    hour = Hour(most=50.0)
    answer = pipeline(Limits(), hour, chat=channel is not TEXT)
    start = "Boats came in. The harb" if channel is TEXT else '{"a": "Boats came in. The harb'
    name = [] if channel is TEXT else [RawText(Channel(0, Field.TOOL_NAME), "send")]
    assert any(isinstance(event, Released) for event in answer.feed([*name, RawText(channel, start)]))
    hour.spend(Cost(50.0))
    late = answer.feed([RawText(channel, "our was quiet. Rain fell later on. ")])
    assert [event.ending for event in late if isinstance(event, Finished)] == [Ending.CONTENT_FILTER]
    assert not any("harbour" in event.text for event in late if isinstance(event, Released))


def _decided(kind: str, bits: float | None, verdict: Verdict = Verdict.MASK, origin: Origin = Origin.TUNED) -> Decided:
    return Decided(0, kind, verdict, origin, bits)


@pytest.mark.parametrize(
    ("decided", "counted"),
    [
        ([], 0.0),
        ([_decided("SECRET", 60.0), _decided("EMAIL", 40.0)], 100.0),
        ([_decided("SECRET", 60.0), _decided("EMAIL", 4.0)], 60.0),
        ([_decided("SECRET", None, Verdict.FALL_BACK)], ENOUGH),
        ([_decided(STREWN, 3.0)], ENOUGH),
        ([_decided("CODE", 3.0), _decided("PERSON", None), _decided("AGE", None, Verdict.GENERALISE)], 0.0),
        ([_decided("QUASI_IDENTIFIER", None), _decided("SPECIAL_HEALTH", None, Verdict.FALL_BACK)], 0.0),
        ([_decided("ABOVE_CLEARANCE", None, Verdict.FALL_BACK)], ENOUGH),
        ([_decided("SECRET", 60.0), _decided(CONFIRMATION, 90.0)], 90.0),
        ([_decided("SECRET", 60.0), _decided(FEW_SUBJECTS, None)], 60.0),
        ([_decided("SECRET", 60.0, origin=Origin.BASE)], 0.0),
        ([_decided("SECRET", 60.0, Verdict.RELEASE)], 0.0),
        ([_decided(UNDECIDED, None), _decided(LEAK_BUDGET, None, Verdict.FALL_BACK)], 0.0),
    ],
)
def test_what_counts(decided: list[Decided], counted: float) -> None:
    assert cost_of(decided, ENOUGH).bits == counted


FELL_BACK = FallBack(0, "")


@pytest.mark.parametrize(
    ("acted", "findings"),
    [
        ([], 0),
        ([_decided("SECRET", 60.0), _decided("EMAIL", 4.0)], 2),
        ([_decided("SECRET", 60.0, Verdict.FALL_BACK), FELL_BACK], 1),
        ([_decided(REFUSAL, None, Verdict.FALL_BACK), FELL_BACK], 1),
        ([_decided("SPECIAL_HEALTH", None, Verdict.FALL_BACK), FELL_BACK], 1),
        ([_decided("SPECIAL_HEALTH", None)], 0),
        ([_decided("QUASI_IDENTIFIER", None, Verdict.GENERALISE)], 0),
        ([_decided("EMAIL", None), _decided("EMAIL", None), _decided(FEW_SUBJECTS, None)], 2),
        ([_decided("EMAIL", None), _decided(CONFIRMATION, None), _decided(FEW_SUBJECTS, None)], 2),
        ([_decided("SECRET", 60.0, Verdict.STOP)], 1),
        ([_decided("SECRET", 60.0, Verdict.RELEASE)], 0),
        ([_decided("SECRET", 60.0, origin=Origin.BASE)], 0),
        ([_decided(UNDECIDED, None)], 0),
    ],
)
def test_what_is_a_finding(acted: list[Event], findings: int) -> None:
    assert cost_of(acted, ENOUGH).findings == findings


def test_a_fallback_for_the_budget_s_sake_costs_nothing() -> None:
    hour = Hour(most=ENOUGH)
    outcome = told(pipeline(Limits(), hour))
    assert outcome.content.endswith("I can't help with that.")
    assert (hour.bits, hour.findings) == (ENOUGH, 1)


PIECES = st.sampled_from([*SECRETS, "The harbour was quiet. ", "您可以退货。", ". ", " ", "Her key: ", "\n"])


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(st.tuples(st.sampled_from([CONTENT, REASONING]), PIECES), min_size=1, max_size=20),
    answer_bits=st.one_of(st.none(), st.floats(1, 400)),
    spent=st.floats(0, 200),
    on_memorised=st.sampled_from([Verdict.MASK, Verdict.FALL_BACK]),
    seed=st.integers(0, 2**32),
)
def test_however_it_arrives_the_same_is_said_spent_and_sampled(
    pieces: list[tuple[Channel, str]], answer_bits: float | None, spent: float, on_memorised: Verdict, seed: int
) -> None:
    def once(seed: int | None) -> tuple[Outcome, tuple[float, int]]:
        hour = Hour(spent, 200.0)
        limits = Limits(answer_bits)
        answer = pipeline(
            limits, hour, on_memorised=on_memorised, sampler=Sampler(0.5, KEY), style=StyleShift(0.0, 13.0)
        )
        return run(answer, Script(pieces, evidence=mixed), seed), (hour.bits, hour.findings)

    (whole, cost), (cut, cost_cut) = once(None), once(seed)
    assert (cut.texts, cut.endings) == (whole.texts, whole.endings)
    assert cost_cut == cost
    assert not any(secret in cut.everything for secret in SECRETS)
    if not whole.fallbacks:
        assert [(each.ids, each.start) for each in cut.samples] == [(each.ids, each.start) for each in whole.samples]
        asked = {(each.ids, each.start) for each in whole.questions}
        assert not asked & {(each.ids, each.start) for each in whole.samples}


def test_all_harmless_text_can_be_sampled_and_none_of_the_rest() -> None:
    answer = pipeline(Limits(), sampler=Sampler(1.0, KEY))
    outcome = run(
        answer, Script([(CONTENT, "One boat came in. The key is zq#7788#. Rain fell later on.")], evidence=sure)
    )
    spelled = ["".join(map(chr, each.ids[each.start :])) for each in outcome.samples]
    assert spelled == ["One boat came in. ", "Rain fell later on."]
    assert {len(each.logprobs) for each in outcome.samples} == {len(text) for text in spelled}
