"""The description of a request is never narrower than the gateway, and says no where the gateway says no to a value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.openapi import requests
from gateway.types import Endpoint
from tests.support.recordings import recorded

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "fields.json").read_text(encoding="utf-8"))
ENDPOINTS = {"chat": Endpoint.CHAT, "completions": Endpoint.COMPLETIONS}
GOOD = {
    Endpoint.CHAT: {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]},
    Endpoint.COMPLETIONS: {"model": "assistant", "prompt": "Hello"},
}
SCHEMAS = {endpoint: Draft202012Validator(requests.body(endpoint)) for endpoint in GOOD}


def fits(endpoint: Endpoint, field: str, value: Any) -> bool:
    return bool(SCHEMAS[endpoint].is_valid(GOOD[endpoint] | {field: value}))


def cases() -> Iterator[tuple[Endpoint, str, Any, str]]:
    for case in VECTORS["cases"]:
        for on in ENDPOINTS if case["on"] == "both" else [case["on"]]:
            for value in case["values"]:
                yield ENDPOINTS[on], case["field"], value, case["is"]


def test_what_is_taken_fits() -> None:
    taken = [case for case in cases() if case[3] in ("forwarded", "ignored")]
    assert len(taken) > 100
    assert [case for case in taken if not fits(*case[:3])] == []


def test_what_no_role_may_send_does_not_fit() -> None:
    """But for what fields that must agree, or a role's bounds, make of it."""
    wrong = [case for case in cases() if case[3] in ("invalid_value", "unknown_parameter")]
    loose = [case for case in wrong if fits(*case[:3])]
    assert len(loose) < len(wrong) / 10, loose


def test_what_clients_send_fits() -> None:
    for request in recorded():
        if request.body:
            error = next(SCHEMAS[Endpoint(request.path)].iter_errors(request.body), None)
            assert error is None, f"{request.name}: {error.message if error else ''}"


@pytest.mark.parametrize("endpoint", ENDPOINTS.values())
def test_the_examples_fit(endpoint: Endpoint) -> None:
    for example in requests.EXAMPLES[endpoint].values():
        SCHEMAS[endpoint].validate(example["value"])
