"""Each replica is checked by itself: one that is another model gets nothing, at the start and after it has been away.

The replicas are embedded servers with the demo's models.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.embedded.server import ModelSource, create_app, hosting
from gateway.errors import UpstreamUnavailable
from gateway.release.check import Fault
from gateway.release.guard import PairCheck, checking
from gateway.release.manifest import read
from gateway.served import vocabulary
from gateway.upstream.client import CHAT, Errand, Server, Timeouts, UpstreamClient
from gateway.upstream.replicas import FAILURES, Replica
from tests.support.processes import HOST, free_port
from tests.support.waiting import PATIENCE_S

DEMO = Path(__file__).parents[3] / "deploy" / "demo"
BASE, TUNED = ModelSource(DEMO / "models" / "base"), ModelSource(DEMO / "models" / "tuned")
SOUND = {"tuned": TUNED, "base": BASE}
OTHER = {"tuned": ModelSource(DEMO / "models" / "base", DEMO / "models" / "adapter"), "base": BASE}
ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


@dataclass
class Counting:
    """An application whose chats are counted."""

    app: ASGIApp
    chats: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.chats += scope.get("path") == CHAT
        await self.app(scope, receive, send)


@dataclass
class House:
    """Two addresses, and what stands behind each at the moment."""

    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    heard: list[tuple[str, str, tuple[Fault, ...]]] = field(default_factory=list)

    @property
    def urls(self) -> tuple[str, str]:
        one, other = (f"http://{HOST}:{port}" for port in self.ports)
        return one, other

    def hosted(self, at: int, models: dict[str, ModelSource], stack: ExitStack) -> Counting:
        app = Counting(create_app(models))
        stack.enter_context(hosting(app, HOST, self.ports[at]))  # type: ignore[arg-type]
        return app

    def check(self, client: UpstreamClient) -> PairCheck:
        one, other = self.urls
        servers = [checking(Server(one, model, others=(other,))) for model in ("tuned", "base")]
        manifest = read(DEMO / "release.json", DEMO / "release.pub.pem")
        return PairCheck(client, vocabulary(DEMO / "models" / "base"), *servers, manifest, lambda: (), hear=self._hear)

    def _hear(self, model: str, replica: Replica, faults: Sequence[Fault]) -> None:
        self.heard.append((model, replica.at, tuple(faults)))


async def chats(client: UpstreamClient, server: Server, times: int = 4) -> Counter[str]:
    """Whether each was answered."""
    outcomes: Counter[str] = Counter()
    for _ in range(times):
        try:
            await client.post(server, CHAT, {**ASKED, "model": server.model}, Errand("req_1"), 60.0)
            outcomes["answered"] += 1
        except UpstreamUnavailable:
            outcomes["unavailable"] += 1
    return outcomes


@pytest.mark.parametrize("wrong", [0, 1])
async def test_a_replica_with_another_model_gets_nothing(wrong: int) -> None:
    house = House()
    with ExitStack() as stack:
        apps = [house.hosted(at, OTHER if at == wrong else SOUND, stack) for at in (0, 1)]
        async with aclosing(UpstreamClient(Timeouts())) as client:
            check = house.check(client)
            assert await chats(client, check.tuned) == {"unavailable": 4}, "before it was checked nobody gets anything"
            assert not await check()
            assert house.heard == [("tuned", house.urls[wrong], (Fault.OTHER_TUNED,))]
            assert (check.refused, check.due()) == (1, True)
            before = [app.chats for app in apps]
            assert await chats(client, check.tuned) == {"answered": 4}
            taken = [app.chats - was for app, was in zip(apps, before, strict=True)]
            assert (taken[wrong], taken[1 - wrong]) == (0, 4)
            await check()
            assert len(house.heard) == 1, "once"
            assert await chats(client, check.base) == {"answered": 4}, "its base is the release's"
            assert all(app.chats > was for app, was in zip(apps, before, strict=True))


async def test_one_that_has_been_away_is_checked_before_it_gets_anything() -> None:
    house = House()
    with ExitStack() as stack, ExitStack() as first:
        other = house.hosted(1, SOUND, stack)
        house.hosted(0, SOUND, first)
        async with aclosing(UpstreamClient(Timeouts())) as client:
            check = house.check(client)
            assert check.due()
            assert not await check()
            assert not check.due()
            first.close()
            assert await chats(client, check.tuned, 2) == {"answered": 2}
            assert check.due(), "what comes back behind the address may be another one"
            assert await chats(client, check.tuned, 2 * FAILURES) == {"answered": 2 * FAILURES}
            new = house.hosted(0, OTHER, stack)
            async with asyncio.timeout(PATIENCE_S):
                while not check.due():
                    await client.look()
            assert await chats(client, check.tuned) == {"answered": 4}
            assert new.chats == 0
            assert not await check()
            checks, before = new.chats, other.chats
            assert house.heard == [("tuned", house.urls[0], (Fault.OTHER_TUNED,))]
            assert await chats(client, check.tuned) == {"answered": 4}
            assert (new.chats, other.chats - before) == (checks, 4)


async def test_wrong_files_are_a_fault_whoever_answers() -> None:
    house = House()
    async with aclosing(UpstreamClient(Timeouts())) as client:
        check = house.check(client)
        with pytest.raises(UpstreamUnavailable):
            await check()
        assert await replace(check, faults_of_files=lambda: [Fault.OTHER_INDEX])() == [Fault.OTHER_INDEX]


async def test_without_a_sound_pair_among_them_nothing_is_served() -> None:
    house = House()
    with ExitStack() as stack:
        for at in (0, 1):
            house.hosted(at, OTHER, stack)
        async with aclosing(UpstreamClient(Timeouts())) as client:
            check = house.check(client)
            assert Fault.OTHER_TUNED in await check()
            assert await chats(client, check.tuned) == await chats(client, check.base) == {"unavailable": 4}
