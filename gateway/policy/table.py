"""Tests of a policy as a table: who asks what of which model with which fields, and what should come of it.

    tests:
      - {role: customer, endpoint: chat, model: assistant, expect: allowed}
      - {role: customer, endpoint: completions, model: assistant, expect: not_allowed}
      - {role: customer, endpoint: chat, model: assistant, fields: {logit_bias: {"7": 5}},
         expect: unsupported_parameter, param: logit_bias}

`address` is where the caller is, for roles that have `networks`, and `date` when he asks, for profiles that expire (by
default now). `expect` is `allowed` or the error's public code, `param` the field that it names, and `profile` what the
answer would be filtered by: `NAME (expired)` for what is left of one that has expired.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.auth.rbac import authorize, check_address
from gateway.config_file import check, read
from gateway.errors import CallerError
from gateway.policy import parameters
from gateway.policy.load import Rules
from gateway.policy.schema import ENDPOINTS, Day
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
    date: Day | None = None
    expect: str = ALLOWED
    param: str | None = None
    profile: str | None = None

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return datetime.combine(self.date, datetime.min.time(), UTC).timestamp() if self.date else time.time()


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
        came = _outcome(rules, row)
        if came.code != row.expect or row.param not in (None, came.param) or row.profile not in (None, came.profile):
            yield Failure(lines.get(("tests", index)), row, str(came))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The error's code and the field that it names, or what the answer would be filtered by."""

    code: str
    param: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        more = self.param or self.profile
        return f"{self.code} ({more})" if more else self.code


def _outcome(rules: Rules, row: Row) -> _Outcome:
    endpoint = ENDPOINTS[row.endpoint]
    asked = {**_LEAST[endpoint], "model": row.model, **row.fields}
    caller = Principal("policy test", "policy test", "policy test", None, row.role, float("inf"))
    try:
        check_address(caller, rules, row.address)
        request = parameters.read(json.dumps(asked).encode(), endpoint)
        grant = authorize(caller, rules, endpoint, request.model, row.now)
        parameters.admit(request, grant)
    except CallerError as refused:
        return _Outcome(refused.code or refused.type, refused.param)
    return _Outcome(ALLOWED, profile=grant.profile.name)
