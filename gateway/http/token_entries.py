"""Tokens of released text in OpenAI's and vLLM's words: `logprobs` of both endpoints, `token_ids`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from filters.events import ReleasedToken
from gateway.types import Tells

Tokens = Sequence[ReleasedToken]


def entries(tokens: Tokens, tells: Tells, *, chat: bool) -> dict[str, Any]:
    """The members of a choice that speak of its tokens."""
    told: dict[str, Any] = {}
    if tells.logprobs:
        told["logprobs"] = _chat(tokens) if chat else _legacy(tokens)
    if tells.token_ids:
        told["token_ids"] = [token.id for token in tokens]
    return told


def _chat(tokens: Tokens) -> dict[str, Any]:
    said = [
        {
            "token": _text(token),
            "logprob": token.logprob,
            "bytes": list(token.spelling),
            "top_logprobs": [],
        }
        for token in tokens
    ]
    return {"content": said, "refusal": None}


def _legacy(tokens: Tokens) -> dict[str, Any]:
    texts = [_text(token) for token in tokens]
    scores = [token.logprob for token in tokens]
    return {
        "text_offset": [token.offset for token in tokens],
        "token_logprobs": scores,
        "tokens": texts,
        "top_logprobs": [{text: score} for text, score in zip(texts, scores, strict=True)],
    }


def _text(token: ReleasedToken) -> str:
    """A part of a character reads as U+FFFD; its bytes are told beside it."""
    return token.spelling.decode("utf-8", "replace")
