"""The served models with all their releases: which one answers a caller, and how all of them stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import ReleaseWithdrawn
from gateway.observe.metrics import Metrics
from gateway.relay import Pair
from gateway.release.standing import EVERYBODY, Choice, Standing
from gateway.types import Grant, Principal, Release


@dataclass(frozen=True, slots=True)
class Stands:
    """One release of a model, as this process sees it."""

    name: str
    released_as: str | None  # the name that its signed release file gives it; None: served without one
    open: bool  # it checks out here, or there is nothing to check
    withdrawn: bool
    part: float  # of the callers about whose role and tenant there is no choice


class Releases:
    """Of one process, for one event loop. What is said of them is fed into `standing`."""

    def __init__(
        self, pairs: Mapping[Release, Pair], serving: Mapping[str, str], standing: Standing, metrics: Metrics
    ) -> None:
        """`serving`: the release of each model that answers where nobody has chosen."""
        self.pairs, self.standing, self._serving = pairs, standing, serving
        for release in pairs:
            metrics.standing(release, self._part(release), self._is_withdrawn(release))
        metrics.unknown_choices(lambda: sum(len(self.unknown(choice)) > 0 for choice in self._choices()))

    @property
    def models(self) -> Iterable[str]:
        return self._serving

    def serving(self, principal: Principal, model: str) -> Pair:
        """Who answers this caller. Raises ReleaseWithdrawn: nobody does, until an operator chooses."""
        choice = self.standing.choice(model, principal)
        release = Release(model, choice.drawn(principal) if choice else self._serving[model])
        if self.standing.is_withdrawn(release):
            raise ReleaseWithdrawn("withdrawn")
        if release not in self.pairs:
            raise ReleaseWithdrawn("unknown_release")
        return self.pairs[release]

    def count(self, grant: Grant) -> Callable[[str], int]:
        """What counts the tokens of a text for the model that would answer. Raises as `serving`."""
        return self.serving(grant.principal, grant.model).vocabulary.count

    @property
    def ready(self) -> bool:
        """Whether this process can serve any of its models. One of which every release that is in service is something
        else here, or is not here at all, is not ready, so that a wrong rollout stops by itself. What is withdrawn is so
        everywhere, and whose servers do not answer is closed for all gateways alike: callers are to be told."""
        return any(self._can_serve(Release(model, name)) for model in self.models for name in self._in_service(model))

    def answers(self, model: str) -> bool:
        """Whether a release that is in service, for whomever, answers here now."""
        found = (Release(model, name) for name in self._in_service(model))
        return any(self._is_open(each) and not self.standing.is_withdrawn(each) for each in found)

    def released(self, model: str) -> bool:
        """Whether all of its releases are checked against what they were signed as."""
        return all(pair.guard is not None for release, pair in self.pairs.items() if release.model == model)

    def stands(self, model: str) -> list[Stands]:
        """All releases of a model. Raises KeyError."""
        choice = self.for_everybody(model)
        return [
            Stands(
                release.name,
                pair.released_as,
                pair.open,
                self.standing.is_withdrawn(release),
                choice.part(release.name),
            )
            for release, pair in self.pairs.items()
            if release.model == model
        ]

    def for_everybody(self, model: str) -> Choice:
        """What counts where no choice is about a caller's role or tenant. Raises KeyError."""
        made = next((choice for choice in self.standing.choices(model) if choice.scope == EVERYBODY), None)
        return made or Choice(model=model, shares={self._serving[model]: 1})

    def unknown(self, choice: Choice) -> list[str]:
        """The releases that it names and this process does not have."""
        return [name for name in choice.shares if Release(choice.model, name) not in self.pairs]

    def _choices(self) -> Iterable[Choice]:
        return (choice for model in self.models for choice in self.standing.choices(model))

    def _in_service(self, model: str) -> set[str]:
        """For whomever."""
        chosen = {name for choice in self.standing.choices(model) for name in choice.shares}
        return chosen | self.for_everybody(model).shares.keys()

    def _can_serve(self, release: Release) -> bool:
        known = release in self.pairs and not self.pairs[release].refused
        return known or self.standing.is_withdrawn(release)

    def _is_open(self, release: Release) -> bool:
        return release in self.pairs and self.pairs[release].open

    def _part(self, release: Release) -> Callable[[], float]:
        return lambda: self.for_everybody(release.model).part(release.name)

    def _is_withdrawn(self, release: Release) -> Callable[[], bool]:
        return lambda: self.standing.is_withdrawn(release)
