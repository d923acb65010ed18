"""The way in: the embedded upstream as an application, in this thread, in another thread, or as a process.

A process of its own is `python -m gateway.embedded`.
"""

import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from gateway.embedded import routes
from gateway.embedded.errors import ApiError
from gateway.embedded.models import ModelSource, Served, load_models
from gateway.embedded.threads import hold_blas_to_one_thread

__all__ = ["ModelSource", "create_app", "hosting", "running", "serve"]

START_SECONDS = 30.0  # the models are loaded before; what is left is to listen
DRAIN_SECONDS = 5  # that a stop waits for streams under way


def create_app(models: Mapping[str, ModelSource]) -> Starlette:
    """An ASGI application that serves the models by name; they are loaded before it returns.

    Numpy's matrix products are held to one thread from then on, in the whole process.

    Raises:
        ModelError: there is no model, or one cannot be read.
    """
    hold_blas_to_one_thread()
    served = load_models(models)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", partial(routes.chat, served), methods=["POST"]),
            Route("/v1/completions", partial(routes.legacy, served), methods=["POST"]),
            Route("/tokenize", partial(routes.tokenize, served), methods=["POST"]),
            Route("/v1/models", partial(routes.list_models, served)),
            Route("/health", routes.health),
            Route("/version", routes.version),
        ],
        exception_handlers={ApiError: routes.api_error, HTTPException: routes.http_error},
        lifespan=partial(_closing, served),
    )
    app.state.served = served
    return app


def serve(
    models: Mapping[str, ModelSource],
    host: str = "127.0.0.1",
    port: int = 8000,
    on_start: Callable[[str], None] = lambda base_url: None,
) -> None:
    """Serve in this thread until SIGINT or SIGTERM.

    Args:
        port: 0 takes a free one.
        on_start: called with the base URL as soon as requests are answered.

    Raises:
        ModelError: there is no model, or one cannot be read.
        OSError: the address cannot be listened on.
    """
    app = create_app(models)
    with socket.create_server((host, port)) as listener:
        _Server(app, listener, on_start).run(sockets=[listener])


@contextmanager
def running(models: Mapping[str, ModelSource], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread of this process; gives the base URL, and the server is gone when the block ends.

    Raises:
        ModelError, OSError: as `serve`.
        TimeoutError: the server did not start.
    """
    with hosting(create_app(models), host, port) as base_url:
        yield base_url


@contextmanager
def hosting(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """`running` for an application that was made before."""
    started: list[str] = []
    with socket.create_server((host, port)) as listener:
        server = _Server(app, listener, started.append)
        thread = threading.Thread(target=server.run, args=([listener],), name="embedded-upstream", daemon=True)
        thread.start()
        try:
            _wait_until(started, thread)
            yield started[0]
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    def __init__(self, app: Starlette, listener: socket.socket, on_start: Callable[[str], None]) -> None:
        host, port = listener.getsockname()[:2]
        self._base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._on_start = on_start
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=DRAIN_SECONDS, ws="none"
        )
        super().__init__(settings)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start(self._base_url)


def _wait_until(started: list[str], thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise TimeoutError("the embedded upstream did not start")
        time.sleep(0.01)


@asynccontextmanager
async def _closing(served: Mapping[str, Served], app: Starlette) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        for model in served.values():
            model.engine.close()
