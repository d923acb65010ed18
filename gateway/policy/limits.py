"""What a request may come to, by role: counts and lengths; and what callers may ask in a time. Over one of
them it is refused before a model server hears.

The bounds on the numbers here keep a typing error from being a limit. What holds before anybody knows whose request it
is (the body's size, its depth) is in the settings.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MAX_MESSAGES: Final = 8192  # templates walk them several times over
MAX_PROMPT_CHARS: Final = 64 << 20
MAX_SCHEMA_CHARS: Final = 1 << 20
MOST_REQUESTS: Final = 10**9
MOST_TOKENS: Final = 10**12
MOST_STREAMS: Final = 10_000  # their leases are counted one by one


class RequestLimits(BaseModel):
    """Lengths are characters."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    messages: int = Field(default=2048, ge=1, le=MAX_MESSAGES)  # each part of one that has several counts as one
    prompt_chars: int = Field(default=524_288, ge=1, le=MAX_PROMPT_CHARS)  # of all texts and tools: 128k tokens
    stops: int = Field(default=4, ge=0, le=64)  # OpenAI's; the gateway matches them itself, on all that it releases
    stop_chars: int = Field(default=256, ge=1, le=4096)
    tools: int = Field(default=128, ge=0, le=1024)  # OpenAI's; of definitions, and of calls in one message
    schema_chars: int = Field(default=65_536, ge=2, le=MAX_SCHEMA_CHARS)  # of each schema, written without spaces
    name_chars: int = Field(default=64, ge=1, le=256)  # OpenAI's, of tools, schemas and participants
    media: int = Field(default=8, ge=0, le=256)  # content parts that are no text
    media_bytes: int = Field(default=4 << 20, ge=1, le=64 << 20)  # of each, decoded; the body's size bounds it too


class RateLimits(BaseModel):
    """What may be asked in a moving minute or day, and how many answers may be under way, over all replicas (see
    gateway/limits.py). What is not said is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    requests_per_minute: int | None = Field(default=None, ge=1, le=MOST_REQUESTS)
    requests_per_day: int | None = Field(default=None, ge=1, le=MOST_REQUESTS)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    tokens_per_day: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    streams: int | None = Field(default=None, ge=1, le=MOST_STREAMS)

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return self != NO_RATE_LIMITS

    @property
    def of_tokens(self) -> bool:
        """Whether tokens are limited."""
        return self.tokens_per_minute is not None or self.tokens_per_day is not None


NO_RATE_LIMITS: Final = RateLimits()
DEFAULT_LIMITS: Final = RequestLimits()
