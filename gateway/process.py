"""The running process: two listeners, what is watched beside them, and how it begins and ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry

from gateway.app import Gateway, assemble, open_doors, open_operator
from gateway.audit_log import AuditUnfit
from gateway.config_file import ConfigError, Problem
from gateway.listening import allow_open_files, bind, forbid_core_dumps, make_server, url
from gateway.news import VaultNews
from gateway.observe.libraries import take_over, unheard, watch_tasks
from gateway.observe.logs import Logs
from gateway.secrets import opening
from gateway.secrets.opening import Opened
from gateway.settings import Settings
from gateway.state import StateUnfit
from gateway.waiting import not_ready, try_to_open, until_open

# Of libuv, in which names are looked up, in half of them at most: of its own four, two names whose servers don't answer
# would keep all others waiting.
LOOKUP_THREADS: Final = 64
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
LAST_WORDS_SECONDS: Final = 2.0  # for the in-band errors of streams that the drain deadline ended


def run(settings: Settings, announce: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C. `announce` gets one line when both listeners are open, `warn` a line for each
    model that is not what its release says; what anybody prints meanwhile is not heard, so that they need streams of
    their own. Raises ConfigError."""
    forbid_core_dumps()
    allow_open_files()
    with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, announce, warn))


async def _serve(settings: Settings, announce: Callable[[str], None], warn: Callable[[str], None]) -> None:
    # Nothing is there yet that could be read again, and Vault may take long.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    _give_up_on_signals()
    opened = await _open(settings, warn)
    if opened is None:
        return
    _give_up_on_signals()  # waiting for Vault has had handlers of its own
    async with assemble(opened.settings, CollectorRegistry(), warn, opened.vault) as gateway:
        take_over(gateway.logs)
        watch_tasks(asyncio.get_running_loop(), gateway.logs)
        sockets = bind(settings.public), bind(settings.management)
        listeners = settings.public, settings.management
        addresses = [url(bound, tls=each.tls is not None) for bound, each in zip(sockets, listeners, strict=True)]
        # What is loaded stays: full collections need not walk the detectors' hundred thousands of objects.
        gc.collect()
        gc.freeze()
        with unheard(gateway.logs):
            async with _listening(gateway, *sockets), watching(gateway):
                stop = _end_on_signals()
                gateway.lifecycle.ready = True
                gateway.metrics.ready(True)
                gateway.logs.process("ready")
                announce(f"tightlip: public {addresses[0]}  management {addresses[1]}")
                await stop.wait()
                await drain(gateway, settings.unready_seconds, settings.drain_seconds)
        gateway.logs.process("stopped")


async def _open(settings: Settings, warn: Callable[[str], None]) -> Opened | None:
    """The settings with secrets that can be read, however long Vault takes; None if the process is to end before.
    Raises ConfigError for what waiting won't mend."""
    opened = opening.prepare(settings)
    if opened.vault is None or await try_to_open(opened.vault) is None:
        return opened
    registry = CollectorRegistry()
    keyless = settings.log.model_copy(update={"key_file": None})  # nobody's mark is made before there is a key
    operator = open_operator(settings.model_copy(update={"log": keyless}), registry, warn)
    take_over(operator.logs)
    operator.metrics.ready(False)
    doors, news = open_doors(settings, operator), VaultNews(operator)
    async with not_ready(settings.management, doors.management, registry):
        is_open = await until_open(opened.vault, news.waiting)
    operator.logs.close()
    return opened if is_open else None


@asynccontextmanager
async def watching(gateway: Gateway) -> AsyncIterator[None]:
    """Each model's release is checked, and each issuer's keys are fetched, before the block begins, and again and
    again inside it; so are the policy, the revocations, Vault, the deny lists and certificates."""
    await _begin(gateway)
    await asyncio.gather(gateway.policies.begin(), *(guard.look() for guard in gateway.guards))
    watches = [asyncio.ensure_future(watch()) for watch in gateway.watches]
    for watch in watches:
        watch.add_done_callback(lambda done: _told(done, gateway.logs))
    try:
        yield
    finally:
        for watch in watches:
            watch.cancel()
        await gateway.policies.aclose()


async def _begin(gateway: Gateway) -> None:
    """Raises ConfigError for a store, or a place of the audit log, that must not be used; a store that does not answer
    yet is waited for, not ready."""
    try:
        await gateway.revocations.begin()
        if gateway.audit is not None:
            await gateway.audit.begin()
    except StateUnfit as error:
        raise ConfigError(Problem("state", None, "", str(error))) from None
    except AuditUnfit as error:
        raise ConfigError(Problem("audit", None, "", str(error))) from None


def _told(watch: asyncio.Future[None], logs: Logs) -> None:
    """A watch never ends by itself: one that did is a mistake of ours, and what it watched is watched no more."""
    if not watch.cancelled() and (error := watch.exception()) is not None:
        logs.uncaught(type(error), "watch")


@asynccontextmanager
async def _listening(
    gateway: Gateway, public_socket: socket.socket, management_socket: socket.socket
) -> AsyncIterator[None]:
    """Both listeners are open inside. The public one closes first, so that probes see the process not ready to its
    end. SIGHUP reads the policy again."""
    public = make_server(gateway.public, gateway.connections, gateway.doors.public)
    admin = make_server(gateway.management, door=gateway.doors.management)
    async with asyncio.TaskGroup() as tasks:
        admin_task = tasks.create_task(admin.serve([management_socket]))
        public_task = tasks.create_task(public.serve([public_socket]))
        while not (public.started and admin.started):  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.policies.ask)
        yield
        _close(public)
        public.force_exit = True
        await public_task
        _close(admin)
        admin.force_exit = True
        await admin_task


def _close(listener: uvicorn.Server) -> None:
    listener.should_exit = True


def _give_up_on_signals() -> None:
    """Until callers are served there is nothing to wait for: the first signal ends the start. Without a handler the
    first process of a container would hear none."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in _ENDING:
        loop.add_signal_handler(number, task.cancel)


def _end_on_signals() -> asyncio.Event:
    """Set by the first signal, which begins the end; a second one is somebody who won't wait."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGINT)
        stop.set()

    for number in _ENDING:
        loop.add_signal_handler(number, asked)
    return stop


async def drain(gateway: Gateway, unready: float, deadline: float) -> None:
    """As gateway/http/lifecycle.py says; both are seconds."""
    gateway.lifecycle.leave()
    gateway.metrics.ready(False)
    gateway.logs.process("draining")
    await asyncio.sleep(unready)
    gateway.lifecycle.drain()
    if not await gateway.lifecycle.drained(deadline):
        gateway.logs.process("deadline")
        await gateway.lifecycle.expire(LAST_WORDS_SECONDS)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    os.environ.setdefault("UV_THREADPOOL_SIZE", str(LOOKUP_THREADS))  # read with the first look-up
    return uvloop.new_event_loop
