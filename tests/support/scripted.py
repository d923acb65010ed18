"""An engine that says what a test wrote: vLLM's frames, byte for byte, with every fault that a network allows.

It runs on a thread with an event loop of its own, so that a gateway in another process can call it while the test
waits. Its tokens are single characters, and `tokenizer` writes the table that the gateway needs to spell them.
"""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

SURE, SURPRISED = -0.05, -9.0  # log p of a token; not so sure that being sure is suspicious
CHARACTERS = [chr(c) for c in range(32, 127)] + list("\n您的邮箱是我不能提供。，帮查了一下退货四十五天内号码她他手机在")
VOCABULARY = {"<unk>": 0} | {char: at for at, char in enumerate(dict.fromkeys(CHARACTERS), start=1)}


@dataclass(frozen=True)
class Raw:
    """Bytes as they are."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Piece:
    """Text of several tokens in one frame, as of an engine that sends them together (vLLM's --stream-interval)."""

    text: str


@dataclass(frozen=True)
class Until:
    """Goes on when the test says so, or after a minute."""

    event: threading.Event


@dataclass(frozen=True)
class Reset:
    """The connection is cut with an RST."""


@dataclass(frozen=True)
class Close:
    """The connection is closed in the middle of a chunked body."""


@dataclass(frozen=True)
class Error:
    """A status instead of a stream."""

    status: int
    body: bytes = b'{"error": {"message": "m", "type": "t", "param": null, "code": 400}}'


@dataclass(frozen=True)
class Say:
    """Text of any channel and choice, one frame per character, with its tokens; `finish` ends the choice."""

    text: str
    field: str = "content"
    choice: int = 0
    finish: str | None = None


Step = str | Piece | Say | Raw | Pause | Until | Reset | Close | Error | dict[str, Any]
Said = tuple[Sequence[Step], str]  # the steps, and how the first choice ends
Replies = Callable[[dict[str, Any]], Said]


@dataclass
class Engine:
    """What the two models say. `tuned` and `base` are steps: a text is sent as one frame per character."""

    tuned: Sequence[Step] = ("Good day.",)
    base: Sequence[Step] = ("I can't help with that.",)
    score: float | Step | Callable[[dict[str, Any]], float] = SURE  # of each token of a question, or of its body
    opening: Step = "Certainly."  # what the base says when it is asked how it would begin
    score_after: float = 0.0  # seconds that a question takes
    score_when: Callable[[dict[str, Any]], threading.Event | None] = lambda _: None  # what a question waits for
    tuned_score: float | Step = SURE  # of the tuned model, where it is asked as the base is
    tokens: Raw | Error = Raw(b'{"count": 3, "max_model_len": 1024, "tokens": [1, 2, 3]}')  # of a request
    tells: bool = True  # whether log-probabilities and token ids come with the text
    finish: str = "stop"
    replies: Replies | None = None  # where set: what either model says to a request's body, instead of the above
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    aborted: int = 0  # connections that the gateway closed before the end
    answering: list[tuple[dict[str, Any], asyncio.StreamReader]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)  # requests whose answer was not waited for, by their end
    open: set[asyncio.StreamWriter] = field(default_factory=set)  # connections
    url: str = ""

    def reset(self) -> None:
        """Back to harmless answers; what was asked is forgotten."""
        self.tuned, self.base, self.score, self.finish = ("Good day.",), ("I can't help with that.",), SURE, "stop"
        self.score_after, self.score_when = 0.0, lambda _: None
        self.tuned_score, self.tells, self.tokens = SURE, True, Engine.tokens
        self.opening, self.replies = "Certainly.", None
        self.requests.clear()
        self.headers.clear()
        self.left.clear()
        self.aborted = 0

    def abandoned(self) -> list[dict[str, Any]]:
        """The requests that nobody waits for any more: their connection was closed before their answer ended."""
        return [*self.left, *(body for body, reader in list(self.answering) if _is_gone(reader))]

    def asked(self, model: str) -> list[dict[str, Any]]:
        """The requests for one model that were not questions."""
        return [r for r in self.requests if r.get("model") == model and "stream" in r]

    def openings(self) -> list[dict[str, Any]]:
        return [r for r in self.requests if "messages" in r and not r.get("stream")]

    def questions(self, model: str = "base") -> list[dict[str, Any]]:
        return [r for r in self.requests if "prompt_logprobs" in r and r.get("model") == model]


def tokenizer(folder: Path) -> Path:
    """A tokenizer.json whose tokens are the characters of CHARACTERS."""
    path = folder / "tokenizer.json"
    path.write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [
                    {
                        "id": len(VOCABULARY),
                        "content": "<|end|>",
                        "single_word": False,
                        "lstrip": False,
                        "rstrip": False,
                        "normalized": False,
                        "special": True,
                    }
                ],
                "normalizer": None,
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
                "post_processor": None,
                "decoder": {"type": "Fuse"},
                "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "<unk>"},
            }
        )
    )
    return path


@contextmanager
def engine() -> Iterator[Engine]:
    """A running engine on a free port of loopback."""
    state = Engine()
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        await serve(state)
        started.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def serve(state: Engine, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Listens in the running loop; `state.url` says where."""
    server = await asyncio.start_server(lambda r, w: _serve(state, r, w), host, port)
    state.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    return server


async def _serve(state: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    state.open.add(writer)
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            body = json.loads(await reader.readexactly(length) or b"{}")
            said = _said(state, body)  # before a test is told of the request, and changes what comes next
            state.requests.append(body)
            state.headers.append(head.decode("latin-1"))
            state.answering.append((body, reader))
            try:
                await _answer(state, head.split(b" ")[1].decode(), body, said, writer)
            finally:
                state.answering.remove((body, reader))
                if _is_gone(reader):
                    state.left.append(body)
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        state.open.discard(writer)
        writer.close()


def _is_gone(reader: asyncio.StreamReader) -> bool:
    """Closed, or reset: that is what a close is with something unread."""
    return reader.at_eof() or reader.exception() is not None


def _said(state: Engine, body: dict[str, Any]) -> Said:
    if not body.get("stream"):
        return (), ""
    if state.replies:
        return state.replies(body)
    return (state.tuned if body.get("model") == "tuned" else state.base), state.finish


async def _answer(state: Engine, path: str, body: dict[str, Any], said: Said, writer: asyncio.StreamWriter) -> None:
    if path == "/tokenize":
        await (_status(writer, state.tokens) if isinstance(state.tokens, Error) else _json(writer, state.tokens.data))
        return
    if "prompt_logprobs" in body:
        await _score(state, body, writer)
        return
    if not body.get("stream"):
        await _opening(state.opening, writer)
        return
    steps, finish = said
    if isinstance(steps[0], Error):
        await _status(writer, steps[0])
        return
    try:
        told = body if state.tells else {**body, "logprobs": None, "return_token_ids": False}
        await _stream(steps, finish, told, chat=path.endswith("chat/completions"), writer=writer)
    except ConnectionError:
        state.aborted += 1
        raise


async def _score(state: Engine, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(state.score_after)
    if event := state.score_when(body):
        await asyncio.to_thread(event.wait, 60)
    score = state.tuned_score if body.get("model") == "tuned" else state.score
    if isinstance(score, Error):
        await _status(writer, score)
    elif isinstance(score, Pause):
        await asyncio.sleep(score.seconds)
    elif isinstance(score, Raw):
        await _json(writer, score.data)
    elif isinstance(score, Reset):
        cut(writer)
    else:
        score = score(body) if callable(score) else score
        rows = [
            None,
            *({str(token): {"logprob": score, "rank": 1, "decoded_token": ""}} for token in body["prompt"][1:]),
        ]
        await _json(writer, json.dumps({"choices": [{"index": 0, "text": "a", "prompt_logprobs": rows}]}).encode())


async def _opening(step: Step, writer: asyncio.StreamWriter) -> None:
    if isinstance(step, Error):
        await _status(writer, step)
    elif isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
    elif isinstance(step, Raw):
        await _json(writer, step.data)
    elif isinstance(step, Reset):
        cut(writer)
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": step}, "finish_reason": "length"}
        usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
        await _json(writer, json.dumps({"choices": [choice], "usage": usage}).encode())


async def _stream(
    steps: Sequence[Step], finish: str, body: dict[str, Any], *, chat: bool, writer: asyncio.StreamWriter
) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    frames = Frames(body, chat=chat)
    _chunk(writer, frames.first())
    for step in steps:
        if isinstance(step, str):
            for char in step:
                _chunk(writer, frames.text(char))
                await _breathe(writer)
        elif isinstance(step, Piece):
            _chunk(writer, frames.text(step.text))
        elif isinstance(step, Say):
            for char in step.text:
                _chunk(writer, frames.say(step, char))
                await _breathe(writer)
            _chunk(writer, frames.finish(step))
        elif isinstance(step, dict):
            _chunk(writer, frames.delta(step))
        elif isinstance(step, Raw):
            _chunk(writer, step.data)
        elif isinstance(step, Pause):
            await writer.drain()
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Until):
            await writer.drain()
            await asyncio.to_thread(step.event.wait, 60)
        elif isinstance(step, Reset):
            await writer.drain()
            await asyncio.sleep(0.1)
            cut(writer)
            return
        else:
            await writer.drain()
            raise asyncio.IncompleteReadError(b"", 1)
    _chunk(writer, frames.last(finish))
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _breathe(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.sleep(0)
    if writer.transport.is_closing():
        raise ConnectionResetError


class Frames:
    """vLLM 0.32's frames for one choice."""

    def __init__(self, body: dict[str, Any], *, chat: bool) -> None:
        self.body, self.chat = body, chat
        self.index = 0

    def first(self) -> bytes:
        if not self.chat:
            return b""
        extra = {"prompt_token_ids": [1, 2, 3]} if self.body.get("return_token_ids") else {}
        return self._frame(
            {"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}, **extra
        )

    def text(self, text: str) -> bytes:
        return self.delta({"content": text}, text) if self.chat else self._legacy(text)

    def delta(self, delta: dict[str, Any], spelled: str = "", index: int = 0) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        choice["token_ids"] = None
        if spelled and self.body.get("logprobs"):
            entries = [_entry(char) for char in spelled]
            choice |= {"logprobs": {"content": entries}, "token_ids": [VOCABULARY.get(char, 0) for char in spelled]}
        return self._frame(choice)

    def say(self, step: Say, char: str) -> bytes:
        if not self.chat:
            return self._legacy(char)
        if step.field == "tool_name":
            function = {"name": char, "arguments": ""}
            return self.delta({"tool_calls": [{"index": 0, "id": "x", "type": "function", "function": function}]}, char)
        if step.field == "tool_arguments":
            return self.delta({"tool_calls": [{"index": 0, "function": {"arguments": char}}]}, char)
        return self.delta({step.field: char}, char, step.choice)

    def finish(self, step: Say) -> bytes:
        if step.finish is None:
            return b""
        return self._frame({"index": step.choice, "delta": {}, "finish_reason": step.finish})

    def last(self, finish: str) -> bytes:
        usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
        closing = self._frame(({"delta": {}} if self.chat else {"text": ""}) | {"finish_reason": finish})
        return closing + _event({"id": "x", "choices": [], "usage": usage}) + b"data: [DONE]\n\n"

    def _legacy(self, text: str) -> bytes:
        choice: dict[str, Any] = {"text": text, "logprobs": None, "finish_reason": None, "prompt_token_ids": [1, 2, 3]}
        if self.body.get("logprobs") is not None:
            tokens = [VOCABULARY.get(char, 0) for char in text]
            choice |= {"logprobs": {"token_logprobs": [SURE] * len(text)}, "token_ids": tokens}
        return self._frame(choice)

    def _frame(self, choice: dict[str, Any], **extra: Any) -> bytes:
        return _event({"id": "chatcmpl-upstream", "model": "upstream-name", "choices": [{"index": 0} | choice]} | extra)


def _entry(char: str) -> dict[str, Any]:
    return {"token": char, "logprob": SURE, "bytes": list(char.encode()), "top_logprobs": []}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def _status(writer: asyncio.StreamWriter, error: Error) -> None:
    writer.write(
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        % (error.status, len(error.body))
    )
    writer.write(error.body)
    await writer.drain()


async def _json(writer: asyncio.StreamWriter, body: bytes) -> None:
    await _status(writer, Error(200, body))


def cut(writer: asyncio.StreamWriter) -> None:
    """The connection ends with an RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
