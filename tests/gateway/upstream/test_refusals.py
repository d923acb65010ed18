"""What vLLM's errors become: its own recorded bodies, and that none of their text goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.policy.fields import PATHS
from gateway.upstream.refusals import error_of, in_band
from tests.gateway.support import CANARY

RECORDED = {
    path.stem.removeprefix("error_"): recorded
    for path in sorted(Path("tests/vectors/vllm_frames").glob("error_*.json"))
    if (recorded := json.loads(path.read_text(encoding="utf-8")))["status"] >= 400  # some are none
}
CONTEXT = ("context_length_exceeded", None)
CALLER = ("invalid_request", None)
EXPECTED: dict[str, tuple[str, str | None]] = {
    "context": CONTEXT,
    "context_chat": CONTEXT,
    "context_exact": CONTEXT,
    "max_tokens": CONTEXT,
    "max_tokens_chat": CONTEXT,
    "max_completion": CONTEXT,
    "context_text": CONTEXT,
    "max_tokens_zero": CONTEXT,  # nobody can ask us for none: with vLLM it also means a prompt that fills the context
    "n_many": ("invalid_value", "n"),
    "tools_auto": ("unsupported_parameter", "tool_choice"),
    "model": ("upstream_error", None),
    "model_legacy": ("upstream_error", None),
    "path": ("upstream_error", None),
    "method": ("upstream_error", None),
}
INVENTED: list[tuple[int, dict[str, Any] | str, str, str | None]] = [
    (400, {"message": f"This model's maximum context length is 1024 tokens. {CANARY}"}, *CONTEXT),
    (400, {"message": f"The decoder prompt is longer than the maximum model length of 8. {CANARY}"}, *CONTEXT),
    (400, {"message": f"Input length (9) exceeds model's maximum context length (8). {CANARY}"}, *CONTEXT),
    (400, {"message": f"{CANARY}", "param": "input_text"}, *CONTEXT),
    (422, {"message": f"Conversation roles must alternate user {CANARY}"}, "invalid_value", "messages"),
    (400, {"message": f"{CANARY} is not a multimodal model"}, "invalid_value", "messages"),
    (400, {"message": f"It is not supported by xgrammar. {CANARY}"}, "invalid_value", "response_format"),
    (400, {"message": CANARY, "param": "temperature"}, "invalid_value", "temperature"),
    (400, {"message": CANARY, "param": "cache_salt"}, *CALLER),
    (400, {"message": CANARY, "param": CANARY}, *CALLER),
    (400, {"message": f'{CANARY} "param": "seed"', "param": None}, *CALLER),
    (400, CANARY, *CALLER),
    (401, {"message": f"Invalid key {CANARY}"}, "upstream_error", None),
    (403, {"message": CANARY}, "upstream_error", None),
    (404, {"message": f"The model `{CANARY}` does not exist."}, "upstream_error", None),
    (408, {"message": CANARY}, "upstream_timeout", None),
    (413, {"message": CANARY}, "request_too_large", None),
    (413, {"message": f"maximum context length {CANARY}"}, *CONTEXT),
    (429, {"message": CANARY}, "rate_limit_exceeded", None),
    (500, {"message": f"EngineCore encountered an issue {CANARY}"}, "upstream_error", None),
    (501, {"message": CANARY}, "upstream_error", None),
    (503, {"message": CANARY}, "upstream_unavailable", None),
    (504, CANARY, "upstream_timeout", None),
    (307, CANARY, "upstream_error", None),
]  # fmt: skip


def told(error: GatewayError) -> tuple[str | None, str | None]:
    return error.code, error.param


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_errors(name: str) -> None:
    recorded = RECORDED[name]
    raw_body = json.dumps(recorded["body"]).encode()
    error = error_of(recorded["status"], raw_body)
    if name in EXPECTED:
        assert told(error) == EXPECTED[name]
    else:
        assert error.code in ("invalid_request", "invalid_value")
        assert error.param in (None, (recorded["body"].get("error") or {}).get("param"))
    says_nothing_of(raw_body, error)


def says_nothing_of(raw_body: bytes, error: GatewayError) -> None:
    ours = json.dumps(error.body()) + error.reason + str(error)
    words = {word for word in raw_body.decode("utf-8", "replace").replace('"', " ").split() if len(word) > 9}
    assert not [word for word in words if word in ours and word not in PATHS]


@pytest.mark.parametrize(("status", "body", "code", "param"), INVENTED)
def test_what_others_say(status: int, body: dict[str, Any] | str, code: str, param: str | None) -> None:
    raw_body = body.encode() if isinstance(body, str) else json.dumps({"error": body | {"code": status}}).encode()
    error = error_of(status, raw_body)
    assert told(error) == (code, param)
    assert CANARY not in json.dumps(error.body()) + error.reason + str(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": f"maximum context length {CANARY}", "code": 400}, "context_length_exceeded"),
        ({"message": CANARY, "code": "429"}, "rate_limit_exceeded"),
        ({"message": CANARY, "code": 500}, "upstream_error"),
        ({"message": CANARY}, "upstream_error"),
        ({"message": CANARY, "code": None}, "upstream_error"),
        (CANARY, "upstream_error"),
    ],
)
def test_errors_in_the_middle_of_a_stream(error: Any, code: str) -> None:
    ours = in_band(json.dumps(error).encode())
    assert ours.code == code
    assert CANARY not in json.dumps(ours.body()) + ours.reason


@given(st.integers(300, 599), st.binary(max_size=200))
def test_anything_becomes_an_error_of_ours(status: int, raw_body: bytes) -> None:
    assert error_of(status, raw_body).status >= 400
