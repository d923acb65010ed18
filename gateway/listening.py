"""Sockets to listen on, and servers for them."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp

from gateway.config_file import ConfigError, Problem
from gateway.http.arrivals import Connections
from gateway.http.connection import ConnectionLimits, Guarded, guarded
from gateway.http.entrance import Door, Entrance
from gateway.settings import Listener

ORDINARY: Final = ConnectionLimits()
OPEN: Final = Door()
PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
BACKLOG: Final = 2048  # connections that wait to be accepted; the system may allow fewer
# What the system may hold of an answer that its caller does not read; Linux doubles it. It would grow to megabytes by
# itself, and an answer's text comes at a few kilobytes a second.
SEND_BUFFER_BYTES: Final = 128 * 1024


def bind(listener: Listener) -> socket.socket:
    """A listening socket. Raises ConfigError: the address is in use, or not ours."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        bound = socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    except OSError as error:
        known = error.errno is not None and error.errno > 0  # negative ones are the resolver's
        why = os.strerror(error.errno or 0) if known else "no such host"
        raise ConfigError(
            Problem(f"{listener.host}:{listener.port}", None, "", f"can't listen there ({why})")
        ) from None
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # those that it accepts inherit it
    return bound


def allow_open_files() -> None:
    """A connection takes a descriptor, and so does its upstream's; the system's first offer is often 1,024."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def forbid_core_dumps() -> None:
    """The memory has all that is being said; a crash must not write it down, nor hand it to the system's collector,
    which the limit alone does not keep it from (core(5)). Processes of the same user can't read it either."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def url(bound: socket.socket, *, tls: bool = False) -> str:
    """Where to find it; the port is the real one."""
    host, port = bound.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def make_server(app: ASGIApp, limits: ConnectionLimits = ORDINARY, door: Door = OPEN) -> uvicorn.Server:
    """A server that writes no log of its own, adds no header but the date, and leaves signals to the process."""
    config = uvicorn.Config(
        app,
        http=guarded(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,
    )
    return _Server(config, Connections(limits.total, limits.per_address), door)


class _Server(uvicorn.Server):
    """Uvicorn's, with an entrance of ours."""

    def __init__(self, config: uvicorn.Config, connections: Connections, door: Door) -> None:
        super().__init__(config)
        self._connections, self._door = connections, door

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """In place of uvicorn's, which would take connections before they are counted."""
        entrances = [Entrance(bound, self._door, self._connections, self._protocol) for bound in sockets or ()]
        self.servers = cast("list[Any]", entrances)
        self.started = True

    def _protocol(self) -> Guarded:
        kind = cast("type[Guarded]", self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state={})

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The process has two servers; a signal is for both."""
        yield
