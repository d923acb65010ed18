"""The composition root: builds everything from the settings, in reading order. `gateway.process` runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from filters.evidence import Detector
from filters.grounding import RequestGrounds
from filters.profile import Profile
from filters.specificity.described import Describing
from gateway import knowledge, served
from gateway.addresses import NO_PROXIES, Proxies
from gateway.admin.actions import Parts
from gateway.admin.api import Administration, note_reload
from gateway.admin.api import create_app as administration_app
from gateway.audit_log import NO_AUDIT_LOG, AuditLog
from gateway.audit_log.log import ChainedAuditLog
from gateway.audit_log.opening import open_audit_log
from gateway.audit_log.witnessed import Witnessed
from gateway.auth.jwks import PageFetcher
from gateway.budgets import Budgets
from gateway.deny_list import DenyList
from gateway.encryption.keys import KeyRing
from gateway.encryption.opening import Opener
from gateway.http import management, routes
from gateway.http.accounting import NO_TRACING, Accounted, Tracing
from gateway.http.connection import ConnectionLimits
from gateway.http.entrance import Door
from gateway.http.inbound import BodyLimits
from gateway.http.lifecycle import Lifecycle
from gateway.http.outbound import Answer
from gateway.http.tls import ServerTls
from gateway.in_force import Loader, MakeRelay
from gateway.knowledge import Loaded
from gateway.last_use import LastUses
from gateway.limits import Limiter
from gateway.names_engine import build_detectors
from gateway.news import AuditNews, Operator, PolicyNews, VaultNews
from gateway.observe.logs import Logs
from gateway.observe.metrics import Metrics
from gateway.observe.opening import open_logs, open_metrics, open_traces
from gateway.policy.body import BodyBounds
from gateway.receipts import RECORDS, SECURITY_EVENTS, Subjects
from gateway.relay import Relay
from gateway.release.desk import ReleaseDesk
from gateway.release.guard import Guard
from gateway.release.standing import Standing
from gateway.releases import Releases
from gateway.reload import Policies
from gateway.revocations import RevocationFeed
from gateway.secrets.opening import read_once
from gateway.secrets.roots import master_key
from gateway.secrets.store import VaultStore
from gateway.settings import GRACE_SECONDS, LimitSettings, Listener, LogSettings, Settings
from gateway.state import Store
from gateway.state.opening import open_store
from gateway.status import Condition
from gateway.streams import Streams
from gateway.tenant_keys import TenantKeys
from gateway.types import Release
from gateway.upstream.client import UpstreamClient
from gateway.upstream.keyless import KeyCheck
from gateway.upstream.scoring import Samples


class Watching(Protocol):
    """Goes on, as a rule for ever, with something of its own."""

    async def watch(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Doors:
    """How connections come in."""

    public: Door
    management: Door

    @property
    def with_tls(self) -> list[ServerTls]:
        return [door.tls for door in (self.public, self.management) if door.tls is not None]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a running process consists of. `watches` are those of all `Watching`."""

    public: ASGIApp
    connections: ConnectionLimits
    doors: Doors
    management: ASGIApp
    lifecycle: Lifecycle
    logs: Logs
    metrics: Metrics
    policies: Policies
    revocations: RevocationFeed
    client: UpstreamClient
    releases: Releases
    guards: Sequence[Guard]
    desk: ReleaseDesk
    deny_lists: Sequence[DenyList]
    keys: TenantKeys
    audit: ChainedAuditLog | None
    watches: Sequence[Callable[[], Coroutine[Any, Any, None]]]


@asynccontextmanager
async def assemble(
    settings: Settings, registry: CollectorRegistry, warn: Callable[[str], None], vault: VaultStore | None = None
) -> AsyncIterator[Gateway]:
    """All parts, loaded and connected; nothing listens yet. `warn` hears in plain words why a model is not served.
    `vault` is open, where the settings name one. Raises ConfigError."""
    operator, lifecycle = open_operator(settings, registry, warn), Lifecycle()
    doors = open_doors(settings, operator)
    keys, ring = TenantKeys(master_key(settings.pseudonym_key_file)), _key_ring(settings, operator)
    async with AsyncExitStack() as closing:  # what is opened last is closed first
        closing.callback(operator.logs.close)
        traces = open_traces(settings.traces, operator.metrics) if settings.traces is not None else None
        if traces is not None:
            closing.push_async_callback(traces.aclose)
        models = _models(settings, operator, closing)
        shared = _shared(settings, operator, models, lifecycle, closing)
        relays = _relays(operator, keys, models, shared, closing)
        loader = _loader(settings, operator, vault, relays, closing)
        policies = _policies(settings, loader, operator, models, shared, lifecycle)
        condition = Condition(lifecycle, policies, shared.revocations, models.releases, settings.state is not None)
        desk = ReleaseDesk(shared.store, models.releases)
        opener = Opener(ring, shared.store) if ring is not None else None
        administration = _administration(settings, operator, policies, shared, desk, condition)
        closing.push_async_callback(administration.tell)
        own = operator.logs, policies, administration, ring, traces
        watched = (*own, *shared.watched, *models.watched, *doors.with_tls)
        yield Gateway(
            public=_public(settings, operator, policies, shared, opener, lifecycle, traces or NO_TRACING),
            connections=_connections(settings.limits),
            doors=doors,
            management=management.create_app(registry, condition.ready, administration_app(administration)),
            lifecycle=lifecycle,
            logs=operator.logs,
            metrics=operator.metrics,
            policies=policies,
            revocations=shared.revocations,
            client=models.client,
            releases=models.releases,
            guards=models.guards,
            desk=desk,
            deny_lists=models.deny_lists,
            keys=keys,
            audit=shared.audit,
            watches=_watches(settings, operator, vault, watched),
        )


# ---- the operator, and the doors -------------------------------------------------------------------------------------


def open_operator(settings: Settings, registry: CollectorRegistry, warn: Callable[[str], None]) -> Operator:
    """Raises ConfigError."""
    metrics = open_metrics(settings, registry)
    return Operator(metrics, open_logs(settings.log, metrics.log_failed), warn)


def open_doors(settings: Settings, operator: Operator) -> Doors:
    """Raises ConfigError for a certificate that can't be used."""

    def door(name: str, listener: Listener, proxies: Proxies) -> Door:
        tls = ServerTls(listener.tls, partial(operator.certificate, name)) if listener.tls is not None else None
        seconds = settings.limits.handshake_seconds
        return Door(tls, proxies, seconds, partial(operator.metrics.connection_refused, name))

    return Doors(
        door("public", settings.public, _proxies(settings)), door("management", settings.management, NO_PROXIES)
    )


def _proxies(settings: Settings) -> Proxies:
    return settings.trusted_proxies.proxies() if settings.trusted_proxies else NO_PROXIES


def _key_ring(settings: Settings, operator: Operator) -> KeyRing | None:
    """Our keys for encryption, where there are any. Raises ConfigError."""
    file = settings.encryption_keys_file
    return KeyRing(file, operator.encryption_keys) if file is not None else None


# ---- the models ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Models:
    """What is served, and what is known of it. `standing` is what has been said of releases."""

    known: Mapping[Release, Loaded]
    client: UpstreamClient
    keys: KeyCheck
    standing: Standing
    releases: Releases

    @property
    def guards(self) -> list[Guard]:
        return [pair.guard for pair in self.releases.pairs.values() if pair.guard]

    @property
    def deny_lists(self) -> list[DenyList]:
        return [each.deny_list for each in self.known.values() if each.deny_list]

    @property
    def watched(self) -> Sequence[Watching]:
        return *self.guards, *self.deny_lists, self.keys, self.client


def _models(settings: Settings, operator: Operator, closing: AsyncExitStack) -> _Models:
    """Raises ConfigError."""
    metrics, configured = operator.metrics, settings.releases()
    known = _known(settings, operator)
    client = served.client(settings.upstream, metrics.upstream_up, metrics.replica)
    closing.push_async_callback(client.aclose)
    places = served.places_of(configured.values())
    pairs = {
        release: served.pair(
            release,
            each,
            client,
            places,
            known[release],
            metrics,
            partial(operator.release, release),
            partial(operator.replica, release),
        )
        for release, each in configured.items()
    }
    standing = Standing()
    serving = {name: model.serving for name, model in settings.models.items()}
    keys = KeyCheck(partial(served.client, settings.upstream), served.with_keys(configured.values()), operator.keyless)
    return _Models(known, client, keys, standing, Releases(pairs, serving, standing, metrics))


def _known(settings: Settings, operator: Operator) -> dict[Release, Loaded]:
    """Raises ConfigError."""
    configured = settings.releases().items()
    known = {release: knowledge.load(each, partial(operator.deny_list, release)) for release, each in configured}
    for release, each in known.items():
        if each.deny_list is not None:
            operator.metrics.deny_list(release, len(each.deny_list), failed=False)
    return known


# ---- what replicas share ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shared:
    """What stands on the store, which other processes may see too."""

    store: Store
    revocations: RevocationFeed
    limiter: Limiter
    budgets: Budgets
    uses: LastUses | None
    audit: ChainedAuditLog | None

    @property
    def watched(self) -> Sequence[Watching | None]:
        return self.revocations, self.limiter, self.budgets, self.uses, self.audit


def _shared(
    settings: Settings, operator: Operator, models: _Models, lifecycle: Lifecycle, closing: AsyncExitStack
) -> _Shared:
    """Connects to nothing yet. Raises ConfigError."""
    metrics, state = operator.metrics, settings.state
    grace = state.grace_seconds if state else GRACE_SECONDS
    store = open_store(state)
    closing.push_async_callback(store.aclose)
    revocations = RevocationFeed(store, metrics, grace, lifecycle.end, operator.state, [models.standing])
    audit = open_audit_log(settings.audit, settings.log, store, AuditNews(operator))
    if audit is not None:
        closing.push_async_callback(audit.aclose)
    uses = LastUses(store, operator.logs.pseudonyms, metrics) if state else None  # nobody could ask for it
    if uses is not None:
        closing.push_async_callback(uses.tell)
    on_failure = state.limits_on_failure if state else "refuse"
    limiter = Limiter(store, metrics, models.releases.count, on_failure, grace=grace)
    closing.push_async_callback(limiter.aclose)
    budgets = Budgets(store, metrics)
    closing.push_async_callback(budgets.aclose)
    return _Shared(store, revocations, limiter, budgets, uses, audit)


# ---- the policy, and what follows from it ----------------------------------------------------------------------------


def _relays(
    operator: Operator, keys: TenantKeys, models: _Models, shared: _Shared, closing: AsyncExitStack
) -> MakeRelay:
    """What makes the relay of each policy."""
    streams = Streams()  # counted whatever policy they began under
    samples = Samples()
    closing.push_async_callback(samples.aclose)
    client, serving, metrics, budgets = models.client, models.releases.serving, operator.metrics, shared.budgets

    def relay(detector_of: Callable[[Profile], Detector], persons: Describing) -> Relay:
        grounds = RequestGrounds.from_texts
        return Relay(client, serving, detector_of, grounds, persons, metrics, keys, budgets, samples, streams)

    return relay


def _loader(
    settings: Settings, operator: Operator, vault: VaultStore | None, relays: MakeRelay, closing: AsyncExitStack
) -> Loader:
    """Raises ConfigError."""
    fetcher = PageFetcher(vault=vault.read if vault else None)
    closing.push_async_callback(fetcher.aclose)
    return Loader(settings, build_detectors(settings.names_engine), fetcher, operator.metrics, relays)


def _policies(
    settings: Settings, loader: Loader, operator: Operator, models: _Models, shared: _Shared, lifecycle: Lifecycle
) -> Policies:
    """Raises ConfigError."""
    audiences = {release: each.audiences for release, each in models.known.items()}
    news = PolicyNews(operator, lifecycle, shared.uses, audiences)
    return Policies(settings.policy, loader.load, news, partial(note_reload, _witnessed(operator, shared)))


# ---- the two surfaces ------------------------------------------------------------------------------------------------


def _public(
    settings: Settings,
    operator: Operator,
    policies: Policies,
    shared: _Shared,
    opener: Opener | None,
    lifecycle: Lifecycle,
    tracing: Tracing,
) -> ASGIApp:
    proxies = _proxies(settings)
    surface = routes.Surface(
        in_force=lambda: policies.now,
        revocations=shared.revocations,
        answer=lambda policy, plan, record, told: Answer(policy.relay, plan, record, settings.keep_alive_seconds, told),
        limits=_body_limits(settings.limits),
        limiter=shared.limiter,
        metrics=operator.metrics,
        proxies=proxies,
        opener=opener,
    )
    return Accounted(
        routes.create_app(surface),
        operator.logs,
        operator.metrics,
        lifecycle,
        settings.limits.answer_seconds,
        proxies,
        policy=lambda: policies.now.rules.version,
        used=shared.uses.note if shared.uses is not None else lambda record: None,
        tracing=tracing,
    )


def _connections(limits: LimitSettings) -> ConnectionLimits:
    return ConnectionLimits(
        total=limits.connections,
        per_address=limits.connections_per_address,
        head_seconds=limits.head_seconds,
        write_seconds=limits.write_seconds,
        idle_seconds=limits.idle_seconds,
    )


def _body_limits(limits: LimitSettings) -> BodyLimits:
    json = BodyBounds(limits.body_depth, limits.body_values)
    return BodyLimits(limits.body_bytes, limits.body_seconds, limits.body_bytes_per_second, json)


def _administration(
    settings: Settings,
    operator: Operator,
    policies: Policies,
    shared: _Shared,
    desk: ReleaseDesk,
    condition: Condition,
) -> Administration:
    head = partial(_head, shared.audit)
    kept = _keeps_marks(settings.log)
    subjects = _subjects(operator, shared, head, settings.log, shared_store=condition.shared)
    parts = Parts(shared.store, policies, desk, subjects, condition.status, head, condition.shared, kept)
    uncaught = partial(operator.logs.uncaught, where="administration")
    return Administration(parts, shared.revocations, _witnessed(operator, shared), operator.metrics, uncaught)


def _witnessed(operator: Operator, shared: _Shared) -> AuditLog:
    return Witnessed(shared.audit or NO_AUDIT_LOG, operator.logs.administered)


def _subjects(
    operator: Operator, shared: _Shared, head: Callable[[], str | None], log: LogSettings, *, shared_store: bool
) -> Subjects:
    """What is kept of persons."""
    pseudonyms, audit, uses = operator.logs.pseudonyms, shared.audit, shared.uses
    mark = audit.mark if audit is not None else lambda _issuer, _tenant, _subject: None
    tell = uses.tell if uses is not None else _nothing
    return Subjects(shared.store, pseudonyms, mark, head, tell, shared_store, _keeps_marks(log), _kept_days(log))


async def _nothing() -> None:
    """There are no last uses to tell of."""


def _head(audit: ChainedAuditLog | None) -> str | None:
    """How far the audit log has come."""
    return str(audit.head) if audit is not None and audit.head is not None else None


def _kept_days(log: LogSettings) -> Mapping[str, int]:
    """Of those lines that are files of the gateway's own."""
    days = {RECORDS: log.keep_days} if log.directory else {}
    return days | ({SECURITY_EVENTS: log.security.keep_days} if log.security_directory else {})


def _keeps_marks(log: LogSettings) -> bool:
    """Whether callers have the same marks in records after the next start."""
    return log.key_file is not None or log.subject != "hashed"


# ---- what goes on for ever -------------------------------------------------------------------------------------------


def _watches(
    settings: Settings, operator: Operator, vault: VaultStore | None, parts: Iterable[Watching | None]
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    watches = [part.watch for part in parts if part is not None]
    return [*watches, partial(vault.watch, VaultNews(operator, read_once(settings)))] if vault is not None else watches
