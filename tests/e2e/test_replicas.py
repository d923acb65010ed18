"""Two replicas behind one model, of which one is killed under load: nothing that had not begun is lost, and nothing
that was held comes out."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import scripted
from tests.support.gateways import settings
from tests.support.processes import HOST, free_port
from tests.support.replicas import BODY, last_frame, log_of, replica, stream, token, written
from tests.support.scripted import Engine, Step, Until

SECRET = "vexlo.trund47@kipmora.example"
SLOW = BODY | {"messages": [{"role": "user", "content": "slowly"}]}
STREAMS, REQUESTS = 8, 8


class Way:
    """A way to an engine, which can be cut: connections break off, and nobody listens."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self._port = engine, free_port()
        self.url = f"http://{HOST}:{self._port}"
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, HOST, self._port)

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def asked(self, content: str) -> int:
        return sum(body["messages"][-1]["content"] == content for body in self.engine.asked("tuned"))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(HOST, int(self.engine.url.rpartition(":")[2]))
        self._writers |= {writer, outer}
        await asyncio.gather(_copied(reader, outer), _copied(inner, writer))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.fixture
def ways() -> Iterator[tuple[Way, Way]]:
    with scripted.engine() as one, scripted.engine() as other:
        yield Way(one), Way(other)


def saying(go_on: threading.Event) -> scripted.Replies:
    slowly = ("I looked that up. ", f"The e-mail on file is {SECRET}", Until(go_on), ". Bye. ")

    def replies(body: dict[str, Any]) -> tuple[Sequence[Step], str]:
        return (slowly if body["messages"][-1]["content"] == "slowly" else ("Good day.",)), "stop"

    return replies


async def asked(client: httpx.AsyncClient, headers: dict[str, str]) -> int:
    body = BODY | {"stream": False}
    return (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code


async def test_one_of_two_is_killed_under_load(ways: tuple[Way, Way], tmp_path: Path) -> None:
    dying, staying = ways
    go_on = threading.Event()
    both: dict[str, Any] = {"url": [way.url for way in ways]}
    pair = both | {"model": "tuned"}, both | {"model": "base"}
    tokenizer = scripted.tokenizer(tmp_path)
    written(tmp_path, settings(*pair, tokenizer, keep_alive_seconds=600))  # no comment begins an answer
    alice = token(tmp_path, "alice")
    for way in ways:
        way.engine.replies = saying(go_on)
        await way.open()
    async with replica(tmp_path, "one") as (gateway, client):
        began = [asyncio.Event() for _ in range(STREAMS)]
        running = [asyncio.create_task(stream(client, alice, event, SLOW)) for event in began]
        for event in began:
            await event.wait()
        cut = dying.asked("slowly")
        assert 0 < cut < STREAMS, "both have some of it"
        dying.cut()
        statuses = await asyncio.gather(*(asked(client, alice) for _ in range(REQUESTS)))
        assert statuses == [200] * REQUESTS
        assert staying.asked("Hi") == REQUESTS
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.management), base_url="http://m") as inside:
            page = (await inside.get("/metrics")).text
        assert f'tightlip_replica_well{{replica="0",server="{dying.url}"}} 0.0' in page
        assert f'tightlip_replica_well{{replica="0",server="{staying.url}"}} 1.0' in page
        go_on.set()
        ended = [text for text, _ in await asyncio.gather(*running)]
        broken = [text for text in ended if "[DONE]" not in text]
        assert len(broken) == cut, "only what had begun there"
        assert {last_frame(text)["error"]["code"] for text in broken} <= {"upstream_error", "upstream_unavailable"}
        assert not [text for text in broken if SECRET[:5] in text]
        staying.cut()
        assert [await asked(client, alice) for _ in range(5)] == [503] * 5
        await staying.open()
        await answered_again(client, alice)
        staying.cut()
    log = log_of(tmp_path, "one")
    assert SECRET[:5] not in log
    answered = [line for line in map(json.loads, log.splitlines()) if line.get("status") == 200]
    places = Counter(line["upstream"] for line in answered)
    assert places.keys() == {way.url.removeprefix("http://") for way in ways}
    assert places[dying.url.removeprefix("http://")] == cut, "the one that answered in the end"


async def answered_again(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """It is well again, and stays so."""
    async with asyncio.timeout(60):
        while await asked(client, headers) != 200:  # noqa: ASYNC110 - what changes is in a socket
            await asyncio.sleep(0.1)
