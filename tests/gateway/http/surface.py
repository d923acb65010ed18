"""The public surface on a real server on loopback, with a stub where the relay would be."""

from __future__ import annotations

import io
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httpx
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from filters.specificity.described import Describing
from gateway import revoke
from gateway.addresses import NO_PROXIES, Proxies
from gateway.auth import issuers
from gateway.auth.end_users import EndUsers, asserting_of
from gateway.auth.issuers import Verifier
from gateway.auth.revocation import Revocation
from gateway.encryption.keys import NO_CLIENTS, ClientKeys
from gateway.encryption.opening import Opener
from gateway.http.accounting import Accounted
from gateway.http.entrance import Door
from gateway.http.inbound import BodyLimits
from gateway.http.lifecycle import Lifecycle
from gateway.http.routes import Surface, create_app
from gateway.http.tls import ServerTls
from gateway.in_force import InForce
from gateway.limits import Limiter
from gateway.listening import OPEN, bind, make_server, url
from gateway.observe.logs import Logs, RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import Pseudonyms
from gateway.policy.load import load
from gateway.relay import Relay
from gateway.revocations import RevocationFeed
from gateway.settings import Listener
from gateway.state import Store
from gateway.state.memory import MemoryStore
from gateway.types import Endpoint, Plan
from tests.gateway.support import CLAIMS, POLICY, make_token, write_policy
from tests.support.serving import on_loopback
from tests.support.waiting import PATIENCE_S

MOST_BYTES = 4096
CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}

NO_RELAY: Final = cast("Relay", None)  # a stub answers
NOBODY: Final = cast("Describing", None)  # and reads nothing

Run = Callable[[Plan, Scope, Receive, Send], Any]


async def say_ok(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"ok":true}'})


@dataclass
class Built:
    """The application without a server, and all that it wrote and counted. `plans`: the requests that were let in."""

    app: ASGIApp
    lifecycle: Lifecycle
    registry: CollectorRegistry
    log: io.BytesIO
    store: Store
    revocations: RevocationFeed
    plans: list[Plan]

    async def revoke(self, revocation: Revocation) -> None:
        """As the command does; known here when this returns."""
        await revoke.revoke(self.store, revocation, time.time())
        await self.revocations.look()

    @property
    def records(self) -> list[dict[str, Any]]:
        """Of requests."""
        return [line for line in map(json.loads, self.log.getvalue().splitlines()) if line["event"] == "request"]

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """Security events."""
        return [line for line in map(json.loads, self.log.getvalue().splitlines()) if line["event"] == "security"]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@dataclass
class Public(Built):
    """One that runs on a real server."""

    client: httpx.AsyncClient

    async def chat(self, body: Any = CHAT, **more: Any) -> httpx.Response:
        return await self.client.post(Endpoint.CHAT, json=body, headers=authorization(), **more)


def authorization(**claims: Any) -> dict[str, str]:
    now = int(time.time())
    return {"authorization": f"Bearer {make_token(claims={**CLAIMS, 'iat': now - 10, 'exp': now + 600, **claims})}"}


@asynccontextmanager
async def serving(app: ASGIApp, door: Door = OPEN) -> AsyncIterator[str]:
    """The application on loopback for as long as the block lasts."""
    server, bound = make_server(app, door=door), bind(Listener(port=0))
    address = url(bound, tls=door.tls is not None)
    async with on_loopback(server, bound):
        yield address


async def built(
    folder: Path,
    run: Run = say_ok,
    longest: float | None = None,
    proxies: Proxies = NO_PROXIES,
    policy: str = POLICY,
    verifier: Verifier | None = None,
    opener: Opener | None = None,
    clients: ClientKeys = NO_CLIENTS,
) -> Built:
    rules = load(write_policy(folder, policy))
    registry, log, lifecycle = CollectorRegistry(), io.BytesIO(), Lifecycle()
    metrics = Metrics(
        registry, models={"assistant": ["default"], "second": ["default"]}, roles=rules.roles, routes=tuple(Endpoint)
    )
    plans: list[Plan] = []
    verifier = verifier or Verifier(issuers.load(rules), now=time.time)
    end_users = EndUsers(Verifier(issuers.load_asserting(rules), now=time.time), asserting_of(rules))
    in_force = InForce(rules, verifier, end_users, NO_RELAY, {}, NOBODY, frozenset(), clients=clients)
    store = MemoryStore()
    feed = RevocationFeed(store, metrics, 30.0, lifecycle.end)
    await feed.begin()
    surface = Surface(
        in_force=lambda: in_force,
        revocations=feed,
        answer=lambda _policy, plan, record, told: _Stub(run, plan, record, plans),
        limits=BodyLimits(MOST_BYTES, PATIENCE_S),
        limiter=Limiter(store, metrics, lambda _grant: lambda text: len(text.split())),
        metrics=metrics,
        proxies=proxies,
        opener=opener,
    )
    logs = Logs(log, Pseudonyms(b"k" * 32))
    app = Accounted(create_app(surface), logs, metrics, lifecycle, longest, proxies)
    return Built(app, lifecycle, registry, log, store, feed, plans)


@asynccontextmanager
async def public(
    folder: Path,
    run: Run = say_ok,
    longest: float | None = None,
    proxies: Proxies = NO_PROXIES,
    tls: ServerTls | None = None,
    context: ssl.SSLContext | bool = False,
    **more: Any,
) -> AsyncIterator[Public]:
    """As `built`, on a real server. `context` is the client's, where the surface has `tls`."""
    made = await built(folder, run, longest, proxies, **more)
    async with (
        serving(made.app, Door(tls, proxies)) as address,
        httpx.AsyncClient(base_url=address, trust_env=False, timeout=PATIENCE_S, verify=context) as client,
    ):
        yield Public(**vars(made), client=client)


class _Stub:
    def __init__(self, run: Run, plan: Plan, _record: RequestRecord, plans: list[Plan]) -> None:
        self._run, self._plan = run, plan
        plans.append(plan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._run(self._plan, scope, receive, send)
