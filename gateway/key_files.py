"""Key pairs in files, as PEM: the private half for its owner's eyes only, the public half beside it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.config_file import ConfigError, Problem, read_bytes

MAX_KEY_BYTES: Final = 64 * 1024


def write_pair(path: Path, key: Ed25519PrivateKey | X25519PrivateKey) -> Path:
    """The private half to `path`, the public one to a file beside it, which is returned. Raises ConfigError; a private
    key that is there is never overwritten."""
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


def read_private(path: Path) -> PrivateKeyTypes:
    """Of whatever kind. Raises ConfigError, which never quotes the file."""
    try:
        return load_pem_private_key(read_bytes(path, MAX_KEY_BYTES), None)
    except (ValueError, TypeError):
        raise ConfigError(Problem(str(path), None, "", "is not an unencrypted private key in PEM form")) from None


def refuse_shared(path: Path) -> None:
    """Raises ConfigError: others than its owner can read it."""
    try:
        if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(Problem(str(path), None, "", "can be read by others: chmod 600"))
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None


def read_own_x25519(path: Path) -> X25519PrivateKey:
    """A key that nobody but its owner can read. Raises ConfigError."""
    refuse_shared(path)
    key = read_private(path)
    if not isinstance(key, X25519PrivateKey):
        raise ConfigError(Problem(str(path), None, "", "is not an X25519 key"))
    return key


def read_public_x25519(path: Path) -> X25519PublicKey:
    """Raises ConfigError."""
    try:
        key = load_pem_public_key(read_bytes(path, MAX_KEY_BYTES))
    except ValueError:
        raise ConfigError(Problem(str(path), None, "", "is not a public key in PEM form")) from None
    if not isinstance(key, X25519PublicKey):
        raise ConfigError(Problem(str(path), None, "", "is not an X25519 key"))
    return key


def _write(path: Path, content: bytes, flag: int, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flag, mode), "wb") as file:
        file.write(content)
