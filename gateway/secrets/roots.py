"""The secrets that keys are derived from."""

from __future__ import annotations

import secrets

from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import SecretRef, read_secret
from gateway.tenant_keys import MIN_MASTER_BYTES


def master_key(ref: SecretRef | None) -> bytes:
    """The secret, or one for this run. Raises ConfigError."""
    key = read_secret(ref).encode() if ref else secrets.token_bytes(MIN_MASTER_BYTES)
    if len(key) < MIN_MASTER_BYTES:
        raise ConfigError(Problem(str(ref), None, "", f"must hold {MIN_MASTER_BYTES} bytes or more"))
    return key
