"""What has been read from Vault, kept through its outages and read again now and then.

1. Everything that the settings name is read before anything is served.
2. Later a failure changes nothing: what was read stays, and `hear` is told at each look.
3. A secret that is asked for at each use (a password) is its newest version within `refresh_seconds`. One that is taken
   once, at the start (a root, an index key), stays what it was; that it has changed is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import VaultRef
from gateway.secrets.trouble import VaultTrouble

SOONEST: Final = 1.0  # seconds between two looks
AGAIN: Final = 5.0  # seconds after a failed one


class Vault(Protocol):
    """Where secrets are. Its methods block."""

    def read(self, ref: VaultRef) -> str:
        """Log in first, if need be. Raises VaultTrouble."""
        ...

    def keep(self) -> None:
        """Renew the token, or log in anew, if it is time. Raises VaultTrouble."""
        ...

    @property
    def due(self) -> float:
        """In how many seconds that will be."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at Vault came to: the first thing that went wrong, and what is not as it was."""

    trouble: VaultTrouble | None
    changed: tuple[VaultRef, ...] = ()


class VaultStore:
    """Fulfils `gateway.secrets.references.Held`."""

    def __init__(self, vault: Vault, refs: Iterable[VaultRef], refresh_seconds: float) -> None:
        self._vault, self._refs, self._every = vault, tuple(refs), refresh_seconds
        self._values: dict[VaultRef, str] = {}

    def value(self, ref: VaultRef) -> str:
        """As `Held.value`."""
        if ref not in self._values:
            raise ConfigError(Problem(str(ref), None, "", "has not been read from Vault"))
        return self._values[ref]

    def open(self) -> None:
        """Read everything for the first time, at least log in. Blocks. Raises VaultTrouble."""
        self._vault.keep()
        for ref in self._refs:
            self._values[ref] = self._vault.read(ref)

    def read(self, ref: VaultRef) -> str:
        """Something that only a policy names, as it is now. Blocks. Raises VaultTrouble."""
        return self._vault.read(ref)

    def refresh(self) -> Looked:
        """Keep the token, and read everything again. Blocks."""
        changed: list[VaultRef] = []
        trouble: VaultTrouble | None = None
        try:
            self._vault.keep()
        except VaultTrouble as failed:
            return Looked(failed)  # without a token each read would wait in vain
        for ref in self._refs:
            try:
                value = self._vault.read(ref)
            except VaultTrouble as failed:
                trouble = trouble or failed
                continue
            if value != self._values.get(ref):
                self._values[ref] = value
                changed.append(ref)
        return Looked(trouble, tuple(changed))

    async def watch(self, hear: Callable[[Looked], None]) -> None:
        """Refresh for ever, beside the event loop."""
        looked = Looked(None)
        while True:
            await asyncio.sleep(self._pause(looked))
            looked = await asyncio.to_thread(self.refresh)
            hear(looked)

    def _pause(self, looked: Looked) -> float:
        every = self._every if looked.trouble is None else min(AGAIN, self._every)
        return max(SOONEST, min(every, self._vault.due)) if looked.trouble is None else every
