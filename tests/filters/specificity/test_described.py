"""What a conversation says of persons before and during an answer."""

from __future__ import annotations

from functools import cache

import pytest

from filters.evidence import Detector, DetectorError
from filters.pii.detector import build_detector
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.described import KNOWN_BITS, ChoiceDescribed, Described, Describing, Speaker, Turn

K = 20
CALLER, MODEL, OTHER = Speaker.CALLER, Speaker.MODEL, Speaker.OTHER


@cache
def names() -> Detector:
    return build_detector({"PERSON"})


def describing(k: int = K) -> Describing:
    return Describing(AttributeFinder(shipped_crowds()), names(), k)


def begun(*turns: tuple[Speaker, str], k: int = K) -> Described:
    return describing(k).begin([Turn(*turn) for turn in turns])


def said(choice: ChoiceDescribed, *texts: str) -> list[str]:
    """What leaves of these segments."""
    left, context = [], ""
    for text in texts:
        written = text
        for each in reversed(choice.feed(text, context)):
            written = written[: each.start] + each.text + written[each.end :]
        left.append(written)
        context += text
    return left


PORTRAIT = ("She is 34, lives in Leeds and is a nurse. ", "She has asthma.")


def test_what_an_earlier_answer_said_counts() -> None:
    assert said(begun().choice(), PORTRAIT[1]) == [PORTRAIT[1]]
    assert said(begun((MODEL, PORTRAIT[0])).choice(), PORTRAIT[1]) == ["She has a personal matter."]


def test_what_the_caller_said_first_does_not_count_and_what_he_only_repeats_does() -> None:
    assert said(begun((CALLER, PORTRAIT[0])).choice(), PORTRAIT[1]) == [PORTRAIT[1]]
    again = begun((MODEL, PORTRAIT[0]), (CALLER, PORTRAIT[0]))
    assert said(again.choice(), PORTRAIT[1]) == ["She has a personal matter."]


def test_what_the_application_says_is_neither() -> None:
    assert said(begun((OTHER, PORTRAIT[0])).choice(), *PORTRAIT)[1] == "She has a personal matter."


def test_choices_go_on_by_themselves() -> None:
    before = begun()
    first, second = before.choice(), before.choice()
    assert said(first, *PORTRAIT)[1] == "She has a personal matter."
    assert said(second, PORTRAIT[1]) == [PORTRAIT[1]]


def test_a_value_has_one_wording_in_a_conversation() -> None:
    first = said(begun(k=1000).choice(), *PORTRAIT)
    assert first[0] != PORTRAIT[0]
    assert said(begun((MODEL, "".join(first)), (CALLER, "And again?"), k=1000).choice(), *PORTRAIT) == first


def test_a_name_is_looked_for_where_a_trait_stands_and_makes_a_word_count() -> None:
    text = "Priya Tamber, nurse in Leeds. "
    said_of = begun(k=1_000_000).choice()
    assert "nurse" not in said(said_of, text)[0]
    assert said(begun(k=1_000_000).choice(), "A nurse in Leeds earns little.") == ["A nurse in Leeds earns little."]


def test_a_name_before_the_segment_counts_too() -> None:
    assert "nurse" not in said(begun(k=1_000_000).choice(), "Priya Tamber, ", "nurse in Leeds. ")[1]


FIGURE = "Priya Tamber was a physicist from Leeds. "


@pytest.mark.parametrize(("bits", "public"), [(KNOWN_BITS, True), (KNOWN_BITS + 1, False), (float("nan"), False)])
def test_a_figure_whose_name_the_base_would_have_written_is_not_counted(bits: float, *, public: bool) -> None:
    choice = begun(k=10_000_000).choice()
    choice.judge_name("Priya Tamber", bits)
    assert (said(choice, FIGURE) == [FIGURE]) is public


@pytest.mark.parametrize(
    "turn", [(CALLER, "Who is priya  tamber?"), (OTHER, "Customer: Priya Tamber"), (MODEL, "Priya Tamber.")]
)
def test_a_name_that_the_base_has_read_tells_nothing(turn: tuple[Speaker, str]) -> None:
    choice = begun((turn[0], turn[1].replace("  ", " ")), k=10_000_000).choice()
    choice.judge_name("Priya Tamber", 0.1)
    assert said(choice, FIGURE) != [FIGURE]


def test_only_the_first_mention_tells() -> None:
    choice = begun(k=10_000_000).choice()
    choice.judge_name("Priya Tamber", 20.0)
    choice.judge_name("Priya Tamber", 0.1)
    assert said(choice, FIGURE) != [FIGURE]
    unasked = begun(k=10_000_000).choice()
    said(unasked, "Ask Priya Tamber. ")
    unasked.judge_name("Priya Tamber", 0.1)
    assert said(unasked, FIGURE) != [FIGURE]


class Failing:
    def find(self, raw_text: str, since: int = 0) -> list[object]:
        raise DetectorError("out of time")


def test_an_earlier_answer_that_can_not_be_read_hides_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Describing(AttributeFinder(shipped_crowds()), Failing(), K)  # type: ignore[arg-type]
    with pytest.raises(DetectorError):
        broken.begin([Turn(MODEL, PORTRAIT[0])]).choice().feed("Good day.")
    monkeypatch.setattr(AttributeFinder, "find", Failing().find)
    unheard = describing().begin([Turn(CALLER, PORTRAIT[0])])
    monkeypatch.undo()
    assert said(unheard.choice(), *PORTRAIT)[1] == "She has a personal matter."
