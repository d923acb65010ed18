"""From the settings to a store."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.authorities import key_path, linked
from gateway.config_file import ConfigError, Problem
from gateway.settings import StateSettings
from gateway.state import Store
from gateway.state.memory import MemoryStore
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379


def open_store(settings: StateSettings | None) -> Store:
    """Connects to nothing yet. Raises ConfigError for files that are not there."""
    if settings is None:
        return MemoryStore()
    if settings.file is not None:
        return SqliteStore(settings.file)
    _check_files(settings)
    shown = settings.client_certificate, _key_path(settings)
    access = Access(settings.user, settings.password_file, settings.ca_file, *shown)
    if settings.sentinel is None:
        return RedisStore.at(_server(settings.urls[0], REDIS_PORT), access, _database(settings.urls[0]))
    sentinel = settings.sentinel
    servers = [_server(url, SENTINEL_PORT) for url in sentinel.urls]
    own = Access(sentinel.user, sentinel.password_file, settings.ca_file, *shown)
    return RedisStore.behind(servers, sentinel.master, access, own)


def _key_path(settings: StateSettings) -> str | None:
    """Of the certificate that is shown, which is tried first: a connection would only say that there is none. Raises
    ConfigError."""
    if settings.client_certificate is None or settings.client_key_file is None:
        return None
    linked(settings.ca_file, settings.client_certificate, settings.client_key_file)
    return key_path(settings.client_key_file)


def _server(url: str, port: int) -> Server:
    parts = urlsplit(url)
    return Server(parts.hostname or "", parts.port or port, tls=parts.scheme == "rediss")


def _database(url: str) -> int:
    return int(urlsplit(url).path.lstrip("/") or 0)


def _check_files(settings: StateSettings) -> None:
    own = settings.sentinel.password_file if settings.sentinel else None
    for file in (settings.password_file, settings.ca_file, own):
        if isinstance(file, Path) and not file.is_file():
            raise ConfigError(Problem(str(file), None, "", "can't be read"))
