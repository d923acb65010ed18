"""Content parts that are no text. No filter reads them: what an image says is in the request and was never looked at.

A part holds its bytes (RFC 2397, base64), of a listed media type by what it says and by how it begins, since engines go
by the latter. Everything else would be an address from which the engine fetches: no http, no file, no name of an
uploaded one, in any spelling. Parts that hold tensors are known for no role.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import BadField, OverLimit
from gateway.policy.body import Json
from gateway.policy.limits import RequestLimits
from gateway.types import PartType

# By media type how such a file begins.
_BEGINNINGS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "audio/wav": re.compile(rb"RIFF....WAVE", re.DOTALL),
    "audio/mpeg": re.compile(rb"ID3|\xff[\xe2-\xff]"),
    "application/pdf": re.compile(rb"%PDF-"),
}
MEDIA_TYPES: Final[Mapping[PartType, frozenset[str]]] = {
    PartType.IMAGE: frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
    PartType.AUDIO: frozenset({"audio/wav", "audio/mpeg"}),
    PartType.FILE: frozenset({"application/pdf"}),
}
_FORMATS: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_DATA_URL: Final = re.compile(r"data:([a-z]+/[a-z]+);base64,", re.ASCII)
_LONGEST_BEGINNING: Final = 16


def check(part: Json, limits: RequestLimits) -> None:
    """A part that is no text, and that the role was given. Raises BadField or OverLimit with param `messages`."""
    kind = PartType(part["type"])
    _check_bytes(*_content(kind, part[kind]), MEDIA_TYPES[kind], limits.media_bytes)


def _content(kind: PartType, told: Mapping[str, Any]) -> tuple[str, str]:
    """The media type and the bytes in base64."""
    if kind is PartType.AUDIO:
        return _FORMATS[told["format"]], told["data"]
    url = told["url"] if kind is PartType.IMAGE else told["file_data"]
    head = _DATA_URL.match(url)
    if head is None:
        raise BadField(param="messages")
    return head[1], url[head.end() :]


def _check_bytes(media_type: str, encoded: str, allowed: frozenset[str], most: int) -> None:
    if media_type not in allowed:
        raise BadField(param="messages")
    if len(encoded) // 4 * 3 > most + 2:
        raise OverLimit(param="messages")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadField(param="messages") from None
    if len(decoded) > most:
        raise OverLimit(param="messages")
    if not _BEGINNINGS[media_type].match(decoded[:_LONGEST_BEGINNING]):
        raise BadField(param="messages")
