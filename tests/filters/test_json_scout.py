"""About which stretches the base is asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from filters.json_scout import Scout
from filters.spans import Span
from filters.specificity.triggers import exact_values


def clears(context: str, raw_text: str, strewn: Sequence[Span]) -> bool:
    return bool(strewn or exact_values(raw_text) or (context, raw_text) == ("name: ", "Ada"))


def wants(*stretches: str) -> list[bool]:
    scout = Scout(clears, {"days"})
    return [scout.wants(stretch) for stretch in stretches]


@pytest.mark.parametrize(
    ("raw_json", "wanted"),
    [
        ('{"city": "Leeds", "days": 3, "ok": true}', False),
        ('{"n": 48213}', True),
        ('{"n": "GD-8\\u00352 05"}', True),
        ('{"48213": 1}', True),
        ('{"name": "Ada"}', True),
        ('{"name": 1, "note": "Ada"}', False),
        ('{"days": "Ada"}', False),
        ("[3, 9, 4, 7, 1, 8]", True),
        ("[1, 2, 3, 4, 5, 6]", False),
        ('{"n": "48', False),
        ('{"n": "48213', True),
        ('{"n" 48213}', False),
    ],
)
def test_what_is_asked_about(raw_json: str, wanted: bool) -> None:
    assert wants(raw_json) == [wanted]


def test_strewn_characters_are_counted_over_all_stretches() -> None:
    assert wants("[3, 9, 4, 7, ", "1, 8]") == [False, True]


def test_a_label_reaches_into_the_next_stretch() -> None:
    assert wants('{"name": ', '"Ada"}') == [False, True]


@pytest.mark.parametrize("broken", ['{"n": 1\n]\n', "1]", '["n"}', '{"n" 48213', "[" * 200, '"\\x"'])
def test_behind_what_is_no_json_nothing_is_asked_about(broken: str) -> None:
    assert wants(broken, ",", '"GD-48213"', "]", "}") == [False] * 5
