"""What a request's trace costs: made and sent, left out by the sample, and as a part of all that a gateway does for it.

    PYTHONPATH=. python -m tests.bench.bench_traces [--traces 2000] [--requests 300] [--json FILE]

The first rows are of the parts alone, the best of five runs. The others are two gateway processes, one with traces and
one without, in front of one scripted engine and one collector: short answers (nine tokens) are asked of both by
turns, and what a request took of each process's CPU time is the median of ten rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry

from gateway.observe.logs import Logs, RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import Pseudonyms
from gateway.observe.steps import Kind
from gateway.observe.traces import Traces
from tests.bench.bench_records import record
from tests.bench.reported import Cost, show_costs
from tests.support import scripted
from tests.support.collector import collector
from tests.support.gateways import Gateway, ask, gateway, server, settings

RUNS, ROUNDS = 5, 10
PLAIN = (Kind.AUTHENTICATE, Kind.READ, Kind.ADMIT, Kind.BUDGET, Kind.PREPARE)
TICKS = os.sysconf("SC_CLK_TCK")


class Nowhere:
    """A collector that takes all and keeps nothing but how much it was."""

    def __init__(self) -> None:
        self.bytes = 0

    async def deliver(self, raw: bytes) -> int:
        self.bytes += len(raw)
        return 0

    async def aclose(self) -> None: ...


# ---- the parts alone -------------------------------------------------------------------------------------------------


def walked(made: RequestRecord) -> None:
    """An answer with one question to the base: eight steps."""
    for kind in PLAIN:
        with made.steps.step(kind):
            pass
    tuned = made.steps.call("/v1/chat/completions", "tuned", "http://10.0.0.1:8000")
    with tuned, made.steps.step(Kind.QUESTION) as question:
        question.call("/v1/completions", "base", "http://10.0.0.2:8000")


def parts(count: int) -> list[Cost]:
    best: dict[str, Cost] = {}
    for _ in range(RUNS):
        for what, sample in {"traced: noted, made, sent": 1.0, "left out by the sample": 0.0}.items():
            row = asyncio.run(part(what, sample, count))
            best[what] = min(best.get(what, row), row, key=lambda each: each.microseconds)
    return list(best.values())


async def part(what: str, sample: float, count: int) -> Cost:
    said = Logs(io.BytesIO(), Pseudonyms(b"k" * 32)).request(record())
    nowhere = Nowhere()
    traces = Traces(nowhere, "tightlip", "1", Metrics(CollectorRegistry()), sample=sample)
    requests = [record() for _ in range(count)]
    began = time.process_time()
    for at, made in enumerate(requests):
        traces.begin(made, [])
        walked(made)
        traces.end(made, said)
        if at % 500 == 499:
            await traces._deliver()
    await traces.aclose()
    return Cost(what, (time.process_time() - began) / count * 1e6, nowhere.bytes / count)


# ---- gateways --------------------------------------------------------------------------------------------------------


def cpu_seconds(front: Gateway) -> float:
    fields = Path(f"/proc/{front.child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def whole(requests: int, folder: Path) -> list[Cost]:
    with ExitStack() as stack:
        engine, there = stack.enter_context(scripted.engine()), stack.enter_context(collector())
        pair = server(engine.url, "tuned"), server(engine.url, "base"), scripted.tokenizer(folder)
        fronts = {
            "a gateway without traces": stack.enter_context(gateway(folder / "off", settings(*pair))),
            "a gateway with traces": stack.enter_context(
                gateway(folder / "on", settings(*pair, traces={"endpoint": there.url}))
            ),
        }
        clients = {what: stack.enter_context(front.client()) for what, front in fronts.items()}
        for client in clients.values():
            for _ in range(20):  # what is made once is made
                ask(client).raise_for_status()
        took: dict[str, list[float]] = {what: [] for what in fronts}
        for _ in range(ROUNDS):
            for what, front in fronts.items():
                took[what].append(round_of(front, clients[what], max(requests // ROUNDS, 1)))
        return [Cost(what, statistics.median(each)) for what, each in took.items()]


def round_of(front: Gateway, client: httpx.Client, requests: int) -> float:
    before = cpu_seconds(front)
    for _ in range(requests):
        ask(client).raise_for_status()
    return (cpu_seconds(front) - before) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        costs = [*parts(arguments.traces), *whole(arguments.requests, Path(name))]
    show_costs(costs, arguments.json)


if __name__ == "__main__":
    main()
