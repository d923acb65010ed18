"""The composition root: builds everything from the settings, in reading order, and runs the two listeners."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO, Final

import uvicorn
from prometheus_client import CollectorRegistry, disable_created_metrics
from starlette.types import ASGIApp

from filters.grounding import RequestGrounds
from filters.pii.types import TYPES
from filters.pipeline import BROKEN_JSON, SUSPICIONS, UNDECIDED, UNKNOWN_TOOL
from gateway.auth import issuers
from gateway.config_file import ConfigError, Problem
from gateway.http import management, routes
from gateway.http.accounting import Accounted
from gateway.http.inbound import BodyLimits
from gateway.http.lifecycle import Lifecycle
from gateway.http.outbound import Answer
from gateway.listening import bind, make_server, url
from gateway.names_engine import build_detectors
from gateway.observe.logs import Logs, Pseudonyms, take_over, watch_tasks
from gateway.observe.metrics import Metrics
from gateway.policy import load as policies
from gateway.policy.load import Rules
from gateway.relay import Pair, Relay
from gateway.settings import LogSettings, ModelSettings, ServerSettings, Settings, read_secret
from gateway.tenant_keys import MIN_MASTER_BYTES, TenantKeys
from gateway.types import Endpoint
from gateway.upstream.client import Server, Timeouts, UpstreamClient
from gateway.upstream.scoring import Bounds, Scorer
from gateway.upstream.vocabulary import TokenizerVocabulary

LAST_WORDS_SECONDS: Final = 2.0  # for the in-band errors of streams that the drain deadline ended
KINDS: Final = frozenset(TYPES) | SUSPICIONS | {UNDECIDED, UNKNOWN_TOOL, BROKEN_JSON}


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything that a running process consists of."""

    public: ASGIApp
    management: ASGIApp
    lifecycle: Lifecycle
    logs: Logs
    metrics: Metrics


@asynccontextmanager
async def assemble(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Gateway]:
    """All parts, loaded and connected; nothing listens yet. Raises ConfigError."""
    rules = policies.load(settings.policy)
    policies.check_models(rules, frozenset(settings.models))
    verifier = issuers.Verifier(issuers.load(rules), now=time.time)
    logs = build_logs(settings.log)
    metrics = _metrics(settings, rules, registry)
    keys = TenantKeys(master_key(settings.pseudonym_key_file))
    detectors = build_detectors(settings.names_engine)
    for role in rules.roles.values():  # what a role needs is loaded now, or the process does not become ready
        detectors.of(rules.profiles[role.profile])
    client = UpstreamClient(_timeouts(settings))

    try:
        pairs = _pairs(settings, client, metrics)
        relay = Relay(client, pairs, detectors.of, RequestGrounds.from_texts, metrics, keys)
        lifecycle = Lifecycle()
        yield Gateway(
            public=_public(settings, rules, verifier, relay, metrics, logs, lifecycle),
            management=management.create_app(registry, lifecycle),
            lifecycle=lifecycle,
            logs=logs,
            metrics=metrics,
        )
    finally:
        await client.close()


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; `announce` gets one line when both listeners are open. Raises ConfigError."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, announce))


# ---- the parts -------------------------------------------------------------------------------------------------------


def build_logs(settings: LogSettings) -> Logs:
    """Raises ConfigError."""
    key = master_key(settings.key_file)
    return Logs(_sink(settings.destination), Pseudonyms(key, subject=settings.subject, address=settings.address))


def master_key(file: Path | None) -> bytes:
    """The secret in the file, or one for this run. Raises ConfigError."""
    key = read_secret(file).encode() if file else secrets.token_bytes(MIN_MASTER_BYTES)
    if len(key) < MIN_MASTER_BYTES:
        raise ConfigError(Problem(str(file), None, "", f"must hold {MIN_MASTER_BYTES} bytes or more"))
    return key


def _sink(destination: str | Path) -> BinaryIO:
    if not isinstance(destination, Path):
        return sys.stdout.buffer if destination == "stdout" else sys.stderr.buffer
    try:
        descriptor = os.open(destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(Problem(str(destination), None, "", f"can't be written ({error.strerror})")) from None
    return os.fdopen(descriptor, "ab")


def _metrics(settings: Settings, rules: Rules, registry: CollectorRegistry) -> Metrics:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nothing reads
    metrics = Metrics(registry, models=settings.models, roles=rules.roles, routes=tuple(Endpoint), kinds=KINDS)
    metrics.running(version=own_version(), policy=rules.version)
    metrics.plaintext_upstreams(len(list(settings.plaintext_models())))
    return metrics


def own_version() -> str:
    try:
        return version("tightlip")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def _timeouts(settings: Settings) -> Timeouts:
    upstream = settings.upstream
    return Timeouts(
        connect=upstream.connect_seconds, first_byte=upstream.first_byte_seconds, stall=upstream.stall_seconds
    )


def _pairs(settings: Settings, client: UpstreamClient, metrics: Metrics) -> Mapping[str, Pair]:
    return {name: _pair(name, model, client, metrics) for name, model in settings.models.items()}


def _pair(name: str, model: ModelSettings, client: UpstreamClient, metrics: Metrics) -> Pair:
    base, vocabulary = _server(model.base), _vocabulary(model.tokenizer)
    bounds = Bounds(
        context_tokens=model.context_tokens_per_question,
        deadline=model.question_deadline_seconds,
        in_flight=model.questions_in_flight,
    )
    return Pair(
        name=name,
        tuned=_server(model.tuned),
        base=base,
        vocabulary=vocabulary,
        scorer=Scorer(client, base, bounds, metrics, name, vocabulary.specials),
        style_shift_bits=model.style_shift_bits,
    )


def _server(settings: ServerSettings) -> Server:
    return Server(settings.url, settings.model, read_secret(settings.api_key_file) if settings.api_key_file else None)


def _vocabulary(given: Path) -> TokenizerVocabulary:
    path = given / "tokenizer.json" if given.is_dir() else given
    try:
        return TokenizerVocabulary(path)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None
    except ValueError:
        raise ConfigError(Problem(str(path), None, "", "is not a tokenizer.json")) from None


def _public(
    settings: Settings,
    rules: Rules,
    verifier: issuers.Verifier,
    relay: Relay,
    metrics: Metrics,
    logs: Logs,
    lifecycle: Lifecycle,
) -> ASGIApp:
    surface = routes.Surface(
        rules=rules,
        verifier=verifier,
        answer=lambda plan, record: Answer(relay, plan, record, settings.keep_alive_seconds),
        limits=BodyLimits(settings.limits.body_bytes, settings.limits.body_seconds),
        metrics=metrics,
    )
    return Accounted(routes.create_app(surface), logs, metrics, lifecycle, settings.limits.answer_seconds)


# ---- listening -------------------------------------------------------------------------------------------------------


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    async with assemble(settings, CollectorRegistry()) as gateway:
        take_over(gateway.logs)
        watch_tasks(asyncio.get_running_loop(), gateway.logs)
        sockets = bind(settings.public), bind(settings.management)
        addresses = url(sockets[0]), url(sockets[1])
        # What is loaded stays: full collections need not walk the detectors' hundred thousands of objects.
        gc.collect()
        gc.freeze()
        async with _listening(gateway, *sockets) as stop:
            gateway.lifecycle.ready = True
            gateway.metrics.ready(True)
            gateway.logs.process("ready")
            announce(f"tightlip: public {addresses[0]}  management {addresses[1]}")
            await stop.wait()
            await _drain(gateway, settings.drain_seconds)
        gateway.logs.process("stopped")


@asynccontextmanager
async def _listening(
    gateway: Gateway, public_socket: socket.socket, management_socket: socket.socket
) -> AsyncIterator[asyncio.Event]:
    """Both listeners are open inside; the event is set when the process is asked to stop.

    The public one closes first, so that probes see the process not ready while it drains.
    """
    public, admin = make_server(gateway.public), make_server(gateway.management)
    async with asyncio.TaskGroup() as tasks:
        admin_task = tasks.create_task(admin.serve([management_socket]))
        public_task = tasks.create_task(public.serve([public_socket]))
        while not (public.started and admin.started):  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield _on_signals(lambda: _close(public))
        _close(public)
        public.force_exit = True
        await public_task
        _close(admin)
        admin.force_exit = True
        await admin_task


def _close(listener: uvicorn.Server) -> None:
    listener.should_exit = True


def _on_signals(begin: Callable[[], None]) -> asyncio.Event:
    """The first signal begins the end; a second one is somebody who won't wait."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGINT)
        begin()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
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
