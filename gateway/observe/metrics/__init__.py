"""Prometheus metrics. Every label has a closed set of values: whatever is not in it counts as "other".

Each process has a management listener of its own and is scraped by itself; Prometheus adds up. Nothing is shared
between processes, so that counters are right however many there are, and one that is killed takes nobody's along.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry

from gateway.observe.metrics.filters import Filters
from gateway.observe.metrics.labels import Known
from gateway.observe.metrics.make import Maker
from gateway.observe.metrics.process import Files, Process, Secrets
from gateway.observe.metrics.requests import Refusals, Requests
from gateway.observe.metrics.upstreams import Questions, Upstreams

__all__ = ["Metrics"]


class Metrics(Requests, Refusals, Filters, Upstreams, Questions, Process, Files, Secrets):
    """All that the process counts. One per process; `registry` is what the management listener shows."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        models: Mapping[str, Collection[str]] | None = None,
        roles: Collection[str] = (),
        routes: Collection[str] = (),
        kinds: Collection[str] = (),
        shy: Collection[str] = (),
        vault: bool = False,
    ) -> None:
        """`models`: the names of their releases by model. `shy`: those of the `kinds` that are special categories.
        `vault`: there is one, so that whether it answers is a series."""
        self.registry = registry
        make, known = Maker(registry), Known(models=models, roles=roles, routes=routes, kinds=kinds)
        for part in (Requests, Refusals, Upstreams, Questions, Process, Files):
            part.__init__(self, make, known)
        Filters.__init__(self, make, known, shy)
        Secrets.__init__(self, make, known, vault=vault)
