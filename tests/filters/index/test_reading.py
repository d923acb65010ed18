from __future__ import annotations

import pytest

from filters.index.reading import DIGIT, HAN, LETTER, OTHER, read_text


def read(text: str) -> str:
    return "".join(map(chr, read_text(text).codes))


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("Kettle", "kettle"),
        ("Ｋｅｔｔｌｅ　４５", "kettle 45"),
        ("ket\u200btle", "kettle"),
        ("kеttlе", "kettle"),  # two Cyrillic letters
        ("KЕTTLE", "kettle"),
        ("①③⑧", "138"),
        ("a\u2013b", "a-b"),
        ("e\u0301", "e"),
        ("\U000e0061\U000e0062", "ab"),  # invisible copies of letters
        ("a\ud800b", "ab"),  # half a surrogate, which JSON can bring
        ("", ""),
    ],
)
def test_spellings_of_one_text_read_the_same(text: str, same_as: str) -> None:
    assert read(text) == same_as


def test_a_character_reads_the_same_wherever_it_stands() -> None:
    """Else the reading would depend on where a text is cut. normalise() asks the neighbours; the index must not."""
    text = "Вода и kеttle, 水壶 ｋ\u200b9"
    assert read(text) == "".join(map(read, text))


def test_places_lead_back_to_the_text() -> None:
    reading = read_text("\u200bA\u200b９水!")
    assert reading.places.tolist() == [1, 3, 4, 5]
    assert reading.kinds.tolist() == [LETTER, DIGIT, HAN, OTHER]


def test_a_letter_whose_lower_case_has_two_characters_stays() -> None:
    assert read("İx") == "İx"
