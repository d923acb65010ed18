"""What has been read from Vault, kept through its outages and read again now and then.

1. Everything that the settings name is read before anything is served.
2. Later a failure changes nothing: what was read stays, and `hear` is told at each look.
3. A secret that is asked for at each use (a password) is its newest version within `refresh_seconds`. One that is taken
   once, at the start (a root, an index key), stays what it was; that it has changed is told.
4. Vault is asked by one thread of its own, so that one that hangs holds none of those that everything else needs; and
   nobody waits for longer than `WHOLE`, however slowly an answer trickles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import VaultRef
from gateway.secrets.trouble import Trouble, VaultTrouble

T = TypeVar("T")

SOONEST: Final = 1.0  # seconds between two looks
AGAIN: Final = 5.0  # seconds after a failed one
WHOLE: Final = 15.0  # seconds for one question, with a renewal and a login before it


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
        self._thread = ThreadPoolExecutor(1, "vault")

    def value(self, ref: VaultRef) -> str:
        """As `Held.value`."""
        if ref not in self._values:
            raise ConfigError(Problem(str(ref), None, "", "has not been read from Vault"))
        return self._values[ref]

    async def open(self) -> None:
        """Read everything for the first time, at least log in. Raises VaultTrouble."""
        await self._beside(self._vault.keep)
        for ref in self._refs:
            self._values[ref] = await self.read(ref)

    async def read(self, ref: VaultRef) -> str:
        """Something as it is now; also what only a policy names. Raises VaultTrouble."""
        return await self._beside(partial(self._vault.read, ref))

    async def refresh(self) -> Looked:
        """Keep the token, and read everything again."""
        changed: list[VaultRef] = []
        trouble: VaultTrouble | None = None
        try:
            await self._beside(self._vault.keep)
        except VaultTrouble as failed:
            if failed.passes:
                return Looked(failed)  # each read would wait in vain
            trouble = failed  # the token before may be good for a while
        for ref in self._refs:
            try:
                value = await self.read(ref)
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
            looked = await self.refresh()
            hear(looked)

    async def _beside(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(WHOLE):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise VaultTrouble(Trouble.UNREACHABLE) from None

    def _pause(self, looked: Looked) -> float:
        every = self._every if looked.trouble is None else min(AGAIN, self._every)
        return max(SOONEST, min(every, self._vault.due)) if looked.trouble is None else every
