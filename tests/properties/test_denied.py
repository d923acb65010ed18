"""Wherever a text is cut, of a denied value fewer than `start_size` characters can stand before the cut unseen."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from filters.denied import DeniedValues, start_size
from filters.hidden import skeleton
from filters.normalise import normalise
from tests.support.knowledge import SECRET, deny

DENIED = ("Vexlo Tamber", "Vexlo", "13900018274", "甄禾砚", "乌木街道", "Tamber & Plimsol Ltd", "aaaaab", "vexlotam")


@cache
def values() -> DeniedValues:
    with TemporaryDirectory() as folder:
        return DeniedValues.load(deny(Path(folder), DENIED), SECRET.encode())


SPELT = st.builds(
    lambda value, gaps, upper: "".join(
        gap + (char.upper() if upper else char) for char, gap in zip(value, gaps, strict=False)
    ),
    st.sampled_from(DENIED),
    st.lists(st.sampled_from(["", "", "", " ", "-", ". ", "\u200b", "\n"]), min_size=24, max_size=24),
    st.booleans(),
)
NOISE = st.sampled_from(["Vexl", "139", "甄", " and ", "，", "aaa", "tamb", "0", "Hello. ", "乌木"])


@settings(max_examples=300, deadline=None)
@given(st.lists(NOISE, max_size=4).map("".join), SPELT, st.lists(NOISE, max_size=4).map("".join), st.data())
def test_a_cut_inside_a_value_is_known(before: str, spelt: str, after: str, data: st.DataObject) -> None:
    text = before + spelt + after
    spans = values().find(text)
    assert any(len(before) <= span.start and span.end <= len(before + spelt) for span in spans)
    cut = data.draw(st.integers(0, len(text)))
    open_from = values().open_from(text[:cut])
    for span in spans:
        if span.start < cut < span.end:
            whole, seen = (skeleton(normalise(text[span.start : end]).text) for end in (span.end, cut))
            assert open_from <= span.start or len(seen) < start_size(whole)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_looked_at(text: str) -> None:
    for span in values().find(text):
        assert 0 <= span.start < span.end <= len(text)
    assert 0 <= values().open_from(text) <= len(text)
