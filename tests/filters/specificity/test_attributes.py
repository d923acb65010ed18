"""What is said of persons is found, with its value; spelled oddly too; in bounded time."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.evidence import DetectorError
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import Kind, shipped_crowds

FINDER = AttributeFinder(shipped_crowds())


def told(text: str) -> set[tuple[str, str]]:
    return {(found.trait.kind.value, found.trait.path[-1]) for found in FINDER.find(text)}


def test_stated_traits_are_found(stated: Any) -> None:
    assert set(stated["traits"].items()) <= told(stated["text"])


@pytest.mark.parametrize(
    "frame", ["{}\nNothing else is known.", "As the file says: {}", "此外，{}", "\n- {}\n", "“{}”"]
)
def test_in_any_place(stated: Any, frame: str) -> None:
    assert set(stated["traits"].items()) <= told(frame.format(stated["text"]))


@pytest.mark.parametrize(
    "text",
    [
        "She is ３４ and lives in Leeds.",
        "She is 3\u200b4 and lives in Lee\u200bds.",
        "She is 34 and lives in\u00a0Leeds.",
    ],
)
def test_odd_spelling_is_read(text: str) -> None:
    assert {("age", "34"), ("place", "Leeds")} <= told(text)


def test_spans_are_in_the_raw_text() -> None:
    text = "She is 3\u200b4, a nurse."
    assert [text[found.start : found.end] for found in FINDER.find(text)] == ["3\u200b4", "a nurse"]


def test_words_of_the_tables_need_a_person() -> None:
    assert not FINDER.find("Nurses and asthma in London: a PhD about migraine.")
    assert FINDER.find("A nurse has asthma.", names=True)


def test_a_record_is_read_by_its_labels() -> None:
    text = '{"name": "x", "age": 34, "city": "Leeds", "occupation": "beekeeper", "diagnosis": "grelm fever"}'
    assert {("age", "34"), ("place", "Leeds"), ("job", "gardener"), ("illness", "grelm fever")} <= told(text)


def test_what_is_unlisted_has_a_path_of_its_own() -> None:
    (place,) = [found.trait for found in FINDER.find("She lives in Kelvo Sands.")]
    assert place.path == ("~kelvo sands",)
    (illness,) = [found.trait for found in FINDER.find("He suffers from grelm fever.")]
    assert illness.path == ("illness", "grelm fever")


HOSTILE = {
    "ages": "she is 34 years old and " * 3_000,
    "names": "Aa " * 20_000,
    "labels": "age: city: " * 5_000,
    "places": "she lives in " * 4_000,
    "Chinese": "她住在" * 8_000,
    "one run": "34" * 20_000,
    "spaces": "she lives" + " " * 40_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_soon(name: str) -> None:
    """It is read, or it is an error, in bounded time."""
    began = time.process_time()
    with contextlib.suppress(DetectorError):
        FINDER.find(HOSTILE[name])
    assert time.process_time() - began < 8


PIECES = ["She ", "is ", "34", " years old", "lives in ", "Leeds", "a nurse", ". ", "Age: ", "\u200b"]
PIECES += ["，", "他", "住在杭州", "岁", "三十", "。"]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=24).map("".join))
def test_whatever_is_found_is_apart_and_inside(text: str) -> None:
    done = 0
    for found in FINDER.find(text):
        assert done <= found.start < found.end <= len(text)
        assert isinstance(found.trait.kind, Kind)
        assert found.trait.path
        done = found.end
