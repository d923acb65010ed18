"""Lets requests through to a pair of models only while it is what it should be.

Each replica of the two is judged by itself, beside one of the other model's that is what it should be; one that is not,
or has been away and was not asked again, is not routed to. Without a sound pair among them nothing is.

Asked at start and every few minutes. A fault closes the way at once. A server that does not answer closes it when the
last good check is older than the grace: until it has answered again nobody knows what runs there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from gateway.errors import GatewayError, UpstreamUnavailable
from gateway.release.check import Fault, faults_of_pair, faults_of_release
from gateway.release.manifest import Manifest
from gateway.release.probe import PUBLIC_TEXT, CanaryText, Observed, Prober
from gateway.upstream.client import Server, UpstreamClient
from gateway.upstream.replicas import Checked, Replica
from gateway.upstream.vocabulary import TokenizerVocabulary

EVERY: Final = 300.0  # seconds between two checks
AGAIN: Final = 5.0  # after one that failed
GRACE: Final = 2 * EVERY
TICK: Final = 1.0  # between two looks whether a replica waits for its check


class Check(Protocol):
    """What is wrong with a pair; empty: nothing. Raises GatewayError where a server does not answer."""

    async def __call__(self) -> Sequence[Fault]: ...


HearReplica = Callable[[str, Replica, Sequence[Fault]], None]


def no_replica_heard(model: str, replica: Replica, faults: Sequence[Fault]) -> None:
    """For who asks about a release and not about replicas."""


def checking(server: Server) -> Server:
    """The same, whose replicas are called only when they have checked out. Of a server that is alone the guard itself
    knows all that there is to know."""
    return server if server.alone else replace(server, checked=Checked(GRACE))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a replica showed in the life that it had when it was asked."""

    replica: Replica
    life: int
    seen: Observed


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
    hear: HearReplica = no_replica_heard
    # Of calls to each of the two servers, by address and model, when it was last looked at.
    failures: dict[tuple[str, str], int] = field(default_factory=dict)

    async def __call__(self) -> Sequence[Fault]:
        began = time.monotonic()
        files = list(self.faults_of_files())
        try:
            tuned, base = await self._observe(self.tuned), await self._observe(self.base)
        except GatewayError:
            if files:  # are wrong whoever answers
                return files
            raise
        sound = next(((t, b) for t in tuned for b in base if not self._faults(t, b)), None)
        if sound is not None and not files:
            for one in tuned:
                self._judge(self.tuned, one, self._faults(one, sound[1]), began)
            for one in base:
                self._judge(self.base, one, self._faults(sound[0], one), began)
            return []
        faults = [*files, *self._faults(tuned[0], base[0])]
        for server, seen in ((self.tuned, tuned), (self.base, base)):
            for one in seen:
                self._judge(server, one, faults, began)
        return faults

    @property
    def refused(self) -> int:
        """How many replicas are not what they should be."""
        return sum(len(server.checked.refused) for server in (self.tuned, self.base) if server.checked is not None)

    def due(self) -> bool:
        """Whether a replica waits for being checked, or a call has failed since: another process may stand there."""
        return any(
            self.client.unchecked(server)
            or self.client.failures(server) != self.failures.get((server.url, server.model))
            for server in (self.tuned, self.base)
        )

    async def _observe(self, server: Server) -> list[_Seen]:
        """Of each replica that answers. Raises GatewayError where none does."""
        prober = Prober(self.client, self.vocabulary.size, scored=self.scored)
        canary = CanaryText(self.manifest.canary.ids, self.manifest.canary.start)
        each = await self.client.each(server)
        self.failures[server.url, server.model] = self.client.failures(server)
        if server.checked is not None:
            server.checked.forget(one.only.at for one in each if one.only)
        lives = [one.only.life if one.only else 0 for one in each]
        looked = await asyncio.gather(*(prober.observe(one, canary) for one in each), return_exceptions=True)
        found = [
            _Seen(one.only, life, seen)
            for one, life, seen in zip(each, lives, looked, strict=True)
            if one.only and isinstance(seen, Observed)
        ]
        for failed in looked:
            if isinstance(failed, BaseException) and (not found or not isinstance(failed, GatewayError)):
                raise failed
        if not found:
            raise UpstreamUnavailable("replicas")
        return found

    def _faults(self, tuned: _Seen, base: _Seen) -> list[Fault]:
        return [
            *faults_of_pair(tuned.seen, base.seen, self.vocabulary.ids(PUBLIC_TEXT)),
            *faults_of_release(self.manifest, self.vocabulary.sha256, tuned.seen, base.seen),
        ]

    def _judge(self, server: Server, one: _Seen, faults: Sequence[Fault], began: float) -> None:
        if server.checked is None:
            return
        if not faults and one.life == one.replica.life:
            server.checked.good(one.replica, began)
        elif faults and server.checked.bad(one.replica):
            self.hear(server.model, one.replica, faults)


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds. Tests bring their own."""

    now: Callable[[], float] = time.monotonic
    every: float = EVERY
    again: float = AGAIN
    grace: float = GRACE


class Guard:
    """The way to one served model."""

    def __init__(
        self,
        check: Check,
        tell: Callable[[Sequence[Fault]], None],
        clock: Clock | None = None,
        due: Callable[[], bool] = lambda: False,
    ) -> None:
        """`tell` hears what is wrong, once, whenever that changes; an empty sequence says that all is well. `due`:
        whether somebody waits for the next check."""
        self._check, self._tell, self._clock, self._due = check, tell, clock or Clock(), due
        self._good_since: float | None = None
        self._refused = False
        self._told: tuple[Fault, ...] | None = None

    @property
    def open(self) -> bool:
        """Whether requests may go to these models now."""
        return self._good_since is not None and self._clock.now() - self._good_since <= self._clock.grace

    @property
    def refused(self) -> bool:
        """Whether they are something else, by the last check that was answered."""
        return self._refused

    async def look(self) -> bool:
        """Check once; whether all is well."""
        began = self._clock.now()
        try:
            faults = tuple(await self._check())
        except GatewayError:
            faults = (Fault.NO_ANSWER,)  # what was known before holds until it is too old
        else:
            self._good_since, self._refused = None if faults else began, bool(faults)
        if faults != self._told:
            self._told = faults
            self._tell(faults)
        return not faults

    async def watch(self) -> None:
        """Check for ever, first when the last check is old enough."""
        while True:
            await asyncio.sleep(self._clock.again)
            left = 0.0 if self._told else self._clock.every - self._clock.again
            while left > 0 and not self._due():
                await asyncio.sleep(min(left, TICK))
                left -= TICK
            await self.look()
