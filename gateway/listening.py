"""Sockets to listen on."""

from __future__ import annotations

import socket
from typing import Final

from gateway.config_file import ConfigError, Problem
from gateway.settings import Listener

BACKLOG: Final = 2048  # connections that wait to be accepted; the system may allow fewer


def bind(listener: Listener) -> socket.socket:
    """A listening socket. Raises ConfigError: the address is in use, or not ours."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        return socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where, why = f"{listener.host}:{listener.port}", error.strerror or "no such host"
        raise ConfigError(Problem(where, None, "", f"can't listen there ({why})")) from None


def url(bound: socket.socket) -> str:
    """Where to find it; the port is the real one."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
