"""Tokens for development, signed with a local key. Only the `tightlip token` command and the demo use this.

A gateway whose policy takes tokens of `DEVELOPMENT_ISSUER` says so when it starts.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.config_file import ConfigError, Problem, read_bytes

DEVELOPMENT_ISSUER: Final = "tightlip-dev"
MAX_KEY_BYTES: Final = 64 * 1024


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
    key = Ed25519PrivateKey.generate()
    public = path.with_suffix(".pub.pem")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), os.O_EXCL, 0o600)
        _write(
            public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), os.O_TRUNC, 0o644
        )
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None
    return public


def read_own_key(path: Path) -> Ed25519PrivateKey:
    """As `read_key`, of a key that nobody but its owner can read. Raises ConfigError."""
    try:
        if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(Problem(str(path), None, "", "can be read by others: chmod 600"))
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None
    return read_key(path)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Raises ConfigError, which never quotes the file."""
    try:
        key = load_pem_private_key(read_bytes(path, MAX_KEY_BYTES), None)
    except (ValueError, TypeError):
        raise ConfigError(Problem(str(path), None, "", "is not an unencrypted private key in PEM form")) from None
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


def _write(path: Path, content: bytes, flag: int, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flag, mode), "wb") as file:
        file.write(content)
