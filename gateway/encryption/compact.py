"""JWE in its compact form (RFC 7516, 7.1), as much of it as docs/encryption.md needs. Pure.

1. One way each: keys are agreed on with `ECDH-ES+A256KW` over P-256 or X25519, the frames of an answer are `dir` under
   a key of that answer alone, contents are `A256GCM`. Nothing else is tried, whatever a header says.
2. A request's header has the members that the protocol gives it and no others, so that `zip`, `crit`, `p2c`, `jku`,
   `x5u`, `jwk`, `apu` and what is not invented yet are refused before anything is computed. So is a key twice, padding,
   a second way to write the same bytes, and what is longer than it can be.
3. joserfc does the cryptography. Its errors, and those of what it stands on, become ours here and nowhere else; their
   texts, which may quote, go nowhere.
4. Every content key encrypts few enough frames (MOST_FRAMES) for random nonces never to meet: NIST SP 800-38D, 8.3,
   allows 2^32 of them under one key.

joserfc was taken before jwcrypto: it is typed, BSD rather than LGPL, lets headers be closed, has no decompression bound
to look after where `zip` is not listed, and stands on pyca/cryptography like everything here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey
from joserfc.registry import HeaderParameter

from gateway.errors import EncryptionFault, NotDecrypted, UnknownEncryptionKey
from gateway.jose import NotCanonical, encoded, json_part

AGREEMENT: Final = "ECDH-ES+A256KW"
DIRECT: Final = "dir"
CONTENT: Final = "A256GCM"
REQUEST_TYPE: Final = "tightlip-request-v1"
KEY_TYPE: Final = "tightlip-key-v1"
ANSWER_TYPE: Final = "tightlip-answer-v1"
ANSWER_INFO: Final = b"tightlip answer v1"  # of HKDF; the request's hash follows
SECRET_BYTES: Final = 32  # of the caller's secret before the request's body, and of the gateway's share
MOST_HEADER_CHARS: Final = 2048  # in base64; those of the protocol have about 600
MOST_KEY_CHARS: Final = 64  # in base64: a wrapped key has 54
MOST_FRAMES: Final = 2**24  # of one answer, hence under one key: nonces meet with less than 2^-48

Key = ECKey | OKPKey

_PART: Final = re.compile(rb"[A-Za-z0-9_-]+")
_REQUEST: Final = frozenset({"alg", "enc", "kid", "typ", "epk", "iat", "jti", "ath", "path", "akid"})
_EPHEMERAL: Final[Mapping[str, frozenset[str]]] = {
    "P-256": frozenset({"kty", "crv", "x", "y"}),
    "X25519": frozenset({"kty", "crv", "x"}),
}
_HASH: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
# What joserfc and pyca/cryptography raise for what a stranger may have written.
_FOREIGN: Final = (JoseError, ValueError, TypeError, LookupError, AssertionError, RecursionError)


class _Registry(jwe.JWERegistry):
    """Ours are the bounds: a request's size has been looked at before it comes here."""

    max_protected_header_length = MOST_HEADER_CHARS
    max_ciphertext_length = 1 << 30


def _registry(*algorithms: str, **members: str) -> _Registry:
    more = {name: HeaderParameter(name, kind) for name, kind in members.items()}
    return _Registry(header_registry=more, algorithms=[*algorithms, CONTENT])


_REQUESTS: Final = _registry(AGREEMENT, iat="int", jti="str", ath="str", path="str", akid="str")
_KEYS: Final = _registry(AGREEMENT)
_FRAMES: Final = _registry(DIRECT, n="int", last="bool", status="int", key="str", next="jwk")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What a request says of itself, under its own seal."""

    kid: str  # of our key
    issued: int  # seconds since the epoch
    id: str  # random, for this request alone
    credentials: str  # `ath`, as RFC 9449 has it: the hash of the access token that it goes with
    path: str
    answer_kid: str  # of the caller's key that the answer is for


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """A request that was encrypted to us. `secret` is its caller's, for the answer's key."""

    head: RequestHead
    digest: bytes  # the SHA-256 of the message as it came
    secret: bytes = field(repr=False)
    body: bytes = field(repr=False)


def open_request(message: bytes, key_of: Callable[[str], Key | None]) -> OpenedRequest:
    """Decrypt. Raises NotDecrypted with an EncryptionFault, UnknownEncryptionKey among them."""
    parts = message.split(b".")
    if len(parts) != 5 or len(parts[0]) > MOST_HEADER_CHARS or len(parts[1]) > MOST_KEY_CHARS:
        raise NotDecrypted(EncryptionFault.MALFORMED)
    if not all(map(_PART.fullmatch, parts)):
        raise NotDecrypted(EncryptionFault.MALFORMED)
    unverified = _header(parts[0].decode("ascii"))
    head = _request_head(unverified)
    key = key_of(head.kid)
    if key is None:
        raise UnknownEncryptionKey(EncryptionFault.KEY)
    if unverified["epk"].get("crv") != key.curve_name:
        raise NotDecrypted(EncryptionFault.HEADER)
    plain = _decrypted(message, key)
    if len(plain) < SECRET_BYTES:
        raise NotDecrypted(EncryptionFault.CONTENT)
    return OpenedRequest(head, hashlib.sha256(message).digest(), plain[:SECRET_BYTES], plain[SECRET_BYTES:])


def wrap(share: bytes, recipient: Key, kid: str) -> str:
    """The gateway's share of an answer's key, for its caller."""
    header = {"alg": AGREEMENT, "enc": CONTENT, "typ": KEY_TYPE, "kid": kid}
    return jwe.encrypt_compact(header, share, recipient, registry=_KEYS)


def answer_key(secret: bytes, share: bytes, digest: bytes) -> OctKey:
    """The content key of one answer: HKDF-SHA-256 (RFC 5869) of the caller's secret and the gateway's share, for the
    request of this hash. Whoever lacks one of the two has nothing."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=ANSWER_INFO + digest).derive(secret + share)
    return OctKey.import_key(derived)


def seal_frame(payload: bytes, key: OctKey, members: Mapping[str, Any]) -> str:
    """One frame. `members` are the header's, beside those that all frames have."""
    header = {"alg": DIRECT, "enc": CONTENT, "typ": ANSWER_TYPE, **members}
    return jwe.encrypt_compact(header, payload, key, registry=_FRAMES)


def credentials_hash(credentials: str) -> str:
    """As RFC 9449, 4.2, has `ath`; of an access token and an assertion, both with a line end between them."""
    return encoded(hashlib.sha256(credentials.encode("utf-8", "surrogatepass")).digest())


# ---- what a request's header says ------------------------------------------------------------------------------------


def _header(part: str) -> dict[str, Any]:
    try:
        return json_part(part)
    except NotCanonical:
        raise NotDecrypted(EncryptionFault.MALFORMED) from None


def _request_head(header: Mapping[str, Any]) -> RequestHead:
    if header.keys() != _REQUEST:
        raise NotDecrypted(EncryptionFault.HEADER)
    fixed = {"alg": AGREEMENT, "enc": CONTENT, "typ": REQUEST_TYPE}
    texts = all(type(header[name]) is str for name in ("kid", "jti", "ath", "path", "akid"))
    if any(header[name] != value for name, value in fixed.items()) or not texts or type(header["iat"]) is not int:
        raise NotDecrypted(EncryptionFault.HEADER)
    if not (_ID.fullmatch(header["jti"]) and _HASH.fullmatch(header["ath"]) and _is_ephemeral(header["epk"])):
        raise NotDecrypted(EncryptionFault.HEADER)
    return RequestHead(
        header["kid"], header["iat"], header["jti"], header["ath"], header["path"], answer_kid=header["akid"]
    )


def _is_ephemeral(value: Any) -> bool:
    """A public key on one of our curves, and nothing beside it."""
    if type(value) is not dict or not all(type(each) is str and len(each) <= 64 for each in value.values()):
        return False
    curve = value.get("crv", "")
    return value.get("kty") == ("EC" if curve == "P-256" else "OKP") and value.keys() == _EPHEMERAL.get(curve)


def _decrypted(message: bytes, key: Key) -> bytes:
    try:
        plain = jwe.decrypt_compact(message, key, registry=_REQUESTS).plaintext
    except _FOREIGN:
        raise NotDecrypted(EncryptionFault.CONTENT) from None
    assert plain is not None
    return plain
