"""What is answered, as JSON Schemas (draft 2020-12): `outbound`, `token_entries` and `routes` write it, and the tests
hold every answer against these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from filters.events import Ending
from gateway.http.outbound import FINGERPRINT
from gateway.http.routes import MODEL_CREATED, OWNER

Schema = dict[str, Any]

DONE: Final = "[DONE]"
REQUEST_ID: Final[Schema] = {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}


def component(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _closed(properties: Schema, *, optional: Sequence[str] = ()) -> Schema:
    """An object with these members and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


# ---- parts -----------------------------------------------------------------------------------------------------------

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT: Final[Schema] = {"type": "string"}
_ENDING: Final[Schema] = {"enum": [ending.value for ending in Ending]}
_CALL_ID: Final[Schema] = {"type": "string", "pattern": "^call_[0-9a-f]{24}$"}
_FUNCTION: Final = _closed({"name": _TEXT, "arguments": _TEXT})
_CALL: Final = _closed({"id": _CALL_ID, "type": {"const": "function"}, "function": _FUNCTION})
_USAGE: Final = _closed({"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT})
_KEY: Final = _closed(
    {
        "kid": _TEXT,
        "use": {"const": "enc"},
        "alg": {"const": "ECDH-ES+A256KW"},
        "crv": {"enum": ["P-256", "X25519"]},
        "kty": {"enum": ["EC", "OKP"]},
        "x": _TEXT,
        "y": _TEXT,
    },
    optional=("y",),
)
_LOGPROB: Final[Schema] = {"type": ["number", "null"]}
_TOKEN: Final = _closed(
    {
        "token": _TEXT,
        "logprob": _LOGPROB,
        "bytes": _listed({"type": "integer", "minimum": 0, "maximum": 255}),
        "top_logprobs": {"type": "array", "maxItems": 0},
    }
)
_CHAT_TOKENS: Final = _closed({"content": _listed(_TOKEN), "refusal": {"type": "null"}})
_TOKENS: Final = _closed(
    {
        "text_offset": _listed(_COUNT),
        "token_logprobs": _listed(_LOGPROB),
        "tokens": _listed(_TEXT),
        "top_logprobs": _listed({"type": "object", "additionalProperties": _LOGPROB}),
    }
)
_IDS: Final = _listed(_COUNT)  # token ids, for roles that may ask for them
_MESSAGE: Final = _closed(
    {
        "role": {"const": "assistant"},
        "content": _or_null(_TEXT),
        "refusal": _or_null(_TEXT),
        "reasoning": _TEXT,
        "tool_calls": _listed(_CALL) | {"minItems": 1},
    },
    optional=["reasoning", "tool_calls"],
)
_PIECE_OF_A_CALL: Final = _closed(
    {
        "index": _COUNT,
        "id": _CALL_ID,
        "type": {"const": "function"},
        "function": _closed({"name": _TEXT, "arguments": _TEXT}, optional=["name"]),
    },
    optional=["id", "type"],
)
_DELTA: Final = _closed(
    {
        "role": {"const": "assistant"},
        "content": _TEXT,
        "refusal": _TEXT,
        "reasoning": _TEXT,
        "tool_calls": _listed(_PIECE_OF_A_CALL),
    },
    optional=["role", "content", "refusal", "reasoning", "tool_calls"],
)


def _choice(said: Schema, tokens: Schema, *, ended: bool) -> Schema:
    told = {"logprobs": _or_null(tokens), "finish_reason": _ENDING if ended else _or_null(_ENDING), "token_ids": _IDS}
    return _closed({"index": _COUNT} | said | told, optional=["token_ids"])


def _frame(kind: str, prefix: str, choice: Schema, *, streamed: bool) -> Schema:
    return _closed(
        {
            "id": {"type": "string", "pattern": f"^{prefix}-[0-9a-f]{{32}}$"},
            "object": {"const": kind},
            "created": _COUNT,
            "model": _TEXT,
            "choices": _listed(choice),
            "usage": _USAGE,
            "system_fingerprint": {"const": FINGERPRINT},
        },
        optional=["usage"] if streamed else [],
    )


# ---- whole answers ---------------------------------------------------------------------------------------------------

_MODEL: Final = _closed(
    {"id": _TEXT, "object": {"const": "model"}, "created": {"const": MODEL_CREATED}, "owned_by": {"const": OWNER}}
)
COMPONENTS: Final[dict[str, Schema]] = {
    "ChatCompletion": _frame(
        "chat.completion", "chatcmpl", _choice({"message": _MESSAGE}, _CHAT_TOKENS, ended=True), streamed=False
    ),
    "ChatCompletionChunk": _frame(
        "chat.completion.chunk", "chatcmpl", _choice({"delta": _DELTA}, _CHAT_TOKENS, ended=False), streamed=True
    ),
    "Completion": _frame("text_completion", "cmpl", _choice({"text": _TEXT}, _TOKENS, ended=True), streamed=False),
    "CompletionChunk": _frame("text_completion", "cmpl", _choice({"text": _TEXT}, _TOKENS, ended=False), streamed=True),
    "Models": _closed({"object": {"const": "list"}, "data": _listed(_MODEL)}),
    "Keys": _closed({"keys": _listed(_KEY)}),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What one error says."""

    type: str
    code: str
    message: str


def refusal(refusals: Iterable[Refusal]) -> Schema:
    """OpenAI's error object, one of these."""
    said = list(refusals)
    return _closed(
        {
            "error": _closed(
                {
                    "message": {"enum": sorted({each.message for each in said})},
                    "type": {"enum": sorted({each.type for each in said})},
                    "param": {"type": ["string", "null"], "description": "A field of the request, never a value."},
                    "code": {"enum": sorted({each.code for each in said})},
                }
            )
        }
    )


def event(frame: str, error: Schema) -> Schema:
    """One event of a stream: a frame, the end mark, or the error that ended it."""
    told = {"contentMediaType": "application/json", "contentSchema": {"anyOf": [component(frame), error]}}
    data = {"type": "string", "anyOf": [{"const": DONE}, told]}
    return {"type": "object", "properties": {"data": data}, "required": ["data"]}
