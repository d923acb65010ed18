"""A running process: comments on a clock whatever happens, callers who go away, and its end.

One gateway for all of it, whose last test ends it. What a test waits for is held until the test says so.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.process import drain
from tests.support import scripted
from tests.support.gateways import MODEL, POLICY, READY, Gateway, ask, gateway, server, settings
from tests.support.processes import HOST, Program, says, start
from tests.support.replicas import BODY, replica, token, written
from tests.support.scripted import SURPRISED, Engine, Until
from tests.support.waiting import PATIENCE_S, until, until_async

SECRET = "vexlo.trund47@kipmora.example"
SAID, HELD = "I looked that up. ", f"The e-mail on file is {SECRET}. "
PATH = "/v1/chat/completions"
PERIOD = 0.2


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Engine]]:
    folder = tmp_path_factory.mktemp("lifecycle")
    with scripted.engine() as engine:
        pair = server(engine.url, "tuned"), server(engine.url, "base")
        more: dict[str, Any] = {"keep_alive_seconds": PERIOD, "drain_seconds": 600}
        configuration = settings(*pair, scripted.tokenizer(folder), **more)
        with gateway(folder, configuration) as front:
            yield front, engine


@pytest.fixture
def front(scene: tuple[Gateway, Engine]) -> Gateway:
    return scene[0]


@pytest.fixture
def engine(scene: tuple[Gateway, Engine]) -> Engine:
    scene[1].reset()
    return scene[1]


Arrange = Callable[[Engine, threading.Event], None]


def silent(engine: Engine, go_on: threading.Event) -> None:
    engine.tuned = (Until(go_on), "Good day.")


def holding(engine: Engine, go_on: threading.Event) -> None:
    engine.tuned = ("The number is held", Until(go_on), " here.")


def asking(engine: Engine, go_on: threading.Event) -> None:
    engine.tuned = (SAID, HELD, "More of it.")
    engine.score_when = lambda _: go_on


def falling_back(engine: Engine, go_on: threading.Event) -> None:
    engine.tuned, engine.score = (SAID, HELD, "More of it."), SURPRISED
    engine.base = (Until(go_on), "I can't help with that.")


MOMENTS: Mapping[str, tuple[Arrange, Callable[[dict[str, Any]], bool]]] = {
    "silent": (silent, lambda body: body["model"] == "tuned" and "stream" in body),
    "holding": (holding, lambda body: body["model"] == "tuned" and "stream" in body),
    "asking": (asking, lambda body: "prompt_logprobs" in body),
    "falling back": (falling_back, lambda body: body["model"] == "base" and "stream" in body),
}


@contextmanager
def arranged(engine: Engine, moment: str) -> Iterator[threading.Event]:
    """It goes no further than this moment before the event is set, which it is at the end at the latest."""
    go_on = threading.Event()
    MOMENTS[moment][0](engine, go_on)
    try:
        yield go_on
    finally:
        go_on.set()


@contextmanager
def streaming(front: Gateway, **more: Any) -> Iterator[httpx.Response]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True} | more
    with front.client() as client, client.stream("POST", PATH, json=body, timeout=PATIENCE_S) as response:
        yield response


@pytest.mark.parametrize("moment", MOMENTS)
def test_comments_come_whatever_is_waited_for(front: Gateway, engine: Engine, moment: str) -> None:
    comments = 0
    with arranged(engine, moment) as go_on, streaming(front) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        while comments < 3:
            comments += next(lines) == ": keep-alive"
        go_on.set()
        rest = list(lines)
    assert "data: [DONE]" in rest
    assert SECRET[:5] not in "".join(rest)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_who_goes_away_is_not_generated_for(front: Gateway, engine: Engine, moment: str, stream: bool) -> None:
    """The connection to the model server is closed while it has nothing to say, so without a write that would fail."""
    is_it = MOMENTS[moment][1]
    with arranged(engine, moment):
        with ExitStack() as caller:
            if stream:
                response = caller.enter_context(streaming(front))
                pieces = response.iter_raw()
                next(pieces)  # which are not let go of here: that closes the connection
            else:
                caller.enter_context(going_away(front))
            until(lambda: any(map(is_it, engine.requests)))
        until(lambda: any(map(is_it, engine.abandoned())))
    records = [line for line in front.output.splitlines() if '"event":"request"' in line]
    assert SECRET[:5] not in "".join(records)


@contextmanager
def going_away(front: Gateway) -> Iterator[None]:
    """A caller who has asked for a whole answer and closes the connection before it comes."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    request = httpx.Request(
        "POST", front.public + PATH, headers={"Authorization": f"Bearer {front.token()}"}, content=body
    )
    head = b"".join(b"%s: %s\r\n" % line for line in request.headers.raw)
    with socket.create_connection((request.url.host, request.url.port or 80)) as connection:
        connection.sendall(b"POST " + PATH.encode() + b" HTTP/1.1\r\ncontent-type: application/json\r\n")
        connection.sendall(head + b"\r\n" + body)
        yield


def test_one_that_is_ended_before_it_serves_is_never_ready(tmp_path: Path) -> None:
    """Its issuer's keys are being fetched, and do not come."""
    with socket.create_server((HOST, 0)) as hangs:
        hangs.settimeout(PATIENCE_S)
        url = f"http://{HOST}:{hangs.getsockname()[1]}"
        issuer = POLICY["issuers"][0] | {"keys": [{"url": url.replace("http", "https")}]}
        configuration = settings(server(url, "tuned"), server(url, "base"), scripted.tokenizer(tmp_path))
        (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(configuration))
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(POLICY | {"issuers": [issuer]}))
        serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(tmp_path / "tightlip.yaml")]
        child = start(Program("starting", serve, says(READY)), tmp_path / "logs")
        try:
            with hangs.accept()[0]:
                child.process.send_signal(signal.SIGTERM)
                assert child.process.wait(PATIENCE_S) == 0, child.output
        finally:
            child.process.kill()
    assert '"ready"' not in child.output
    assert "Traceback" not in child.output


async def test_for_a_while_it_only_says_that_it_is_not_ready(engine: Engine, tmp_path: Path) -> None:
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    written(tmp_path, settings(*pair, scripted.tokenizer(tmp_path)))
    async with (
        replica(tmp_path, "one") as (running, client),
        httpx.AsyncClient(transport=httpx.ASGITransport(running.management), base_url="http://m") as inside,
    ):
        running.lifecycle.ready = True
        assert (await inside.get("/readyz")).status_code == 200
        ending = asyncio.create_task(drain(running, 3600, 600))
        await until_async(lambda: running.lifecycle.leaving)
        assert (await inside.get("/readyz")).status_code == 503
        body, alice = BODY | {"stream": False}, token(tmp_path, "alice")
        assert (await client.post(PATH, json=body, headers=alice)).status_code == 200
        ending.cancel()


def test_it_ends_when_what_is_under_way_has_ended(front: Gateway, engine: Engine) -> None:
    """Not ready at once, no new requests, and what runs ends whole."""
    with arranged(engine, "holding") as go_on, streaming(front) as response, front.client() as kept:
        assert front.page("/readyz").status_code == 200
        assert kept.get("/v1/models").status_code == 200
        front.child.process.send_signal(signal.SIGTERM)
        until(lambda: '"code":"draining"' in front.child.stdout)
        assert front.page("/readyz").status_code == 503
        assert front.page("/healthz").status_code == 200
        with front.client() as new:
            for client in (kept, new):
                refused = ask(client)
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
                assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        go_on.set()
        assert response.read().decode().endswith("data: [DONE]\n\n")
    assert front.child.process.wait(PATIENCE_S) == 0
    assert [each["code"] for each in front.records if each["event"] == "process"] == ["ready", "draining", "stopped"]
    assert [each.get("error") for each in front.records if each["event"] == "request"].count("shutting_down") == 2
