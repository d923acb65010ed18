"""What comes in: the header lines that count, and a body of bounded size, duration and slowness."""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive

from gateway.errors import BadJson, BodyTooLarge, NotAuthenticated, Reason, RequestTimeout, UnsupportedMedia
from gateway.http import envelope
from gateway.policy.body import DEFAULT_BOUNDS, BodyBounds

# Names under which tokens are put into queries, from where they reach logs, histories and Referer headers.
_TOKEN_NAMES: Final = frozenset(
    {
        "accesstoken",
        "idtoken",
        "refreshtoken",
        "token",
        "apikey",
        "xapikey",
        "subscriptionkey",
        "authorization",
        "auth",
        "bearer",
        "jwt",
        "key",
        "secret",
        "clientsecret",
        "clientassertion",
        "password",
    }
)  # without "-" and "_"
_NO_SIGNS: Final = str.maketrans("", "", "-_")
# '{"' in base64url begins every usual JWT; one with a space in its header has two long parts at the least.
_JWT: Final = re.compile(r"eyJ|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.")
MAX_QUERY_BYTES: Final = 4096  # no endpoint takes a query; more than this is not even looked at
END_USER: Final = "tightlip-end-user"
ENCRYPTED: Final = "tightlip-request"
ENCRYPTED_MORE: Final = 4096  # bytes that a message has beside its content: header, keys, tag
BODY_GRACE_SECONDS: Final = 5.0  # before the least rate counts: a round trip, a client that pauses once


@dataclass(frozen=True, slots=True)
class BodyLimits:
    size: int  # bytes
    seconds: float  # for all of it
    rate: int = 500  # bytes a second, on average since the beginning, once the grace is over
    json: BodyBounds = DEFAULT_BOUNDS


@dataclass(frozen=True, slots=True)
class Head:
    """The header lines that we read; every other one does not exist for us."""

    authorization: Sequence[bytes]
    content_type: Sequence[bytes]
    content_encoding: Sequence[bytes]
    content_length: Sequence[bytes]
    end_user: Sequence[bytes] = ()  # a signed assertion of who sits before the application
    encrypted: Sequence[bytes] = ()  # a request without a body


_READ: Final = (
    b"authorization",
    b"content-type",
    b"content-encoding",
    b"content-length",
    END_USER.encode(),
    ENCRYPTED.encode(),
)


class Media(enum.Enum):
    """What a body may be."""

    JSON = envelope.JSON
    JOSE = envelope.JOSE  # RFC 7515, 9.2.1: one JWE in its compact form


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    lines: dict[bytes, list[bytes]] = {name: [] for name in _READ}
    for name, value in headers:
        if name in lines:
            lines[name].append(value)
    return Head(*lines.values())


def refuse_token_in_query(query: bytes) -> None:
    """A token in a query has been written down on the way; it is refused even beside a good header.

    Raises NotAuthenticated.
    """
    if not query:
        return
    if len(query) > MAX_QUERY_BYTES:
        raise NotAuthenticated(Reason.IN_QUERY)
    for name, value in parse_qsl(query.decode("latin-1").replace(";", "&"), keep_blank_values=True):
        if name.lower().translate(_NO_SIGNS) in _TOKEN_NAMES or _JWT.search(f"{name} {value}"):
            raise NotAuthenticated(Reason.IN_QUERY)


async def read_body(head: Head, receive: Receive, limits: BodyLimits) -> bytes:
    """The whole body. Raises UnsupportedMedia, BodyTooLarge, RequestTimeout; BadJson when the caller went away."""
    if media_of(head) is Media.JOSE:
        limits = replace(limits, size=limits.size * 4 // 3 + ENCRYPTED_MORE)
    if head.content_length and int(head.content_length[0]) > limits.size:
        raise BodyTooLarge
    try:
        async with asyncio.timeout(limits.seconds) as deadline:
            return await _collect(receive, limits, deadline)
    except TimeoutError:
        raise RequestTimeout from None


def media_of(head: Head) -> Media:
    """JSON, in UTF-8 as JSON is, or encrypted; not compressed: a small body must not become a large one. Raises
    UnsupportedMedia."""
    if len(head.content_type) != 1 or head.content_encoding not in ([], [b"identity"]):
        raise UnsupportedMedia
    kind, _, parameters = head.content_type[0].decode("latin-1").lower().partition(";")
    said = parameters.replace(" ", "").replace('"', "")
    if kind.strip() == Media.JSON.value and said in ("", "charset=utf-8"):
        return Media.JSON
    if kind.strip() == Media.JOSE.value and not said:
        return Media.JOSE
    raise UnsupportedMedia


async def _collect(receive: Receive, limits: BodyLimits, deadline: asyncio.Timeout) -> bytes:
    """What has come sets when it will have been too slow: no clock has to look in between."""
    began = asyncio.get_running_loop().time()
    body = bytearray()
    more = True
    while more:
        patience = max(BODY_GRACE_SECONDS, len(body) / limits.rate)
        deadline.reschedule(began + min(limits.seconds, patience))
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadJson("disconnected")
        body += message.get("body", b"")
        if len(body) > limits.size:
            raise BodyTooLarge
        more = message.get("more_body", False)
    return bytes(body)
