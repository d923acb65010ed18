"""CPU time per streamed token: the gateway beside the bare ASGI proxy that only copies bytes.

    python tests/bench/bench_relay.py [--quick] [--rounds N] [--only TEXT] [--out FILE] [--harness DIR]

Both stand in front of the same replay of a model server's stream, each pinned to one CPU, with the replay and the load
generator on another. They take turns within every round, so that whatever else the machine does hits both; the medians
over the rounds are compared. The harness (replay, load generator, bare proxy) is no part of this project: its programs
are run, not imported. Its folder is given with --harness or in TIGHTLIP_BENCH_HARNESS.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.gateways import MODEL, POLICY, WEAKER, Gateway, gateway, server, settings
from tests.support.processes import HOST, Child, NotStarted, Program, answers, free_ports, running

DEFAULT_HARNESS = Path(__file__).resolve().parents[2] / "../shared/bench"
HARNESS_VARIABLE = "TIGHTLIP_BENCH_HARNESS"
NEEDED = ("upstream.py", "load.py", "peers/mini_asgi.py")
EXIT_NO_HARNESS = 3
EXIT_FAILED = 1

EVIDENCE = {"logprobs": True, "return_token_ids": True}  # what the gateway asks for itself, and the bare proxy not
TOKEN_SECONDS = 3600
ANSWER_SECONDS = 120


@dataclass(frozen=True)
class Scenario:
    """One kind of load. `rate` is each stream's tokens per second; 0 is as fast as they are taken."""

    name: str
    streams: int
    requests: int
    tokens: int
    rate: int
    limit: float  # what the gateway with its filters off may cost, in bare proxies


SCENARIOS = (
    Scenario("unpaced, 64 streams x 200", 64, 512, 200, 0, 2.0),
    Scenario("paced at 30/s, 200 streams x 100", 200, 400, 100, 30, 1.3),
)
QUICK = (
    Scenario("unpaced, 64 streams x 200", 64, 128, 200, 0, 2.0),
    Scenario("paced at 30/s, 200 streams x 100", 200, 200, 100, 30, 1.3),
)


@dataclass(frozen=True)
class Subject:
    """Something that answers, as the load generator is told of it."""

    name: str
    url: str
    pid: int
    model: str
    token: str = ""
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Comparison:
    """A subject beside the one that it is measured against; `held_to_limit` where the limit is meant for it."""

    name: str
    subject: Subject
    against: Subject
    held_to_limit: bool


@dataclass(frozen=True)
class Line:
    """One line of the table: medians in microseconds of CPU per token."""

    scenario: str
    comparison: str
    bare_us: float
    gateway_us: float
    ratio: float  # the median of the rounds' ratios
    limit: float | None


Measured = dict[tuple[str, str], list[float]]  # (scenario, subject) -> microseconds per token, one for each round


def main() -> int:
    """The exit code: 0 also where a limit was passed, since other work on the machine can do that; read the table."""
    options = _options()
    harness = options.harness.resolve()
    if missing := [name for name in NEEDED if not (harness / name).is_file()]:
        print(f"bench_relay: no {missing[0]} in the harness folder; name it with --harness DIR", file=sys.stderr)
        return EXIT_NO_HARNESS
    try:
        lines, measured = _run(options, harness)
    except (NotStarted, BrokenRun) as error:
        print(f"bench_relay: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(table(lines))
    if options.out:
        options.out.write_text(json.dumps(_report(lines, measured), indent=1) + "\n")
    return 0


def table(lines: Sequence[Line]) -> str:
    """Markdown."""
    head = [
        "| load | frames | bare proxy, µs/token | gateway, µs/token | ratio | limit |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    return "\n".join([*head, *map(_row, lines)])


class BrokenRun(Exception):
    """The load generator failed, or not every request was answered."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU per token of the gateway and of a bare proxy, side by side.")
    parser.add_argument("--quick", action="store_true", help="a short run, for a first impression")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 2")
    parser.add_argument("--only", default="", help="only comparisons with this in their name")
    parser.add_argument("--out", type=Path, help="write every figure here, as JSON")
    parser.add_argument("--private-share", type=float, default=0.1, help="share of sentences with private data")
    parser.add_argument(
        "--harness", type=Path, default=os.environ.get(HARNESS_VARIABLE, DEFAULT_HARNESS), help=f"or {HARNESS_VARIABLE}"
    )
    options = parser.parse_args()
    options.harness = Path(options.harness)
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


# ---- what is measured ------------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, harness: Path) -> tuple[list[Line], Measured]:
    scenarios = QUICK if options.quick else SCENARIOS
    with tempfile.TemporaryDirectory() as folder, _stage(harness, Path(folder), options.private_share) as stage:
        comparisons = [c for c in _comparisons(stage) if options.only in c.name]
        measured = _measure(stage, scenarios, comparisons, options.rounds)
    return [_line(s, c, measured) for s in scenarios for c in comparisons], measured


@dataclass(frozen=True)
class Stage:
    """Everything that runs."""

    harness: Path
    upstream: str
    bare: Child
    gateway: Gateway
    load_cpu: int


def _comparisons(stage: Stage) -> list[Comparison]:
    def ours(name: str, role: str) -> Subject:
        token = stage.gateway.token(role, ttl=TOKEN_SECONDS)
        return Subject(name, stage.gateway.public, stage.gateway.child.process.pid, MODEL, token)

    def bare(name: str, extra: Mapping[str, Any]) -> Subject:
        return Subject(name, stage.bare.url, stage.bare.process.pid, "bench", extra=extra)

    plain, with_evidence = bare("bare, plain", {}), bare("bare, evidence", EVIDENCE)
    return [
        Comparison("plain, filters off", ours("gateway, plain", "open"), plain, held_to_limit=True),
        Comparison("evidence, filters off", ours("gateway, evidence", "watched"), with_evidence, held_to_limit=True),
        Comparison("evidence, filters on", ours("gateway, filters", "customer"), with_evidence, held_to_limit=False),
    ]


def _measure(stage: Stage, scenarios: Sequence[Scenario], comparisons: Sequence[Comparison], rounds: int) -> Measured:
    subjects = {subject.name: subject for c in comparisons for subject in (c.against, c.subject)}
    measured: Measured = {}
    for number in range(rounds):
        for scenario in scenarios:
            _pace(stage.upstream, scenario.rate)
            for subject in subjects.values():
                microseconds = _load(stage, scenario, subject)
                measured.setdefault((scenario.name, subject.name), []).append(microseconds)
                told = f"round {number + 1}/{rounds}  {scenario.name:34} {subject.name:20} {microseconds:7.1f}"
                print(told, file=sys.stderr)
    return measured


def _load(stage: Stage, scenario: Scenario, subject: Subject) -> float:
    """Microseconds of the subject's CPU time per token that the upstream sent."""
    command = [sys.executable, str(stage.harness / "load.py"), *_load_arguments(stage, scenario, subject)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BrokenRun(f"the load generator ended with {done.returncode}\n{done.stderr[-500:]}")
    result = json.loads(done.stdout)
    if result["errors"]:
        raise BrokenRun(f"{subject.name}, {scenario.name}: {result['errors']}")
    return float(result["cpu_ms_per_1k_tok"])


def _load_arguments(stage: Stage, scenario: Scenario, subject: Subject) -> list[str]:
    given = {
        "--url": subject.url + "/v1/chat/completions",
        "--model": subject.model,
        "-c": scenario.streams,
        "-m": scenario.requests,
        "-t": scenario.tokens,
        "--pids": subject.pid,
        "--cpu": stage.load_cpu,
        "--timeout": ANSWER_SECONDS,
        "--warmup": 20 if scenario.rate else scenario.streams,
        "--extra": json.dumps(subject.extra or {}),
        "--header": f"Authorization: Bearer {subject.token}",
    }
    return [str(word) for pair in given.items() for word in pair]


def _pace(upstream: str, rate: int) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{upstream}/pace?{rate}", method="POST", data=b"")).close()


# ---- what runs -------------------------------------------------------------------------------------------------------


@contextmanager
def _stage(harness: Path, folder: Path, private_share: float) -> Iterator[Stage]:
    """The replay on one CPU; on another the bare proxy and the gateway, of which only one has work at a time."""
    own_cpus = sorted(os.sched_getaffinity(0))
    served_cpu, load_cpu = own_cpus[0], own_cpus[-1]
    upstream_port, bare_port = free_ports(2)
    tokenizer = folder / "tokenizer.json"
    replay = _replay(harness, upstream_port, tokenizer, private_share)
    with _pinned(load_cpu, lambda: running(replay, folder)) as upstream:
        configuration = settings(server(upstream.url, "bench"), server(upstream.url, "base"), tokenizer)
        bare_proxy = _bare(harness, bare_port, upstream.url)
        with (
            _pinned(served_cpu, lambda: running(bare_proxy, folder)) as bare,
            _pinned(served_cpu, lambda: gateway(folder, configuration, _policy())) as served,
        ):
            yield Stage(harness, upstream.url, bare, served, load_cpu)


@contextmanager
def _pinned(cpu: int, start: Callable[[], Any]) -> Iterator[Any]:
    """A child inherits the CPUs that its parent may use at that moment; its threads do too."""
    allowed = os.sched_getaffinity(0)
    child = start()
    os.sched_setaffinity(0, {cpu})
    try:
        entered = child.__enter__()
    finally:
        os.sched_setaffinity(0, allowed)
    try:
        yield entered
    finally:
        child.__exit__(None, None, None)


def _replay(harness: Path, port: int, tokenizer: Path, private_share: float) -> Program:
    options = {"--port": port, "--tokenizer": tokenizer, "--pii-share": private_share}
    command = [sys.executable, str(harness / "upstream.py"), *(str(word) for pair in options.items() for word in pair)]
    return Program("upstream", command, answers("/health"), f"http://{HOST}:{port}")


def _bare(harness: Path, port: int, upstream: str) -> Program:
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(harness / "peers"), "mini_asgi:app"]
    command += ["--host", HOST, "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning"]
    environment = {"UPSTREAM": upstream, "MINI_CLIENT": "aiohttp", "MINI_PARSE": "none"}
    return Program("bare", command, answers("/health"), f"http://{HOST}:{port}", environment)


def _policy() -> dict[str, Any]:
    """The tests' policy, with a role whose answers carry evidence that nobody looks at."""
    issuer = POLICY["issuers"][0]
    role = {"models": [MODEL], "endpoints": ["chat"], "profile": "watched"}
    profile = {"detect": False, "compare": False, "evidence": True, **WEAKER}
    return POLICY | {
        "issuers": [issuer | {"roles": [*issuer["roles"], "watched"]}],
        "roles": POLICY["roles"] | {"watched": role},
        "profiles": POLICY["profiles"] | {"watched": profile},
    }


# ---- what is reported ------------------------------------------------------------------------------------------------


def _line(scenario: Scenario, comparison: Comparison, measured: Measured) -> Line:
    bare = measured[scenario.name, comparison.against.name]
    ours = measured[scenario.name, comparison.subject.name]
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    limit = scenario.limit if comparison.held_to_limit else None
    return Line(scenario.name, comparison.name, statistics.median(bare), statistics.median(ours), ratio, limit)


def _row(line: Line) -> str:
    limit = "" if line.limit is None else f"{line.limit:.1f}"
    figures = f"{line.bare_us:.1f} | {line.gateway_us:.1f} | {line.ratio:.2f} | {limit}"
    return f"| {line.scenario} | {line.comparison} | {figures} |"


def _report(lines: Sequence[Line], measured: Measured) -> dict[str, Any]:
    rounds = [{"scenario": s, "subject": n, "us_per_token": values} for (s, n), values in measured.items()]
    return {"lines": [asdict(line) for line in lines], "rounds": rounds}


if __name__ == "__main__":
    sys.exit(main())
