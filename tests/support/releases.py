"""The releases of a model without the models: as much of a pair as the choice among them looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from gateway.observe.metrics import Metrics
from gateway.release.standing import Standing
from gateway.releases import Releases
from gateway.types import Release

MODEL = "assistant"


@dataclass
class Pair:
    """Stands for `gateway.relay.Pair`."""

    release: Release
    open: bool = True
    refused: bool = False
    released_as: str | None = None
    vocabulary: Any = None
    guard: Any = None


def releases(names: tuple[str, ...], serving: str, standing: Standing, metrics: Metrics) -> Releases:
    """Of MODEL, each of which checks out until a test says otherwise."""
    pairs = {Release(MODEL, name): Pair(Release(MODEL, name)) for name in names}
    return Releases(cast(Any, pairs), {MODEL: serving}, standing, metrics)
