"""Whom a connection of ours trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.config_file import ConfigError, Problem


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """These authorities, or the system's. Raises ConfigError for a file that holds none."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigError(Problem(str(ca_file), None, "", "is not a file of CA certificates")) from None
