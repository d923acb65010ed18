"""Names are looked for where a profile says so, in both languages."""

from __future__ import annotations

import pytest

from filters import filter_text
from filters.pii.detector import build_detector
from filters.pii.types import ON_REQUEST, TYPES
from filters.profile import Profile

NAMED = Profile("names", compare=False, names=True)
PLAIN = Profile("plain", compare=False)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Please ask Margaret Holloway about the delivery on Tuesday.", "Margaret Holloway"),
        ("请联系王建国办理退货手续。", "王建国"),
    ],
)
def test_a_name_is_hidden_where_the_profile_looks_for_names(text: str, name: str) -> None:
    assert name not in filter_text(text, profile=NAMED).text
    assert filter_text(text, profile=PLAIN).text == text


def test_the_default_detector_has_no_names_and_the_whole_one_has_all() -> None:
    assert not build_detector().types & ON_REQUEST
    assert build_detector(TYPES).types >= ON_REQUEST
