"""The policy in force, and how another one takes its place.

1. A change is seen by looking at the files now and then: the policy, and the key and CA files and the tables that it
   names. What has just changed is looked at once more before it is read: an editor may still be writing it. A SIGHUP
   has it read at once.
2. It is read and built beside the event loop, so that streams go on. Whatever is wrong with it, the one before stays in
   force, untouched; this is told once for each change, not at each look.
3. Keys that are fetched from the web are carried over; pages that nobody has asked for yet are fetched before the
   switch, so that a good token isn't refused because of it.
4. The switch is one assignment. Requests under way go on with what they began with, unless the new policy says
   `urgent: true`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gateway.auth.jwks import RemoteKeys
from gateway.config_file import ConfigError, Problem
from gateway.file_state import State, state_of
from gateway.in_force import InForce

EVERY: Final = 0.5  # seconds between two looks at the files


class Hear(Protocol):
    """Is told what became of a change."""

    def changed(self, before: InForce | None, now: InForce) -> None:
        """`now` is in force. `before` is None at the start."""
        ...

    def refused(self, error: ConfigError) -> None:
        """What the files say now can't be used, and the policy before stays."""
        ...


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of reading the files again; `before` and `now` are versions, and the same where there were
    problems."""

    before: str
    now: str
    problems: Sequence[Problem] = ()

    @property
    def done(self) -> bool:
        return not self.problems


async def _tell_nobody(_reload: Reload) -> None:
    pass


class Policies:
    """The policy in force. For one event loop."""

    def __init__(
        self,
        path: Path,
        load: Callable[[InForce | None], InForce],
        hear: Hear,
        note: Callable[[Reload], Awaitable[None]] = _tell_nobody,
    ) -> None:
        """Reads it for the first time. `load` builds what follows from the policy file `path`; it may be called in a
        thread, with what is in force. `note` hears of what the files alone, or a signal, brought about. Raises
        ConfigError."""
        self._path, self._load, self._hear, self._note = path, load, hear, note
        self._wished, self._switching = asyncio.Event(), asyncio.Lock()
        self._fetching: list[asyncio.Task[None]] = []
        self._seen: dict[Path, State] = {path: None}
        self.now = self._read(None)
        hear.changed(None, self.now)

    def ask(self) -> None:
        """Have the files read again, whether they have changed or not."""
        self._wished.set()

    async def begin(self) -> None:
        """Fetch the keys that have to be fetched, and go on fetching them until `aclose`."""
        await asyncio.gather(*(keys.fetch() for keys in self.now.remote))
        self._fetch_on(self.now)

    async def aclose(self) -> None:
        """No keys are fetched from here on."""
        self._fetch_on(None)

    async def watch(self) -> None:
        """Take over changes for ever."""
        before = self._seen
        while True:
            wished = await self._wish()
            looked = {path: state_of(path) for path in self._seen}
            if wished or (looked != self._seen and looked == before):
                await self._note(await self.reload())
            before = looked

    async def reload(self) -> Reload:
        """Read the files and switch to what they say, if they can be used."""
        async with self._switching:
            before = self.now
            try:
                new = await asyncio.to_thread(self._read, before)
            except ConfigError as error:
                return self._refused(before, error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not be the last look at the policy
                problem = Problem(str(self._path), None, "", f"failed ({type(error).__name__})")
                return self._refused(before, ConfigError(problem))
            new.carry_over(before)
            await asyncio.gather(*(keys.fetch() for keys in new.remote if _never_fetched(keys)))
            self.now = new
            self._fetch_on(new)
            self._hear.changed(before, new)
            return Reload(before.rules.version, new.rules.version)

    def _refused(self, before: InForce, error: ConfigError) -> Reload:
        self._hear.refused(error)
        return Reload(before.rules.version, before.rules.version, error.problems)

    async def _wish(self) -> bool:
        """Wait until somebody asks, or until it is time to look; whether somebody asked."""
        try:
            await asyncio.wait_for(self._wished.wait(), EVERY)
        except TimeoutError:
            return False
        self._wished.clear()
        return True

    def _read(self, before: InForce | None) -> InForce:
        """What the files say. They are looked at first and read then, so that no later change goes unseen: those that
        turn out to belong to it are read twice. Raises ConfigError."""
        files = set(self._seen) if before is None else {before.rules.document.path, *before.files}
        while True:
            self._seen = {path: state_of(path) for path in files}
            try:
                new = self._load(before)
            except ConfigError as error:  # a file that is missing or wrong may come, or be mended
                named = {Path(problem.file) for problem in error.problems}
                self._seen = self._seen | {path: state_of(path) for path in named - files}  # `watch` may be reading it
                raise
            if new.files <= files:
                self._seen = {path: self._seen[path] for path in new.files}
                return new
            files |= new.files

    def _fetch_on(self, policy: InForce | None) -> None:
        for task in self._fetching:
            task.cancel()
        remote = policy.remote if policy else []
        self._fetching = [asyncio.ensure_future(keys.watch()) for keys in remote]


def _never_fetched(keys: RemoteKeys) -> bool:
    return math.isinf(keys.age)
