"""Callers who do not read, and callers who go away: what a stream holds while its model server pours, and how soon the
server is left alone.

    python -m tests.bench.bench_slow_callers [--streams 20] [--json FILE]

One gateway process, filters off (the cheapest path, so the most that can pile up), a scripted engine in this process.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.bench.reported import show, spread
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.scripted import Engine, Pause, Raw
from tests.support.waiting import until

SETTLED_S = 2.0  # after which nothing more has moved
FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n' % (b"x" * 1000)


class Pouring(Sequence[scripted.Step]):
    """Frames without end, and how many of all answers the engine has got rid of."""

    def __init__(self) -> None:
        self.given = 0

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, at: Any) -> Any:
        self.given += at % 2
        return Pause(0) if at % 2 else Raw(FRAME)


def asking(front: Gateway) -> socket.socket:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    address = httpx.URL(front.public)
    connection = socket.create_connection((address.host, address.port or 80))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {front.token('open')}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def resident(front: Gateway) -> int:
    """Bytes of memory that the gateway holds."""
    status = Path(f"/proc/{front.child.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def unread(front: Gateway, engine: Engine, streams: int) -> dict[str, Any]:
    """Nobody reads: what moved until nothing did, of each stream."""
    engine.tuned = poured = Pouring()
    engine.requests.clear()
    before = resident(front)
    connections = [asking(front) for _ in range(streams)]
    until(lambda: len(engine.asked("tuned")) == streams)
    moved = -1
    while moved != poured.given:
        moved = poured.given
        time.sleep(SETTLED_S)
    held = resident(front) - before
    for connection in connections:
        connection.close()
    return {
        "streams": streams,
        "the engine got rid of, per stream, kB": moved * len(FRAME) / streams / 1000,
        "the gateway's memory grew by, per stream, kB": held / streams / 1000,
    }


def gone(front: Gateway, engine: Engine, times: int) -> dict[str, Any]:
    """One caller after the other leaves while his model server is silent: seconds until its connection is closed."""
    engine.tuned = (Pause(60.0),)
    seconds = []
    for _ in range(times):
        engine.requests.clear()
        engine.left.clear()
        connection = asking(front)
        until(lambda: engine.asked("tuned"))
        known = len(engine.abandoned())
        began = time.perf_counter()
        connection.close()
        while len(engine.abandoned()) == known:
            time.sleep(0.0005)
        seconds.append(time.perf_counter() - began)
    return {"callers": times, "seconds until the model server's connection is closed": spread(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, scripted.engine() as engine:
        folder = Path(name)
        pair = server(engine.url, "tuned"), server(engine.url, "base")
        more: dict[str, Any] = {"limits": {"write_seconds": 600}, "upstream": {"stall_seconds": 600}}
        with gateway(folder, settings(*pair, scripted.tokenizer(folder), **more)) as front:
            figures = {
                "callers who go away": gone(front, engine, 50),
                "callers who do not read": unread(front, engine, given.streams),
            }
    show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
