"""What the documentation shows is what the code does."""

from __future__ import annotations

from docs.policy_actions import EXAMPLES, PAGE, page
from filters.pii.types import TYPES


def test_the_table_of_actions_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m docs.policy_actions"


def test_every_type_has_an_example() -> None:
    assert TYPES.keys() <= EXAMPLES.keys()
