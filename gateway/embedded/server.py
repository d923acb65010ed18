"""The embedded upstream's HTTP surface: chat and legacy completions, models, health, version.

Start it in a process of its own with `python -m gateway.embedded`, in this thread with `serve`, in another one with `running`,
or mount what `create_app` returns.
"""

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.embedded import requests
from gateway.embedded.engine import Engine
from gateway.embedded.errors import ApiError, ModelError
from gateway.embedded.frames import WIRE_VERSION, ChatFrames, Head, Json, LegacyFrames, model_card
from gateway.embedded.llama import load_llama
from gateway.embedded.tokenizer import TextTokenizer

T = TypeVar("T")
CLIENT_CLOSED = 499  # nobody reads it
START_SECONDS = 30.0  # loading a model of ten million parameters takes well under one


@dataclass(frozen=True)
class ModelSource:
    """Where a served model comes from.

    Attributes:
        folder: a Llama folder in the Hugging Face layout.
        adapter: a PEFT LoRA folder merged over it; its tokenizer stays the folder's.
        max_model_len: context length in tokens; by default the configuration's.
    """

    folder: Path
    adapter: Path | None = None
    max_model_len: int | None = None


@dataclass(frozen=True)
class Served:
    """A model under its name."""

    name: str
    source: ModelSource
    parent: str | None
    engine: Engine
    fingerprint: str


def create_app(models: Mapping[str, ModelSource]) -> Starlette:
    """An ASGI application that serves the models, which are loaded before it returns.

    Raises:
        ModelError: there is none, or one cannot be read.
    """
    if not models:
        raise ModelError("no model to serve")
    served = {name: _load(name, source, models) for name, source in models.items()}
    return Starlette(
        routes=[
            Route("/v1/chat/completions", partial(_chat, served), methods=["POST"]),
            Route("/v1/completions", partial(_legacy, served), methods=["POST"]),
            Route("/v1/models", partial(_list_models, served)),
            Route("/health", _health),
            Route("/version", _version),
        ],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error},
        lifespan=partial(_closing, served),
    )


def serve(
    models: Mapping[str, ModelSource], host: str = "127.0.0.1", port: int = 8000, log_level: str = "warning"
) -> None:
    """Serve in this thread until SIGINT or SIGTERM.

    Raises:
        ModelError: there is no model, or one cannot be read.
    """
    uvicorn.Server(_settings(models, host, port, log_level)).run()


@contextmanager
def running(models: Mapping[str, ModelSource], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread of this process; the base URL is ready when the block begins, the server gone when it ends.

    Args:
        port: 0 takes a free one.

    Raises:
        ModelError: there is no model, or one cannot be read.
        TimeoutError: the server did not start.
    """
    server = uvicorn.Server(_settings(models, host, port, "warning"))
    with socket.create_server((host, port)) as listener:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="embedded-upstream", daemon=True
        )
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _settings(models: Mapping[str, ModelSource], host: str, port: int, log_level: str) -> uvicorn.Config:
    return uvicorn.Config(create_app(models), host=host, port=port, log_level=log_level, access_log=False)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise TimeoutError("the embedded upstream did not start")
        time.sleep(0.01)


def _load(name: str, source: ModelSource, models: Mapping[str, ModelSource]) -> Served:
    model = load_llama(source.folder, source.adapter)
    length = source.max_model_len or model.config.positions
    if length > model.config.positions:
        raise ModelError(
            f"max_model_len {length} is more than the {model.config.positions} positions of {source.folder}"
        )
    parent = next((n for n, s in models.items() if source.adapter and s == ModelSource(source.folder)), None)
    stamp = hashlib.sha256(repr((str(source.folder), str(source.adapter), length)).encode()).hexdigest()[:8]
    return Served(
        name, source, parent, Engine(model, TextTokenizer(source.folder), length), f"vllm-{WIRE_VERSION}-{stamp}"
    )


@asynccontextmanager
async def _closing(served: Mapping[str, Served], app: Starlette) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for model in served.values():
            model.engine.close()


async def _chat(served: Mapping[str, Served], request: Request) -> Response:
    body = requests.read_chat(await request.body())
    model = _find(served, body.model)
    engine = model.engine
    prompt = requests.encode_chat(body, engine)
    params = requests.chat_sampling(body, prompt, engine)
    head = Head.new("chatcmpl", model.name, model.fingerprint)
    text = prompt.text if body.return_prompt_text else None
    echo = _echo(body, engine)

    async def frames() -> AsyncIterator[Json]:
        run = await engine.generate([prompt.ids], params)
        answer = ChatFrames(body, head, run.prompts[0], engine.tokenizer, echo)
        for frame in answer.opening(text):
            yield frame
        async for output in run.outputs:
            yield answer.frame(output)
        for frame in answer.closing():
            yield frame

    async def whole() -> Json:
        run = await engine.generate([prompt.ids], params)
        answer = ChatFrames(body, head, run.prompts[0], engine.tokenizer, echo)
        return answer.answer([output async for output in run.outputs], text)

    return _stream(frames()) if body.stream else await _unless_gone(request, whole())


async def _legacy(served: Mapping[str, Served], request: Request) -> Response:
    body = requests.read_legacy(await request.body())
    model = _find(served, body.model)
    engine = model.engine
    prompts = requests.encode_legacy(body, engine)
    params = requests.legacy_sampling(body, prompts, engine)
    head = Head.new("cmpl", model.name, model.fingerprint)
    ids = [prompt.ids for prompt in prompts]

    async def frames() -> AsyncIterator[Json]:
        run = await engine.generate(ids, params)
        answer = LegacyFrames(body, head, run.prompts, prompts, engine.tokenizer)
        async for output in run.outputs:
            yield answer.frame(output)
        for frame in answer.closing():
            yield frame

    async def whole() -> Json:
        run = await engine.generate(ids, params)
        answer = LegacyFrames(body, head, run.prompts, prompts, engine.tokenizer)
        return answer.answer([output async for output in run.outputs])

    return _stream(frames()) if body.stream else await _unless_gone(request, whole())


async def _list_models(served: Mapping[str, Served], request: Request) -> Response:
    now = int(time.time())
    cards = [
        model_card(m.name, str(m.source.adapter or m.source.folder), m.parent, m.engine.max_model_len, now)
        for m in served.values()
    ]
    return JSONResponse({"object": "list", "data": cards})


async def _health(request: Request) -> Response:
    return Response()


async def _version(request: Request) -> Response:
    return JSONResponse({"version": WIRE_VERSION})


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _find(served: Mapping[str, Served], name: str | None) -> Served:
    """The named model; without a name the first."""
    if not name:
        return next(iter(served.values()))
    if name not in served:
        aliases = ", ".join(model.name for model in served.values() if model.source.adapter is None)
        raise ApiError(
            f"The model `{name}` does not exist. Valid aliases: {aliases}.",
            status=HTTPStatus.NOT_FOUND,
            kind="NotFoundError",
            param="model",
        )
    return served[name]


def _echo(body: requests.ChatRequest, engine: Engine) -> str:
    if not body.echo or engine.tokenizer.template is None:
        return ""
    return engine.tokenizer.template.last_text(body.conversation, body.role)


def _stream(frames: AsyncIterator[Json]) -> Response:
    return StreamingResponse(_events(frames), media_type="text/event-stream")


async def _events(frames: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    encode = msgspec.json.encode
    async for frame in frames:
        yield b"data: " + encode(frame) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, Json]) -> Response:
    """The answer, or nothing from the moment that nobody waits for it."""
    working, leaving = asyncio.create_task(answer), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        return JSONResponse(working.result()) if working.done() else Response(status_code=CLIENT_CLOSED)
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
