"""Policies tested by a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config_file import ConfigError
from gateway.policy.load import load
from gateway.policy.table import run
from tests.gateway.support import write_policy

TABLE = """\
tests:
  - {role: customer, endpoint: chat, model: assistant}
  - {role: customer, endpoint: completions, model: assistant, expect: not_allowed}
  - {role: customer, endpoint: chat, model: second, expect: model_not_found, param: model}
  - {role: nobody, endpoint: chat, model: assistant, expect: not_allowed}
  - {role: customer, endpoint: chat, model: assistant, fields: {logit_bias: {"7": 5}},
     expect: unsupported_parameter, param: logit_bias}
  - {role: support, endpoint: chat, model: assistant, fields: {logit_bias: {"7": 5}}}
  - {role: customer, endpoint: chat, model: assistant, fields: {logit_bias: null}}
"""


def outcome(tmp_path: Path, table: str) -> tuple[int, list[tuple[int | None, str]]]:
    path = tmp_path / "table.yaml"
    path.write_text(table, encoding="utf-8")
    count, failures = run(load(write_policy(tmp_path)), path)
    return count, [(failure.line, failure.came) for failure in failures]


def test_a_table_that_holds(tmp_path: Path) -> None:
    assert outcome(tmp_path, TABLE) == (7, [])


def test_rows_that_come_out_otherwise_are_told_with_their_line(tmp_path: Path) -> None:
    wrong = TABLE.replace(
        "model: assistant}\n  - {role: customer, endpoint: comp", "model: third}\n  - {role: customer, endpoint: comp"
    )
    assert outcome(tmp_path, wrong) == (7, [(2, "model_not_found (model)")])
    other = TABLE.replace("param: logit_bias", "param: top_k")
    assert outcome(tmp_path, other) == (7, [(6, "unsupported_parameter (logit_bias)")])


def test_a_row_may_say_when_and_by_what_it_is_filtered(tmp_path: Path) -> None:
    row = "  - {role: support, endpoint: chat, model: second, date: DATE, profile: PROFILE}\n"
    rows = [("2098-12-31", "off"), ("2099-01-01", "off (expired)"), ("2099-01-01", "off"), ("2098-12-31", "strict")]
    table = "tests:\n" + "".join(row.replace("DATE", date).replace("PROFILE", name) for date, name in rows)
    assert outcome(tmp_path, table) == (4, [(4, "allowed (off (expired))"), (5, "allowed (off)")])


@pytest.mark.parametrize(
    "table",
    ["tests: []\n", "rows: []\n", "tests: [{role: customer}]\n", TABLE.replace("role: nobody", "rule: nobody")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.yaml"):
        outcome(tmp_path, table)
