"""A real Redis, or Sentinel, on loopback; what wants one is skipped where there is none."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import Child, Program, free_ports, running

SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(SERVER is None, reason="no redis-server on PATH (Debian's package redis-server)")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass(frozen=True)
class Redis:
    """A running server."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


@contextmanager
def redis(folder: Path, *options: str, port: int = 0, tls: bool = False, name: str = "redis") -> Iterator[Redis]:
    """The server with these options, its files in `folder`; started again on the same folder it has what it kept."""
    port = port or free_ports(1)[0]
    with running(redis_program(folder, options, port, tls=tls, name=name), folder / "logs") as child:
        yield Redis(child, port)


def redis_program(
    folder: Path, options: Sequence[str], port: int, *, tls: bool = False, name: str = "redis"
) -> Program:
    """For tests that start and kill it themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = ("--port", "0", "--tls-port", str(port)) if tls else ("--port", str(port))
    fixed = ("--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--daemonize", "no")
    return Program(name, [SERVER or "redis-server", *ports, *fixed, *options], lambda _: listens(port))


def sentinel_program(
    folder: Path, master: str, master_port: int, port: int, quorum: int = 1, down_after_ms: int = 500
) -> Program:
    """A Sentinel, as quick to give his word as `down_after_ms` says; of so many it is enough."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {master} 127.0.0.1 {master_port} {quorum}\n"
        f"sentinel down-after-milliseconds {master} {down_after_ms}\n"
        f"sentinel failover-timeout {master} 3000\n"
    )
    return Program(folder.name, [SERVER or "redis-server", str(configuration), "--sentinel"], lambda _: listens(port))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
