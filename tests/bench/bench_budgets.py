"""Leak budgets: whether four processes on one store hide no more than an hour allows, and what one costs an answer.

    python -m tests.bench.bench_budgets [--answers 400] [--json FILE]

Each process serves one caller's answers, AT_ONCE at a time, as fast as it can; every answer goes on hiding one thing in
each segment for as long as the tuned model speaks. Together they would hide twenty times the limit. Then each process
admits and ends answers of a caller of its own that hide nothing. What wants Redis is left out where there is none.
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

from prometheus_client import CollectorRegistry

from filters.budget import Cost, Hour, Limits, Steps
from filters.profile import Profile
from gateway.budgets import FINDINGS, Budgets, account_key
from gateway.observe.metrics import Metrics
from gateway.policy.parameters import admit, read
from gateway.settings import StateSettings
from gateway.state.holds import Draw
from gateway.state.opening import open_store
from gateway.types import Plan
from tests.bench.reported import over_stores, show
from tests.gateway.support import make_grant

PROCESSES, AT_ONCE, SEGMENTS = 4, 10, 20
BODY = b'{"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}'
Told = tuple[int, int, list[float]]  # what was hidden, how many answers began with the tuned model, seconds of each


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=int, default=400)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = over_stores(lambda state: measured(state, options.answers))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def measured(state: dict[str, str], answers: int) -> dict[str, Any]:
    limit = answers * SEGMENTS // 20
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        told: list[Told] = pool.starmap(
            serve, [(state, answers // PROCESSES, limit, str(at)) for at in range(PROCESSES)]
        )
    times = sorted(each for *_, seconds in told for each in seconds)
    return {
        "limit": limit,
        "hidden": sum(hidden for hidden, *_ in told),
        "in the store": asyncio.run(_total(state)),
        "answers that the tuned model began": sum(began for _, began, _ in told),
        "admitting an answer, median, ms": times[len(times) // 2] * 1000,
        "p99, ms": times[len(times) * 99 // 100] * 1000,
    }


def serve(state: dict[str, str], answers: int, limit: int, name: str) -> Told:
    """One process's answers."""
    return asyncio.run(_serve(state, answers, limit, name))


async def _serve(state: dict[str, str], answers: int, limit: int, name: str) -> Told:
    store = open_store(StateSettings.model_validate(state))
    await store.prepare()
    budgets = Budgets(store, Metrics(CollectorRegistry(), roles=["customer"]))
    left = iter(range(answers))
    told: list[int] = []

    async def some() -> list[int]:
        return [await _answer(budgets, _plan(limit)) for _ in left]

    for each in await asyncio.gather(*(some() for _ in range(AT_ONCE))):
        told += each
    seconds = []
    for _ in range(answers):
        began = time.perf_counter()
        answer = await budgets.admit(_plan(limit, f"idle-{name}"))
        seconds.append(time.perf_counter() - began)
        answer.end()
        await budgets.aclose()
    await store.aclose()
    return sum(told), sum(map(bool, told)), seconds


async def _answer(budgets: Budgets, plan: Plan) -> int:
    """One answer, a segment each ten milliseconds; what it hid."""
    answer, hidden = await budgets.admit(plan), 0
    while hidden < SEGMENTS and not answer.budget.spent:
        answer.budget.spend(Cost(0.0, 1))
        hidden += 1
        await asyncio.sleep(0.01)
    answer.end()
    return hidden


def _plan(limit: int, subject: str = "caller") -> Plan:
    profile = Profile("metered", budget=Limits(caller=Hour(findings=Steps(limit))))
    grant = make_grant(profile=profile)
    return admit(read(BODY, grant.endpoint), replace(grant, principal=replace(grant.principal, subject=subject)))


async def _total(state: dict[str, str]) -> int:
    store = open_store(StateSettings.model_validate(state))
    key = account_key(_plan(1).grant.principal)
    (drawn,) = await store.draw([Draw(f"leak-{FINDINGS}:{key}")], time.time())
    await store.aclose()
    return round(drawn.total)


if __name__ == "__main__":
    main()
