"""A real Prometheus on loopback that scrapes what a test names; what wants one is skipped where there is none."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry

from gateway.observe.metrics import Metrics
from gateway.probe import Findings
from tests.support.processes import HOST, Child, Program, answers, free_port, running

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
SERVER, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(
    SERVER is None or PROMTOOL is None, reason="no prometheus and promtool on PATH (Debian's package prometheus)"
)
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    child: Child

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """The instant values, by their labels."""
        result = self._get("query", query=expression)["result"]
        return {frozenset(each["metric"].items()): float(each["value"][1]) for each in result}

    def query_range(
        self, expression: str, since: float, until: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The values over a time, in steps of so many seconds: labels, and (moment, value)."""
        result = self._get("query_range", query=expression, start=since, end=until, step=step)["result"]
        return [(each["metric"], [(float(at), float(value)) for at, value in each["values"]]) for each in result]

    def total(self, expression: str) -> float:
        """Of an expression that gives one value without labels; 0 where it gives none."""
        return next(iter(self.query(expression).values()), 0.0)

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def wait_for(self, expression: str, value: float) -> None:
        """Until this expression gives this value, which has to be one that stays."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.total(expression)) != value:
            assert time.monotonic() < deadline, f"{expression} is {found:g} and not {value:g}"
            time.sleep(0.2)

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        response = httpx.get(f"{self.child.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        answer = response.json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def prometheus(folder: Path, jobs: Mapping[str, Sequence[str]], every: str = "1s") -> Iterator[Prometheus]:
    """The server with the rules that we ship, and these jobs: by name the URLs of their targets."""
    folder.mkdir(parents=True, exist_ok=True)
    scraped = [
        {"job_name": name, "static_configs": [{"targets": [url.removeprefix("http://") for url in urls]}]}
        for name, urls in jobs.items()
    ]
    configuration = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(RULES / "recording.yaml"), str(RULES / "alerts.yaml")],
        "scrape_configs": scraped,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = [
        str(SERVER),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    program = Program("prometheus", command, answers("/-/ready"), f"http://{HOST}:{port}")
    with running(program, folder / "logs") as child:
        yield Prometheus(child)


@cache
def known_labels() -> dict[str, set[str]]:
    """All names that can stand in a query, with their labels: of the gateway, the probe, and what the rules record."""
    page, probe = CollectorRegistry(), CollectorRegistry()
    Metrics(page, vault=True)
    Findings(probe, ["en"])
    labels: dict[str, set[str]] = {}
    for registry in (page, probe):
        for collector, names in registry._collector_to_names.items():
            own: tuple[str, ...] = collector._labelnames  # type: ignore[attr-defined]
            labels |= {name: {*own, "le"} if name.endswith("_bucket") else set(own) for name in names}
    rules = yaml.safe_load((RULES / "recording.yaml").read_text("utf-8"))
    return labels | {rule["record"]: {"job"} for group in rules["groups"] for rule in group["rules"]}


def promtool(*arguments: str, text: str = "") -> str:
    """What it complains about; nothing where all is well."""
    done = subprocess.run([str(PROMTOOL), *arguments], input=text, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 and not done.stderr.strip() else done.stdout + done.stderr
