"""From settings that name secrets in Vault to settings whose secrets can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway import settings
from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import VaultRef
from gateway.secrets.store import VaultStore
from gateway.secrets.trouble import VaultTrouble
from gateway.settings import Settings, mapped


@dataclass(frozen=True, slots=True)
class Opened:
    """Settings whose secrets can be read, and the Vault that they come from, if there is one."""

    settings: Settings
    vault: VaultStore | None = None


def load(path: Path) -> Opened:
    """For commands: as `gateway.settings.load`, and what is in Vault is read, now or not at all. Raises ConfigError."""
    opened = prepare(settings.load(path))
    if opened.vault is not None:
        try:
            asyncio.run(opened.vault.open())
        except VaultTrouble as trouble:
            raise as_problem(trouble) from None
    return opened


def prepare(given: Settings) -> Opened:
    """Ready to be read, once `vault.open` has read them. Connects to nothing. Raises ConfigError."""
    refs = frozenset(references(given))
    if given.vault is None:
        if refs:
            raise ConfigError(*(Problem(str(ref), None, "", "needs 'vault' in the configuration") for ref in refs))
        return Opened(given)
    from gateway.secrets.vault import Vault

    store = VaultStore(Vault(given.vault), refs, given.vault.refresh_seconds)
    return Opened(mapped(given, lambda leaf: replace(leaf, held=store) if isinstance(leaf, VaultRef) else leaf), store)


def read_once(given: Settings) -> frozenset[VaultRef]:
    """What is read at the start and stays as it was then. A store's passwords are read for each connection, and our
    keys for encryption are looked at again and again."""
    once = frozenset(references(given.model_copy(update={"state": None, "encryption_keys_file": None})))
    return once | frozenset(references(given.state.client_key_file if given.state else None))


def as_problem(trouble: VaultTrouble) -> ConfigError:
    """What stops a start, or a command."""
    return ConfigError(Problem(trouble.what or "vault", None, "", trouble.words))


def references(value: Any) -> Iterator[VaultRef]:
    """Everything of Vault that a part of the settings names."""
    if isinstance(value, VaultRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from references(each)
