"""Lets requests through to a pair of models only while it is what it should be.

Asked at start and every few minutes. A fault closes the way at once. A server that does not answer closes it when the
last good check is older than the grace: until it has answered again nobody knows what runs there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.errors import GatewayError
from gateway.release.check import Fault, faults_of_pair, faults_of_release
from gateway.release.manifest import Manifest
from gateway.release.probe import PUBLIC_TEXT, CanaryText, Prober
from gateway.upstream.client import Server, UpstreamClient
from gateway.upstream.vocabulary import TokenizerVocabulary

EVERY: Final = 300.0  # seconds between two checks
AGAIN: Final = 5.0  # after one that failed
GRACE: Final = 2 * EVERY


class Check(Protocol):
    """What is wrong with a pair; empty: nothing. Raises GatewayError where a server does not answer."""

    async def __call__(self) -> Sequence[Fault]: ...


@dataclass(frozen=True, slots=True)
class PairCheck:
    """Whether two servers are the pair of a release, and the files beside them too."""

    client: UpstreamClient
    vocabulary: TokenizerVocabulary
    tuned: Server
    base: Server
    manifest: Manifest
    faults_of_files: Callable[[], Iterable[Fault]]
    scored: bool = False  # as `Prober` takes it

    async def __call__(self) -> Sequence[Fault]:
        prober = Prober(self.client, self.vocabulary.size, scored=self.scored)
        canary = CanaryText(self.manifest.canary.ids, self.manifest.canary.start)
        tuned, base = await prober.observe(self.tuned, canary), await prober.observe(self.base, canary)
        return [
            *self.faults_of_files(),
            *faults_of_pair(tuned, base, self.vocabulary.ids(PUBLIC_TEXT)),
            *faults_of_release(self.manifest, self.vocabulary.sha256, tuned, base),
        ]


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds. Tests bring their own."""

    now: Callable[[], float] = time.monotonic
    every: float = EVERY
    again: float = AGAIN
    grace: float = GRACE


class Guard:
    """The way to one served model."""

    def __init__(self, check: Check, tell: Callable[[Sequence[Fault]], None], clock: Clock | None = None) -> None:
        """`tell` hears what is wrong, once, whenever that changes; an empty sequence says that all is well."""
        self._check, self._tell, self._clock = check, tell, clock or Clock()
        self._good_since: float | None = None
        self._told: tuple[Fault, ...] | None = None

    @property
    def open(self) -> bool:
        """Whether requests may go to these models now."""
        return self._good_since is not None and self._clock.now() - self._good_since <= self._clock.grace

    async def look(self) -> bool:
        """Check once; whether all is well."""
        began = self._clock.now()
        try:
            faults = tuple(await self._check())
        except GatewayError:
            faults = (Fault.NO_ANSWER,)  # what was known before holds until it is too old
        else:
            self._good_since = None if faults else began
        if faults != self._told:
            self._told = faults
            self._tell(faults)
        return not faults

    async def watch(self) -> None:
        """Check for ever, first when the last check is old enough."""
        while True:
            await asyncio.sleep(self._clock.again if self._told else self._clock.every)
            await self.look()
