"""The gateway's description is that of the gateway: made from its tables, whole, and checked in as it is printed."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openapi_spec_validator
import pytest
from starlette.requests import Request
from starlette.routing import Route

from gateway.errors import GatewayError, MethodNotAllowed, NotFound
from gateway.http import connection
from gateway.http.routes import Surface, create_app
from gateway.openapi import document
from tests.support.commands import tightlip

FILE = Path(__file__).parent.parent.parent.parent / "docs" / "openapi.json"
DOCUMENT = document.document(metadata.version("tightlip"))


def test_the_file_is_what_the_command_prints() -> None:
    printed = tightlip("openapi").stdout
    assert printed == FILE.read_text(encoding="utf-8"), "run: tightlip openapi > docs/openapi.json"


def test_it_is_an_openapi_document() -> None:
    openapi_spec_validator.validate(DOCUMENT)


def test_it_has_the_paths_and_methods_that_the_application_has() -> None:
    application = create_app(
        cast(
            Surface, SimpleNamespace(**dict.fromkeys(("chat", "completions", "models", "keys"), _nobody), metrics=None)
        )
    )
    served = {(r.path, m) for r in application.routes if isinstance(r, Route) for m in r.methods or ()}
    told = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item}
    assert told == {(path, method) for path, method in served if method != "HEAD"}


async def _nobody(_request: Request) -> None:
    """In the place of what answers."""


@pytest.mark.parametrize("kind", sorted(set(document.kinds()), key=lambda kind: kind.__name__))
def test_every_error_is_told_where_it_can_be_met(kind: type[GatewayError]) -> None:
    responses = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]
    if kind in (NotFound, MethodNotAllowed):
        assert kind.message not in json.dumps(responses)
        return
    said = _error(responses[str(kind.status)])
    assert kind.message in said["message"]["enum"]
    assert kind.code in said["code"]["enum"]
    assert kind.type in said["type"]["enum"]


def _error(response: dict[str, Any]) -> dict[str, Any]:
    schema = response["content"]["application/json"]["schema"]
    return dict(schema["properties"]["error"]["properties"])


def test_what_the_listener_says_before_a_request_is_told() -> None:
    said = {status: json.loads(body)["error"] for status, body in connection._BODIES.items()}
    told = {
        status: {"type": each.type, "code": each.code, "message": each.message, "param": None}
        for status, each in document.BEFORE.items()
    }
    assert said == told


def test_nothing_private_is_in_it() -> None:
    """Neither what a policy says nor which reasons there are for refusing a token."""
    text = FILE.read_text(encoding="utf-8")
    assert not any(word in text for word in ("unknown_issuer", "too_long_lived", "customer", "clearance"))
