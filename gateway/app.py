"""The composition root: builds everything from the settings, in reading order, and runs the two listeners."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO, Final

import uvicorn
from prometheus_client import CollectorRegistry, disable_created_metrics
from starlette.types import ASGIApp

from filters.budget import LEAK_BUDGET
from filters.documents import UNKNOWN_TOOL
from filters.evidence import UNDECIDED, Detector
from filters.grounding import RequestGrounds
from filters.json_text import BROKEN_JSON, UNFIT
from filters.opening import REFUSAL
from filters.pii.types import SPECIAL, TYPES
from filters.profile import Profile
from filters.specificity.described import Describing
from filters.specificity.style import NO_SHIFT
from filters.verdicts import SUSPICIONS
from gateway import knowledge, served
from gateway.addresses import NO_PROXIES, Proxies
from gateway.admin.actions import Parts
from gateway.admin.api import Administration, note_reload
from gateway.admin.api import create_app as administration_app
from gateway.admin.shapes import ModelStatus, Status
from gateway.audit_log import NO_AUDIT_LOG, AuditUnavailable, AuditUnfit
from gateway.audit_log.lines import Head
from gateway.audit_log.log import ChainedAuditLog
from gateway.audit_log.opening import open_audit_log
from gateway.auth.development import DEVELOPMENT_ISSUER
from gateway.auth.jwks import PageFetcher
from gateway.budgets import Budgets
from gateway.config_file import ConfigError, Problem
from gateway.deny_list import DenyList
from gateway.encryption.keys import KeyRing
from gateway.encryption.opening import Opener
from gateway.errors import PolicyChanged
from gateway.http import management, routes
from gateway.http.accounting import Accounted
from gateway.http.connection import ConnectionLimits
from gateway.http.entrance import Door
from gateway.http.inbound import BodyLimits
from gateway.http.lifecycle import Lifecycle
from gateway.http.outbound import Answer
from gateway.http.tls import Reloaded, ServerTls
from gateway.in_force import InForce, Loader
from gateway.knowledge import Loaded
from gateway.last_use import LastUses
from gateway.limits import Limiter
from gateway.listening import allow_open_files, bind, make_server, url
from gateway.names_engine import build_detectors
from gateway.observe.logs import Logs, Pseudonyms, take_over, watch_tasks
from gateway.observe.metrics import Metrics
from gateway.policy.body import BodyBounds
from gateway.relay import Pair, Relay
from gateway.release.check import Fault
from gateway.release.desk import ReleaseDesk
from gateway.release.guard import Guard
from gateway.release.standing import Standing
from gateway.releases import Releases
from gateway.reload import Policies
from gateway.revocations import RevocationFeed
from gateway.secrets import opening
from gateway.secrets.opening import Opened, read_once
from gateway.secrets.references import VaultRef
from gateway.secrets.roots import master_key
from gateway.secrets.store import Looked, VaultStore
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.settings import GRACE_SECONDS, LimitSettings, Listener, LogSettings, ReleaseSettings, Settings
from gateway.state import StateUnfit
from gateway.state.opening import open_store
from gateway.streams import Streams
from gateway.tenant_keys import TenantKeys
from gateway.types import Endpoint, Grant, Release
from gateway.upstream.client import Server, UpstreamClient
from gateway.upstream.places import Places, Shares
from gateway.upstream.scoring import Bounds, Samples, Scorer
from gateway.waiting import not_ready, try_to_open, until_open

LAST_WORDS_SECONDS: Final = 2.0  # for the in-band errors of streams that the drain deadline ended
KINDS: Final = frozenset(TYPES) | SUSPICIONS | {LEAK_BUDGET, REFUSAL, UNDECIDED, UNKNOWN_TOOL, BROKEN_JSON, UNFIT}


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
    """Everything that a running process consists of."""

    public: ASGIApp
    connections: ConnectionLimits
    doors: Doors
    management: ASGIApp
    administration: Administration
    lifecycle: Lifecycle
    logs: Logs
    metrics: Metrics
    policies: Policies
    revocations: RevocationFeed
    uses: LastUses | None
    limiter: Limiter
    budgets: Budgets
    client: UpstreamClient
    releases: Releases
    desk: ReleaseDesk
    deny_lists: Sequence[DenyList]
    keys: TenantKeys
    audit: ChainedAuditLog | None
    watch_vault: Callable[[], Coroutine[object, object, None]] | None
    key_ring: KeyRing | None

    @property
    def guards(self) -> list[Guard]:
        return [pair.guard for pair in self.releases.pairs.values() if pair.guard]


@asynccontextmanager
async def assemble(
    settings: Settings, registry: CollectorRegistry, warn: Callable[[str], None], vault: VaultStore | None = None
) -> AsyncIterator[Gateway]:
    """All parts, loaded and connected; nothing listens yet. `warn` hears in plain words why a model is not served.
    `vault` is open, where the settings name one. Raises ConfigError."""
    metrics = _metrics(settings, registry)
    logs = build_logs(settings.log, metrics.log_failed)
    doors = _doors(settings, metrics, logs, warn)
    keys = TenantKeys(master_key(settings.pseudonym_key_file))
    ring = _key_ring(settings, metrics, logs, warn)
    known = knowledge.load_all(settings.releases(), metrics, logs, warn)
    detectors = build_detectors(settings.names_engine)
    client = served.client(settings.upstream, metrics.upstream_up)
    fetcher = PageFetcher(vault=vault.read if vault else None)
    store = open_store(settings.state)
    budgets, samples, lifecycle = Budgets(store, metrics), Samples(), Lifecycle()
    streams = Streams()  # counted whatever policy they began under

    def refused(release: Release, fault: Fault) -> None:
        logs.process("release_refused", fault.name.lower())
        warn(f"model {release}: {fault.value}")

    def state_told(code: str, words: str) -> None:
        logs.process(code)
        warn(f"state: {words}")

    opener = Opener(ring, store) if ring is not None else None
    grace = settings.state.grace_seconds if settings.state else GRACE_SECONDS
    standing = Standing()
    revocations = RevocationFeed(store, metrics, grace, lifecycle.end, state_told, [standing])

    def count(grant: Grant) -> Callable[[str], int]:
        return releases.count(grant)

    on_failure = settings.state.limits_on_failure if settings.state else "refuse"
    limiter = Limiter(store, metrics, count, on_failure, grace=grace)
    uses = LastUses(store, logs.pseudonyms, metrics) if settings.state else None  # nobody could ask for it
    audit = open_audit_log(settings.audit, settings.log, store, _AuditNews(logs, warn))

    def relay(detector_of: Callable[[Profile], Detector], persons: Describing) -> Relay:
        grounds = RequestGrounds.from_texts
        return Relay(client, releases.serving, detector_of, grounds, persons, metrics, keys, budgets, samples, streams)

    try:
        places = _places(settings.releases().values())
        pairs = {
            release: _pair(release, each, client, places, known[release], metrics, refused)
            for release, each in settings.releases().items()
        }
        serving = {name: model.serving for name, model in settings.models.items()}
        releases = Releases(pairs, serving, standing, metrics)
        desk = ReleaseDesk(store, releases)
        audiences = {release: each.audiences for release, each in known.items()}
        loader = Loader(settings, detectors, fetcher, metrics, relay)
        news = _PolicyNews(metrics, logs, lifecycle, uses, warn, audiences)
        policies = Policies(settings.policy, loader.load, news, partial(note_reload, audit or NO_AUDIT_LOG))
        not_ready = partial(_not_ready, lifecycle, policies, revocations, releases)
        status = partial(_status, policies, revocations, releases, not_ready, shared=settings.state is not None)
        parts = Parts(
            store, policies, desk, status, partial(_head, audit), settings.state is not None, _keeps_marks(settings.log)
        )
        uncaught = partial(logs.uncaught, where="administration")
        administration = Administration(parts, revocations, audit or NO_AUDIT_LOG, metrics, uncaught)
        yield Gateway(
            public=_public(settings, policies, revocations, limiter, opener, uses, metrics, logs, lifecycle),
            connections=_connections(settings.limits),
            doors=doors,
            management=management.create_app(registry, lambda: not not_ready(), administration_app(administration)),
            administration=administration,
            lifecycle=lifecycle,
            logs=logs,
            metrics=metrics,
            policies=policies,
            revocations=revocations,
            uses=uses,
            limiter=limiter,
            budgets=budgets,
            client=client,
            releases=releases,
            desk=desk,
            deny_lists=[each.deny_list for each in known.values() if each.deny_list],
            keys=keys,
            audit=audit,
            watch_vault=partial(vault.watch, _VaultNews(metrics, logs, warn, read_once(settings))) if vault else None,
            key_ring=ring,
        )
    finally:
        await samples.aclose()
        await budgets.aclose()
        await limiter.aclose()
        if uses is not None:
            await uses.tell()
        if audit is not None:
            await audit.aclose()
        await store.aclose()
        await client.aclose()
        await fetcher.aclose()


def run(settings: Settings, announce: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; `announce` gets one line when both listeners are open, `warn` a line for each
    model that is not what its release says. Raises ConfigError."""
    allow_open_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, announce, warn))


# ---- the parts -------------------------------------------------------------------------------------------------------


def build_logs(settings: LogSettings, failed: Callable[[], None] = lambda: None) -> Logs:
    """`failed` hears of each record that can't be written. Raises ConfigError."""
    pseudonyms = Pseudonyms(master_key(settings.key_file), subject=settings.subject, address=settings.address)
    return Logs(_sink(settings.destination), pseudonyms, failed=failed)


def _sink(destination: str | Path) -> BinaryIO:
    if not isinstance(destination, Path):
        return sys.stdout.buffer if destination == "stdout" else sys.stderr.buffer
    try:
        descriptor = os.open(destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(Problem(str(destination), None, "", f"can't be written ({error.strerror})")) from None
    return os.fdopen(descriptor, "ab")


def _metrics(settings: Settings, registry: CollectorRegistry) -> Metrics:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nothing reads
    with_vault = settings.vault is not None
    releases = {name: model.releases.keys() for name, model in settings.models.items()}
    metrics = Metrics(registry, models=releases, routes=tuple(Endpoint), kinds=KINDS, shy=SPECIAL, vault=with_vault)
    metrics.plaintext_upstreams(len(list(settings.plaintext_models())))
    return metrics


def own_version() -> str:
    try:
        return version("tightlip")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def _places(releases: Iterable[ReleaseSettings]) -> dict[str, Places]:
    """One set of places for each server that is asked, whoever's it is; where releases differ, the smallest bounds
    hold."""
    shares: dict[str, Shares] = {}
    for release in releases:
        ours = release.question_shares
        for address in release.asked:
            other = shares.get(address, ours)
            shares[address] = Shares(
                min(ours.server, other.server), min(ours.tenant, other.tenant), min(ours.answer, other.answer)
            )
    return {address: Places(share) for address, share in shares.items()}


def _pair(
    release: Release,
    model: ReleaseSettings,
    client: UpstreamClient,
    places: Mapping[str, Places],
    known: Loaded,
    metrics: Metrics,
    tell: Callable[[Release, Fault], None],
) -> Pair:
    tuned, base, vocabulary = served.server(model.tuned), served.server(model.base), served.vocabulary(model.tokenizer)
    check = served.pair_check(model, client, vocabulary, known)
    bounds = Bounds(
        context_tokens=model.context_tokens_per_question,
        deadline=model.question_deadline_seconds,
        priority=model.question_priority,
    )

    if check is not None and check.manifest.benign_bits is not None:
        metrics.benign_bits(release, check.manifest.benign_bits.median, check.manifest.benign_bits.p95)

    def scorer(server: Server, *, of_tuned: bool = False) -> Scorer:
        shared = places[server.url]
        return Scorer(client, server, bounds, shared, metrics, release, vocabulary.specials, of_tuned=of_tuned)

    def hear(faults: Sequence[Fault]) -> None:
        metrics.release(release, good=not faults)
        for fault in faults:
            tell(release, fault)

    return Pair(
        release=release,
        tuned=tuned,
        base=base,
        vocabulary=vocabulary,
        scorer=scorer(base),
        tuned_scorer=scorer(tuned, of_tuned=True) if model.is_scored else None,
        substitute=served.substitute(model, vocabulary),
        style_shift=check.manifest.style_shift if check else NO_SHIFT,
        guard=Guard(check, hear) if check else None,
        released_as=known.released.name if known.released else None,
        knowledge=known.knowledge,
    )


def _not_ready(lifecycle: Lifecycle, policies: Policies, revocations: RevocationFeed, releases: Releases) -> list[str]:
    """Why callers are not served now; nothing where they are."""
    reasons = {
        "draining" if lifecycle.draining else "starting": lifecycle.ready,
        "issuer_keys": policies.now.verifier.ready,
        "revocations": revocations.ready,
        "releases": releases.ready,
    }
    return [reason for reason, good in reasons.items() if not good]


def _status(
    policies: Policies,
    revocations: RevocationFeed,
    releases: Releases,
    not_ready: Callable[[], list[str]],
    *,
    shared: bool,
) -> Status:
    """What administrators are told of the process."""
    reasons, age = not_ready(), revocations.age
    return Status(
        version=own_version(),
        ready=not reasons,
        not_ready=reasons,
        policy=policies.now.rules.version,
        revocations=revocations.count,
        revocations_age=age if math.isfinite(age) else None,
        shared=shared,
        models={name: ModelStatus(releases.answers(name), releases.released(name)) for name in releases.models},
    )


def _head(audit: ChainedAuditLog | None) -> str | None:
    """How far the audit log has come."""
    return str(audit.head) if audit is not None and audit.head is not None else None


def _keeps_marks(log: LogSettings) -> bool:
    """Whether callers have the same marks in records after the next start."""
    return log.key_file is not None or log.subject != "hashed"


@dataclass(frozen=True, slots=True)
class _PolicyNews:
    """Fulfils `gateway.reload.Hear`: metrics, a record, and in plain words to the operator what is wrong."""

    metrics: Metrics
    logs: Logs
    lifecycle: Lifecycle
    uses: LastUses | None
    warn: Callable[[str], None]
    audiences: Mapping[Release, Sequence[str]]  # of the index of each

    def changed(self, before: InForce | None, now: InForce) -> None:
        """As `Hear.changed`. What an urgent policy ends are the answers that began under another one."""
        version = now.rules.version
        self.metrics.running(version=own_version(), policy=version, roles=now.rules.roles)
        self.metrics.policy(refused=False)
        if self.uses is not None:
            self.uses.introduce(now.rules)
        if any(issuer.issuer == DEVELOPMENT_ISSUER for issuer in (*now.rules.issuers, *now.rules.administrators)):
            self.warn(f"the policy takes development tokens, of {DEVELOPMENT_ISSUER!r}: not for production")
        self.metrics.exemptions({each.profile: each.until for each in now.rules.exemptions()})
        for release, audiences in self.audiences.items():
            self._tell_unmapped(release, audiences, now)
        if before is None:
            return
        self.logs.process("policy", "reloaded", policy=version)
        if now.rules.policy.urgent and before.rules.version != version:
            self.lifecycle.end(lambda record: PolicyChanged() if record.policy != version else None)

    def _tell_unmapped(self, release: Release, audiences: Sequence[str], now: InForce) -> None:
        known = now.rules.policy.classification.clearance(None).audiences
        for audience in audiences:
            if audience not in known:
                self.warn(f"model {release}: the policy's classification has no level for the audience {audience!r}")

    def refused(self, error: ConfigError) -> None:
        """As `Hear.refused`."""
        self.metrics.policy(refused=True)
        self.logs.process("policy", "refused")
        for problem in error.problems:
            self.warn(f"{problem}; the policy before it stays in force")


class _VaultNews:
    """What the operator hears of Vault: at each look in metrics, in a record and plain words when something changes."""

    def __init__(
        self, metrics: Metrics, logs: Logs, warn: Callable[[str], None], once: frozenset[VaultRef] = frozenset()
    ) -> None:
        """`once`: what is read at the start, and then no more."""
        self._metrics, self._logs, self._warn, self._once = metrics, logs, warn, once
        self._told: Trouble | None = None
        metrics.vault(None)

    def waiting(self, trouble: VaultTrouble) -> None:
        """There is nothing to serve with yet."""
        self._metrics.vault(trouble.trouble)
        self._logs.process("vault", trouble.trouble)
        self._warn(f"{trouble}; not ready, and waiting for it")

    def __call__(self, looked: Looked) -> None:
        trouble = looked.trouble
        self._metrics.vault(trouble.trouble if trouble else None, len(looked.changed))
        for ref in looked.changed:
            self._logs.process("vault", "changed")
            until = "it is read once, at the start, and stays as it was until the next one"
            self._warn(f"{ref} has changed: {until if ref in self._once else 'it is read again, without a restart'}")
        if (code := trouble.trouble if trouble else None) is not self._told:
            self._told = code
            self._logs.process("vault", code or "back")
            self._warn(f"{trouble}; what was read before stays in use" if trouble else "vault: is back")


class _AuditNews:
    """Fulfils `gateway.audit_log.log.Hear`: a record, and plain words for what is wrong."""

    def __init__(self, logs: Logs, warn: Callable[[str], None]) -> None:
        self._logs, self._warn = logs, warn
        self._away = False

    def head(self, head: Head) -> None:
        """As `Hear.head`."""
        self._logs.process("audit_head", str(head))

    def lost(self, remembered: Head) -> None:
        """As `Hear.lost`."""
        self._logs.process("audit_lost", str(remembered))
        self._warn(f"audit log: the store remembers line {remembered.n} of it, which is not there: verify it")

    def available(self) -> None:
        """As `Hear.available`."""
        if self._away:
            self._away = False
            self._logs.process("audit_back")

    def unavailable(self, error: AuditUnavailable) -> None:
        """As `Hear.unavailable`."""
        if not self._away:
            self._away = True
            self._logs.process("audit_unavailable")
            self._warn(f"audit log: {error}; nothing can be administrated until it can be written")


def _public(
    settings: Settings,
    policies: Policies,
    revocations: RevocationFeed,
    limiter: Limiter,
    opener: Opener | None,
    uses: LastUses | None,
    metrics: Metrics,
    logs: Logs,
    lifecycle: Lifecycle,
) -> ASGIApp:
    proxies = _proxies(settings)
    surface = routes.Surface(
        in_force=lambda: policies.now,
        revocations=revocations,
        answer=lambda policy, plan, record, told: Answer(policy.relay, plan, record, settings.keep_alive_seconds, told),
        limits=_body_limits(settings.limits),
        limiter=limiter,
        metrics=metrics,
        proxies=proxies,
        opener=opener,
    )
    app = routes.create_app(surface)
    return Accounted(
        app,
        logs,
        metrics,
        lifecycle,
        settings.limits.answer_seconds,
        proxies,
        policy=lambda: policies.now.rules.version,
        used=uses.note if uses is not None else lambda record: None,
    )


def _key_ring(settings: Settings, metrics: Metrics, logs: Logs, warn: Callable[[str], None]) -> KeyRing | None:
    """Our keys for encryption, where there are any. Raises ConfigError."""

    def hear(refused: str | None) -> None:
        logs.process("encryption_keys", "reloaded" if refused is None else "refused")
        metrics.encryption_keys(refused=refused is not None)
        if refused is not None:
            warn(f"encryption keys: {refused}; those before stay")

    return KeyRing(settings.encryption_keys_file, hear) if settings.encryption_keys_file is not None else None


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


def _doors(settings: Settings, metrics: Metrics, logs: Logs, warn: Callable[[str], None]) -> Doors:
    """Raises ConfigError for a certificate that can't be used."""

    def tls(name: str, listener: Listener) -> ServerTls | None:
        def hear(told: Reloaded) -> None:
            metrics.certificate(name, told.ends, failed=told.refused is not None)
            if told.refused is not None:
                logs.process("certificate_refused", name)
                warn(f"certificate of {name}: {told.refused}; the one before stays")

        return ServerTls(listener.tls, hear) if listener.tls is not None else None

    def door(name: str, listener: Listener, proxies: Proxies) -> Door:
        seconds = settings.limits.handshake_seconds
        return Door(tls(name, listener), proxies, seconds, partial(metrics.connection_refused, name))

    return Doors(
        door("public", settings.public, _proxies(settings)), door("management", settings.management, NO_PROXIES)
    )


def _proxies(settings: Settings) -> Proxies:
    return settings.trusted_proxies.proxies() if settings.trusted_proxies else NO_PROXIES


# ---- listening -------------------------------------------------------------------------------------------------------


async def _serve(settings: Settings, announce: Callable[[str], None], warn: Callable[[str], None]) -> None:
    # Nothing is there yet that could be read again, and Vault may take long.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    opened = await _open(settings, warn)
    if opened is None:
        return
    async with assemble(opened.settings, CollectorRegistry(), warn, opened.vault) as gateway:
        take_over(gateway.logs)
        watch_tasks(asyncio.get_running_loop(), gateway.logs)
        sockets = bind(settings.public), bind(settings.management)
        listeners = settings.public, settings.management
        addresses = [url(bound, tls=each.tls is not None) for bound, each in zip(sockets, listeners, strict=True)]
        # What is loaded stays: full collections need not walk the detectors' hundred thousands of objects.
        gc.collect()
        gc.freeze()
        async with _listening(gateway, *sockets) as stop, watching(gateway):
            gateway.lifecycle.ready = True
            gateway.metrics.ready(True)
            gateway.logs.process("ready")
            announce(f"tightlip: public {addresses[0]}  management {addresses[1]}")
            await stop.wait()
            await _drain(gateway, settings.drain_seconds)
        gateway.logs.process("stopped")


async def _open(settings: Settings, warn: Callable[[str], None]) -> Opened | None:
    """The settings with secrets that can be read, however long Vault takes; None if the process is to end before.
    Raises ConfigError for what waiting won't mend."""
    opened = opening.prepare(settings)
    if opened.vault is None or await try_to_open(opened.vault) is None:
        return opened
    logs = build_logs(settings.log.model_copy(update={"key_file": None}))  # nobody's mark is made before there is a key
    take_over(logs)
    registry = CollectorRegistry()
    metrics = _metrics(settings, registry)
    metrics.ready(False)
    doors, news = _doors(settings, metrics, logs, warn), _VaultNews(metrics, logs, warn)
    async with not_ready(settings.management, doors.management, registry):
        return opened if await until_open(opened.vault, news.waiting) else None


@asynccontextmanager
async def watching(gateway: Gateway) -> AsyncIterator[None]:
    """Each model's release is checked, and each issuer's keys are fetched, before the block begins, and again and
    again inside it; so are the policy, the revocations, Vault, the deny lists and certificates."""
    guards, policies = gateway.guards, gateway.policies
    await _begin(gateway.revocations)
    if gateway.audit is not None:
        await _begin_audit(gateway.audit)
    await asyncio.gather(policies.begin(), *(guard.look() for guard in guards))
    watched = [policies.watch(), gateway.revocations.watch(), gateway.limiter.watch(), gateway.administration.watch()]
    watched.append(gateway.budgets.watch())
    if gateway.uses is not None:
        watched.append(gateway.uses.watch())
    if gateway.audit is not None:
        watched.append(gateway.audit.watch())
    if gateway.watch_vault is not None:
        watched.append(gateway.watch_vault())
    if gateway.key_ring is not None:
        watched.append(gateway.key_ring.watch())
    watched += [guard.watch() for guard in guards]
    watched += [deny_list.watch() for deny_list in gateway.deny_lists]
    watched += [tls.watch() for tls in gateway.doors.with_tls]
    watches = [asyncio.ensure_future(watch) for watch in watched]
    for watch in watches:
        watch.add_done_callback(lambda done: _told(done, gateway.logs))
    try:
        yield
    finally:
        for watch in watches:
            watch.cancel()
        await policies.aclose()


def _told(watch: asyncio.Future[None], logs: Logs) -> None:
    """A watch never ends by itself: one that did is a mistake of ours, and what it watched is watched no more."""
    if not watch.cancelled() and (error := watch.exception()) is not None:
        logs.uncaught(type(error), "watch")


async def _begin(revocations: RevocationFeed) -> None:
    """Raises ConfigError for a store that must not be used; one that does not answer yet is waited for, not ready."""
    try:
        await revocations.begin()
    except StateUnfit as error:
        raise ConfigError(Problem("state", None, "", str(error))) from None


async def _begin_audit(audit: ChainedAuditLog) -> None:
    """Raises ConfigError for a place that must not be used."""
    try:
        await audit.begin()
    except AuditUnfit as error:
        raise ConfigError(Problem("audit", None, "", str(error))) from None


@asynccontextmanager
async def _listening(
    gateway: Gateway, public_socket: socket.socket, management_socket: socket.socket
) -> AsyncIterator[asyncio.Event]:
    """Both listeners are open inside; the event is set when the process is asked to stop.

    The public one closes first, so that probes see the process not ready while it drains.
    """
    public = make_server(gateway.public, gateway.connections, gateway.doors.public)
    admin = make_server(gateway.management, door=gateway.doors.management)
    async with asyncio.TaskGroup() as tasks:
        admin_task = tasks.create_task(admin.serve([management_socket]))
        public_task = tasks.create_task(public.serve([public_socket]))
        while not (public.started and admin.started):  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield _on_signals(lambda: _close(public), gateway.policies.ask)
        _close(public)
        public.force_exit = True
        await public_task
        _close(admin)
        admin.force_exit = True
        await admin_task


def _close(listener: uvicorn.Server) -> None:
    listener.should_exit = True


def _on_signals(begin: Callable[[], None], reload: Callable[[], None]) -> asyncio.Event:
    """The first signal begins the end; a second one is somebody who won't wait. SIGHUP reads the policy again."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGINT)
        begin()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop


async def _drain(gateway: Gateway, deadline: float) -> None:
    gateway.lifecycle.drain()
    gateway.metrics.ready(False)
    gateway.logs.process("draining")
    if not await gateway.lifecycle.drained(deadline):
        gateway.logs.process("deadline")
        await gateway.lifecycle.expire(LAST_WORDS_SECONDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
