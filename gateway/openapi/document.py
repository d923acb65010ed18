"""The gateway's own description, an OpenAPI 3.2 document, made from what it goes by: the table of fields, the table of
errors, the list of endpoints. It is not served: a public surface says no more of itself than it must."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.envelope import JOSE, JSON
from gateway.http.inbound import ENCRYPTED, END_USER
from gateway.openapi import answers, requests
from gateway.openapi.answers import Refusal, Schema, component
from gateway.types import Endpoint

VERSION: Final = "3.2.0"
EVENTS: Final = "text/event-stream"

_ABOUT: Final = """\
OpenAI's protocol in front of a fine-tuned model, whose answers are filtered while they stream. Bodies are UTF-8 JSON
without a content encoding; a key stands once in an object. What a role may send (fields, models, endpoints, how much)
is the policy's to say: a request that this document allows may be refused with 400, 403 or 404. Where a role encrypts,
requests and answers are each a JWE, `application/jose`, whose plain text is what this document describes, and the data
of each event is one. The text of an answer
is what the filters released; `finish_reason` is `content_filter` where they ended it, and `usage` counts what was
released."""
_STREAM: Final = """\
Where `stream` is true: an event for each piece, then `[DONE]`. An error after the first byte is an event with an error
object and the end of the stream, without `[DONE]`. Comments (`: keep-alive`) come on a fixed clock."""

# What the listener says before there is a request (gateway/http/connection.py), so without the headers of answers.
BEFORE: Final[Mapping[int, Refusal]] = {
    status: Refusal("invalid_request_error", code, message)
    for status, code, message in (
        (400, "invalid_request", "The request is not valid HTTP."),
        (408, "request_timeout", "The request was not sent in time."),
        (414, "request_too_large", "The request's address is too long."),
        (431, "request_too_large", "The request's headers are too large."),
    )
}

# What no request to a known path with its method can meet.
_ELSEWHERE: Final = frozenset({errors.NotFound, errors.MethodNotAllowed})
_OF_ANSWERS: Final = (errors.UpstreamError, errors.FilterFailed, errors.LeakBudgetSpent, errors.RoleBusy)
_OF_LIMITS: Final = (errors.LimitReached, errors.LimitsUnavailable)


def document(version: str) -> Schema:
    """Of the public listener; `version` is the gateway's own."""
    return {
        "openapi": VERSION,
        "info": {
            "title": "Tightlip",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            Endpoint.CHAT.value: {"post": _completing(Endpoint.CHAT, "ChatCompletion", "Answer a chat.")},
            Endpoint.COMPLETIONS.value: {"post": _completing(Endpoint.COMPLETIONS, "Completion", "Continue a text.")},
            Endpoint.MODELS.value: {"get": _listing("listModels", "The models that this caller may use.", "Models")},
            Endpoint.KEYS.value: {"get": _listing("listKeys", "The gateway's public keys, where he encrypts.", "Keys")},
        },
        "components": {"schemas": _components(), "headers": _HEADERS, "securitySchemes": {"token": _TOKEN}},
    }


def text(version: str) -> str:
    """The document as it is printed."""
    return json.dumps(document(version), indent=1, ensure_ascii=False) + "\n"


# A compact JWE (RFC 7516, 7.1).
_SEALED: Final[Schema] = {"schema": {"type": "string", "pattern": r"^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$"}}
_TOKEN: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token of an issuer that the policy names; only in the Authorization header.",
}
_END_USER: Final[Schema] = {
    "name": END_USER,
    "in": "header",
    "description": "A signed assertion of who sits before the application, where the policy takes them: a token of an "
    "issuer that it names for this. Anything else in this header is refused as a bad token is.",
    "schema": {"type": "string"},
}
_TOLD: Final[Mapping[str, tuple[str, Schema]]] = {
    "limit": ("What may be asked in a time.", {"type": "integer", "minimum": 1}),
    "remaining": ("What is left of it.", {"type": "integer", "minimum": 0}),
    "reset": ("When all of it is there again.", {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?[0-9]+s$"}),
}
_OF_CALLERS: Final = [f"x-ratelimit-{what}-{unit}" for unit in ("requests", "tokens") for what in _TOLD]
_HEADERS: Final[Mapping[str, Schema]] = {
    "x-request-id": {
        "description": "The gateway's own; it stands in its records.",
        "required": True,
        "schema": answers.REQUEST_ID,
    },
    "cache-control": {"description": "Answers are personal.", "required": True, "schema": {"const": "no-store"}},
    "www-authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "x-should-retry": {
        "description": "Where trying again soon is of no use.",
        "schema": {"enum": ["false"]},
    },
    "retry-after": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    **{
        f"x-ratelimit-{what}-{unit}": {
            "description": f"{text} Where the caller's role has such a limit.",
            "schema": schema,
        }
        for unit in ("requests", "tokens")
        for what, (text, schema) in _TOLD.items()
    },
}


def _components() -> Schema:
    return {
        "ChatCompletionRequest": requests.body(Endpoint.CHAT),
        "CompletionRequest": requests.body(Endpoint.COMPLETIONS),
        **answers.COMPONENTS,
        "Error": answers.refusal([*BEFORE.values(), *map(_refusal, kinds())]),
    }


def kinds() -> Iterator[type[GatewayError]]:
    """Every error that the public listener knows."""
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        kind = waiting.pop(0)
        if kind is not errors.AdministrationError:
            yield kind
            waiting += kind.__subclasses__()


# ---- operations ------------------------------------------------------------------------------------------------------


def _completing(endpoint: Endpoint, name: str, summary: str) -> Schema:
    stream = {"itemSchema": answers.event(f"{name}Chunk", component("Error"))}
    good = {JSON: {"schema": component(name)}, JOSE: _SEALED, EVENTS: stream}
    asked = {"schema": component(f"{name}Request"), "examples": dict(requests.EXAMPLES[endpoint])}
    return {
        "operationId": f"create{name}",
        "summary": summary,
        "parameters": [_END_USER],
        "requestBody": {"required": True, "content": {JSON: asked, JOSE: _SEALED}},
        "responses": {"200": _answer(f"The answer. {_STREAM}", good, told=_OF_CALLERS)}
        | _failures(set(kinds()) - _ELSEWHERE),
    }


def _listing(operation: str, summary: str, name: str) -> Schema:
    """A request without a body, that asks no model."""
    unmet: set[type[GatewayError]] = {errors.BodyTooLarge, errors.UnsupportedMedia, errors.ModelNotFound}
    unmet |= {kind for kind in kinds() if issubclass(kind, (*_OF_ANSWERS, *_OF_LIMITS))}
    unmet |= {kind for kind in kinds() if kind.status == 400 and kind is not errors.CallerError}  # of bodies
    unmet -= {kind for kind in kinds() if issubclass(kind, errors.NotDecrypted)}
    good = {JSON: {"schema": component(name)}, JOSE: _SEALED}
    line = {"name": ENCRYPTED, "in": "header", "description": "The request, encrypted.", **_SEALED}
    met = set(kinds()) - (_ELSEWHERE - {errors.NotFound} if name == "Keys" else _ELSEWHERE) - unmet
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": [line, _END_USER],
        "responses": {"200": _answer(summary, good)} | _failures(met),
    }


def _failures(met: set[type[GatewayError]]) -> Schema:
    """Responses by status: what the application answers, and what the listener does."""
    statuses = sorted({*BEFORE, *(kind.status for kind in met)})
    return {str(status): _failure(status, [kind for kind in met if kind.status == status]) for status in statuses}


def _failure(status: int, met: list[type[GatewayError]]) -> Schema:
    before = [BEFORE[status]] if status in BEFORE else []
    refusals = sorted({*before, *map(_refusal, met)}, key=lambda each: (each.code, each.message))
    described = " ".join(dict.fromkeys(each.message for each in refusals))
    content = {JSON: {"schema": answers.refusal(refusals)}, JOSE: _SEALED}
    return {"description": described, "content": content} if before else _answer(described, content, met)


def _refusal(kind: type[GatewayError]) -> Refusal:
    return Refusal(kind.type, kind.code or kind.type, kind.message)


def _answer(
    description: str, content: Schema, met: Iterable[type[GatewayError]] = (), told: Iterable[str] = ()
) -> Schema:
    names = ["x-request-id", "cache-control"]
    names += ["www-authenticate"] if any(issubclass(kind, errors.NotAuthenticated) for kind in met) else []
    limited = any(issubclass(kind, errors.LimitReached) for kind in met)
    names += ["x-should-retry"] if limited or any(issubclass(kind, errors.LeakBudgetSpent) for kind in met) else []
    names += ["retry-after"] if limited or errors.ShuttingDown in met else []
    names += _OF_CALLERS if limited else told
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {"description": description, "headers": headers, "content": content}
