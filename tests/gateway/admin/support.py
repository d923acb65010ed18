"""The administration API with real parts but for the audit log, which remembers what it was told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final

import httpx
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.admin.actions import Parts
from gateway.admin.api import Administration, create_app
from gateway.admin.shapes import PREFIX, Status
from gateway.audit_log import AuditRecord, AuditUnavailable
from gateway.audit_log.written import Marks
from gateway.auth import issuers
from gateway.auth.end_users import EndUsers, asserting_of
from gateway.auth.issuers import Verifier
from gateway.config_file import ConfigError
from gateway.http import management
from gateway.http.arrivals import ORIGIN, Origin
from gateway.http.entrance import Door
from gateway.http.lifecycle import Lifecycle
from gateway.in_force import InForce
from gateway.last_use import LastUses
from gateway.listening import OPEN
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import Pseudonyms
from gateway.policy.load import load
from gateway.receipts import Subjects
from gateway.release.desk import ReleaseDesk
from gateway.release.standing import Standing
from gateway.reload import Policies
from gateway.revocations import RevocationFeed
from gateway.state import Store
from gateway.state.memory import MemoryStore
from tests.gateway.http.surface import NO_RELAY, NOBODY, serving
from tests.gateway.support import POLICY, make_token, write_policy
from tests.support.releases import releases

ADMIN_ISSUER: Final = "https://admin.test"
ADMINISTRATION: Final = f"""\
administration:
  issuers:
    - issuer: {ADMIN_ISSUER}
      audience: [tightlip-admin]
      algorithms: [ES256]
      keys: [{{file: key.pem}}]
"""
ADMIN_POLICY: Final = POLICY + ADMINISTRATION
ADMIN_CLAIMS: Final = {"iss": ADMIN_ISSUER, "aud": "tightlip-admin", "sub": "root-1", "jti": "admin-1"}
STATUS: Final = Status("0", True, [], "v", 0, 0.0, False, {})


class Remembering:
    """Fulfils `AuditLog`. `full` takes so many records more, and then none."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.full: int | None = None

    async def write(self, record: AuditRecord) -> None:
        if self.full is not None:
            if self.full == 0:
                raise AuditUnavailable("no space left")
            self.full -= 1
        self.records.append(record)

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        return [(each.action.value, each.outcome.value, each.code) for each in self.records]


@dataclass
class _Deaf:
    """Hears of policies and says nothing."""

    def changed(self, before: InForce | None, now: InForce) -> None:
        pass

    def refused(self, error: ConfigError) -> None:
        pass


@dataclass
class Administered:
    """The management listener's application, and what stands behind it."""

    app: ASGIApp
    folder: Path
    administration: Administration
    audit: Remembering
    store: Store
    revocations: RevocationFeed
    policies: Policies
    registry: CollectorRegistry
    uses: LastUses
    uncaught: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def client(self, origin: Origin | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Of the application itself; `origin` is where its connections come from."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, ORIGIN: origin} if origin else scope, receive, send)

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://gateway{PREFIX}") as client:
            yield client


def built(
    folder: Path, policy: str = ADMIN_POLICY, *, store: Store | None = None, verifier: Verifier | None = None
) -> Administered:
    """`verifier` is administrators', in place of the policy's. Revocations are not known yet: `begin` of `revocations`
    is for the test to call."""
    write_policy(folder, policy)
    registry, lifecycle, store, audit = CollectorRegistry(), Lifecycle(), store or MemoryStore(), Remembering()
    metrics = Metrics(registry)

    def in_force(_before: InForce | None) -> InForce:
        rules = load(folder / "policy.yaml")
        admins = Verifier(issuers.load_administrators(rules), now=time.time) if rules.administrators else None
        callers = Verifier(issuers.load(rules), now=time.time)
        end_users = EndUsers(Verifier(issuers.load_asserting(rules), now=time.time), asserting_of(rules))
        return InForce(
            rules, callers, end_users, NO_RELAY, {}, NOBODY, frozenset({folder / "policy.yaml"}), verifier or admins
        )

    policies = Policies(folder / "policy.yaml", in_force, _Deaf())
    standing = Standing()
    feed = RevocationFeed(store, metrics, 30.0, lifecycle.end, others=[standing])
    desk = ReleaseDesk(store, releases(("blue", "green"), "blue", standing, metrics))
    pseudonyms = Pseudonyms(b"p" * 32)
    uses = LastUses(store, pseudonyms, metrics)
    marks = Marks.of(b"p" * 32, "plain", "truncated")
    subjects = Subjects(store, pseudonyms, marks.subject, lambda: "0a:7:0b", uses.tell, shared=True, marks_kept=False)
    parts = Parts(store, policies, desk, subjects, lambda: STATUS, lambda: "0a:7:0b", shared=True, marks_kept=False)
    uncaught: list[str] = []
    administration = Administration(parts, feed, audit, metrics, lambda kind: uncaught.append(kind.__name__))
    app = management.create_app(registry, lambda: True, create_app(administration))
    return Administered(app, folder, administration, audit, store, feed, policies, registry, uses, uncaught)


@dataclass
class Served:
    """The management listener on loopback, in a thread of its own: commands bring their own event loop."""

    url: str
    folder: Path
    audit: Remembering
    store: Store
    registry: CollectorRegistry

    def options(self, role: str, **token: Any) -> list[str]:
        """Of a command, to reach it with a token of this role."""
        file = self.folder / f"{role}.token"
        file.write_text(bearer(role, **token).removeprefix("Bearer ") + "\n")
        return ["--gateway", self.url, "--token-file", str(file)]


@contextmanager
def served(folder: Path, policy: str = ADMIN_POLICY, door: Door = OPEN) -> Iterator[Served]:
    """For as long as the block lasts."""
    ready: Queue[tuple[Served, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def serve() -> None:
        made, stop = built(folder, policy), asyncio.Event()
        await made.revocations.begin()
        watch = asyncio.create_task(made.revocations.watch())
        async with serving(made.app, door) as url:
            told = Served(url, folder, made.audit, made.store, made.registry)
            ready.put((told, asyncio.get_running_loop(), stop))
            await stop.wait()
        watch.cancel()

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, serve())
        try:
            made, loop, stop = ready.get(timeout=30)
        except Empty:
            running.result(timeout=1)
            raise
        try:
            yield made
        finally:
            loop.call_soon_threadsafe(stop.set)
            running.result(timeout=30)


def bearer(role: str = "security", *, lives: tuple[int, int] = (-10, 600), key: str = "ES256", **claims: Any) -> str:
    """The header's value; `lives` are seconds from now. A claim that is None is left out."""
    now = int(time.time())
    all_claims = {**ADMIN_CLAIMS, "role": role, "iat": now + lives[0], "exp": now + lives[1], **claims}
    present = {name: value for name, value in all_claims.items() if value is not None}
    return f"Bearer {make_token(claims=present, key=key)}"


def headers(role: str = "security", **more: Any) -> dict[str, str]:
    return {"authorization": bearer(role, **more)}
