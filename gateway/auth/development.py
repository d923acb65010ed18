"""Tokens for development, signed with a local key. Only the `tightlip token` command and the demo use this.

A gateway whose policy takes tokens of `DEVELOPMENT_ISSUER` says so when it starts.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config_file import ConfigError, Problem
from gateway.key_files import read_private, refuse_shared, write_pair

DEVELOPMENT_ISSUER: Final = "tightlip-dev"


@dataclass(frozen=True, slots=True)
class Claims:
    issuer: str
    audience: str
    subject: str
    role: str
    tenant: str | None
    ttl: float  # seconds


def create_key(path: Path) -> Path:
    """Makes an Ed25519 key pair: `path`, for its owner's eyes only, the public half beside it, which is returned.

    Raises ConfigError; a file that is there is never overwritten.
    """
    return write_pair(path, Ed25519PrivateKey.generate())


def read_own_key(path: Path) -> Ed25519PrivateKey:
    """As `read_key`, of a key that nobody but its owner can read. Raises ConfigError."""
    refuse_shared(path)
    return read_key(path)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Raises ConfigError, which never quotes the file."""
    key = read_private(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(Problem(str(path), None, "", "is not an Ed25519 key"))
    return key


def sign(key: Ed25519PrivateKey, claims: Claims) -> str:
    now = int(time.time())
    payload: dict[str, object] = {
        "iss": claims.issuer,
        "aud": claims.audience,
        "sub": claims.subject,
        "role": claims.role,
        "iat": now,
        "exp": now + claims.ttl,
        "jti": secrets.token_hex(16),
    }
    if claims.tenant is not None:
        payload["tenant"] = claims.tenant
    return jwt.encode(payload, key, algorithm="EdDSA")
