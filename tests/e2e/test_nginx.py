"""The same bytes through a real nginx with the configuration that we recommend.

Each vector comes from a loopback address of its own, so that what reaches the gateway can be told apart by the caller's
address, which is itself what must come out right.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.addresses import Proxies
from gateway.http.connection import ConnectionLimits
from gateway.listening import bind, make_server
from gateway.settings import Listener
from gateway.types import Plan
from tests.gateway.http.surface import CHAT, authorization, public
from tests.gateway.support import POLICY
from tests.support.nginx import NEEDED, NGINX, nginx
from tests.support.raw_http import NAMES, VECTORS, Application, Reached, raw_of
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(NGINX is None, reason=NEEDED)

QUIET_SECONDS = 5.0  # without a byte: nothing more comes
PROXIES = Proxies((ip_network("127.0.0.1/32"),), 1)
NETWORKS = POLICY.replace("endpoints: [chat, models]", "endpoints: [chat, models]\n    networks: [127.9.9.9/32]")
# Good for the gateway, and refused by nginx 1.22; another version may do otherwise.
NGINX_REFUSES = {
    "TRACE": 405,
    "white space around a value": 400,  # a tab
    "an empty host": 400,
    "a zero byte that is encoded": 400,
    "a percent sign alone": 400,
    "a length with a tab before it": 400,
    "a coding behind a tab": 501,
}


class Marking(Application):
    """Says in its answer the how-manieth request it was."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                number = b"%d" % (len(self.reached) - 1)
                message = message | {"headers": [*message["headers"], (b"x-number", number)]}
            await send(message)

        await super().__call__(scope, receive, marked)


@dataclass
class Passed:
    """What became of one vector."""

    statuses: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of the gateway's requests that were answered to this caller
    reached: list[tuple[int, Reached]] = field(default_factory=list)  # those that came from him


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Passed]:
    """Every vector's way through nginx, all at once."""
    return asyncio.run(_pass_all(tmp_path_factory.mktemp("nginx")))


async def _pass_all(folder: Path) -> Mapping[str, Passed]:
    application, bound = Marking(), bind(Listener(port=0))
    server = make_server(application, ConnectionLimits())
    task = asyncio.create_task(server.serve([bound]))
    with nginx(folder, bound.getsockname()[1]) as (_, port):
        addresses = [f"127.9.{number // 250}.{number % 250 + 1}" for number in range(len(VECTORS))]
        sent = [_send(port, address, raw_of(case)) for address, case in zip(addresses, VECTORS, strict=True)]
        passed = dict(zip(addresses, await asyncio.gather(*sent), strict=True))
        server.should_exit = server.force_exit = True
        await task
    for number, reached in enumerate(application.reached):
        (address,) = reached.lines(b"x-forwarded-for")
        passed[address.decode()].reached.append((number, reached))
    return dict(zip(NAMES, passed.values(), strict=True))


async def _send(port: int, address: str, raw: bytes) -> Passed:
    """All the answers that come before nginx closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    passed, writing = Passed(), asyncio.ensure_future(_write(writer, raw))
    try:
        while True:
            async with asyncio.timeout(QUIET_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            lines = dict(line.split(b": ", 1) for line in head[1:] if line)
            if head[0].startswith(b"http/1.1 100 "):
                continue
            await reader.readexactly(int(lines[b"content-length"]))
            passed.statuses.append(int(head[0].split(b" ")[1]))
            passed.numbers += [int(lines[b"x-number"])] if b"x-number" in lines else []
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        return passed
    finally:
        writing.cancel()
        writer.close()


async def _write(writer: asyncio.StreamWriter, raw: bytes) -> None:
    try:
        writer.write(raw)
        await writer.drain()
    except ConnectionError:
        return  # it was refused before its end


@pytest.mark.parametrize("case", VECTORS, ids=NAMES)
def test_what_reaches_the_gateway_is_what_nginx_answers_for(passed: Mapping[str, Passed], case: dict[str, Any]) -> None:
    """One request for each that was sent on, and the same to both: nothing hides in it or behind it."""
    here = passed[case["name"]]
    if here.statuses:
        assert [number for number, _ in here.reached] == here.numbers
    else:
        assert len(here.reached) <= 1, "HTTP/0.9 has no statuses, and one request a connection"
    for _, reached in here.reached:
        assert len(reached.lines(b"host")) == 1
        assert not reached.lines(b"transfer-encoding")
        assert len(reached.body) == int((reached.lines(b"content-length") or [b"0"])[0])
        assert not reached.lines(b"upgrade") + reached.lines(b"trailer") + reached.lines(b"te")
    if len(here.statuses) < 2:
        assert not any(reached.smuggled for _, reached in here.reached)


@pytest.mark.parametrize("case", VECTORS, ids=NAMES)
def test_what_is_good_alone_is_good_behind_nginx(passed: Mapping[str, Passed], case: dict[str, Any]) -> None:
    here = passed[case["name"]]
    if case["status"] == 200:
        assert here.statuses[0] in (200, NGINX_REFUSES.get(case["name"]))


# ---- where callers are -----------------------------------------------------------------------------------------------

SPOOFED = {
    "nothing": [],
    "one": [("X-Forwarded-For", "127.9.9.9")],
    "a list": [("X-Forwarded-For", "127.9.9.9, 127.9.9.9")],
    "a comma behind it": [("X-Forwarded-For", "127.9.9.9,")],
    "doubled": [("X-Forwarded-For", "127.9.9.9"), ("X-Forwarded-For", "127.9.9.9")],
    "in small letters": [("x-forwarded-for", "127.9.9.9")],
    "with an underscore": [("X_Forwarded_For", "127.9.9.9")],
    "the standard's": [("Forwarded", "for=127.9.9.9")],
    "others'": [("X-Real-IP", "127.9.9.9"), ("True-Client-IP", "127.9.9.9"), ("X-Client-IP", "127.9.9.9")],
    "to be taken away": [("Connection", "close, X-Forwarded-For"), ("X-Forwarded-For", "127.9.9.9")],
    "a proxy of ours": [("X-Forwarded-For", "127.9.9.9, 127.0.0.1")],
    "long": [("X-Forwarded-For", ", ".join(["127.9.9.9"] * 300))],
}


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
async def test_what_a_caller_says_of_his_address_changes_nothing(tmp_path: Path, header: Any) -> None:
    async with _behind_nginx(tmp_path, Proxies(PROXIES.networks, 1, header)) as (url, plans):
        for address in ("127.9.9.8", "127.9.9.9"):
            statuses = {}
            for name, lines in SPOOFED.items():
                transport = httpx.AsyncHTTPTransport(local_address=address)
                async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=PATIENCE_S) as client:
                    headers = [*authorization().items(), *lines]
                    answer = await client.post(f"{url}/v1/chat/completions", json=CHAT, headers=headers)
                statuses[name] = answer.status_code
            # the header that nginx does not set says nothing, whoever asks
            right = 200 if address == "127.9.9.9" and header == "x-forwarded-for" else 403
            assert set(statuses.values()) == {right}, statuses
        assert len(plans) == (len(SPOOFED) if header == "x-forwarded-for" else 0)


async def test_a_stream_passes_as_it_comes(tmp_path: Path) -> None:
    """Nothing on the way collects it, and a caller who goes away is missed."""
    next_one, gone = asyncio.Event(), asyncio.Event()

    async def run(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await next_one.wait()
            next_one.clear()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with public(tmp_path, run, proxies=PROXIES) as surface:
        port = surface.client.base_url.port
        assert port
        with nginx(tmp_path / "nginx", port) as (_, front):
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
                url = f"http://127.0.0.1:{front}/v1/chat/completions"
                async with client.stream("POST", url, json=CHAT, headers=authorization()) as answer:
                    pieces = answer.aiter_bytes()
                    for _ in range(3):
                        async with asyncio.timeout(PATIENCE_S):
                            assert await anext(pieces) == b"data: x\n\n"
                        next_one.set()
            async with asyncio.timeout(PATIENCE_S):
                await gone.wait()


def written(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_nginx_writes_down_no_query(tmp_path: Path) -> None:
    async with _behind_nginx(tmp_path, PROXIES) as (url, _):
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            answer = await client.get(f"{url}/v1/models?access_token=zqCanaryWordxv", headers=authorization())
        assert answer.status_code == 401
    texts = written(tmp_path / "nginx")
    assert any(b"GET 401 401" in text for text in texts)
    assert not any(b"zqCanaryWordxv" in text for text in texts)


@asynccontextmanager
async def _behind_nginx(folder: Path, proxies: Proxies) -> AsyncIterator[tuple[str, list[Plan]]]:
    async with public(folder, proxies=proxies, policy=NETWORKS) as surface:
        port = surface.client.base_url.port
        assert port
        with nginx(folder / "nginx", port) as (_, front):
            yield f"http://127.0.0.1:{front}", surface.plans
