"""Tokens that are good only together with their caller's certificate (RFC 8705, section 3). Pure.

1. The token carries the SHA-256 of the certificate's DER form, and the caller must show that very certificate. That its
   chain is good is the business of who took the handshake: the listener, or the proxy whose header it is read from.
2. Whoever can't be told apart from somebody without the certificate is refused: none came, another one, one out of its
   time, one that can't be read. All of them look like any other refused token.
3. A confirmation of another kind (RFC 7800: a key, a DPoP thumbprint) is one that nobody here checks: refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from gateway.errors import NotAuthenticated, Reason

CLIENT_CERT: Final = b"client-cert"
METHOD: Final = "x5t#S256"
THUMBPRINT_BYTES: Final = 32
MOST_HEADER_BYTES: Final = 16 * 1024  # in base64: a certificate of 12 KB; common ones have one or two

_BYTE_SEQUENCE: Final = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")  # RFC 9651, 3.3.5, without parameters
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CallerCertificate:
    """What of a certificate is needed: its thumbprint, and its time in seconds since the epoch."""

    thumbprint: bytes
    starts: float
    ends: float


def check(bound_to: bytes | None, certificate: CallerCertificate | None, now: float, *, required: bool) -> None:
    """A token that is bound to a certificate comes with that one; `required`: it has to be bound. Raises
    NotAuthenticated."""
    if bound_to is None:
        if required:
            raise NotAuthenticated(Reason.NOT_BOUND)
        return
    if certificate is None or not certificate.starts <= now < certificate.ends:
        raise NotAuthenticated(Reason.CERTIFICATE)
    if not hmac.compare_digest(certificate.thumbprint, bound_to):
        raise NotAuthenticated(Reason.CERTIFICATE)


def thumbprint(confirmation: Any) -> bytes:
    """Of a token's `cnf` claim. Raises NotAuthenticated."""
    if type(confirmation) is not dict or confirmation.keys() != {METHOD}:
        raise NotAuthenticated(Reason.CONFIRMATION)
    text = confirmation[METHOD]
    if type(text) is not str or not _THUMBPRINT.fullmatch(text):
        raise NotAuthenticated(Reason.CONFIRMATION)
    return base64.urlsafe_b64decode(text + "=")  # spare bits may be set, as in the RFC's own example


def read_header(lines: Sequence[bytes]) -> CallerCertificate | None:
    """The certificate in the one Client-Cert header (RFC 9440, 2.2); None where there is none. Raises
    NotAuthenticated: two of them, or one that is no certificate."""
    if not lines:
        return None
    match = _BYTE_SEQUENCE.fullmatch(lines[0]) if len(lines) == 1 and len(lines[0]) <= MOST_HEADER_BYTES else None
    if match is None:
        raise NotAuthenticated(Reason.CERTIFICATE)
    try:
        der = base64.b64decode(match[1], validate=True)
        certificate = read_der(der)
    except (binascii.Error, ValueError):
        raise NotAuthenticated(Reason.CERTIFICATE) from None
    if base64.b64encode(der) != match[1]:
        raise NotAuthenticated(Reason.CERTIFICATE)
    return certificate


def read_der(der: bytes) -> CallerCertificate:
    """Raises ValueError."""
    try:
        found = x509.load_der_x509_certificate(der)
    except x509.InvalidVersion:  # which is no ValueError
        raise ValueError("a certificate of an unknown version") from None
    return CallerCertificate(
        hashlib.sha256(der).digest(), found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    )
