"""Who answers when a choice falls back, and what is asked of him. What he goes on from is docs/fallback.md's table.

The base model answers as if it had never been tuned. One without instruction tuning can't: a configured text stands in,
or a third model, and the base is only asked for scores. All of it goes through the filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from filters.events import FallBack
from filters.pii.generalise import is_chinese
from gateway.upstream.client import Server
from gateway.upstream.vocabulary import TokenizerVocabulary

# The base is asked for one choice, and answers in words: what it would call, nobody has compared with anything.
_NOT_ASKED: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls", "n"})
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Texts:
    """What is said instead, by the language of the user's last message."""

    en: str
    zh: str

    def speech(self, body: Mapping[str, Any], fallback: FallBack) -> str:
        """The text, as it goes on behind what has left."""
        if is_chinese(_last_user_text(body["messages"]), ""):
            return self.zh
        return f" {self.en}" if fallback.released_text else self.en


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model that answers instead. `vocabulary` is its own: what would be special tokens of it is broken up.

    `is_base`: it is the pair's base model, so that its tokens are the pair's.
    """

    server: Server
    vocabulary: TokenizerVocabulary
    is_base: bool

    def body(self, body: Mapping[str, Any], fallback: FallBack, tokens_left: int | None) -> dict[str, Any]:
        """The same request for one choice with what is left of its tokens, the released text as the beginning of its
        answer. `body` is the request as the caller wrote it."""
        request = {key: value for key, value in body.items() if key not in _NOT_ASKED}
        if tokens_left is not None:
            request |= {key: tokens_left for key in _LIMITS if key in request}
        if fallback.released_text:
            request |= {
                "messages": _continued(request, fallback.released_text),
                "continue_final_message": True,
                "add_generation_prompt": False,
            }
        defused: dict[str, Any] = self.vocabulary.defused(request)
        return defused | {"model": self.server.model}

    def opening(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same messages, for how the model would begin to answer: in prose, without tools, and not behind words
        that the request puts into its mouth."""
        messages = list(body["messages"])
        if body.get("continue_final_message") and len(messages) > 1:
            messages.pop()
        defused: dict[str, Any] = self.vocabulary.defused({"messages": messages})
        return defused | {"model": self.server.model}


def _continued(request: Mapping[str, Any], released_text: str) -> list[Any]:
    """The messages with what has been said; a message that the caller had continued goes on."""
    *before, last = request["messages"]
    if request.get("continue_final_message"):
        return [*before, last | {"content": last["content"] + released_text}]
    return [*before, last, {"role": "assistant", "content": released_text}]


def _last_user_text(messages: list[Mapping[str, Any]]) -> str:
    content = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content or ())
