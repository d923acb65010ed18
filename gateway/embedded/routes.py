"""The routes of the embedded upstream, each from request to response."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway.embedded.chat_frames import ChatFrames
from gateway.embedded.engine import Encoded, Engine, Prompt
from gateway.embedded.errors import ApiError
from gateway.embedded.legacy_frames import LegacyFrames
from gateway.embedded.model_cards import model_card
from gateway.embedded.models import Served
from gateway.embedded.parameters import chat_sampling, encode_chat, encode_legacy, legacy_sampling
from gateway.embedded.requests import ChatRequest, read_chat, read_legacy, read_tokenize
from gateway.embedded.sampling import SamplingParams
from gateway.embedded.shapes import WIRE_VERSION, Frames, Head, Json

CLIENT_CLOSED = 499  # nobody reads it


async def chat(served: Mapping[str, Served], request: Request) -> Response:
    """POST /v1/chat/completions."""
    body = read_chat(await request.body())
    model = _find(served, body.model)
    prompt = await asyncio.to_thread(encode_chat, body, model.engine)
    params = chat_sampling(body, prompt, model.engine)
    head = Head.new("chatcmpl", model.name, model.fingerprint)
    job = Job(model.engine, [prompt], params, partial(ChatFrames, body, head, model.engine.tokenizer))
    return await _answer(request, job, stream=bool(body.stream))


async def legacy(served: Mapping[str, Served], request: Request) -> Response:
    """POST /v1/completions."""
    body = read_legacy(await request.body())
    model = _find(served, body.model)
    prompts = await asyncio.to_thread(encode_legacy, body, model.engine)
    params = legacy_sampling(body, prompts, model.engine)
    head = Head.new("cmpl", model.name, model.fingerprint)
    job = Job(model.engine, prompts, params, partial(LegacyFrames, body, head, model.engine.tokenizer))
    return await _answer(request, job, stream=bool(body.stream))


async def tokenize(served: Mapping[str, Served], request: Request) -> Response:
    """POST /tokenize: the token ids of a chat's or a completion's prompt."""
    body = read_tokenize(await request.body())
    model = _find(served, body.model)
    if isinstance(body, ChatRequest):
        prompt = await asyncio.to_thread(encode_chat, body, model.engine)
    else:
        (prompt,) = await asyncio.to_thread(encode_legacy, body, model.engine)
    tokens = list(prompt.ids)
    counts = {"count": len(tokens), "max_model_len": model.engine.max_model_len}
    return JSONResponse({**counts, "tokens": tokens, "token_strs": None})


@dataclass(frozen=True)
class Job:
    """A request that was accepted: what to generate, and how to tell it."""

    engine: Engine
    prompts: Sequence[Encoded]
    params: SamplingParams
    frames: Callable[[Sequence[Prompt]], Frames]

    async def stream(self) -> AsyncGenerator[Json, None]:
        """The answer's frames."""
        run = await self.engine.generate(self.prompts, self.params)
        frames = self.frames(run.prompts)
        async with aclosing(run.outputs):
            for frame in frames.opening():
                yield frame
            async for output in run.outputs:
                yield frames.frame(output)
            for frame in frames.closing():
                yield frame

    async def whole(self) -> Json:
        """The answer in one piece."""
        run = await self.engine.generate(self.prompts, self.params)
        async with aclosing(run.outputs):
            outputs = [output async for output in run.outputs]
        return self.frames(run.prompts).whole(outputs)


async def list_models(served: Mapping[str, Served], request: Request) -> Response:
    """GET /v1/models."""
    now = int(time.time())
    return JSONResponse({"object": "list", "data": [_card(model, now) for model in served.values()]})


async def health(request: Request) -> Response:
    """GET /health: 200, without a body."""
    return Response()


async def version(request: Request) -> Response:
    """GET /version: the release whose wire shape is followed."""
    return JSONResponse({"version": WIRE_VERSION})


async def api_error(request: Request, error: Exception) -> Response:
    """A refused request."""
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status)


async def http_error(request: Request, error: Exception) -> Response:
    """An unknown path or method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _card(model: Served, now: int) -> Json:
    """An adapter's card names its own folder and its parent, and leaves the context length to the parent's."""
    source = model.source
    length = None if model.parent else model.engine.max_model_len
    return model_card(model.name, str(source.adapter or source.folder), model.parent, length, now)


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


async def _answer(request: Request, job: Job, *, stream: bool) -> Response:
    if stream:
        return StreamingResponse(_events(job.stream()), media_type="text/event-stream")
    return await _unless_gone(request, job.whole())


async def _events(frames: AsyncGenerator[Json, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(frames):
        async for frame in frames:
            yield b"data: " + msgspec.json.encode(frame) + b"\n\n"
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
