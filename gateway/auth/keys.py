"""Public keys from files: PEM, or a JWKS document (RFC 7517). Anything private or symmetric in them stops the start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gateway.config_file import ConfigError, Problem, read_bytes

MAX_FILE_BYTES: Final = 256 * 1024  # of a key document; an issuer has a handful of keys
MAX_KEYS: Final = 16  # of one issuer
MAX_TRIED: Final = 4  # for a token that names no key: each trial costs a verification, and anybody may send one
MIN_RSA_BITS: Final = 2048  # NIST SP 800-57: less is no longer allowed
MAX_RSA_BITS: Final = 8192  # a larger modulus makes each verification slow

LEAST_EXPONENT: Final = 2**16 + 1  # FIPS 186-5; 1 signs nothing, and small ones have a history of forgeries
MOST_EXPONENT: Final = 2**32  # a larger one makes each verification slow

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_KINDS: Final = ("RSA", "EC", "OKP")
_NAMED_CURVES: Final = frozenset({"P-256", "P-384", "P-521", "Ed25519", "Ed448"})  # as JWKs call them
_SECRET: Final = frozenset({"d", "k"})  # what private and symmetric keys have (RFC 7518, 6)
ALGORITHMS: Final = _RSA | frozenset(_CURVES.values()) | {"EdDSA"}  # all that a key may be used with; none is symmetric


@dataclass(frozen=True, slots=True)
class Key:
    """`algorithms` are those that fit its kind: a key is never used with another one, whatever a token says."""

    public_key: PublicKey
    algorithms: frozenset[str]
    kid: str | None = None


class Keys(Protocol):
    """The keys of one issuer."""

    @property
    def ready(self) -> bool:
        """Whether there is any."""
        ...

    @property
    def generation(self) -> int:
        """Of what `candidates` gives. What was verified with another one has to be verified again."""
        ...

    def candidates(self, unverified_kid: object, algorithm: str) -> Sequence[Key]:
        """The keys that may have signed a token with this key id (None: it has none), which is only ever compared.

        None where there are more than MAX_TRIED and no id tells which.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that stay what they are. Fulfils `Keys`."""

    keys: tuple[Key, ...]
    generation: ClassVar[int] = 0

    @property
    def ready(self) -> bool:
        """As `Keys.ready`."""
        return bool(self.keys)

    def candidates(self, unverified_kid: object, algorithm: str) -> Sequence[Key]:
        """As `Keys.candidates`."""
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if named := [key for key in fitting if key.kid == unverified_kid is not None]:
            return named
        unnamed = [key for key in fitting if unverified_kid is None or key.kid is None]
        return unnamed if len(unnamed) <= MAX_TRIED else ()


def load(path: Path, kid: str | None = None) -> tuple[Key, ...]:
    """The keys of one file; `kid` names the key of a PEM file. Raises ConfigError, which never quotes the file."""
    return parse(read_bytes(path, MAX_FILE_BYTES), path, kid)


def parse(raw: bytes, path: Path | str, kid: str | None = None) -> tuple[Key, ...]:
    """As `load`, of what somebody else has read; `path` is what a message calls it."""
    if raw.lstrip().startswith(b"{"):
        return from_jwks(raw, path)
    return (_key(_from_pem(raw, path), path, kid=kid),)


def collect(keys: Iterable[Key], where: Path | str) -> KeySet:
    """One issuer's keys together. Raises ConfigError: too many, or a key id twice for one algorithm."""
    found = tuple(keys)
    if len(found) > MAX_KEYS:
        raise _wrong(where, f"has more than {MAX_KEYS} keys for one issuer")
    names = [key.kid for key in found if key.kid is not None]
    if len(set(names)) != len(names):
        raise _wrong(where, "has two keys with the same id")
    if any(sum(key.kid is None and name in key.algorithms for key in found) > MAX_TRIED for name in ALGORITHMS):
        raise _wrong(where, f"has more than {MAX_TRIED} keys without an id: nobody could tell which to try")
    return KeySet(found)


# ---- PEM -------------------------------------------------------------------------------------------------------------


def _from_pem(raw: bytes, path: Path | str) -> object:
    if b"PRIVATE KEY" in raw:
        raise _wrong(path, "holds a private key; give the gateway the public one")
    try:
        if b"BEGIN CERTIFICATE" in raw:
            return x509.load_pem_x509_certificate(raw).public_key()
        return load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise _wrong(path, "is not a public key in PEM form, nor a JWKS document") from None


# ---- JWKS ------------------------------------------------------------------------------------------------------------


def from_jwks(raw: bytes, path: Path | str) -> tuple[Key, ...]:
    """The keys of a JWKS document; `path` is what a message calls it. Raises ConfigError, which never quotes it."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise _wrong(path, "is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _wrong(path, "is not a JWKS document")
    if any(isinstance(entry, dict) and not _SECRET.isdisjoint(entry) for entry in entries):
        raise _wrong(path, "holds a private or a symmetric key; give the gateway the public ones")
    keys = tuple(_from_jwk(entry, path) for entry in entries if not _of_others(entry))
    if not keys:
        raise _wrong(path, "has no key for signatures")
    return keys


def _of_others(entry: Any) -> bool:
    """Keys for encryption may stand in the same document, and those of kinds that are newer than we are: an issuer that
    adds one must not take the others from us (RFC 7517, 5)."""
    if not isinstance(entry, dict):
        return False
    operations, algorithm, kind = entry.get("key_ops", ["verify"]), entry.get("alg"), entry.get("kty")
    return (
        entry.get("use", "sig") != "sig"
        or (isinstance(operations, list) and "verify" not in operations)
        or (isinstance(algorithm, str) and algorithm not in ALGORITHMS)
        or (isinstance(kind, str) and kind not in _KINDS)
        or (kind != "RSA" and isinstance(entry.get("crv"), str) and entry["crv"] not in _NAMED_CURVES)
    )


def _from_jwk(entry: Any, path: Path | str) -> Key:
    if not isinstance(entry, dict) or entry.get("kty") not in _KINDS:
        raise _wrong(path, "has a key that is not RSA, EC or OKP")
    kid, algorithm = entry.get("kid"), entry.get("alg")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        raise _wrong(path, "has a key whose 'kid' or 'alg' is not text")
    try:
        public_key = PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        raise _wrong(path, "has a key that can't be read") from None
    return _key(public_key, path, kid=kid, only=algorithm)


# ---- both ------------------------------------------------------------------------------------------------------------


def _key(public_key: object, path: Path | str, *, kid: str | None, only: str | None = None) -> Key:
    if not isinstance(public_key, PublicKey):
        raise _wrong(path, "has a key of a kind that is not used for tokens")
    algorithms = _fitting(public_key, path)
    if only is not None and only not in algorithms:
        raise _wrong(path, "has a key whose 'alg' does not fit it")
    return Key(public_key, frozenset({only}) if only else algorithms, kid)


def _fitting(public_key: PublicKey, path: Path | str) -> frozenset[str]:
    if isinstance(public_key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= public_key.key_size <= MAX_RSA_BITS:
            raise _wrong(path, f"has an RSA key that is not of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
        if not LEAST_EXPONENT <= public_key.public_numbers().e <= MOST_EXPONENT:
            raise _wrong(path, f"has an RSA key whose exponent is not {LEAST_EXPONENT} or somewhat more")
        return _RSA
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        if public_key.curve.name not in _CURVES:
            raise _wrong(path, "has a key on a curve that is not used for tokens")
        return frozenset({_CURVES[public_key.curve.name]})
    return frozenset({"EdDSA"})


def _wrong(path: Path | str, text: str) -> ConfigError:
    return ConfigError(Problem(str(path), None, "", text))
