"""The name model: names made up here, in every form that records, chats and prose give them."""

from __future__ import annotations

import resource
import socket
import threading
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.normalise import normalise
from filters.pii import names as module
from filters.pii.name_features import tokenise
from filters.pii.names import KINDS, NameModel, Names, load_model
from filters.pii.view import View
from filters.spans import Span

# Text with names in brackets: each must be found whole. What stands outside may be found too.
PERSONS = [
    "[Ottoline Marchbanks] signed the lease in spring.",
    "The lease was signed by [Ottoline Marchbanks]",
    "my name is [ottoline marchbanks] and i lost my card",
    "MY NAME IS [OTTOLINE MARCHBANKS] AND I LOST MY CARD",
    "Name: [Tobias Wetherell]",
    "name: [tobias wetherell]",
    "NAME: [TOBIAS WETHERELL]",
    '{"name": "[Tobias Wetherell]", "id": 4471}',
    '{"customer":{"fullName":"[Marisol Quintero]","plan":"gold"}}',
    "Dear Mrs. [Marchbanks], your parcel is here.",
    "Dr. [Wetherell] will see you at nine.",
    "Please ask [Marisol] to call back.",
    "Thanks, [Tobias]",
    "From: [Marisol Quintero] <m.q@example.com>",
    "Attendees: [Tobias], [Marisol] and [Ottoline Marchbanks]",
    "She told me that [Siobhan O'Rourke] lives next door.",
    "Signed by [J. R. Wetherell] on Monday.",
    "The driver, [Jean-Baptiste Delacourt], refused to comment.",
    "Patient [Zoltán Kerekes] was seen twice.",
    "please call [ottoline marchbanks]",
    "PLEASE CALL [ottoline marchbanks]",
    "Dear [OTTOLINE MARCHBANKS], your parcel is here.",
    "i'm [tobias]",
    "[Wang Xiaoling] joined the team in May.",
    "姓名：[褚文昭]",
    "姓名:[褚文昭]，电话13800000000",
    '{"姓名":"[褚文昭]","城市":"某地"}',
    '{"name":"[薛若楠]","phone":"13800000000"}',
    "客户[薛若楠]的快递已经签收。",
    "[欧阳思齐]先生，您好！",
    "您好，我是[孟庆岚]，想查一下订单。",
    "请转告[孟庆岚]",
    "昨天[褚文昭]和[薛若楠]一起去开会。",
    "收件人：[歐陽思齊]，請簽收。",
    "姓名：[孫麗華]，電話：0912000000",
    "据报道，[维克多·兰德洛夫]于周一抵达。",
    "这是[王]先生，他是[李]老师的同学。",
    "[刘]总下午三点到。",
    "患者[孟庆岚]，女，45岁，由家属陪同。",
    "请联系 [Tobias Wetherell] 办理退款。",
    "姓名：[褚 文 昭]",
]
FULL_WIDTH = [("Name: Tobias Wetherell", 6), ("姓名:Marisol Quintero", 3)]
ORGANISATIONS = [
    "I work for [Harrowgate Logistics Ltd].",
    "He was a patient at [Ashwick General Hospital].",
    "他在[安达科技有限公司]上班。",
    "毕业于[华东理工大学]。",
]
PLACES = [
    "We moved from [Dublin] to [Chicago].",
    "i live in [manchester] now",
    "他住在[杭州]。",
    "从[四川]到[广东]的火车",
]
PLAIN = [
    "",
    " \n\t ",
    "12 345,67 -- !!",
    "the quick way is to turn it off and on again",
    "Please wait until the light is green and then press the button.",
]


def test_kinds_are_finding_types() -> None:
    assert [Names(kind).kind for kind in KINDS] == ["PERSON", "ORGANIZATION", "LOCATION"]
    with pytest.raises(ValueError):
        Names("DOG")


@pytest.mark.parametrize("marked", PERSONS)
def test_persons_are_found_whole(marked: str) -> None:
    assert _uncovered("PERSON", marked) == []


@pytest.mark.parametrize("marked", ORGANISATIONS + PLACES)
def test_organisations_and_places_are_found(marked: str) -> None:
    """As one or the other: many a word is both."""
    text, values = _marked(marked)
    spans = _find("ORGANIZATION", text) + _find("LOCATION", text)
    assert [text[s:e] for s, e in values if not any(span.start < e and span.end > s for span in spans)] == []


@pytest.mark.parametrize(("text", "start"), FULL_WIDTH)
def test_full_width_letters_are_read_through_the_normaliser(text: str, start: int) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    covered = {i for span in _find("PERSON", normalise(wide).text) for i in range(span.start, span.end)}
    assert set(range(start, len(text))) <= covered


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_names_is_left_alone(text: str) -> None:
    assert [span for kind in KINDS for span in _find(kind, text)] == []


def test_neighbours_are_two_findings() -> None:
    text = "客户薛若楠、孟庆岚已签收"
    assert [text[s.start : s.end] for s in _find("PERSON", text)] == ["薛若楠", "孟庆岚"]


def test_the_cheap_test_closes_on_plain_words_and_opens_on_names() -> None:
    model = load_model()
    assert not model.may_hold_names("please wait until the door is open")
    assert not model.may_hold_names("Please wait until the door is open")
    assert not model.may_hold_names("12:30, 45 % -- !")
    for text in ("i saw ottoline there", "I saw Harbour there", "孟庆岚", "my name is kettle"):
        assert model.may_hold_names(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120) | st.text("aA李王·.'- \n@\u0301\U0001f600\ud800ｗ", max_size=60))
def test_any_text_gives_sorted_separate_spans_inside_it(text: str) -> None:
    for kind in KINDS:
        spans = _find(kind, text)
        assert spans == _find(kind, text)
        assert spans == sorted(spans)
        assert all(0 <= s.start < s.end <= len(text) and 0 < s.score <= 1 and s.type == kind for s in spans)
        assert all(a.end <= b.start for a, b in pairwise(spans))


def test_a_long_line_is_read() -> None:
    text = "x" * 20_000 + " Tobias Wetherell " + "李" * 5_000
    assert any(text[s.start : s.end].startswith("Tobias") for s in _find("PERSON", text))


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(*_: object) -> None:
        raise AssertionError("a filter opened a socket")

    monkeypatch.setattr(socket, "socket", shut)
    load_model.cache_clear()
    assert _find("PERSON", "Name: Tobias Wetherell")


def test_what_was_read_before_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when the store of words overflows in between, or in the middle of a text."""
    texts = [_marked(marked)[0] for marked in PERSONS]
    before = [_find("PERSON", text) for text in texts]
    monkeypatch.setattr(module, "KEPT_WORDS", 8)
    small = module.read_model(module.MODEL_FILE)
    assert [list(Names("PERSON", small).find(View(text))) for text in texts] == before


def test_threads_agree() -> None:
    texts = [_marked(marked)[0] for marked in PERSONS]
    alone = [_find("PERSON", text) for text in texts]
    found: list[list[list[Span]]] = []
    threads = [threading.Thread(target=lambda: found.append([_find("PERSON", t) for t in texts])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 4


def test_memory_is_flat_over_ever_new_words() -> None:
    """Twice as many words as are kept, then as many again: the second half adds nothing."""
    model = load_model()

    def read(first: int) -> None:
        for number in range(first, first + 2_500):
            model.read(" ".join(_word(number * 9 + k) for k in range(9)))

    read(0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    read(2_500)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4 << 20  # the words of a full store, all of them new ones
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 16 << 10


def test_the_file_is_small_and_holds_no_code() -> None:
    assert module.MODEL_FILE.stat().st_size <= 15_000_000
    with np.load(module.MODEL_FILE, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "names.npz"
    broken.write_bytes(module.MODEL_FILE.read_bytes()[:1000])
    with pytest.raises(Exception):  # noqa: B017 -- which one is numpy's to choose; the process must not start
        module.read_model(broken)


@pytest.mark.parametrize("context", ["It rained. ", "The name that he gave was ", "客户的姓名是", "Hello,\n"])
def test_behind_a_context_the_same_is_found(context: str) -> None:
    for marked in PERSONS:
        text, _ = _marked(context + marked)
        found = [
            {
                at
                for span in Names("PERSON", _model()).find(view)
                for at in range(max(span.start, len(context)), span.end)
            }
            for view in (View(text), View(text, since=len(context)))
        ]
        assert found[0] == found[1], marked


def test_names_of_the_context_alone_are_left_out() -> None:
    text = "Tobias Wetherell came. And then nothing else of any note was said for quite a while by them."
    assert not list(Names("PERSON", _model()).find(View(text, since=60)))


def test_products_in_pieces_are_the_same() -> None:
    text = " ".join(["Tobias Wetherell met 李明 in Plymouth."] * 40)
    _, labels = load_model().read(text)
    x = np.random.default_rng(3).normal(size=(700, 384)).astype(np.float32)
    weights = np.random.default_rng(4).normal(size=(384, 128)).astype(np.float32)
    assert np.allclose(module._times(x, weights), x @ weights, atol=1e-3)
    assert np.isfinite(labels).all()


def test_probabilities_are_one_row_a_token() -> None:
    text = "Tobias, 李明!"
    tokens, labels = load_model().read(text)
    assert tokens == tokenise(text)
    assert labels.shape == (5, 7)
    assert np.allclose(labels.sum(1), 1, atol=1e-4)


def _model() -> NameModel:
    return load_model()


def _find(kind: str, text: str) -> list[Span]:
    return list(Names(kind, _model()).find(View(text)))


def _marked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    text, values = "", []
    for part in marked.split("]"):
        plain, _, value = part.partition("[")
        if value:
            values.append((len(text) + len(plain), len(text) + len(plain) + len(value)))
        text += plain + value
    return text, values


def _uncovered(kind: str, marked: str) -> list[str]:
    text, values = _marked(marked)
    covered = {i for span in _find(kind, text) for i in range(span.start, span.end)}
    return [text[s:e] for s, e in values if not all(i in covered or text[i] == " " for i in range(s, e))]


def _word(number: int) -> str:
    letters = ""
    while number:
        number, digit = divmod(number, 23)
        letters += chr(ord("b") + digit)
    return letters + "q"
