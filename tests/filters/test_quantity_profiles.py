"""Profiles that name dates, ages, amounts, coordinates, numbers: nothing of an exact value leaves, however it came."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import filter_text
from filters.events import Channel, Ending, Field, RawText, Released
from filters.evidence import DetectorError
from filters.grounding import RequestGrounds
from filters.offline import TextFilter
from filters.pii.detector import detector_of
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Action, Profile, ReleaseUnit
from filters.spans import Span
from tests.support.quantities import GENERALISED, VECTORS, Quantity, profile

KEY = b"k" * 32
UNITS = (ReleaseUnit.SENTENCE, ReleaseUnit.CLAUSE)
DETECTOR = detector_of(GENERALISED)


def released(parts: Sequence[str], ending: Ending = Ending.STOP, **request: object) -> str:
    """What a caller gets of prose that arrives in these parts."""
    evidence = RequestEvidence(RequestGrounds(), **request)  # type: ignore[arg-type]
    pipeline = Pipeline(GENERALISED, evidence, DETECTOR)
    events = pipeline.feed([RawText(Channel(0, Field.CONTENT), part) for part in parts])
    events += pipeline.finish(0, ending)
    return "".join(event.text for event in events if isinstance(event, Released))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("vector", VECTORS)
def test_a_value_becomes_its_generalisation(vector: Quantity, unit: ReleaseUnit) -> None:
    result = filter_text(vector.text, profile=profile(Action.GENERALISE, release=unit))
    assert result.text == vector.generalised


@pytest.mark.parametrize("action", [Action.MASK, Action.REMOVE, Action.PSEUDONYM, Action.SURROGATE])
@pytest.mark.parametrize("vector", VECTORS)
def test_every_other_action_takes_it_whole(vector: Quantity, action: Action) -> None:
    text = filter_text(vector.text, profile=profile(action), key=KEY).text
    assert text.startswith(vector.before)
    assert text.endswith(vector.after)
    assert not set(text[len(vector.before) : len(text) - len(vector.after)]) & set("23456789")


@pytest.mark.parametrize("vector", VECTORS)
def test_every_two_part_split_gives_the_same(vector: Quantity) -> None:
    for cut in range(len(vector.before), len(vector.before) + len(vector.value) + 1):
        stream = TextFilter(DETECTOR, profile=GENERALISED)
        parts = stream.push(vector.text[:cut]) + stream.push(vector.text[cut:]) + stream.close()
        assert parts == vector.generalised, vector.text[:cut]


@pytest.mark.parametrize("vector", VECTORS)
def test_an_answer_that_is_cut_off_in_a_value_drops_it(vector: Quantity) -> None:
    for end in range(1, len(vector.value) + 1):
        prefix = vector.value[:end]
        if any(char.isalnum() and not char.isalpha() for char in prefix):
            left = released([vector.before + prefix], Ending.LENGTH)
            assert vector.before.startswith(left.rstrip("]").partition("[")[0]), prefix


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if " " in vector.value], ids=lambda v: v.value)
def test_a_line_break_in_a_value_frees_no_part_of_it(vector: Quantity) -> None:
    for place in (at for at, char in enumerate(vector.value) if char == " "):
        broken = f"{vector.value[:place]}\n{vector.value[place + 1 :]}"
        masked = f"{vector.before}[{vector.type}_1]{vector.after}"
        assert released([vector.before, *broken, vector.after]) in (vector.generalised, masked)


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if vector.type != "COORDINATES"], ids=lambda v: v.value
)
def test_other_widths_and_hidden_characters_do_not_help(vector: Quantity) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if char.isascii() and char.isdigit() else char for char in vector.value)
    for spelling in (wide, "\u200b".join(vector.value), "\u00ad".join(vector.value)):
        assert filter_text(vector.before + spelling + vector.after, profile=GENERALISED).text == vector.generalised


# ---- what the caller said --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "answer"),
    [
        ("I was born on 12 March 1987, please note it.", "Noted: 12 March 1987."),
        ("I was born on 12 March 1987, please note it.", "Noted: 1987-03-12."),
        ("我的生日是1987年3月12日，请记下。", "已记下：1987年3月12日。"),
        ("I am 43 years old and want insurance.", "At 43 years old you pay more."),
        ("我今年43岁，想买保险。", "您43岁，可以买。"),
        ("My rent is $12,300, please add it.", "I added $12,300 to it."),
        ("我的房租是12,300元，请加上。", "已加上12300元。"),
        ("Send it to 48.8584, 2.2945 please.", "It goes to 48.8584, 2.2945."),
        ("The farm has 48213 trees, please write that.", "The farm has 48,213 trees."),
    ],
)
def test_the_callers_own_comes_back(own: str, answer: str) -> None:
    assert filter_text(answer, own=[own], profile=GENERALISED).text == answer
    assert filter_text(answer, profile=GENERALISED).text != answer


@pytest.mark.parametrize(
    ("own", "answer"),
    [
        ("Is she 43 years old?", "Yes, she is 43 years old."),
        ("Was she born on 12 March 1987 or on 12 March 1988?", "On 12 March 1987."),
        ("她是43岁吗？", "是的，她43岁。"),
        ("I was born in 1987, please note it.", "Noted: 12 March 1987."),
        ("Her rent is $12,000, I read.", "It is $12,300."),
    ],
)
def test_what_is_asked_about_or_told_less_exactly_does_not(own: str, answer: str) -> None:
    assert filter_text(answer, own=[own], profile=GENERALISED).text != answer


# ---- JSON ------------------------------------------------------------------------------------------------------------


def test_exact_values_of_a_document_are_hidden_and_it_stays_one() -> None:
    document = {
        "salary": 48213,
        "age": 43,
        "born": "12 March 1987",
        "note": "She earns $12,300 and he is 58 years old.",
        "place": {"latitude": 48.8584, "longitude": 2.2945},
        "金额": 51700,
        "count": 3,
    }
    evidence = RequestEvidence(RequestGrounds(), json_mode=True, json_keys=frozenset([*document, *document["place"]]))  # type: ignore[misc]
    pipeline = Pipeline(GENERALISED, evidence, DETECTOR)
    events = pipeline.feed([RawText(Channel(0, Field.CONTENT), json.dumps(document, ensure_ascii=False))])
    events += pipeline.finish(0, Ending.STOP)
    text = "".join(event.text for event in events if isinstance(event, Released))
    read = json.loads(text)
    assert list(read) == list(document)
    assert not any(exact in text for exact in ("48213", "43", "March", "12,300", "58", "8584", "2945", "51700"))
    assert read["born"] == "1987"
    assert read["note"] == "She earns a five-figure amount and he is 50 to 59 years old."
    assert read["count"] == 3


# ---- any value, any action, any cut ----------------------------------------------------------------------------------


@st.composite
def quantities(draw: st.DrawFn) -> tuple[str, str]:
    """A random value, and the part of it that must be nowhere. No age at which its band begins or ends."""
    year, month, day = draw(st.integers(1900, 2029)), draw(st.integers(1, 12)), draw(st.integers(13, 28))
    whole = draw(st.integers(10_000, 999_999))
    age = draw(st.integers(11, 88).filter(lambda years: years % 10 not in (0, 9)))
    degrees, decimals = draw(st.integers(0, 89)), draw(st.integers(12_345, 99_999))
    return draw(
        st.sampled_from(
            [
                (f"{year}-{month:02d}-{day}", f"-{month:02d}-{day}"),
                (f"{day} March {year}", f"{day} March"),
                (f"{year}年{month}月{day}日", f"{month}月{day}"),
                (f"{age} years old", f"{age} years"),
                (f"{age}岁", f"{age}岁"),
                (f"${whole:,}", f"{whole:,}"),
                (f"EUR {whole}.50", str(whole)),
                (f"{whole}元", str(whole)),
                (f"{degrees}.{decimals}, {degrees}.{decimals}", str(decimals)),
                (f"北纬{degrees}.{decimals}度，东经{degrees}.{decimals}度", str(decimals)),
                (f"{whole:,}", f"{whole:,}"),
            ]
        )
    )


@given(
    st.lists(quantities(), min_size=1, max_size=3),
    st.sampled_from(Action),
    st.sampled_from(UNITS),
    st.sampled_from([(" It is ", ", so. "), ("那是", "，对。")]),
    st.data(),
)
def test_nothing_of_any_value_leaves(
    values: list[tuple[str, str]], action: Action, unit: ReleaseUnit, beside: tuple[str, str], data: st.DataObject
) -> None:
    text = "".join(beside[0] + value + beside[1] for value, _ in values)
    chosen = profile(action, release=unit)
    whole = filter_text(text, profile=chosen, key=KEY).text
    assert not any(exact in whole for _, exact in values)
    stream, at, parts = TextFilter(DETECTOR, profile=chosen, key=KEY), 0, ""
    while at < len(text):
        size = data.draw(st.integers(1, 9))
        parts += stream.push(text[at : at + size])
        at += size
    assert parts + stream.close() == whole


def test_a_failed_detector_hides_an_exact_value_too() -> None:
    class Broken:
        def find(self, raw_text: str, since: int = 0) -> list[Span]:
            raise DetectorError("broken")

    stream = TextFilter(Broken(), profile=GENERALISED)
    assert "43" not in stream.push("She is 43 years old. ") + stream.close()


def test_a_profile_may_clear_one_and_generalise_another() -> None:
    cleared = Profile("one", compare=False, actions=GENERALISED.actions, allowed_types=frozenset({"DATE"}))
    text = "She was born on 12 March 1987 and has 48213 trees."
    assert filter_text(text, profile=cleared).text == "She was born on 12 March 1987 and has tens of thousands trees."
