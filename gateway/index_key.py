"""The key of an index and of the lists beside it."""

from __future__ import annotations

from pathlib import Path

from filters.index.hashing import MIN_KEY_BYTES
from gateway.config_file import ConfigError, Problem
from gateway.settings import read_secret


def read_index_key(file: Path) -> bytes:
    """Raises ConfigError, which never quotes the file."""
    secret = read_secret(file).encode()
    if len(secret) < MIN_KEY_BYTES:
        raise ConfigError(Problem(str(file), None, "", f"must hold {MIN_KEY_BYTES} characters or more"))
    return secret
