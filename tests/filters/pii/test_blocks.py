"""Notes for staff and internal records over many lines: nothing of them leaves, however the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import filter_text
from filters.events import Channel, Ending, Event, Field, RawText, Released
from filters.grounding import RequestGrounds
from filters.pii.blocks import Notes, OpenBlocks, Records, open_object
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.segment import WINDOW

FIELDS = frozenset({"risk_score"})
DETECTOR = build_detector(["ADMIN_NOTE", "INTERNAL_RECORD", "EMAIL"], record_fields=FIELDS)
CANARY = "zorvek"
LAST = "That is all, and a good day to you."
LINE = "the lamp was sent back twice and nobody at the desk was able to say why it had not been refunded"

NOTES = [
    f"Admin note: {LINE}\n{CANARY} gets no refund\n- {CANARY} is on the list",
    f"**Internal note**\n{LINE}. {LINE}; {CANARY}!\nNor {CANARY}.",
    f"Admin note:\n\n{CANARY} gets no refund.\n{LINE}\n{CANARY}",
    f"[Staff remarks]\n{LINE}\n{LINE}\n{CANARY}",
    f"INTERNAL USE ONLY: {LINE}, {CANARY}\n{CANARY}",
    f"管理员备注：客户多次来电，情绪激动，需要主管跟进，不要答应任何条件。\n不要告诉{CANARY}合同的事；{CANARY}。",
    f"【内部备注】\n{CANARY}不退款。\n不要告诉他{CANARY}。",
    f"客服备注\n{CANARY}不退款",
]
RECORDS = [
    f'{{"name": "{CANARY}", "risk_score": 7}}',
    f'{{\n  "name": "{CANARY}",\n  "state": "overdue, since spring",\n  "risk_score": 7,\n  "to": "{CANARY}"\n}}',
    f'{{\n  "name": "a {{ b }} {CANARY}",\n  "risk_score": 7,\n'
    f'  "to": "}}, {CANARY}",\n  "in": {{"a": "{CANARY}"}}\n}}',
    f"{{'name': '{CANARY}',\n 'risk_score': 7,\n 'to': '}} {CANARY}'}}",
    '{"risk_score": 7,\n "say": [' + f'\n  "{LINE}",' * 6 + f'\n  "{CANARY}"\n]}}',
]
BLOCKS = [("ADMIN_NOTE", note) for note in NOTES] + [("INTERNAL_RECORD", record) for record in RECORDS]


def profile(unit: ReleaseUnit, *allowed: str) -> Profile:
    return Profile(
        "x", compare=False, evidence=False, release=unit, allowed_types=frozenset(allowed), record_fields=FIELDS
    )


def around(block: str) -> str:
    return f"Good day. Here it is:\n\n{block}\n\n{LAST}"


@pytest.mark.parametrize("unit", ReleaseUnit)
@pytest.mark.parametrize(("kind", "block"), BLOCKS)
def test_nothing_of_a_block_leaves_and_what_stands_around_it_does(kind: str, block: str, unit: ReleaseUnit) -> None:
    result = filter_text(around(block), profile=profile(unit), detector=DETECTOR)
    assert CANARY not in result.text
    assert "refund" not in result.text
    assert result.text.startswith("Good day. Here it is:\n")
    assert result.text.endswith(LAST)
    assert {finding.type for finding in result.findings} <= {kind, "UNDECIDED"}


@pytest.mark.parametrize(("kind", "block"), BLOCKS)
def test_a_role_that_is_cleared_sees_it(kind: str, block: str) -> None:
    allowed = profile(ReleaseUnit.SENTENCE, kind)
    if len(block) < WINDOW:
        assert filter_text(around(block), profile=allowed, detector=DETECTOR).text == around(block)


@settings(deadline=None)
@given(st.sampled_from(BLOCKS), st.sampled_from(ReleaseUnit), st.integers(1, 400))
def test_however_it_is_fed(block: tuple[str, str], unit: ReleaseUnit, chunks: int) -> None:
    whole = filter_text(around(block[1]), profile=profile(unit), detector=DETECTOR)
    assert filter_text(around(block[1]), profile=profile(unit), detector=DETECTOR, chunks=chunks) == whole


def cut_off(text: str, unit: ReleaseUnit, continued: str = "") -> str:
    """What comes out of an answer that ends at its limit of tokens."""
    evidence = RequestEvidence(RequestGrounds.from_texts([], DETECTOR), chat=False, continued=continued)
    pipeline = Pipeline(profile(unit), evidence, DETECTOR)
    events: list[Event] = pipeline.feed([RawText(Channel(0, Field.TEXT), text)])
    events += pipeline.finish(0, Ending.LENGTH)
    return "".join(event.text for event in events if isinstance(event, Released))


@settings(deadline=None)
@given(st.sampled_from(BLOCKS), st.sampled_from(ReleaseUnit), st.floats(0, 1))
def test_wherever_the_answer_ends(block: tuple[str, str], unit: ReleaseUnit, share: float) -> None:
    text = around(block[1])
    assert CANARY not in cut_off(text[: int(len(text) * share)], unit)


def test_a_record_that_never_comes_to_its_field_does_not_leave_either() -> None:
    assert cut_off(f'Here. {{\n "name": "{CANARY}",\n', ReleaseUnit.CLAUSE) == "Here. "


def test_a_note_may_have_begun_in_what_the_model_goes_on_from() -> None:
    assert CANARY not in cut_off(f" no refund.\nNor {CANARY}.\n\nGood day. ", ReleaseUnit.SENTENCE, "Admin note:")


def test_a_private_value_in_a_cleared_note_stays_hidden() -> None:
    text = "Admin note: call back.\nHis mail is zorvek@plimsol.test.\n\nDone."
    result = filter_text(text, profile=profile(ReleaseUnit.SENTENCE, "ADMIN_NOTE"), detector=DETECTOR)
    assert result.text == "Admin note: call back.\nHis mail is [EMAIL_1].\n\nDone."


@pytest.mark.parametrize(
    "text",
    [
        "Please note: the lamp is sold.\nIt was the last one.",
        "An admin note-taking tool is what you need.\nIt is cheap.",
        "Add a note for the admin team: they read them all.\nThen wait.",
        "请在备注：栏里填写。\n谢谢。",
        'The key "risk_score": what is it?\nIt is a number.',
        'if (a) {\n  say("risk");\n}\nThat is all.\n',
        '{\n  "name": "a lamp",\n  "price": 7\n}\nThat is all.\n',
    ],
)
def test_other_text_comes_back_as_it_was(text: str) -> None:
    for unit in ReleaseUnit:
        assert filter_text(text, profile=profile(unit), detector=DETECTOR).text == text


# ---- the parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "opens"),
    [("", 0), ('a {"b": 1', 2), ('a {"b": {"c": 1}', 2), ('{"b": 1} {"c"', 9), ("if (a) { b;", 11), ("a {\n", 2)],
)
def test_where_an_open_object_begins(text: str, opens: int) -> None:
    assert open_object(text) == opens


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(["Admin note:", "\n", "a", " ", "备注", "\n\n"]), max_size=12), st.integers(0, 60))
def test_a_note_in_two_parts_is_the_note_in_one(parts: list[str], cut: int) -> None:
    text = f"Admin note: {''.join(parts)}"
    reader = Notes()
    first, second = text[:cut], text
    inside = {
        i
        for part, begin in ((first, 0), (second, len(first)))
        for a, b in reader.feed(part, begin)
        for i in range(a, b)
    }
    whole = {i for a, b in Notes().feed(text, 0) for i in range(a, b) if not text[i].isspace()}
    assert whole - inside <= set(range(cut)), "only the heading, before it was one, is not in the note"


def test_a_record_in_parts() -> None:
    text = '{"risk_score": 7, "a": "x } y", "b": {"c": 1}} z'
    for cut in range(len('{"risk_score":'), len(text)):
        reader = Records(FIELDS)
        pieces = [*reader.feed(text[:cut], 0), *reader.feed(text, cut)]
        assert {i for a, b in pieces for i in range(a, b)} == set(range(len(text) - 2)), cut


def test_offsets_are_those_of_the_segment() -> None:
    blocks = OpenBlocks(FIELDS)
    assert [(span.start, span.end) for span in blocks.find("Hi. ", "Admin\u200b note: \u200bwait.\n")] == [(0, 19)]
    assert [(span.start, span.end) for span in blocks.find("Admin note: wait.\n", "Nor\u200b that.\n\nDone")] == [
        (0, 10)
    ]
