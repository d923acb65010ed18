"""Sockets to listen on, and servers for them."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from gateway.config_file import ConfigError, Problem
from gateway.http.connection import ConnectionLimits, guarded
from gateway.settings import Listener

ORDINARY: Final = ConnectionLimits()
BACKLOG: Final = 2048  # connections that wait to be accepted; the system may allow fewer
KEEP_ALIVE_SECONDS: Final = 75  # of an idle connection; longer than common load balancers', who should close first


def bind(listener: Listener) -> socket.socket:
    """A listening socket. Raises ConfigError: the address is in use, or not ours."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        return socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    except OSError as error:
        known = error.errno is not None and error.errno > 0  # negative ones are the resolver's
        why = os.strerror(error.errno or 0) if known else "no such host"
        raise ConfigError(
            Problem(f"{listener.host}:{listener.port}", None, "", f"can't listen there ({why})")
        ) from None


def url(bound: socket.socket) -> str:
    """Where to find it; the port is the real one."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: ASGIApp, limits: ConnectionLimits = ORDINARY) -> uvicorn.Server:
    """A server that writes no log of its own, adds no header but the date, and leaves signals to the process."""
    return _Server(
        uvicorn.Config(
            app,
            http=guarded(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
    )


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The process has two servers; a signal is for both."""
        yield
