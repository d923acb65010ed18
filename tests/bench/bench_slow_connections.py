"""What 2,000 slow connections cost the others: good callers' times without and with them, turn and turn about.

    python -m tests.bench.bench_slow_connections [--slow 2000] [--rounds 5] [--seconds 12] [--json FILE]

A real gateway in front of an engine that answers at once, filters off. Good callers ask for short streamed answers,
at a fixed rate, on connections that they keep and now and then open anew. The slow ones are other processes: a quarter
each drips a head, drips a body (with a good token), idles after an answer, and does not read the long answer it asked
for. Whoever is thrown out comes back at once, so that their number stays. Each round measures without, with, and
without them again; a round's ratio is against the mean of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.processes import HOST

CALLERS = 4
PAUSE_SECONDS = 0.04  # of a good caller between two requests
NEW_CONNECTION = 10  # every so-manieth request of a good caller has one
ATTACKERS = 2  # processes
KINDS = ("head", "body", "idle", "unread")
DRIP_SECONDS = 1.0
UNREAD_SECONDS = 30.0  # after which the gateway cuts off who does not read
UNREAD_FRAMES, FRAME_BYTES = 7, 65_536  # of the answers that are not read: more than the system holds of one
CONNECT_SECONDS, SETTLE_SECONDS = 60.0, 6.0  # at the most until all have come; then until it is quiet
ADDRESSES = 200  # that the slow ones come from, where limits are not the subject
LONG, SHORT = "long", "short"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"usage":%s}\n\n'
_USAGE = b'{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}'  # told each time, so that nobody counts
_FIGURES = {"first_p50": "first byte, p50", "first_p99": "p99", "whole_p50": "whole, p50", "whole_p99": "p99"}


@dataclass(frozen=True)
class Times:
    """Of good callers' requests, in milliseconds: to the first byte and to the end."""

    requests: int
    failed: int
    first_p50: float
    first_p99: float
    whole_p50: float
    whole_p99: float


@dataclass(frozen=True)
class Round:
    before: Times
    slow: Times
    after: Times
    resident_mib: tuple[float, float]  # without and with them
    connected: dict[str, int]
    load: float

    def ratio(self, name: str) -> float:
        quiet = (getattr(self.before, name) + getattr(self.after, name)) / 2
        return float(getattr(self.slow, name) / quiet)


# ---- the slow ones, in processes of their own ------------------------------------------------------------------------


async def attack(port: int, token: str, count: int, addresses: int, first: int, kinds: Sequence[str]) -> None:
    """Holds `count` connections until it is ended; prints how many are open, by kind, once a second."""
    held: Counter[str] = Counter()
    for number in range(first, first + count):
        kind, address = kinds[number % len(kinds)], f"127.20.{number % addresses // 250}.{number % addresses % 250 + 1}"
        _keep(asyncio.ensure_future(_persist(port, token, kind, address, held)))
        if number % 50 == 0:
            await asyncio.sleep(0.05)
    while True:
        print(json.dumps(held), flush=True)
        await asyncio.sleep(1)


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)


async def _persist(port: int, token: str, kind: str, address: str, held: Counter[str]) -> None:
    if kind == "unread":  # each is relayed until it is stuck: not all at the same moment, now or when they come back
        await asyncio.sleep(random.uniform(0, UNREAD_SECONDS))
    while True:
        try:
            await _hold(port, token, kind, address, held)
        except (ConnectionError, OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(random.uniform(0.5, 1.5))


async def _hold(port: int, token: str, kind: str, address: str, held: Counter[str]) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    raw.bind((address, 0))
    await asyncio.get_running_loop().sock_connect(raw, (HOST, port))
    reader, writer = await asyncio.open_connection(sock=raw)
    held[kind] += 1
    try:
        await _SLOW[kind](reader, writer, token)
    finally:
        held[kind] -= 1
        writer.close()


def _request(token: str, path: str = "/v1/chat/completions", say: str = "", length: int | None = None) -> bytes:
    body = json.dumps({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": say}]}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % (length or len(body)) + (b"" if length else body)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """A byte a second until the other side has had enough."""
    over = asyncio.ensure_future(reader.read())
    try:
        for byte in data:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait({over}, timeout=DRIP_SECONDS)
            if done:
                raise ConnectionResetError
    finally:
        over.cancel()


async def _slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
    await _drip(reader, writer, _request(token))


async def _slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
    writer.write(_request(token, length=100_000))
    await _drip(reader, writer, b"{" + b" " * 99_999)


async def _idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    await reader.read()


async def _unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
    transport = writer.transport
    transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(_request(token, say=LONG))
    await asyncio.sleep(60)


_SLOW = {"head": _slow_head, "body": _slow_body, "idle": _idle, "unread": _unread}


# ---- the good ones ---------------------------------------------------------------------------------------------------


async def good(url: str, token: str, seconds: float) -> Times:
    until, first, whole = time.monotonic() + seconds, [], []
    failed = 0

    async def caller() -> None:
        nonlocal failed
        kept = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        number = 0
        while time.monotonic() < until:
            number += 1
            try:
                if number % NEW_CONNECTION:
                    times = await _ask(kept, url, token)
                else:
                    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                        times = await _ask(session, url, token)
                first.append(times[0])
                whole.append(times[1])
            except (aiohttp.ClientError, TimeoutError, OSError):
                failed += 1
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.5))
        await kept.close()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return Times(len(whole), failed, _at(first, 50), _at(first, 99), _at(whole, 50), _at(whole, 99))


async def _ask(session: aiohttp.ClientSession, url: str, token: str) -> tuple[float, float]:
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": SHORT}]}
    began = time.perf_counter()
    async with session.post(
        f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        first = 0.0
        async for _ in answer.content.iter_any():
            first = first or time.perf_counter() - began
        answer.raise_for_status()
    return first * 1000, (time.perf_counter() - began) * 1000


def _at(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return float("nan")  # none came back in time
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


# ---- the engine ------------------------------------------------------------------------------------------------------


async def serve_engine(port_file: Path) -> None:
    """Says a short answer of a few frames, or, when it is asked for a long one, more than any buffer holds."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                writer.write(_HEAD)
                await _speak(writer, UNREAD_FRAMES, "x" * FRAME_BYTES) if LONG.encode() in body else await _speak(
                    writer, 8, "word "
                )
                if LONG.encode() in body:
                    await asyncio.sleep(3600)
                _write(writer, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listener = await asyncio.start_server(handle, HOST, 0, backlog=1024)
    port_file.write_text(str(listener.sockets[0].getsockname()[1]))  # noqa: ASYNC240
    await listener.serve_forever()


async def _speak(writer: asyncio.StreamWriter, frames: int, text: str) -> None:
    for _ in range(frames):
        _write(writer, _FRAME % (text.encode(), _USAGE))
        await writer.drain()


def _tokenizer(folder: Path) -> Path:
    """One token a word: the tokens of an answer that is cut off are counted, and those of one that a real engine took
    an hour to write must not be what is measured."""
    path = scripted.tokenizer(folder)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"pre_tokenizer": {"type": "WhitespaceSplit"}}), encoding="utf-8")
    return path


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


# ---- a run -----------------------------------------------------------------------------------------------------------


@contextmanager
def _child(told: Path, *arguments: str) -> Iterator[Path]:
    """One of this file's other programs; what it prints goes to `told`."""
    command = [sys.executable, "-m", "tests.bench.bench_slow_connections", *arguments]
    with told.open("wb") as out:
        # a session of its own is a share of the processor of its own, where the system groups processes by session
        process = subprocess.Popen(command, stdout=out, start_new_session=True)
    try:
        yield told
    finally:
        process.kill()
        process.wait()


@contextmanager
def _slow_ones(front: Gateway, port: int, count: int, addresses: int, kinds: Sequence[str]) -> Iterator[list[Path]]:
    token = front.token("open", ttl=3600)
    each = count // ATTACKERS
    arguments = ("--attack", str(port), "--token", token, "--slow", str(each), "--addresses", str(addresses))
    arguments += ("--kinds", *kinds)
    with ExitStack() as stack:
        starts = [str(number * each) for number in range(ATTACKERS)]
        yield [
            stack.enter_context(_child(front.folder / f"slow{start}", *arguments, "--first", start)) for start in starts
        ]


def _connected(told: Sequence[Path]) -> dict[str, int]:
    """What they said last."""
    total: Counter[str] = Counter()
    for path in told:
        lines = path.read_text(encoding="utf-8").splitlines()
        total.update(json.loads(lines[-1]) if lines else {})
    return dict(total)


def _settle(told: Sequence[Path], count: int) -> None:
    until = time.monotonic() + CONNECT_SECONDS
    while sum(_connected(told).values()) < 0.9 * count and time.monotonic() < until:
        time.sleep(0.5)
    time.sleep(SETTLE_SECONDS)


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(front: Gateway, count: int, addresses: int, seconds: float, kinds: Sequence[str]) -> Round:
    port, pid = int(front.public.rpartition(":")[2]), front.child.process.pid
    token = front.token("open", ttl=3600)

    def times() -> Times:
        return asyncio.run(good(front.public, token, seconds))

    before, quiet = times(), _resident_mib(pid)
    print(before, quiet, file=sys.stderr)
    with _slow_ones(front, port, count, addresses, kinds) as slow:
        _settle(slow, count)
        print("settled", _connected(slow), file=sys.stderr)
        during = times()
        connected, resident = _connected(slow), _resident_mib(pid)
    print(during, connected, resident, file=sys.stderr)
    time.sleep(3)
    return Round(before, during, times(), (quiet, resident), connected, os.getloadavg()[0])


def table(rounds: Sequence[Round]) -> str:
    lines = ["| | without | with | ratio, median of rounds |", "| --- | --: | --: | --: |"]
    for name, label in _FIGURES.items():
        quiet = statistics.median((getattr(r.before, name) + getattr(r.after, name)) / 2 for r in rounds)
        slow = statistics.median(getattr(r.slow, name) for r in rounds)
        ratio = statistics.median(r.ratio(name) for r in rounds)
        lines.append(f"| {label}, ms | {quiet:.2f} | {slow:.2f} | {ratio:.2f} |")
    ratios = ", ".join(f"{r.ratio('whole_p99'):.2f}" for r in rounds)
    failed = sum(t.failed for r in rounds for t in (r.before, r.slow, r.after))
    resident = [statistics.median(r.resident_mib[at] for r in rounds) for at in (0, 1)]
    lines += ["", f"p99 of each round: {ratios}; requests that failed: {failed}; load {rounds[-1].load:.1f}"]
    lines += [f"open at the end: {rounds[-1].connected}; resident {resident[0]:.0f} and {resident[1]:.0f} MiB"]
    return "\n".join(lines)


def main() -> None:
    options = _options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.engine:
        asyncio.run(serve_engine(options.engine))
    elif options.attack:
        asyncio.run(
            attack(options.attack, options.token, options.slow, options.addresses, options.first, options.kinds)
        )
    else:
        rounds = _run(options)
        print(table(rounds))
        if options.json:
            options.json.write_text(json.dumps([asdict(each) for each in rounds], indent=1) + "\n", encoding="utf-8")


def _run(options: argparse.Namespace) -> list[Round]:
    with tempfile.TemporaryDirectory(prefix="tightlip-bench-") as name:
        folder = Path(name)
        with _child(folder / "engine", "--engine", str(folder / "port")):
            while not (folder / "port").exists():
                time.sleep(0.05)
            engine = f"http://{HOST}:{(folder / 'port').read_text()}"
            limits = {} if options.default_limits else {"connections_per_address": 10_000}
            configuration = settings(server(engine, "tuned"), server(engine, "base"), _tokenizer(folder), limits=limits)
            with gateway(folder, configuration) as front:
                asyncio.run(good(front.public, front.token("open", ttl=3600), 3))
                addresses = 1 if options.default_limits else ADDRESSES
                given = (options.slow, addresses, options.seconds, options.kinds)
                return [measure(front, *given) for _ in range(options.rounds)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Good callers' times beside slow connections.")
    parser.add_argument("--slow", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each of a round's three parts")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of slow connections, in equal parts")
    parser.add_argument("--default-limits", action="store_true", help="the slow ones come from one address")
    parser.add_argument("--json", type=Path, help="where to write every figure")
    for name, kind in (("--attack", int), ("--token", str), ("--first", int), ("--engine", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--addresses", type=int, default=ADDRESSES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
