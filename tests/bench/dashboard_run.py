"""What the dashboard shows of a run: the data of docs/dashboard.svg, which docs/draw_dashboard.py draws.

    python -m tests.bench.dashboard_run --json FILE [--minutes 6]

Two real gateway processes on one SQLite file, in front of a scripted engine with two releases; callers of three roles
ask without an end, and some of them with bad tokens or for models that are not there. After a third the releases share
the callers, after two thirds the model servers fail now and then. A real Prometheus scrapes both, with the rules of
deploy/prometheus, and is asked for the dashboard's own expressions. A machine's own figures these are not: the engine
says at once what it is told.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.support import administration, scripted
from tests.support.dashboard import make_dashboard, with_all
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings
from tests.support.prometheus import Prometheus, prometheus
from tests.support.scripted import SURE, SURPRISED, Error, Pause, Step

EVERY, STEP, RATE_OVER = "5s", 5, "30s"
CALLERS, SUBJECTS, THINK_S = 10, 60, 0.6
ROLES = ("customer", "customer", "customer", "clauses", "careful")

FACTS = (
    "Lamps can be returned within 45 days. ",
    "The shop opens at nine. ",
    "Our catalogue lists every shade. ",
    "Write the order's number on the parcel. ",
)
BENIGN = 400  # sentences beside as many private ones as their weights say
PRIVATE = (
    ("Write to {}@private.example for that. ", 12),
    ("Her number is +44 20 7946 0{:03d}. ", 8),
    ("Her order is AX-77{:03d}-Q. ", 5),
    ("Mrs Plimsol was diagnosed with diabetes in May. ", 4),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, scripted.engine() as engine, ExitStack() as stack:
        fronts = [stack.enter_context(each) for each in _gateways(Path(folder), engine.url)]
        targets = {"tightlip": [front.management for front in fronts]}
        watching = stack.enter_context(prometheus(Path(folder) / "prometheus", targets, EVERY))
        since = time.time()
        Run(engine, fronts, options.minutes * 60).go()
        shown = list(_shown(watching, since, time.time()))
    options.json.write_text(json.dumps(shown))
    print(f"{len(shown)} panels, {sum(len(panel['series']) for panel in shown)} series")


def _gateways(folder: Path, engine: str) -> Iterator[Any]:
    state = {"file": str(folder / "state.db")}
    budget = {"caller_findings_per_hour": 4, "refuse_findings_per_hour": 16}
    more = {"sample": 0.3, "budget": budget}
    profiles = {
        name: each if name == "off" else each | more for name, each in administration.POLICY["profiles"].items()
    }
    for name in ("one", "two"):
        own = folder / name
        own.mkdir()
        (own / "audit.key").write_text("a" * 40)
        audit = {"directory": "audit", "key_file": "audit.key"}
        one = settings(server(engine, "-"), server(engine, "-"), own, state=state, audit=audit)
        tokenizer = str(scripted.tokenizer(own))
        releases = {
            release: {
                "tuned": server(engine, f"{release}-tuned"),
                "base": server(engine, f"{release}-base"),
                "tokenizer": tokenizer,
                "unreleased": True,
            }
            for release in ("blue", "green")
        }
        models = {"models": {MODEL: {"releases": releases, "serving": "blue"}}}
        yield gateway(own, one | models, administration.POLICY | {"profiles": profiles})


class Run:
    """The load, and what happens meanwhile."""

    def __init__(self, engine: scripted.Engine, fronts: Sequence[Gateway], seconds: float) -> None:
        self._engine, self._fronts, self._seconds = engine, fronts, seconds
        self._done, self._failing = threading.Event(), False
        engine.replies = self._replies

    def go(self) -> None:
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            tasks = [pool.submit(self._ask_on, number) for number in range(CALLERS)]
            try:
                self._happen()
            finally:
                self._done.set()
            for task in tasks:
                task.result()

    def _happen(self) -> None:
        for shares in (("blue",), ("blue=60", "green=40"), ("green",)):
            switched = administration.tightlip(self._fronts[0], "operations", "release", "switch", MODEL, *shares)
            if switched.exit_code:
                raise RuntimeError(switched.output)
            self._failing = shares == ("green",)
            ends = time.monotonic() + self._seconds / 3
            while time.monotonic() < ends:
                self._engine.score = random.choice((SURE, SURPRISED))
                self._engine.score_after = random.uniform(0.01, 0.12)
                time.sleep(1)

    def _ask_on(self, number: int) -> None:
        dice = random.Random(number)
        while not self._done.is_set():
            front, subject = dice.choice(self._fronts), f"s-{dice.randrange(SUBJECTS)}"
            with front.client(dice.choice(ROLES), subject=subject) as client:
                for _ in range(8):
                    _once(client, dice)
                    time.sleep(dice.uniform(0.2, 2 * THINK_S))

    def _replies(self, body: Mapping[str, Any]) -> tuple[Sequence[Step], str]:
        if body["model"].endswith("base"):
            return ["I can't help with that. ", Pause(0.05), "Please ask the shop."], "stop"
        if self._failing and random.random() < 0.06:
            return [Error(503)], "stop"
        return [step for _ in range(random.randint(2, 4)) for step in self._sentence()], "stop"

    def _sentence(self) -> Iterator[Step]:
        yield Pause(random.uniform(0.02, 0.2))
        private = random.choices((*PRIVATE, None), (*(weight for _, weight in PRIVATE), BENIGN))[0]
        yield private[0].format(random.randrange(1000)) if private else random.choice(FACTS)


def _once(client: httpx.Client, dice: random.Random) -> None:
    if dice.random() < 0.04:
        ask(client, model="no-such-model")
    elif dice.random() < 0.04:
        client.get("/v1/models", headers={"Authorization": "Bearer no"})
    else:
        ask(client, "What else?", stream=dice.random() < 0.7)


# ---- what the dashboard makes of it ----------------------------------------------------------------------------------


def _shown(watching: Prometheus, since: float, until: float) -> Iterator[dict[str, Any]]:
    for section in make_dashboard().SECTIONS:
        for panel in section.panels:
            told = {"section": section.title, "title": panel.title, "unit": panel.unit, "kind": panel.kind}
            series = [line for query in panel.queries for line in _lines(watching, query, since, until)]
            yield told | {"stacked": panel.stacked, "most": panel.most, "series": series}


def _lines(watching: Prometheus, query: Any, since: float, until: float) -> Iterator[dict[str, Any]]:
    for metric, points in watching.query_range(with_all(query.expression, RATE_OVER), since, until, STEP):
        legend = query.legend
        for label, value in metric.items():
            legend = legend.replace(f"{{{{{label}}}}}", value)
        yield {"legend": legend, "points": [[round(at - since), value] for at, value in points]}


if __name__ == "__main__":
    main()
