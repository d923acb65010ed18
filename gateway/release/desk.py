"""Who answers for a model, changed while gateways run: switch, withdraw, reinstate, and how everything stands.

What is said here goes into the store, from which every gateway on it takes it within a second. When a method returns,
the store has acknowledged it; where there is no store that gateways share, it is this process's alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.release.standing import EVERYBODY, Choice, Scope, Standing, Withdrawal, choice_id
from gateway.releases import Releases, Stands
from gateway.state import Entry, Store
from gateway.types import Release


class Refused(Exception):
    """It is not done; the text tells the operator why, and quotes no name but those of the configuration."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice in force. `unknown` are those of its releases that this gateway does not have."""

    scope: Scope
    shares: Mapping[str, int]
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True)
class ModelStanding:
    """How a model stands here."""

    model: str
    releases: Sequence[Stands]
    choices: Sequence[Chosen]
    withdrawn: Sequence[str]  # names, whether this gateway has them or not


class ReleaseDesk:
    """Of one process. Every method that changes something may raise StateUnavailable: it is not acknowledged."""

    def __init__(self, store: Store, releases: Releases, now: Callable[[], float] = time.time) -> None:
        self._store, self._releases, self._now = store, releases, now

    async def switch(self, model: str, shares: Mapping[str, int], scope: Scope = EVERYBODY) -> None:
        """From now on these answer, each its part of the callers. Who has begun stays where he is. Raises
        Refused: one is not here, does not check out, or is withdrawn."""
        stored = await self._stored()
        known = {each.name: each for each in self._of(model)}
        for name in shares:
            if name not in known:
                raise Refused("this gateway has no such release of this model")
            if stored.is_withdrawn(Release(model, name)):
                raise Refused(f"release {name!r} is withdrawn; it has to be reinstated first")
            if not known[name].open:
                raise Refused(f"release {name!r} does not check out here")
        before = next((choice for choice in stored.choices(model) if choice.scope == scope), None)
        revision = max(int(self._now() * 1000), before.revision + 1 if before else 1)
        try:
            choice = Choice(model=model, shares=shares, revision=revision, **scope._asdict())
        except ValueError as error:
            raise Refused(str(error)) from None
        await self._put(choice)

    async def unswitch(self, model: str, scope: Scope = EVERYBODY) -> None:
        """Take a choice back: the next wider one counts again, or what the configuration says. Raises Refused: there is
        none."""
        if not await self._store.withdraw(choice_id(model, scope), self._now()):
            raise Refused("there is no such choice")

    async def withdraw(self, model: str, name: str) -> None:
        """This release answers nobody from now on, and answers that are running end. Saying it again does no harm.
        Raises Refused: it is not here, so that nothing would be withdrawn."""
        if name not in [each.name for each in self._of(model)]:
            raise Refused("this gateway has no such release of this model")
        await self._put(Withdrawal(model=model, release=name))

    async def reinstate(self, model: str, name: str) -> None:
        """It may be chosen again, and answers again where it was. Raises Refused: it is not withdrawn."""
        if not await self._store.withdraw(Withdrawal(model=model, release=name).id, self._now()):
            raise Refused("it is not withdrawn")

    def in_force(self, model: str, scope: Scope) -> Mapping[str, int] | None:
        """What is chosen for just these requests, as this process knows it now; None: nothing."""
        if scope == EVERYBODY and model in self._releases.models:
            return self._releases.for_everybody(model).shares
        found = (each.shares for each in self._releases.standing.choices(model) if each.scope == scope)
        return next(found, None)

    def known(self, model: str, names: Iterable[str]) -> bool:
        """Whether this process, or what is said of releases, knows all these by name."""
        standing = self._releases.standing
        named = {each.name for each in self._here(model)} | set(standing.withdrawn(model))
        named.update(name for choice in standing.choices(model) for name in choice.shares)
        return bool(named) and named >= set(names)

    def status(self) -> list[ModelStanding]:
        """Of every model, as this process knows it now; also of those that it does not have and the store speaks of:
        they can be taken back here."""
        standing = self._releases.standing
        return [
            ModelStanding(
                model,
                self._here(model),
                [Chosen(each.scope, each.shares, self._releases.unknown(each)) for each in standing.choices(model)],
                standing.withdrawn(model),
            )
            for model in dict.fromkeys((*self._releases.models, *standing.models))
        ]

    def _of(self, model: str) -> Sequence[Stands]:
        """Raises Refused."""
        if not (found := self._here(model)):
            raise Refused("this gateway has no such model")
        return found

    def _here(self, model: str) -> Sequence[Stands]:
        return self._releases.stands(model) if model in self._releases.models else []

    async def _stored(self) -> Standing:
        """What the store says at this moment, which may be newer than what this process knows."""
        stored = Standing()
        for entry in (await self._store.changes(None)).entries:
            stored.learn(entry.id, entry.text, entry.expires_at)
        return stored

    async def _put(self, said: Choice | Withdrawal) -> None:
        await self._store.put(Entry(said.id, said.written(), None), self._now())
