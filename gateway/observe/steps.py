"""What a request's time went into: steps, some within others. No text, no exception's words: kinds, times and codes.

1. Steps are noted as they happen and told of once, when the request has ended, beside its record (spans.py).
2. At most MOST_STEPS of one request are noted; the others are counted.
3. Where there are no traces, and for a request that none is made of, all of it is NOTHING, which notes nothing.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from gateway.errors import GatewayError

MOST_STEPS: Final = 256  # of one request: an answer in bounded mode asks hundreds of times
CANCELLED: Final = "cancelled"  # nobody's error: the caller went, or nobody had use for more


class Kind(enum.StrEnum):
    """A closed set, and the names of spans."""

    REQUEST = "request"
    AUTHENTICATE = "authenticate"
    READ = "read"  # the body
    ADMIT = "admit"  # authorisation, parameters, limits
    BUDGET = "budget"  # what the leak budget has left
    PREPARE = "prepare"  # the request is read for what the caller gave himself
    QUESTION = "question"  # to the base, with the time until it had a place there
    OPENING = "opening"  # whether the base would decline, likewise
    FALL_BACK = "fall_back"
    CALL = "call"  # one to one replica of a model server, until its answer was read


@dataclass(frozen=True, slots=True)
class Called:
    """What was called: the path, the server's name for the model, and the replica's address."""

    path: str
    model: str
    at: str


class Steps:
    """Where nothing is noted. `Step` does."""

    __slots__ = ()

    @property
    def traceparent(self) -> str | None:
        """What the next service is told of where it stands (W3C Trace Context), if it is to be told."""
        return None

    def step(self, kind: Kind) -> Steps:
        """A step within this one, for as long as a `with` block lasts."""
        return self

    def call(self, path: str, model: str, at: str) -> Steps:
        """The same for a call to a model server."""
        return self

    def failed(self, error: BaseException) -> None:
        """It came to nothing, though the block ends well."""

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.failed(error)


NOTHING: Final = Steps()


@dataclass(slots=True, eq=False)
class Trace:
    """What all steps of one request share. `parent` is the caller's span, where callers are trusted."""

    id: int
    parent: int | None = None
    left: int = MOST_STEPS
    left_out: int = 0


@dataclass(slots=True, eq=False)
class Step(Steps):
    """Times are the monotonic clock's, in seconds; it has ended with its block, or else when the request has. `tells`:
    model servers that are called within it are told of it, but not of a fallback: a trace may not show that there was
    one (spans.py), and their own spans would."""

    trace: Trace
    kind: Kind
    begun: float = field(default_factory=time.monotonic)
    id: int = field(default_factory=lambda: new_id(64))
    ended: float | None = None
    error: str | None = None
    called: Called | None = None
    within: list[Step] = field(default_factory=list)
    tells: bool = False

    @property
    def traceparent(self) -> str | None:
        return f"00-{self.trace.id:032x}-{self.id:016x}-01" if self.tells else None

    def step(self, kind: Kind) -> Steps:
        return self._new(kind)

    def call(self, path: str, model: str, at: str) -> Steps:
        return self._new(Kind.CALL, Called(path, model, at))

    def failed(self, error: BaseException) -> None:
        self.error = _code(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = time.monotonic()
        Steps.__exit__(self, kind, error, trace)

    def _new(self, kind: Kind, called: Called | None = None) -> Steps:
        if not self.trace.left:
            self.trace.left_out += 1
            return NOTHING
        self.trace.left -= 1
        tells = self.tells and kind is not Kind.FALL_BACK
        step = Step(self.trace, kind, called=called, tells=tells)
        self.within.append(step)
        return step


def new_id(bits: int) -> int:
    """A random one; 0 is none."""
    return secrets.randbits(bits) or 1


def _code(error: BaseException) -> str:
    """Of a closed set for errors of ours, else the exception's type: never its text."""
    if isinstance(error, GatewayError):
        return error.code or error.type
    return CANCELLED if isinstance(error, asyncio.CancelledError | GeneratorExit) else type(error).__name__
