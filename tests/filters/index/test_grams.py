from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from filters.index.grams import FAMILIES, LETTERS, VALUES, WORDS, GramHasher, Symbols
from filters.index.hashing import IndexKey
from filters.index.reading import read_text
from tests.filters.index.sets import SECRET

VECTORS = Path("tests/vectors/index/grams.json")


@cache
def hasher() -> GramHasher:
    return GramHasher(IndexKey(SECRET))


def symbols(texts: list[str]) -> Symbols:
    reading = read_text("".join(texts))
    numbers = np.repeat(np.arange(len(texts), dtype=np.int32), list(map(len, texts)))
    return Symbols(reading.codes, reading.kinds, numbers[reading.places])


def kept(texts: list[str]) -> dict[str, list[tuple[int, str, int]]]:
    """Of each family the text, the characters and the sealed hash of every n-gram that is kept."""
    given = symbols(texts)
    found = {}
    for family, grams in zip(FAMILIES, hasher().grams(given, hasher().units(given, complete=True)), strict=True):
        spans = zip(grams.first.tolist(), grams.last.tolist(), hasher().seal(grams.hashes).tolist(), strict=True)
        found[family.name] = [
            (int(given.texts[first]), "".join(map(chr, given.codes[first : last + 1])), sealed)
            for first, last, sealed in spans
        ]
    return found


def test_what_the_guarantee_says() -> None:
    assert [(family.name, family.found_from) for family in FAMILIES] == [("words", 7), ("letters", 34), ("values", 7)]


@pytest.mark.parametrize("alphabet", [["水", "火", "木"], ["ab ", "cd ", "e "], ["山", "ab ", "12 "], ["一"]])
def test_every_text_of_t_words_has_a_kept_gram(alphabet: list[str]) -> None:
    """All of them, ties and repetitions included."""
    texts = ["".join(text) for text in itertools.product(alphabet, repeat=WORDS.found_from)]
    assert {text for text, _, _ in kept(texts)["words"]} == set(range(len(texts)))


def test_one_word_less_can_be_missed() -> None:
    texts = ["".join(text) for text in itertools.product("水火木金", repeat=WORDS.found_from - 1)]
    assert len({text for text, _, _ in kept(texts)["words"]}) < len(texts)


def test_every_text_of_t_letters_has_a_kept_gram() -> None:
    """All texts that repeat a pattern of up to eight letters of two, which is where ties are; and random ones."""
    t = LETTERS.found_from
    texts = [("".join(pattern) * t)[:t] for size in range(1, 9) for pattern in itertools.product("ab", repeat=size)]
    rng = np.random.default_rng(3)
    texts += ["".join(rng.choice(list("abcde"), t)) for _ in range(5_000)]
    assert {text for text, _, _ in kept(texts)["letters"]} == set(range(len(texts)))


def test_whether_a_gram_is_kept_follows_from_itself() -> None:
    """So that the count of subjects is exact: no neighbour decides."""
    sentence = "the kettle had boiled twice before anybody noticed that the rain was over"
    alone = {sealed for _, _, sealed in kept([sentence])["words"]}
    framed = {sealed for _, _, sealed in kept([f"Somebody said {sentence} again and again, 真的"])["words"]}
    assert alone
    assert alone <= framed


def test_spelling_spacing_and_marks_do_not_count() -> None:
    plain = kept(["rings late after rows with her husband and asks to move the instalment 请把包裹放在花店"])
    other = kept(
        ["RINGS—late; after (rows) with\n\nher  husband, and asks to move the instalment: 请 把“包裹”放在花店"]
    )
    assert [g[2] for g in plain["words"]] == [g[2] for g in other["words"]]
    assert [g[2] for g in plain["letters"]] == [g[2] for g in other["letters"]]


def test_letters_are_found_when_words_are_cut_otherwise() -> None:
    text = "rings late after rows with her husband and asks to move the instalment"
    joined, spaced = kept([text.replace(" ", "")]), kept([" ".join(text)])
    assert (
        [g[2] for g in joined["letters"]]
        == [g[2] for g in kept([text])["letters"]]
        == [g[2] for g in spaced["letters"]]
    )


@pytest.mark.parametrize(
    ("written", "same_as"),
    [
        ("138 1234 5678", "13812345678"),
        ("(415) 555-2671", "415-555-2671"),
        ("415.555.2671", "4155552671"),
        ("请拨打13812345678吧", "13812345678"),
        ("VEXLO@kipmora.example", "vexlo@kipmora.example"),
    ],
)
def test_a_value_is_the_same_in_all_its_groupings(written: str, same_as: str) -> None:
    one, other = ([sealed for _, _, sealed in kept([text])["values"]] for text in (written, same_as))
    assert one
    assert one == other


@pytest.mark.parametrize(
    "text",
    ["in 2024, 12 people came", "covid-19 in well-known places", "a@b", "12 34 x 56 78", "13812", "1234567"[:6]],
)
def test_what_is_no_value(text: str) -> None:
    assert kept([text])["values"] == []


def test_an_address_is_found_around_its_at_sign() -> None:
    assert all("@" in gram for _, gram, _ in kept(["zlavundo@kipmora"])["values"])
    assert len(kept(["zlavundo@kipmora"])["values"]) == VALUES.order - 1


def test_no_gram_crosses_texts() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    whole = kept([" ".join(words)])
    apart = kept([" ".join(words[:5]), " ".join(words[5:])])
    assert whole["words"]
    assert apart["words"] == []
    assert kept(["1381234", "5678901"])["values"] != kept(["13812345678901"])["values"]


def test_a_word_without_end_is_read_as_several() -> None:
    assert kept(["a" * 64 * WORDS.found_from])["words"]


def test_other_keys_give_other_hashes() -> None:
    text = symbols(["the kettle had boiled twice before anybody noticed"])
    other = GramHasher(IndexKey(bytes(32)))
    sealed = [
        {h for g in each.grams(text, each.units(text, complete=True)) for h in each.seal(g.hashes).tolist()}
        for each in (hasher(), other)
    ]
    assert sealed[0].isdisjoint(sealed[1])


def test_hashes_are_what_they_were() -> None:
    """An index built by an older version must be found by a newer one, or its version has to rise (fileformat.py)."""
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    for vector in vectors:
        found = {name: [sealed for _, _, sealed in grams] for name, grams in kept([vector["text"]]).items()}
        assert found == {name: [int(h, 16) for h in hashes] for name, hashes in vector["hashes"].items()}
