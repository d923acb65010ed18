"""What benchmarks of the store and of replicas share: both stores in turn, and figures as lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.redis import DURABLE, SERVER, redis


def over_stores(measured: Callable[[dict[str, str]], dict[str, Any]]) -> dict[str, Any]:
    """Of each store its figures, given its settings; what wants Redis is left out where there is none."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        figures["SQLite"] = measured({"file": f"{folder}/state.db"})
        if SERVER:
            with redis(Path(folder) / "redis", *DURABLE) as server:
                figures["Redis, AOF always"] = measured({"url": server.url})
    return figures


def spread(seconds: Sequence[float]) -> str:
    """The median and the longest."""
    ordered = sorted(seconds)
    return f"median {ordered[len(ordered) // 2]:.3f}, longest {ordered[-1]:.3f}"


def show(figures: Mapping[str, Any]) -> None:
    """A line each; what is made of several stands below its name."""
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"\n{name}")
            show(value)
        else:
            print(f"  {name:58} {round(value, 3) if isinstance(value, float) else value}", flush=True)
