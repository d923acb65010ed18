"""What the documentation shows is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docs.policy_actions import EXAMPLES, PAGE, page
from filters.pii.types import TYPES
from gateway.policy.schema import IssuerPolicy

ISSUERS = re.findall(r"```yaml\n(.*?)```", Path("docs/tokens.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_table_of_actions_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m docs.policy_actions"


def test_every_type_has_an_example() -> None:
    assert TYPES.keys() <= EXAMPLES.keys()


def test_the_readmes_example_says_what_it_prints() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(from filters import .*?)```", readme, re.DOTALL)
    assert example
    promised = example[1].rpartition("# ")[2].rstrip("\n")
    printed: list[str] = []
    exec(example[1], {"print": printed.append})
    assert printed == [promised]


@pytest.mark.parametrize("text", ISSUERS)
def test_the_issuers_of_the_page_on_tokens_check_out(text: str) -> None:
    entries = yaml.safe_load(text.removeprefix("issuers:\n"))
    assert [IssuerPolicy.model_validate(entry) for entry in entries]
