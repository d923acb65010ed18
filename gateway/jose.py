"""Parts of tokens and of encrypted messages (RFC 7515, RFC 7516) in their one canonical form. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final


class NotCanonical(ValueError):
    """It is not base64url without padding, or not one JSON object that every parser reads alike. Has no text: it might
    be the sender's."""


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decoded(part: str) -> bytes:
    """Base64url without padding, in its canonical form: spare bits that are set would give a thing a second name.
    Raises NotCanonical."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise NotCanonical from None
    if encoded(raw) != part:
        raise NotCanonical
    return raw


def json_part(part: str) -> dict[str, Any]:
    """A part that is a JSON object. Raises NotCanonical."""
    return json_object(decoded(part))


def json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object: no key twice, no number without end. Raises NotCanonical."""
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NotCanonical from None
    if type(value) is not dict:
        raise NotCanonical
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # two parsers may each pick another one
        raise ValueError
    return found


def _integer(text: str) -> int:
    if len(text) > 20:  # 2^64 has 20 digits
        raise ValueError
    return int(text)


def _no_constant(_name: str) -> float:
    raise ValueError  # NaN and Infinity are not JSON


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_constant)
