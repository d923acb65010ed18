"""One exchange with the gateway: seal the request, open the answer frame by frame. No I/O.

docs/encryption.md of the gateway has the protocol. What is not exactly as it says is an error and ends the answer; no
text that was not checked is ever given out. A frame is opened first and its number looked at then, so that every number
in an error message is the gateway's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey
from joserfc.registry import HeaderParameter

AGREEMENT: Final = "ECDH-ES+A256KW"
CONTENT: Final = "A256GCM"
REQUEST_TYPE: Final = "tightlip-request-v1"
KEY_TYPE: Final = "tightlip-key-v1"
ANSWER_TYPE: Final = "tightlip-answer-v1"
ANSWER_INFO: Final = b"tightlip answer v1"
SECRET_BYTES: Final = 32
MOST_FRAME_CHARS: Final = 1 << 26  # of one frame; far above any answer
STREAMED: Final = 200  # the status of every stream

Key = ECKey | OKPKey

_FIXED: Final[Mapping[str, str]] = {"alg": "dir", "enc": CONTENT, "typ": ANSWER_TYPE}
_WRAPPED: Final[Mapping[str, str]] = {"alg": AGREEMENT, "enc": CONTENT, "typ": KEY_TYPE}
_FOREIGN: Final = (JoseError, ValueError, TypeError, LookupError, AssertionError, RecursionError)


class NotTheGateway(Exception):
    """The answer is not what the gateway said to this request. Base of what follows."""


class PlainAnswer(NotTheGateway):
    """Something came that is not encrypted, and should be."""


class Altered(NotTheGateway):
    """A frame was altered, or belongs to another answer or another request."""


class FrameMissing(NotTheGateway):
    """A frame was left out, or the frames came in another order."""


class FrameRepeated(NotTheGateway):
    """A frame came twice, or after the last one."""


class CutOff(NotTheGateway):
    """The answer ended before its last frame."""


class _Registry(jwe.JWERegistry):
    max_protected_header_length = 4096
    max_ciphertext_length = MOST_FRAME_CHARS


def _registry(algorithm: str, **members: str) -> _Registry:
    more = {name: HeaderParameter(name, kind) for name, kind in members.items()}
    return _Registry(header_registry=more, algorithms=[algorithm, CONTENT])


_REQUESTS: Final = _registry(AGREEMENT, iat="int", jti="str", ath="str", path="str", akid="str")
_KEYS: Final = _registry(AGREEMENT)
_FRAMES: Final = _registry("dir", n="int", last="bool", status="int", key="str", next="jwk")


def _key(jwk: Mapping[str, Any]) -> Key:
    """Raises ValueError."""
    kinds = {"P-256": ("EC", ("x", "y", "d")), "X25519": ("OKP", ("x", "d"))}
    kind, members = kinds.get(str(jwk.get("crv")), ("", ()))
    if jwk.get("kty") != kind:
        raise ValueError("not a key on P-256 or X25519")
    given = {name: jwk[name] for name in ("kty", "crv", *members) if name in jwk}
    try:
        return ECKey.import_key(given) if kind == "EC" else OKPKey.import_key(given)
    except _FOREIGN:
        raise ValueError("not a key on P-256 or X25519") from None


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """The client's own key, whose public half the gateway's policy holds under this `kid`."""

    kid: str
    key: Key = field(repr=False)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> PrivateKey:
        """Raises ValueError."""
        if "d" not in jwk or not isinstance(jwk.get("kid"), str):
            raise ValueError("needs a private key with a 'kid'")
        return cls(jwk["kid"], _key(jwk))


class GatewayKeys:
    """The gateway's public keys, as they were given: nothing that comes over the network is believed unless one of
    these vouches for it. An answer to a request under an older one names the newest, which is used from then on."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        """A JWKS document, the key to use first. Raises ValueError."""
        try:
            self._keys = {str(jwk["kid"]): _key(jwk) for jwk in jwks["keys"]}
        except (LookupError, TypeError, AttributeError):
            raise ValueError("not a JWKS document (RFC 7517) whose keys have a 'kid'") from None
        if not self._keys:
            raise ValueError("no keys")

    @property
    def kids(self) -> tuple[str, ...]:
        """The one to use first."""
        return tuple(self._keys)

    def get(self, kid: str) -> Key:
        return self._keys[kid]

    def prefer(self, jwk: Mapping[str, Any]) -> None:
        """Use this one from now on. Raises ValueError."""
        kid = str(jwk["kid"])
        self._keys = {kid: self._keys.get(kid) or _key(jwk)} | {k: v for k, v in self._keys.items() if k != kid}


class Exchange:
    """One request and its answer."""

    def __init__(self, keys: GatewayKeys, kid: str, own: Iterable[PrivateKey]) -> None:
        """`kid` names the gateway's key; `own` are this client's keys, the one for the answer first."""
        self._keys, self._kid = keys, kid
        self._own = {key.kid: key.key for key in own}
        self._answer_kid = next(iter(self._own))
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._digest = b""
        self._key: OctKey | None = None
        self._next = 0
        self._ended = self._failed = False
        self.status = 0  # as the gateway says it, once the first frame was opened

    def seal(self, body: bytes, *, token: str, path: str) -> str:
        """The request, encrypted. Once."""
        header = {
            "alg": AGREEMENT,
            "enc": CONTENT,
            "typ": REQUEST_TYPE,
            "kid": self._kid,
            "iat": int(time.time()),
            "jti": _base64url(secrets.token_bytes(16)),
            "ath": _base64url(hashlib.sha256(token.encode()).digest()),
            "path": path,
            "akid": self._answer_kid,
        }
        message = jwe.encrypt_compact(header, self._secret + body, self._keys.get(self._kid), registry=_REQUESTS)
        self._digest = hashlib.sha256(message.encode()).digest()
        return message

    def open(self, message: str, *, status: int | None = None) -> bytes:
        """The text of the next frame. `status` is the one that came with the answer, for nobody to have changed it;
        None: whoever asks compares it himself. Raises NotTheGateway; after that no frame is opened any more."""
        if self._failed:
            raise Altered("the answer has failed already")
        if self._ended:
            self._failed = True
            raise FrameRepeated("a frame came after the last one")
        self._failed = True  # until this one has turned out well
        header, payload = self._opened(message)
        self._check_number(header["n"])
        if not header["n"]:
            self._read_first(header, status)
        self._next += 1
        self._ended, self._failed = header.get("last", False), False
        return payload

    def close(self) -> None:
        """The answer has ended. Raises CutOff if it has not, by what the gateway says."""
        if not self._ended or self._failed:
            self._failed = True
            raise CutOff(f"the answer ended before its last frame, after {self._next}")

    def _opened(self, message: str) -> tuple[Mapping[str, Any], bytes]:
        try:
            header = _header(message)
            if self._key is None:
                self._key = self._agreed(header)
            plain = jwe.decrypt_compact(message, self._key, registry=_FRAMES).plaintext
        except _FOREIGN:
            raise Altered("a frame was altered, or is of another answer") from None
        if plain is None or type(header.get("n")) is not int or any(header.get(k) != v for k, v in _FIXED.items()):
            raise Altered("a frame is not of this protocol")
        return header, plain

    def _agreed(self, header: Mapping[str, Any]) -> OctKey:
        """Without the first frame's share nothing can be opened: not even to see what is missing."""
        if header.get("n") != 0 or not isinstance(header.get("key"), str):
            raise FrameMissing("the answer does not begin with its first frame")
        inner = _header(header["key"])
        if any(inner.get(name) != value for name, value in _WRAPPED.items()) or inner.get("kid") not in self._own:
            raise ValueError
        share = jwe.decrypt_compact(header["key"], self._own[inner["kid"]], registry=_KEYS).plaintext
        if share is None or len(share) != SECRET_BYTES:
            raise ValueError
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=ANSWER_INFO + self._digest)
        return OctKey.import_key(hkdf.derive(self._secret + share))

    def _check_number(self, number: int) -> None:
        if number > self._next:
            raise FrameMissing(f"frame {self._next} is missing: {number} came in its place")
        if number < self._next:
            raise FrameRepeated(f"frame {number} came again")

    def _read_first(self, header: Mapping[str, Any], told: int | None) -> None:
        if type(header.get("status")) is not int:
            raise Altered("a frame is not of this protocol")
        self.status = header["status"]
        if told not in (None, self.status):
            raise Altered("the status is not the one that the gateway sent")
        if "next" in header:
            try:
                self._keys.prefer(header["next"])
            except _FOREIGN:
                raise Altered("a frame is not of this protocol") from None


class Events:
    """An event stream of frames, opened: bytes in, the plain event stream's bytes out, however they are cut."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._held = exchange, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises NotTheGateway."""
        *lines, self._held = (self._held + data).split(b"\n")
        if len(self._held) > MOST_FRAME_CHARS:
            raise Altered("a frame is too long")
        for line in lines:
            if line.startswith(b"data: "):
                yield b"data: " + self._exchange.open(line[6:].decode("latin-1"), status=STREAMED) + b"\n\n"
            elif line and not line.startswith(b":"):  # comments say nothing, and nobody vouches for them
                raise PlainAnswer("the stream holds something that is not encrypted")

    def close(self) -> None:
        """Raises CutOff."""
        self._exchange.close()
        if self._held:
            raise PlainAnswer("the stream holds something that is not encrypted")


def _header(message: str) -> dict[str, Any]:
    part = message.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if type(header) is not dict:
        raise ValueError
    return header


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
