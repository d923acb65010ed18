"""What benchmarks share: both stores in turn, figures as lines, and what one of many costs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.redis import DURABLE, SERVER, redis


@dataclass(frozen=True)
class Cost:
    """Of one of what there were many of."""

    what: str
    microseconds: float  # of the processor
    bytes: float = 0.0  # written or sent


def show_costs(costs: Sequence[Cost], file: Path | None) -> None:
    """A line each below the machine's load, and all of them as JSON into the file."""
    print(f"load {os.getloadavg()[0]:.1f}")
    for cost in costs:
        print(f"{cost.what:32} {cost.microseconds:8.1f} µs of CPU {cost.bytes:8.0f} bytes")
    if file:
        file.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n")


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
