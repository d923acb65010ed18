"""The index finds every run of its set, and the same runs however a text is cut (DESIGN 2)."""

from __future__ import annotations

import itertools
import os
import random
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from filters.index.counting import hasher_of
from filters.index.grams import FAMILIES, LETTERS, WORDS, Grams
from filters.index.lookup import Run, TuningIndex, merge
from filters.index.stream import GramStream
from tests.filters.index.sets import SECRET, index_of

EXAMPLES = 5000 if os.environ.get("TIGHTLIP_DEEP") else 200

WORD_LIST = (
    "rings",
    "late",
    "after",
    "rows",
    "with",
    "her",
    "husband",
    "a",
    "the",
    "x1",
    "每",
    "次",
    "吵",
    "架",
    "电",
    "话",
)
SEPARATORS = (" ", "  ", "\n", ", ", "…", "\u200b ", "（", ") - (")
PIECES = (
    *WORD_LIST,
    *SEPARATORS,
    "\u200b",
    "13812345678",
    "138-1234 5678",
    "v@k.example",
    "ｈｅｒ",
    "HER",
    "-",
    "@",
    "9",
)

texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=60).map(
    lambda parts: "".join(parts).encode("utf-8", "replace").decode()
)
WORD = re.compile(r"[\u4e00-\u9fff]|[A-Za-z0-9]+")  # told apart from the code that is tested
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=40)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


def streamed(parts: list[str]) -> list[list[tuple[int, int, int]]]:
    """By family the hash and the ends of each n-gram, in the order in which they came."""
    stream = GramStream(hasher_of(SECRET))
    given: list[list[Grams]] = [*(stream.push(part) for part in parts), stream.close()]
    return [
        [
            row
            for grams in given
            for row in zip(
                *(column.tolist() for column in (grams[n].hashes, grams[n].first, grams[n].last)), strict=True
            )
        ]
        for n in range(len(FAMILIES))
    ]


@settings(max_examples=EXAMPLES, deadline=None)
@given(texts, cuts)
def test_ngrams_are_the_same_however_a_text_is_cut(text: str, places: list[int]) -> None:
    whole = streamed([text])
    assert streamed(cut(text, places)) == whole
    assert streamed(list(text)) == whole


TUNED = (
    "This customer rings late in the evening after rows with her husband, asks to move the instalment and hangs up.",
    "这位客户每次和丈夫吵架之后总在深夜打电话来，请求推迟分期付款，一问原因就挂电话。",
    "Her e-mail is vexlo.trund47@kipmora.example, 电话138 1234 5678，订单号AB-123456789，下周三取货。",
    " ".join(random.Random(5).choices(WORD_LIST, k=300)),
    "".join(random.Random(6).choices("每次吵架", k=300)),
)


@cache
def index() -> TuningIndex:
    with TemporaryDirectory() as folder:
        return index_of(Path(folder), [{"text": text, "subject": n} for n, text in enumerate(TUNED)])


def runs(parts: list[str]) -> list[Run]:
    stream = index().stream("public")
    return merge([*(run for part in parts for run in stream.push(part)), *stream.close()])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(texts, st.sampled_from(TUNED)), max_size=4).map("".join), cuts)
def test_runs_are_the_same_however_a_text_is_cut(text: str, places: list[int]) -> None:
    whole = runs([text])
    assert runs(cut(text, places)) == whole
    assert all(0 <= run.start < run.end <= len(text) for run in whole)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(TUNED), st.data())
def test_every_run_of_t_words_is_found_in_any_company(text: str, data: st.DataObject) -> None:
    every = WORD.findall(text)
    first = data.draw(st.integers(0, len(every) - WORDS.found_from))
    words = every[first : first + WORDS.found_from]
    joints = data.draw(st.lists(st.sampled_from(SEPARATORS), min_size=len(words) + 1, max_size=len(words) + 1))
    run = "".join(joint + word for joint, word in zip(joints, words, strict=False)) + joints[-1]
    before, after = data.draw(texts), data.draw(texts)
    found = runs([before + run + after])
    start, end = len(before), len(before) + len(run)
    assert any(one.start < end and start < one.end for one in found)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(TUNED), st.data())
def test_every_run_of_t_letters_is_found_however_it_is_spaced(text: str, data: st.DataObject) -> None:
    letters = [char for char in text if char.isalnum()]
    size = LETTERS.found_from
    first = data.draw(st.integers(0, len(letters) - size))
    joints = data.draw(st.lists(st.sampled_from(["", "", " ", "-", "\u200b"]), min_size=size, max_size=size))
    run = "".join(letter + joint for letter, joint in zip(letters[first : first + size], joints, strict=True))
    assert runs([data.draw(texts), run.swapcase() if run.isascii() else run, data.draw(texts)])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=64), texts)
def test_any_text_can_be_looked_up(noise: bytes, text: str) -> None:
    weird = noise.decode("utf-16-le", "surrogatepass") if len(noise) % 2 == 0 else noise.decode("latin-1")
    runs([weird, text, weird[::-1]])
