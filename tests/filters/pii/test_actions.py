"""What stands in for a hidden value: placeholders, and the rewriter that chooses by type."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.events import Channel, Ending, Field, RawText, Released
from filters.grounding import RequestGrounds
from filters.pii.actions import SHORTEST_KEY, Placeholders, Rewriter, shares_a_part
from filters.pii.detector import TYPES, PatternDetector
from filters.pii.types import INDIRECT
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Action, Profile
from tests.support.quantities import VECTORS as QUANTITIES
from tests.support.quantities import Quantity
from tests.support.values import VALUES, Value


def test_one_value_has_one_placeholder() -> None:
    placeholders = Placeholders()
    assert placeholders.mask("PHONE", "13812345678") == "[PHONE_1]"
    assert placeholders.mask("PHONE", "13987654321") == "[PHONE_2]"
    assert placeholders.mask("EMAIL", "Vexlo@example.com") == "[EMAIL_1]"
    assert placeholders.mask("PHONE", "１３８-1234\u200b-5678") == "[PHONE_1]"
    assert placeholders.mask("EMAIL", "vexlo@EXAMPLE.com") == "[EMAIL_1]"


def test_another_answer_counts_anew() -> None:
    Placeholders().mask("PHONE", "13812345678")
    assert Placeholders().mask("PHONE", "13987654321") == "[PHONE_1]"


def test_no_detector_finds_one_and_json_holds_it_as_it_is(detector: PatternDetector) -> None:
    placeholders = Placeholders()
    for kind in TYPES:
        for number in range(12):
            placeholder = placeholders.mask(kind, f"value {number}")
            for text in (placeholder, f"QQ号{placeholder}", f"password: {placeholder} account number {placeholder}"):
                assert detector.find(text) == [], text
            assert json.dumps(placeholder) == f'"{placeholder}"'


# ---- a rewriter ------------------------------------------------------------------------------------------------------

CHANNEL = Channel(0, Field.CONTENT)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
WRITTEN = (Action.MASK, Action.REMOVE, Action.PSEUDONYM, Action.SURROGATE)


def rewriter(action: Action, key: bytes = KEY) -> Rewriter:
    return Rewriter(dict.fromkeys([*TYPES, *INDIRECT], action), key)


def runs(text: str, size: int) -> set[str]:
    plain = "".join(filter(str.isalnum, text)).lower()
    return {plain[at : at + size] for at in range(len(plain) - size + 1)}


def parts(text: str) -> set[str]:
    """Four letters or digits in a row, two Chinese characters in a row."""
    return runs(text, 4) | {pair for pair in runs(text, 2) if all("\u3400" <= char <= "\u9fff" for char in pair)}


@st.composite
def values(draw: st.DrawFn) -> tuple[str, str]:
    """A value in the form of a vector, its digits and Latin letters drawn anew."""
    vector = draw(st.sampled_from(VALUES))
    letters = "".join(
        draw(st.sampled_from("0123456789"))
        if char.isdigit()
        else draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
        if char.isascii() and char.isalpha()
        else char
        for char in vector.value
    )
    return vector.type, letters


@given(values(), st.sampled_from(WRITTEN), st.binary(min_size=16, max_size=32))
def test_nothing_of_a_value_is_in_what_stands_for_it(value: tuple[str, str], action: Action, key: bytes) -> None:
    kind, raw_value = value
    written = rewriter(action, key).rewrite(kind, raw_value, "It is so.")
    told = written.replace(f"[{kind}_", "")  # the type's name is nobody's
    assert not parts(told) & parts(raw_value), written


@given(st.sampled_from([*TYPES, *INDIRECT]), st.text(max_size=60), st.sampled_from(Action), st.text(max_size=20))
def test_whatever_a_value_is_what_is_written_can_stand_in_json(
    kind: str, raw: str, action: Action, around: str
) -> None:
    written = rewriter(action).rewrite(kind, raw, around)
    assert json.dumps(written, ensure_ascii=False) == f'"{written}"'
    assert written.isprintable()


@pytest.mark.parametrize("action", Action)
def test_every_vector_is_hidden_and_keeps_its_replacement_in_one_answer(vector: Value, action: Action) -> None:
    answer = rewriter(action)
    first = answer.rewrite(vector.type, vector.value, "It is")
    assert vector.value not in first
    assert answer.rewrite(vector.type, vector.value, "她的是") == first


@pytest.mark.parametrize("action", [Action.PSEUDONYM, Action.SURROGATE])
def test_keyed_replacements_are_the_same_in_every_answer_of_one_key(vector: Value, action: Action) -> None:
    first, again, other = (rewriter(action, key).rewrite(vector.type, vector.value) for key in (KEY, KEY, OTHER_KEY))
    assert first == again
    assert first != other or first == f"[{vector.type}_1]"


def test_another_spelling_has_the_same_replacement() -> None:
    for action in Action:
        answer = rewriter(action)
        assert answer.rewrite("PHONE", "138 1234 5678") == answer.rewrite("PHONE", "１３８-1234\u200b-5678")


def test_a_pseudonym_is_letters_alone_and_no_detector_finds_one(detector: PatternDetector) -> None:
    for kind in TYPES:
        for number in range(4):
            pseudonym = rewriter(Action.PSEUDONYM).rewrite(kind, f"value {number}")
            assert re.fullmatch(rf"\[{kind}_[b-z]{{12}}\]", pseudonym)
            for text in (pseudonym, f"QQ号{pseudonym}", f"password: {pseudonym} account number {pseudonym}"):
                assert detector.find(text) == [], text


def test_a_type_without_an_action_is_masked() -> None:
    assert Rewriter({"EMAIL": Action.REMOVE}).rewrite("PHONE", "13812345678") == "[PHONE_1]"
    assert Rewriter({"EMAIL": Action.REMOVE}).rewrite("EMAIL", "vexlo@example.com") == ""


@pytest.mark.parametrize("action", [Action.PSEUDONYM, Action.SURROGATE])
def test_keyed_actions_need_a_key(action: Action) -> None:
    for key in (b"", b"k" * (SHORTEST_KEY - 1)):
        with pytest.raises(ValueError, match="key"):
            Rewriter({"EMAIL": action}, key)


def test_masks_of_all_actions_share_one_count() -> None:
    answer = Rewriter({"PHONE": Action.GENERALISE})
    assert answer.rewrite("PHONE", "13812345678") == "[PHONE_1]"
    assert answer.mask("PHONE", "13987654321") == "[PHONE_2]"


@pytest.mark.parametrize(
    ("made", "raw", "shared"),
    [
        ("512-555-0130", "415-555-0123", True),
        ("512 5 5 5 0", "4155550123", True),
        ("0131", "013-2", False),
        ("示例市", "上海市", False),
        ("上海某地址", "中国上海市", True),
        ("ABCD", "xａｂｃｄ", True),
    ],
)
def test_a_shared_part_is_seen_through_its_spelling(made: str, raw: str, shared: bool) -> None:
    assert shares_a_part(made, raw) is shared


# ---- in JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
def test_a_document_stays_valid_whatever_stands_in(action: Action, detector: PatternDetector) -> None:
    document = {
        "email": "vexlo@example.net",
        "address": "北京市海淀区学院路12号",
        "note": 'He said: "call 13812345678"\n',
        "13987654321": 2,
        "vexlo@example.net": 1,
    }
    profile = Profile("test", compare=False, actions=dict.fromkeys(TYPES, action))
    request = RequestEvidence(
        RequestGrounds.from_texts([], detector), json_mode=True, json_keys=frozenset({"email", "address", "note"})
    )
    pipeline = Pipeline(profile, request, detector, key=KEY)
    events = pipeline.feed([RawText(CHANNEL, json.dumps(document, ensure_ascii=False))])
    events += pipeline.finish(0, Ending.STOP)
    text = "".join(event.text for event in events if isinstance(event, Released))
    read = json.loads(text)
    assert list(read)[:3] == ["email", "address", "note"]
    assert len(read) == len(document)
    assert not any(part in text for part in ("vexlo", "学院", "1381", "1398"))
    assert action is not Action.GENERALISE or read["address"] == "北京某地址"


# ---- quantities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda one: f"{one.type}-{one.value}")
@pytest.mark.parametrize("action", Action)
def test_an_exact_value_is_told_by_no_action(quantity: Quantity, action: Action) -> None:
    answer = rewriter(action)
    written = answer.rewrite(quantity.type, quantity.value, quantity.before + quantity.after)
    if action is Action.GENERALISE and quantity.becomes:
        assert written == quantity.becomes
    else:
        assert not set(written.replace(f"[{quantity.type}_1]", "")) & set("0123456789")
    assert answer.rewrite(quantity.type, quantity.value, "") == written


@given(
    st.sampled_from(["DATE", "AGE", "AMOUNT", "COORDINATES", "NUMBER"]),
    st.text(alphabet="0123456789.,-/ $€年月日岁万元°N", max_size=30),
    st.booleans(),
)
def test_no_generalisation_holds_five_figures_of_a_value(kind: str, raw_value: str, chinese: bool) -> None:
    """A year has four, a degree three, and a band's are its own."""
    written = rewriter(Action.GENERALISE).rewrite(kind, raw_value, "这是" if chinese else "It is")
    assert not re.search(r"\d{5}|\d[.,]\d", written)
