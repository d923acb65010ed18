"""The administration API of a real gateway process: what a call takes, with what it writes down, and what a flood of
refused calls writes.

    python -m tests.bench.bench_administration [--rounds 100] [--flood 5000] [--json FILE]

State in SQLite, the audit log on the same disk; each allowed call syncs two lines of it. Times are the client's, on
loopback, one call after the other. A second process on the same store says when it obeys.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.support import scripted
from tests.support.administration import POLICY, admin_token, configuration
from tests.support.gateways import Gateway, gateway

API = "/admin/v1"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--flood", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), options.rounds, options.flood)
    for name, value in figures.items():
        print(f"{name:60} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def measured(folder: Path, rounds: int, flood: int) -> dict[str, Any]:
    with ExitStack() as stack:
        engine = stack.enter_context(scripted.engine())
        state = {"file": str(folder / "state.db")}
        fronts = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            configured = configuration(engine, folder / name, state)
            fronts.append(stack.enter_context(gateway(folder / name, configured, POLICY)))
        first, second = fronts
        client = stack.enter_context(httpx.Client(base_url=first.management + API, trust_env=False, timeout=60))
        status = _timed(rounds, lambda _: client.get("/status", headers=_headers(first, "operations")))
        obeyed = [_obeyed(client, first, second, f"s-{number}") for number in range(rounds)]
        audit = folder / "one" / "audit"
        before, lines = _bytes(audit), _lines(audit)
        refused = _timed(flood, lambda _: client.get("/status"))
        client.get("/status", headers=_headers(first, "operations"))
        return {
            "revoke: acknowledged after, ms": _spread([said for said, _ in obeyed]),
            "refused by the other process after that, ms": _spread([after for _, after in obeyed]),
            "status, ms": _spread(status),
            f"{flood} calls without a token: each, ms": _spread(refused),
            "what they wrote": f"{_lines(audit) - lines - 2} lines, {(_bytes(audit) - before) / 1024:.0f} KiB",
        }


def _obeyed(client: httpx.Client, first: Gateway, second: Gateway, subject: str) -> tuple[float, float]:
    """Seconds until it was acknowledged, and from then on until the other process refused."""
    with second.client(subject=subject) as caller:
        assert caller.get("/v1/models").status_code == 200
        began = time.monotonic()
        done = client.post("/revocations", json={"subject": subject}, headers=_headers(first, "security"))
        acknowledged = time.monotonic()
        assert done.status_code == 200, done.text
        while caller.get("/v1/models").status_code == 200:
            time.sleep(0.005)
        return acknowledged - began, time.monotonic() - acknowledged


def _headers(front: Gateway, role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {admin_token(front.folder, role)}"}


def _timed(rounds: int, call: Callable[[int], object]) -> list[float]:
    times = []
    for number in range(rounds):
        began = time.monotonic()
        call(number)
        times.append(time.monotonic() - began)
    return times


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    median, late, last = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e3 for part in (0.5, 0.95, 1.0))
    return f"median {median:.1f}, p95 {late:.1f}, longest {last:.1f}"


def _lines(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.jsonl"))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.jsonl"))


if __name__ == "__main__":
    main()
