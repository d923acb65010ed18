"""What a new connection costs: plain, behind a PROXY header, with a TLS handshake, with a caller's certificate.

    python -m tests.bench.bench_connections [--json FILE]

One process serves and one asks, each on a loop of its own; a connection is opened, asked once and closed, eight at a
time. The figure is connections a second; a second column gives the server's CPU for each in microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import ssl
import tempfile
import time
from ipaddress import ip_network
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from starlette.types import Receive, Scope, Send

from gateway.addresses import NO_PROXIES, Proxies
from gateway.http.entrance import Door
from gateway.http.tls import ServerTls
from gateway.listening import ORDINARY, bind, make_server
from gateway.settings import Listener, TlsSettings
from tests.support.tls import Authority, client_context

CONNECTIONS = 500
AT_ONCE = 8
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ANNOUNCED = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([198, 51, 100, 7, 192, 0, 2, 1, 18, 103, 1, 187])
KINDS = ("plain", "announced", "tls", "mutual tls", "announced, mutual tls")


async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def serve(kind: str, folder: Path, pipe: Connection) -> None:
    """Says its port; later, when it is asked, the CPU seconds that it has used since."""

    async def run() -> None:
        tls = None
        if "tls" in kind:
            pair = folder / "server.pem"
            more = {"client_ca": folder / "ca.pem", "client_certificates": "required"} if "mutual" in kind else {}
            tls = ServerTls(TlsSettings.model_validate({"certificate": pair, "key": pair, **more}), lambda _told: None)
        ours = Proxies((ip_network("127.0.0.0/8"),), proxy_protocol=True)
        bound = bind(Listener(port=0))
        server = make_server(application, ORDINARY, Door(tls, ours if "announced" in kind else NO_PROXIES))
        task = asyncio.create_task(server.serve([bound]))
        began = time.process_time()
        pipe.send(bound.getsockname()[1])
        await asyncio.to_thread(pipe.recv)
        pipe.send(time.process_time() - began)
        server.should_exit = server.force_exit = True
        await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def ask(port: int, before: bytes, context: ssl.SSLContext | None) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(before)
    if context is not None:
        await writer.start_tls(context, server_hostname="127.0.0.1")
    writer.write(GET)
    assert (await reader.read()).endswith(b"ok")
    writer.close()


async def load(port: int, kind: str, folder: Path) -> float:
    """Seconds for all connections."""
    own = folder / "caller.pem" if "mutual" in kind else None
    context = client_context(folder / "ca.pem", own) if "tls" in kind else None
    before = ANNOUNCED if "announced" in kind else b""

    async def some() -> None:
        for _ in range(CONNECTIONS // AT_ONCE):
            await ask(port, before, context)

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


def measure(kind: str, folder: Path) -> dict[str, float | str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(kind, folder, theirs))
    process.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = runner.run(load(ours.recv(), kind, folder))
    ours.send("enough")
    cpu: float = ours.recv()
    process.join()
    return {"kind": kind, "per_second": CONNECTIONS / seconds, "cpu_us": cpu / CONNECTIONS * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        authority.server()
        authority.server("caller")
        rows = []
        for kind in KINDS:
            row = measure(kind, folder)
            print(f"{kind:24} {row['per_second']:8.0f} connections/s   {row['cpu_us']:6.0f} µs of the server's CPU")
            rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
