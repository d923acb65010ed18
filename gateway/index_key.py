"""The key of an index and of the lists beside it."""

from __future__ import annotations

from filters.index.hashing import MIN_KEY_BYTES
from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import SecretRef, read_secret


def read_index_key(ref: SecretRef) -> bytes:
    """Raises ConfigError, which never quotes it."""
    secret = read_secret(ref).encode()
    if len(secret) < MIN_KEY_BYTES:
        raise ConfigError(Problem(str(ref), None, "", f"must hold {MIN_KEY_BYTES} characters or more"))
    return secret
