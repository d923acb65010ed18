"""What taking over a policy costs the process that serves: its time, and the longest the event loop stood still in it.

    python -m tests.bench.bench_reload [--reloads 50] [--json FILE]

The demo's configuration without its servers. Each policy differs from the one before; the second row's also brings a
profile whose detectors are not there yet. While the policy is read a task wakes up every millisecond and notes by how
much it was late; the first row is that without any reload.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from gateway import settings
from gateway.app import Gateway, assemble
from gateway.auth.development import create_key

DEMO: Final = Path(__file__).parents[2] / "deploy" / "demo"
TICK: Final = 0.001


class Lateness:
    """By how much a task that wakes up every TICK seconds was late at most, while the block lasts."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Lateness:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.sleep(2 * TICK)
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            self.longest = max(self.longest, time.perf_counter() - before - TICK)


async def measure(gateway: Gateway, path: Path, texts: list[str]) -> dict[str, Any]:
    taken, late = [], []
    for text in texts:
        await asyncio.to_thread(path.write_text, text, encoding="utf-8")
        async with Lateness() as lateness:
            before = time.perf_counter()
            if text:
                assert (await gateway.policies.reload()).done
            else:
                await asyncio.sleep(0.1)
            taken.append(time.perf_counter() - before)
        late.append(lateness.longest)
    return {
        "reloads": len(texts),
        "taken_ms": round(1000 * statistics.median(taken), 1),
        "longest_ms": round(1000 * max(taken), 1),
        "loop_late_ms": round(1000 * statistics.median(late), 1),
        "loop_latest_ms": round(1000 * max(late), 1),
    }


async def bench(folder: Path, reloads: int) -> list[dict[str, Any]]:
    loaded = settings.load(folder / "tightlip.yaml")
    path = folder / "policy.yaml"
    policy = path.read_text(encoding="utf-8")
    kinds = {
        "nothing is reloaded": "",
        "another policy": "# {n}\n",
        "with new detectors": "internal_hosts: [h{n}.example]\n",
    }
    rows = []
    async with assemble(loaded, CollectorRegistry(), lambda _line: None) as gateway:
        for name, more in kinds.items():
            texts = [policy + more.format(n=number) if more else "" for number in range(reloads)]
            rows.append({"what": name, **await measure(gateway, path, texts)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        shutil.copytree(DEMO, folder)
        config = folder / "tightlip.yaml"
        config.write_text(config.read_text(encoding="utf-8").replace("destination: stdout", "directory: log"))
        if not (folder / "keys" / "dev.pub.pem").exists():
            create_key(folder / "keys" / "dev.pem")
        rows = asyncio.run(bench(folder, options.reloads))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
