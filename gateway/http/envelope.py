"""How the bodies of one answer leave: as they are, or encrypted to its caller.

1. Whatever is sent as a body is `Wire`. Only the envelopes below make it, and `piece` and `response` below are the only
   ones that put a body into a message for the server: both are held by a test that reads the sources. So there is no
   way for text past the envelope of its request.
2. A request begins with the plain one. Once it has been decrypted its envelope is the sealed one, for good: whatever is
   said from then on (an answer, an error, why it was ended from outside) is sealed.
3. What a role must not say in the plain it can't: `fitting` refuses an answer for it in another envelope.
4. Plain are, for everybody: comments between frames, which say nothing, and errors from before the request was
   decrypted, whose texts are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NewType, Protocol

from starlette.responses import Response
from starlette.types import Message, Scope

from gateway.encryption.answers import AnswerSealer
from gateway.errors import GatewayError
from gateway.types import Grant

Wire = NewType("Wire", bytes)

JSON: Final = "application/json"
JOSE: Final = "application/jose"
SSE: Final = "text/event-stream; charset=utf-8"
_HELD: Final = "tightlip.envelope"


class Envelope(Protocol):
    """Makes `Wire`. For one answer."""

    @property
    def sealed(self) -> bool: ...

    @property
    def whole_type(self) -> str:
        """The content type of an answer in one piece."""
        ...

    def whole(self, body: bytes, status: int) -> Wire:
        """An answer in one piece, with its status."""
        ...

    def events(self, payloads: Sequence[bytes], *, last: bool = False) -> Wire:
        """Events of a stream, each with its data. `last`: the stream ends with them."""
        ...


class Plain:
    """Bodies as they are."""

    sealed = False
    whole_type = JSON

    def whole(self, body: bytes, status: int) -> Wire:
        """As `Envelope.whole`."""
        return Wire(body)

    def events(self, payloads: Sequence[bytes], *, last: bool = False) -> Wire:
        """As `Envelope.events`."""
        return Wire(b"".join([b"data: %s\n\n" % payload for payload in payloads]))


class Sealed:
    """Every piece is a JWE (docs/encryption.md)."""

    sealed = True
    whole_type = JOSE

    def __init__(self, sealer: AnswerSealer) -> None:
        self._sealer = sealer

    def whole(self, body: bytes, status: int) -> Wire:
        """As `Envelope.whole`."""
        return Wire(self._sealer.seal(body, status, last=True).encode())

    def events(self, payloads: Sequence[bytes], *, last: bool = False) -> Wire:
        """As `Envelope.events`."""
        final = len(payloads) - 1
        frames = [
            self._sealer.seal(payload, 200, last=last and number == final) for number, payload in enumerate(payloads)
        ]
        return Wire(b"".join([b"data: %s\n\n" % frame.encode() for frame in frames]))


PLAIN: Final = Plain()
COMMENT: Final = Wire(b": keep-alive\n\n")


def begin(scope: Scope) -> None:
    """Nothing of this request is known yet."""
    scope[_HELD] = [PLAIN]


def seal(scope: Scope, envelope: Sealed) -> None:
    """From here on everything that is said to this request is sealed."""
    held: list[Envelope] = scope[_HELD]
    held[0] = envelope


def envelope_of(scope: Scope) -> Envelope:
    """That of the request that this scope belongs to."""
    held: list[Envelope] = scope[_HELD]
    return held[0]


def fitting(envelope: Envelope, grant: Grant) -> Envelope:
    """The same, if this grant's answer may leave in it. Raises GatewayError: our mistake, and nothing leaves."""
    if grant.encryption == "required" and not envelope.sealed:
        raise GatewayError("unsealed")
    return envelope


def piece(data: Wire, *, more: bool) -> Message:
    """A part of a body, for the server."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def response(data: Wire, status: int, headers: list[tuple[bytes, bytes]]) -> Response:
    """A whole answer."""
    made = Response(data, status)
    made.raw_headers = [*headers, (b"content-length", b"%d" % len(data))]
    return made
