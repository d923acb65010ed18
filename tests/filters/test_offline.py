"""The filters without a server, and the profile's actions in a whole text."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import filter_text
from filters.events import Verdict
from filters.evidence import Detector, DetectorError
from filters.offline import PIECE, Filtered, Finding, TextFilter, pieces
from filters.pii.detector import build_detector
from filters.profile import Action, OnFailure, Profile, ReleaseUnit
from filters.spans import Span

KEY = b"k" * 32
TEXT = "Her e-mail is vexlo@example.net. Call +1 415-555-2671.\n她的邮箱是 vexlo@example.net。他的电话13812345678。"
PROSE = "The harbour was quiet that morning, and returns are free. 营业时间是上午九点到晚上八点。\n"


@cache
def detector() -> Detector:
    return build_detector(["EMAIL", "PHONE", "CARD", "RESIDENT_ID", "ADDRESS"])


def filtered(text: str, **options: object) -> Filtered:
    return filter_text(text, detector=detector(), **options)  # type: ignore[arg-type]


def profile(**choices: object) -> Profile:
    return Profile("test", compare=False, evidence=False, **choices)  # type: ignore[arg-type]


def test_three_lines_are_enough() -> None:
    assert filter_text("Mail vexlo@example.net.").text == "Mail [EMAIL_1]."


def test_text_and_findings() -> None:
    result = filtered(TEXT)
    assert result.text == "Her e-mail is [EMAIL_1]. Call [PHONE_1].\n她的邮箱是 [EMAIL_1]。他的电话[PHONE_2]。"
    assert [TEXT[f.start : f.end] for f in result.findings] == [
        "vexlo@example.net",
        "+1 415-555-2671",
        "vexlo@example.net",
        "13812345678",
    ]
    assert {f.verdict for f in result.findings} == {Verdict.MASK}
    assert not result.stopped


@pytest.mark.parametrize("text", [PROSE, "", "\n", " ", "…", PROSE * 40])
def test_harmless_text_comes_back_as_it_was(text: str) -> None:
    assert filtered(text) == Filtered(text, ())


def test_what_the_caller_said_comes_back_and_is_told() -> None:
    result = filtered("Mail vexlo@example.net, not ruva@example.net.", own=["I am vexlo@example.net."])
    assert result.text == "Mail vexlo@example.net, not [EMAIL_1]."
    assert [(f.start, f.end, f.verdict) for f in result.findings] == [
        (5, 22, Verdict.RELEASE),
        (28, 44, Verdict.MASK),
    ]


def test_an_allowed_type_is_told_and_stays() -> None:
    result = filtered("Mail vexlo@example.net.", profile=profile(allowed_types=frozenset({"EMAIL"})))
    assert result.text == "Mail vexlo@example.net."
    assert result.findings == (Finding(5, 22, "EMAIL", 0.9, Verdict.RELEASE),)


parts = st.sampled_from([PROSE, TEXT, "，", " ", "\n", "Mail ", "vexlo@example.net", "138 1234 5678", "🙂", "x" * 50])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(parts, st.text(max_size=8)), max_size=12).map("".join),
    st.integers(1, 300),
    st.sampled_from(ReleaseUnit),
    st.dictionaries(st.sampled_from(["EMAIL", "PHONE"]), st.sampled_from(Action)),
)
def test_however_it_is_fed_it_is_the_same(
    text: str, chunks: int, release: ReleaseUnit, actions: dict[str, Action]
) -> None:
    choices = profile(release=release, actions=actions)
    own = ["My number is 13812345678."]
    whole = filtered(text, own=own, profile=choices, key=KEY)
    assert filtered(text, own=own, profile=choices, key=KEY, chunks=chunks) == whole


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.MASK, "Her e-mail is [EMAIL_1]. "),
        (Action.REMOVE, "Her e-mail is . "),
        (Action.GENERALISE, "Her e-mail is an e-mail address at a company or organisation. "),
    ],
)
def test_the_profile_chooses_what_stands_in(action: Action, expected: str) -> None:
    assert filtered(TEXT, profile=profile(actions={"EMAIL": action})).text.startswith(expected)


def test_a_generalisation_speaks_the_language_around_it() -> None:
    text = "She lives at 北京市海淀区学院路12号, I think. 上海市南京路12号是她家。"
    result = filtered(text, profile=profile(actions={"ADDRESS": Action.GENERALISE}))
    assert result.text == "She lives at an address in Beijing, I think. 上海某地址是她家。"


def test_one_value_has_one_pseudonym_in_every_answer_of_a_key() -> None:
    choices = profile(actions={"EMAIL": Action.PSEUDONYM})
    first = filtered("Mail vexlo@example.net.", profile=choices, key=KEY).text
    assert first.startswith("Mail [EMAIL_")
    assert filtered("Mail VEXLO@example.net.", profile=choices, key=KEY).text == first
    assert filtered("Mail vexlo@example.net.", profile=choices, key=b"o" * 32).text != first


def test_keyed_actions_without_a_key_are_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        filtered("", profile=profile(actions={"EMAIL": Action.SURROGATE}))


class Guessing:
    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        at = raw_text.find("Vexlo")
        return [Span(at, at + 5, "PERSON", 0.6)] if at >= 0 else []


def test_findings_under_the_minimum_score_pass() -> None:
    for minimum, text in ((0.5, "Ask [PERSON_1]."), (0.7, "Ask Vexlo.")):
        choices = profile(min_scores={"PERSON": minimum})
        assert filter_text("Ask Vexlo.", detector=Guessing(), profile=choices).text == text


class Failing:
    """Fails on any text that holds a given word."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        if "crash" in raw_text:
            raise DetectorError("made to")
        return []


def test_what_nobody_could_look_at_is_hidden() -> None:
    result = filter_text("Good day. This will crash.\n", detector=Failing())
    assert "crash" not in result.text
    assert [f.type for f in result.findings] == ["UNDECIDED"]


def test_a_profile_may_stop_there_instead() -> None:
    result = filter_text(
        f"{'Good day. ' * 20}\nThis will crash. More.", detector=Failing(), profile=profile(on_failure=OnFailure.STOP)
    )
    assert result.stopped
    assert "crash" not in result.text
    assert "More" not in result.text


def test_without_detection_everything_passes() -> None:
    assert filtered(TEXT, profile=profile(detect=False)) == Filtered(TEXT, ())


@given(st.text(max_size=200), st.integers(1, 300))
def test_pieces_are_the_text(text: str, chunks: int) -> None:
    cut = list(pieces(text, chunks))
    assert "".join(cut) == text
    assert len(cut) <= chunks
    assert all(cut)


def test_no_piece_is_long() -> None:
    assert max(map(len, pieces("x" * 3 * PIECE, 1))) == PIECE


def test_memory_stays_flat_over_a_long_text() -> None:
    stream = TextFilter(Guessing(), released_findings=False)
    peaks = []
    tracemalloc.start()
    for _ in range(2):
        tracemalloc.reset_peak()
        for _ in range(40):
            stream.push(PROSE * 40)
            stream.take_findings()
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000
