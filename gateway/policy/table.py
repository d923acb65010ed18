"""Tests of a policy as a table: who asks what of which model with which fields, and what should come of it.

    tests:
      - {role: customer, endpoint: chat, model: assistant, expect: allowed}
      - {role: customer, endpoint: completions, model: assistant, expect: not_allowed}
      - {role: customer, endpoint: chat, model: assistant, fields: {logit_bias: {"7": 5}},
         expect: unsupported_parameter, param: logit_bias}

`address` is where the caller is, for roles that have `networks`; `expect` is `allowed` or the error's public code,
`param` the field that it names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.auth.rbac import authorize, check_address
from gateway.config_file import check, read
from gateway.errors import CallerError
from gateway.policy import parameters
from gateway.policy.load import Rules
from gateway.policy.schema import ENDPOINTS
from gateway.types import Endpoint, Principal

ALLOWED: Final = "allowed"
_MESSAGES: Final = [{"role": "user", "content": "Good day."}]
_LEAST: Final[Mapping[Endpoint, Mapping[str, Any]]] = {
    Endpoint.CHAT: {"messages": _MESSAGES},
    Endpoint.COMPLETIONS: {"prompt": "Good day."},
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Row(_Strict):
    """One question to the policy."""

    role: str
    endpoint: Literal["chat", "completions"]
    model: str
    fields: Mapping[str, Any] = Field(default_factory=dict)
    address: str | None = None
    expect: str = ALLOWED
    param: str | None = None


class Table(_Strict):
    """The file."""

    tests: tuple[Row, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that came out otherwise; `line` is where it stands."""

    line: int | None
    row: Row
    came: str


def run(rules: Rules, path: Path) -> tuple[int, list[Failure]]:
    """How many rows there are, and which fail. Raises ConfigError for a file that is no such table."""
    document = read(path)
    table = check(Table, document)
    return len(table.tests), list(_failures(rules, table, document.lines))


def _failures(rules: Rules, table: Table, lines: Mapping[tuple[str | int, ...], int]) -> Iterator[Failure]:
    for index, row in enumerate(table.tests):
        code, param = _outcome(rules, row)
        if code != row.expect or row.param not in (None, param):
            yield Failure(lines.get(("tests", index)), row, f"{code} ({param})" if param else code)


def _outcome(rules: Rules, row: Row) -> tuple[str, str | None]:
    """The error's code and the field that it names."""
    endpoint = ENDPOINTS[row.endpoint]
    asked = {**_LEAST[endpoint], "model": row.model, **row.fields}
    caller = Principal("policy test", "policy test", "policy test", None, row.role, float("inf"))
    try:
        check_address(caller, rules, row.address)
        request = parameters.read(json.dumps(asked).encode(), endpoint)
        parameters.admit(request, authorize(caller, rules, endpoint, request.model))
    except CallerError as refused:
        return refused.code or refused.type, refused.param
    return ALLOWED, None
