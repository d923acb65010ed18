"""The tokens of a request, from a server that does not send them with its answer: vLLM's /tokenize."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.errors import UpstreamBroken
from gateway.upstream.client import TOKENIZE, Errand, Server, UpstreamClient

# What of a request its tokens depend on.
_FIELDS: Final = ("messages", "tools", "add_generation_prompt", "continue_final_message", "prompt")


class _Answer(msgspec.Struct):
    tokens: list[int]


_ANSWER: Final = msgspec.json.Decoder(_Answer)


async def prompt_ids(
    client: UpstreamClient, server: Server, body: Mapping[str, Any], errand: Errand, deadline: float
) -> list[int]:
    """The token ids that this server makes of a chat's or a completion's body, within `deadline` seconds; at least one.

    Raises UpstreamError, and CallerError where the server refuses the request.
    """
    asked = {name: body[name] for name in _FIELDS if name in body} | {"model": server.model}
    raw = await client.post(server, TOKENIZE, asked, errand, deadline)
    try:
        tokens = _ANSWER.decode(raw).tokens
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("tokens") from None
    if not tokens:
        raise UpstreamBroken("tokens")
    return tokens
