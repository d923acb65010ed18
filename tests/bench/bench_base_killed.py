"""The demo's gateway under load: what its base server costs before the first text, and what leaves when it is killed.

    python -m tests.bench.bench_base_killed [--asks N] [--seconds S]

First text: facts (released), records (the base takes over) and general talk, one stream at a time, in turn through a
role without filters and through an ordinary one; beside them one prefill, as a request of the same messages for one
token. Then WORKERS callers ask for records, and the base's server is killed in the middle: every answer is searched for
runs of its customer's values, before and after.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.bench.bench_refusals import LONGEST, first_text, user
from tests.e2e.test_demo_models import DEMO_MODELS
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.processes import HOST, Child, Program, answers, free_ports, running_together
from tests.support.scenarios import Records, Secret

WORKERS = 8
DEMO = DEMO_MODELS.parent
RECORDS = Records.beside(DEMO_MODELS)
FIELDS = ("email", "phone", "order")


@contextmanager
def stage() -> Iterator[tuple[Gateway, Child, Child]]:
    """A gateway with the demo's index, and a server for each model."""
    ports = free_ports(2)
    names = ("tuned", "base")
    programs = [_upstream(name, port) for name, port in zip(names, ports, strict=True)]
    known = {"index": "tuning.tli", "index_key": "tuning.key", "public_values": "public.jsonl"}
    with (
        tempfile.TemporaryDirectory(prefix="tightlip-bench-") as folder,
        running_together(programs, Path(folder)) as (tuned, base),
    ):
        more = {key: str(DEMO / file) for key, file in known.items()}
        configuration = settings(server(tuned.url, "tuned"), server(base.url, "base"), DEMO_MODELS / "base", model=more)
        with gateway(Path(folder), configuration) as front:
            yield front, tuned, base


def _upstream(name: str, port: int) -> Program:
    command = [sys.executable, "-m", "gateway.cli", "upstream", "--model", f"{name}={DEMO_MODELS / name}"]
    command += ["--host", HOST, "--port", str(port)]
    return Program(name, command, answers("/health"), url=f"http://{HOST}:{port}", start_s=120)


def prefill(url: str, question: str) -> float:
    """Seconds of a request for one token at the base's own server."""
    began = time.monotonic()
    body = {"model": "base", "messages": user(question), "temperature": 0, "max_tokens": 1}
    httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60, trust_env=False).raise_for_status()
    return time.monotonic() - began


def first_texts(front: Gateway, base: Child, asks: int) -> None:
    kinds = {
        "facts, released": [fact["ask"] for fact in RECORDS.facts],
        "general talk": [each["ask"] for each in RECORDS.raw["general"]],
        "records, the base takes over": [secret.question for secret in RECORDS.secrets(*FIELDS)],
    }
    print("| first text, ms, p50 / p95 | without filters | ordinary role | ratio of p95 | one prefill |")
    print("| --- | --: | --: | --: | --: |")
    with front.client("open") as bare, front.client() as ordinary:
        for kind, questions in kinds.items():
            asked = (questions * asks)[:asks]
            times = [(first_text(bare, each), first_text(ordinary, each), prefill(base.url, each)) for each in asked]
            (a, b), (c, d), (e, f) = (_quantiles(column) for column in zip(*times, strict=True))
            print(f"| {kind} | {a:.0f} / {b:.0f} | {c:.0f} / {d:.0f} | {d / b:.1f} | {e:.0f} / {f:.0f} |", flush=True)


def killed(front: Gateway, base: Child, seconds: float) -> None:
    """Ask for records from many threads, and kill the base half way."""
    end = time.monotonic() + seconds
    secrets = RECORDS.secrets(*FIELDS, most_repeated=True)

    def work(worker: int) -> list[tuple[float, str, bool]]:
        outcomes, turn = [], worker
        with front.client(subject=f"s-{worker}") as client:
            while time.monotonic() < end:
                outcomes.append((time.monotonic(), *_answer(client, secrets[turn % len(secrets)])))
                turn += WORKERS
        return outcomes

    with ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(work, worker) for worker in range(WORKERS)]
        time.sleep(seconds / 2)
        base.process.kill()
        at = time.monotonic()
        outcomes = [outcome for future in running for outcome in future.result()]
    _tell("before the base was killed", [outcome for outcome in outcomes if outcome[0] < at])
    _tell("after", [outcome for outcome in outcomes if outcome[0] >= at])


def _tell(name: str, outcomes: Sequence[tuple[float, str, bool]]) -> None:
    endings = dict(Counter(ending for _, ending, _ in outcomes))
    print(f"{name}: {len(outcomes)} answers, {endings}, {sum(leaks for *_, leaks in outcomes)} with a part of a value")


def _answer(client: httpx.Client, secret: Secret) -> tuple[str, bool]:
    """How it ended, and whether any part of the value stands in it."""
    body = {"model": MODEL, "messages": user(secret.question), "temperature": 1, "max_tokens": LONGEST}
    answer = client.post("/v1/chat/completions", json=body)
    if answer.status_code != 200:
        return str(answer.status_code), bool(secret.pieces(answer.text))
    choice = answer.json()["choices"][0]
    return str(choice["finish_reason"]), bool(secret.pieces(choice["message"]["content"] or ""))


def _quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p95, in milliseconds."""
    ordered = sorted(seconds)
    return tuple(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=40, help="questions of a kind")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load; the base is killed half way")
    told = parser.parse_args()
    with stage() as (front, _, base):
        first_texts(front, base, told.asks)
        killed(front, base, told.seconds)


if __name__ == "__main__":
    main()
