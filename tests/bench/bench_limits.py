"""Limits: whether four processes on one store pass exactly what they may, and what taking them costs.

    python -m tests.bench.bench_limits [--requests 2000] [--json FILE]

Each process asks as fast as it can for a caller with all of his limits and a total, eight in all, one request at a
time; together they ask for twice as much as the limit of requests lets pass. What wants Redis is left out where there
is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.settings import StateSettings
from gateway.state.opening import open_store
from gateway.state.windows import Lease, Window
from tests.bench.reported import over_stores, show

PROCESSES = 4
NOW = 1_700_000_000.0
Told = tuple[int, list[float]]  # how many requests passed, and the seconds of each


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = over_stores(lambda state: measured(state, options.requests))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def measured(state: dict[str, str], requests: int) -> dict[str, Any]:
    """What passed and what it cost, over all processes."""
    asked = [(state, requests // PROCESSES, requests // 2, str(at)) for at in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        told: list[Told] = pool.starmap(ask, asked)
    times = sorted(each for _, seconds in told for each in seconds)
    return {
        "limit": requests // 2,
        "passed": sum(passed for passed, _ in told),
        "asked": len(times),
        "median, ms": times[len(times) // 2] * 1000,
        "p99, ms": times[len(times) * 99 // 100] * 1000,
        "longest, ms": times[-1] * 1000,
    }


def ask(state: dict[str, str], times: int, limit: int, name: str) -> Told:
    """One process's requests, one after the other."""
    return asyncio.run(_ask(state, times, limit, name))


async def _ask(state: dict[str, str], times: int, limit: int, name: str) -> Told:
    store = open_store(StateSettings.model_validate(state))
    await store.prepare()
    windows = [
        Window(f"{who}:{unit}:{seconds}", seconds, limit if unit == "requests" else limit * 1000, amount)
        for who in ("caller", "role")
        for unit, amount in (("requests", 1), ("tokens", 700))
        for seconds in (60, 86_400)
    ]
    passed, seconds = 0, []
    for at in range(times):
        lease = Lease("caller:streams", 100, f"{name}-{at}", NOW + 30)
        began = time.perf_counter()
        taken = await store.take(windows, [lease], NOW + at % 40)
        seconds.append(time.perf_counter() - began)
        if taken.granted:
            passed += 1
            await store.settle([replace(each, amount=-500) for each in windows if "tokens" in each.key], [lease], NOW)
    await store.aclose()
    return passed, seconds


if __name__ == "__main__":
    main()
