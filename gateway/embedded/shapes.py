"""The pieces that the shapes of vLLM's answers share: heads, usage, token names, scored prompts.

tests/vectors/vllm_frames holds what vLLM itself answered.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.embedded.engine import Output, Prompt
from gateway.embedded.sampling import Position
from gateway.embedded.tokenizer import CONTEXT, TextTokenizer

WIRE_VERSION = "0.32.0"  # the vLLM release whose shapes these are

Json = dict[str, Any]


@dataclass
class TokenNames:
    """Names the tokens of one choice, or of one prompt, as its log-probabilities do: each with the ids before it."""

    tokenizer: TextTokenizer
    context: list[int] = field(default_factory=list)

    def texts(self, position: Position) -> dict[int, str]:
        """The text of each candidate at the next position, whose own token is the first."""
        named = {token: self.tokenizer.token_text(token, self.context) for token in position}
        self.context = [*self.context[1 - CONTEXT :], next(iter(position))]
        return named


@dataclass(frozen=True)
class Head:
    """What every frame of one answer begins with."""

    id: str
    model: str
    fingerprint: str
    created: int = field(default_factory=lambda: int(time.time()))

    @staticmethod
    def new(prefix: str, model: str, fingerprint: str) -> "Head":
        """A head with an id of its own."""
        return Head(f"{prefix}-{secrets.token_hex(8)}", model, fingerprint)

    def frame(self, kind: str, choices: list[Json]) -> Json:
        """The beginning of a frame or answer."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


class Frames(Protocol):
    """One request's answer, as frames or as a whole; fed the engine's outputs in their order."""

    def opening(self) -> Iterable[Json]:
        """The frames before the first token."""

    def frame(self, output: Output) -> Json:
        """One token's frame."""

    def closing(self) -> Iterable[Json]:
        """The frames after the last token: usage, where it is asked for."""

    def whole(self, outputs: Sequence[Output]) -> Json:
        """The answer of a request that does not stream."""


def token_name(token: int, text: str, as_ids: bool | None) -> str:
    """A token as log-probabilities name it: its text, or its id where the request wants ids for names."""
    return f"token_id:{token}" if as_ids else text


def prompt_scores(prompt: Prompt, tokenizer: TextTokenizer) -> list[Mapping[str, Json] | None] | None:
    """Per position an object by token id, the prompt's own token first; null for the first position."""
    if prompt.scores is None:
        return None
    names = TokenNames(tokenizer)
    return [None if position is None else _scored_tokens(position, names) for position in prompt.scores]


def usage(prompt: int, generated: int) -> Json:
    """The three counts that every usage object begins with."""
    return {"prompt_tokens": prompt, "total_tokens": prompt + generated, "completion_tokens": generated}


def full_usage(prompt: int, generated: int) -> Json:
    """The usage object of an answer that does not stream."""
    return usage(prompt, generated) | {"prompt_tokens_details": None, "completion_tokens_details": None}


def of_lane(outputs: Sequence[Output], lane: int) -> list[Output]:
    """One choice's outputs."""
    return [output for output in outputs if output.lane == lane]


def _scored_tokens(position: Position, names: TokenNames) -> dict[str, Json]:
    texts = names.texts(position)
    return {
        str(token): {"logprob": scored.logprob, "rank": scored.rank, "decoded_token": texts[token]}
        for token, scored in position.items()
    }
