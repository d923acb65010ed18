"""Filtering inside JSON, as it streams."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.evidence import UNDECIDED, DetectorError
from filters.json_reader import MOST_DEPTH, MOST_NUMBER
from filters.json_text import BROKEN_JSON, MOST_HELD, MOST_KEYS
from filters.pii.detector import PatternDetector, build_detector
from filters.spans import Span
from tests.support.documents import document, filtered


class Nothing:
    """Finds nothing."""

    def find(self, raw_text: str) -> Sequence[Span]:
        return []


class Digits:
    """Every digit is a finding."""

    def find(self, raw_text: str) -> Sequence[Span]:
        return [Span(match.start(), match.end(), "DIGIT", 1.0) for match in re.finditer(r"\d+", raw_text)]


@pytest.fixture(scope="module")
def detector() -> PatternDetector:
    return build_detector()


CASES = [
    ('{"name": "Vexlo", "amount": 1.50}', '{"name": "Vexlo", "amount": 1.50}'),
    ('{"email":"vexlo@example.com"}', '{"email":"[EMAIL_1]"}'),
    ('{"email":"vexlo\\u0040example.com"}', '{"email":"[EMAIL_1]"}'),
    ('"call 13812345678"', '"call [PHONE_1]"'),
    ("13812345678", "null"),
    ("[1.3812345678e10, 13812345678.0, 12]", "[null, null, 12]"),
    ('["138","1234","5678"]', '["[HIDDEN]","[HIDDEN]","[HIDDEN]"]'),
    ('{"13812345678": "Ada"}', '{"[PHONE_1]": "Ada"}'),
    ('{"phone": "555-2671"}', '{"phone": "[PHONE_1]"}'),
    ('{"phone": ["555-2671"]}', '{"phone": ["[PHONE_1]"]}'),
    ('{"phone": 5552671}', '{"phone": null}'),
    ('{"13812345678":1,"13987654321":2,"[PHONE_1]":3}', '{"[PHONE_1]":1,"[PHONE_2]":2,"[PHONE_1]_2":3}'),
    ('{"note":"13812345678","note":"vexlo@example.com"}', '{"note":"[PHONE_1]","note":"[EMAIL_1]"}'),
    ('{"note": "12345678901234567890123456789012345678901234567890"}', None),
    ("[true, false, null, {}, [], -0.0]", None),
    (' { "items" : [ 1 , 2 ] } ', None),
    ('{"note":"\\u4f60\\n\\"好\\""}', '{"note":"你\\n\\"好\\""}'),
    ('{"note":"a\\ud800b", "\\udc00":1}', '{"note":"a\ufffdb", "\ufffd":1}'),
    (
        '{"note":"My dear, the number is 13812345678. Call \\u0031\\u0033\\u003812345678 tonight."}',
        '{"note":"My dear, the number is [PHONE_1]. Call [PHONE_1] tonight."}',
    ),
]


@pytest.mark.parametrize(("raw_json", "expected"), CASES, ids=[case[0][:30] for case in CASES])
def test_filters_however_it_is_cut(detector: PatternDetector, raw_json: str, expected: str | None) -> None:
    whole = (raw_json if expected is None else expected, None)
    assert filtered(document(detector), [raw_json]) == whole
    assert filtered(document(detector), raw_json) == whole
    for cut in range(len(raw_json)):
        assert filtered(document(detector), [raw_json[:cut], raw_json[cut:]]) == whole


@pytest.mark.parametrize("raw_json", [case[0] for case in CASES])
def test_what_has_left_begins_what_leaves(detector: PatternDetector, raw_json: str) -> None:
    whole, _ = filtered(document(detector), [raw_json])
    for cut in range(len(raw_json)):
        told, failure = filtered(document(detector), [raw_json[:cut]], complete=False)
        assert whole.startswith(told)
        assert failure is None


def test_a_scalar_leaves_when_the_next_one_shows_that_it_is_whole(detector: PatternDetector) -> None:
    made = document(detector)
    assert made.push('{"name": "Vexlo"') == '{"name": '
    assert made.push(', "note": "ok"') == '"Vexlo", "note": '
    assert made.push("}") == '"ok"}'
    assert not made.holds


def test_a_long_string_flows_on(detector: PatternDetector) -> None:
    made = document(detector)
    assert made.push('{"note": "It is late, my friend. The ferry') == '{"note": "It is late, my friend. '
    assert made.push(" is at 13812345678, they say. Good n") == "The ferry is at [PHONE_1], they say. "
    assert made.holds
    assert made.push('ight."}') == 'Good night."}'


def test_an_unbroken_run_is_hidden_once(detector: PatternDetector) -> None:
    told, failure = filtered(document(detector), ['["', *(["x" * 1000] * 100), ' It is late. "]'])
    assert (json.loads(told)[0].count("[UNDECIDED_1]"), failure) == (1, None)
    assert "xx" not in told


def test_numbers_keep_their_text() -> None:
    raw_json = "[1.10, 1E5, 123456789012345678901234567890, -0, 0.1e-7, 1e999999999, 1e-999999999]"
    assert filtered(document(Nothing()), [raw_json]) == (raw_json, None)


# ---- bad input -------------------------------------------------------------------------------------------------------

CANARY = "13812345678"


@pytest.mark.parametrize(
    "rest",
    [
        *("x", '"', "]", "}", ",", ":", "NaN", "\x00", "1 2", '"a" "b"', "]]", '"\\x', '"\\ud83d\\u1', "[" * 200_000),
        *('{"a":' * 200_000, "9" * (MOST_NUMBER + 1), "[1,]", "tru", '"\x01"', "'a'", "// c"),
    ],
    ids=range(21),
)
def test_what_is_held_of_broken_json_stays(detector: PatternDetector, rest: str) -> None:
    """The canary is held when the text turns out to be broken; however it is cut the same has left."""
    raw_json = f'["ok", "4111", 13812, 345678, "{CANARY[:7]}", {rest}'
    whole = filtered(document(detector), [raw_json])
    assert whole[1] == BROKEN_JSON
    assert whole[0] == '["ok", '
    if len(rest) < 100:
        assert filtered(document(detector), raw_json) == whole
        for cut in range(len(raw_json)):
            assert filtered(document(detector), [raw_json[:cut], raw_json[cut:]]) == whole


@pytest.mark.parametrize("behind", ["x", "{}", " 1", "]", "\ufeff"])
def test_text_behind_the_document_stops_it(detector: PatternDetector, behind: str) -> None:
    told, failure = filtered(document(detector), ['{"name":"Vexlo"} \n', behind, f"{CANARY}"])
    assert (told.strip(), failure) == ('{"name":"Vexlo"}', BROKEN_JSON)


@pytest.mark.parametrize("raw_json", ["", " ", "[1", '{"a"', '"half', "12e", "tru", "[[]"])
def test_what_ends_too_early_has_failed(raw_json: str) -> None:
    assert filtered(document(Nothing()), [raw_json])[1] == BROKEN_JSON
    assert filtered(document(Nothing()), [raw_json], complete=False)[1] is None


def test_a_cut_off_document_loses_what_is_held(detector: PatternDetector) -> None:
    raw_json = '{"name":"Vexlo","note":"It is late. The number is 13812345678, said he.","id":13812345678}'
    for cut in range(len(raw_json)):
        told, _ = filtered(document(detector), [raw_json[:cut]], complete=False)
        assert not re.search(r"\d{3}", told)


def test_nothing_comes_out_after_a_failure(detector: PatternDetector) -> None:
    made = document(detector)
    assert made.push('["ok","x y z",}') == '["ok",'
    assert not made.holds
    assert made.push('"more"]') == made.close(complete=True) == ""


def test_depth_is_bounded() -> None:
    deep = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert filtered(document(Nothing()), [deep]) == (deep, None)


def test_what_can_not_be_cut_is_bounded() -> None:
    assert filtered(document(Nothing()), ['{"' + "k" * MOST_HELD + '":1}'])[1] is None
    assert filtered(document(Nothing()), ['{"' + "k" * (MOST_HELD + 1) + '":1}'])[1] == BROKEN_JSON
    pattern = {"pattern": "^x"}
    assert filtered(document(Nothing(), pattern), ['"' + "x" * (MOST_HELD + 1) + '"'])[1] == BROKEN_JSON
    keys = ",".join(f'"{at}":1' for at in range(MOST_KEYS + 1))
    assert filtered(document(Nothing()), ["{" + keys + "}"])[1] == BROKEN_JSON


def test_deltas_of_nothing_cost_nothing(detector: PatternDetector) -> None:
    parts = ["", *['{"name":', "", "", '"Vexlo"'], *([""] * 100_000), "}"]
    assert filtered(document(detector), parts) == ('{"name":"Vexlo"}', None)


def test_a_document_without_end_is_not_kept(detector: PatternDetector) -> None:
    made = document(detector)
    held = 0
    told = len(made.push("["))
    for at in range(300):
        told += len(made.push('"a good day", true, {"note": []}, ' + " " * 1000))
        held = max(held, at)
    assert told > 300 * 30
    assert len(made._writer._out) < 2000  # what it holds does not grow with what has passed


def test_a_detector_that_fails_stops_the_document() -> None:
    class Fails:
        def find(self, raw_text: str) -> Sequence[Span]:
            if CANARY[:5] in raw_text:
                raise DetectorError
            return []

    for raw_json in (
        f'["ok", true, "{CANARY}"]',
        f'{{"{CANARY}": 1}}',
        f'["It is late, my friend. So it is. {CANARY}"]',
    ):
        told, failure = filtered(document(Fails()), [raw_json])
        assert failure == UNDECIDED
        assert CANARY[:4] not in told


def test_a_crash_is_heard_of() -> None:
    class Crashes:
        def find(self, raw_text: str) -> Sequence[Span]:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        document(Crashes()).push('["x"]')


# ---- random documents ------------------------------------------------------------------------------------------------

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    st.sampled_from(["138", "1234", "5678", "vexlo", "@", "example.com", CANARY, "1.38e10", 138, 1234, 5678]),
    st.sampled_from(
        ["The ferry waits. " * 4, "您可以在四十五天内免费退货。" * 5, f"Call {CANARY} now, my dear friend."]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["name", "phone", "138", "1234"]), inner, max_size=5)
    ),
    max_leaves=20,
)


# Single digits and letters are counted whatever the detector finds.
UNCOUNTED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(10**5)
    | st.text(alphabet='{}[]":,\\/ éüß您好🙂\n\t\x1f\u2028\x7f', max_size=60),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(alphabet='"\\é您🙂 '), inner, max_size=5),
    max_leaves=20,
)


@given(UNCOUNTED, st.booleans())
def test_untouched_is_unchanged(value: object, ascii_only: bool) -> None:
    text, failure = filtered(document(Nothing()), [json.dumps(value, ensure_ascii=ascii_only)])
    assert failure is None
    assert json.loads(text) == value


@settings(deadline=None)
@given(VALUES)
def test_no_digit_gets_out_and_the_shape_stays(value: object) -> None:
    text, failure = filtered(document(Digits()), [json.dumps(value)])
    assert failure is None
    assert not re.search(r"(?<![_\d])\d", re.sub(r"\\u[0-9a-f]{4}", "", text))
    assert _shape(json.loads(text)) == _shape(value)


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return [_shape(inner) for inner in value.values()]
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    if isinstance(value, str):
        return "text"
    return value if isinstance(value, bool) else None


@settings(deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]), st.text(alphabet='{}[]",:\\ux1', max_size=4), st.data())
def test_every_way_of_cutting_gives_the_same(
    detector: PatternDetector, value: object, ascii_only: bool, indent: int | None, noise: str, data: st.DataObject
) -> None:
    raw_json = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    at = data.draw(st.integers(0, len(raw_json)))
    raw_json = raw_json[:at] + noise + raw_json[at:]
    complete = data.draw(st.booleans())
    whole = filtered(document(detector), [raw_json], complete=complete)
    assert filtered(document(detector), raw_json, complete=complete) == whole
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    cuts = sorted(chance.randint(0, len(raw_json)) for _ in range(6))
    parts = [raw_json[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw_json)], strict=True)]
    assert filtered(document(detector), parts, complete=complete) == whole
    assert CANARY not in whole[0]


def test_a_note_for_staff_is_hidden_to_its_end(detector: PatternDetector) -> None:
    note = "Good day to you all, dear friends.\nInternal note: the margin is thin.\nDo not tell Vexlo.\n\nBye, now."
    told, failure = filtered(document(detector), [json.dumps({"note": note})])
    assert failure is None
    assert not re.search("margin|Vexlo", told)
    assert json.loads(told)["note"].startswith("Good day to you all, dear friends.\n")
    assert json.loads(told)["note"].endswith("Bye, now.")


def test_a_key_of_the_houses_own_records_stops_the_document() -> None:
    fields = frozenset({"margin_code"})
    raw_json = '{"name": "ok", "note": {"Margin_Code": "zzz", "id": 1}}'
    told, failure = filtered(document(Nothing(), record_fields=fields), [raw_json])
    assert (told, failure) == ('{"name": ', "INTERNAL_RECORD")
    assert filtered(document(Nothing()), [raw_json]) == (raw_json, None)
