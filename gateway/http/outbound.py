"""The answer as the caller sees it: one look for every verdict, streamed or not.

Frames, ids, names and finish reasons are the gateway's own. Text enters here as `Released` and as nothing else. The
response's head is sent with the first event, so that whatever fails before has a status of its own; what fails after
is an error frame and a closed stream. What leaves is `Wire`, which the request's envelope makes of it (envelope.py).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from filters.channels import ANSWERS
from filters.events import Channel, Ending, Field, Finished, Released, ReleasedToken
from gateway.auth.tokens import LEEWAY
from gateway.errors import GatewayError, Reason, TokenExpired
from gateway.http.accounting import server_send
from gateway.http.envelope import COMMENT, SSE, Envelope, Wire, envelope_of, fitting, piece
from gateway.http.headers import NOTHING_TOLD, Headers, answer_headers, error_event
from gateway.http.token_entries import Tokens, entries
from gateway.observe.logs import RequestRecord
from gateway.relay import Counts, Relay
from gateway.types import Endpoint, Plan, Tells

FINGERPRINT = "fp_tightlip"
_DONE = b"[DONE]"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Look:
    """What stands in every frame of one answer."""

    id: str
    created: int
    model: str
    chat: bool

    @classmethod
    def of(cls, plan: Plan, now: float) -> Look:
        """A new answer's look; the id is random and says nothing."""
        chat = plan.grant.endpoint is Endpoint.CHAT
        return cls(f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(16)}", int(now), plan.grant.model, chat)

    def frame(self, *, streamed: bool) -> dict[str, Any]:
        """The part that all frames share, in the order in which it is written."""
        kind = ("chat.completion.chunk" if streamed else "chat.completion") if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def usage(counts: Counts) -> dict[str, int]:
    """OpenAI's usage object."""
    total = counts.prompt + counts.released
    return {"prompt_tokens": counts.prompt, "completion_tokens": counts.released, "total_tokens": total}


class FrameWriter:
    """Writes the frames of one stream: the data of its events."""

    def __init__(self, look: Look, tells: Tells) -> None:
        self._look, self._tells = look, tells
        head = _encode(look.frame(streamed=True))[:-1]
        self._head = head + b',"system_fingerprint":"%s","choices":[{"index":' % FINGERPRINT.encode()
        self._calls: set[tuple[int, int]] = set()
        self._spoken: set[int] = set()

    def write(self, events: Sequence[Released | Finished]) -> list[bytes]:
        """The frames of these events; a choice's first one is preceded by its role."""
        return [frame for event in events for frame in self._frames(event)]

    def end(self, counts: Counts | None) -> list[bytes]:
        """The usage, where it was asked for, and the end mark."""
        if counts is None:
            return [_DONE]
        body = self._look.frame(streamed=True) | {"system_fingerprint": FINGERPRINT, "choices": []}
        return [_encode(body | {"usage": usage(counts)}), _DONE]

    def _frames(self, event: Released | Finished) -> list[bytes]:
        index = _choice(event)
        frames = []
        if self._look.chat and index not in self._spoken:
            self._spoken.add(index)
            frames.append(self._frame(index, {"role": "assistant", "content": ""}))
        if isinstance(event, Finished):
            frames.append(self._finish(index, event.ending))
        elif event.channel.field is Field.CONTENT:
            frames.append(self._content(index, event))
        elif event.channel.field is Field.TEXT:
            frames.append(self._legacy(index, event.text, None, event.tokens))
        else:
            frames.append(self._frame(index, self._delta(event.channel, event.text)))
        return frames

    def _content(self, index: int, event: Released) -> bytes:
        """The frame that nearly all are; the same bytes as `_frame` would give."""
        if self._tells.anything:
            return self._frame(index, {"content": event.text}, tokens=event.tokens)
        return b'%s%d,"delta":{"content":%s},"logprobs":null,"finish_reason":null}]}' % (
            self._head,
            index,
            _encode(event.text),
        )

    def _frame(self, index: int, delta: dict[str, Any], ending: Ending | None = None, tokens: Tokens = ()) -> bytes:
        told = entries(tokens, self._tells, chat=True) if tokens else {}
        return self._written(index, {"delta": delta, "logprobs": None, "finish_reason": ending} | told)

    def _legacy(self, index: int, text: str, ending: Ending | None, tokens: Tokens = ()) -> bytes:
        told = entries(tokens, self._tells, chat=False) if tokens else {}
        return self._written(index, {"text": text, "logprobs": None, "finish_reason": ending} | told)

    def _written(self, index: int, choice: dict[str, Any]) -> bytes:
        return b"%s%d,%s]}" % (self._head, index, _encode(choice)[1:])

    def _finish(self, index: int, ending: Ending) -> bytes:
        return self._frame(index, {}, ending) if self._look.chat else self._legacy(index, "", ending)

    def _delta(self, channel: Channel, text: str) -> dict[str, Any]:
        if channel.field not in (Field.TOOL_NAME, Field.TOOL_ARGUMENTS):
            return {channel.field.value: text}
        function = {"name": text, "arguments": ""} if channel.field is Field.TOOL_NAME else {"arguments": text}
        call: dict[str, Any] = {"index": channel.call, "function": function}
        if (channel.choice, channel.call) not in self._calls:
            self._calls.add((channel.choice, channel.call))
            call = {"index": channel.call, "id": _call_id(), "type": "function", "function": function}
        return {"tool_calls": [call]}


@dataclass(slots=True)
class _Collected:
    """One choice of an answer that is not streamed."""

    texts: dict[Field, str] = field(default_factory=dict)
    calls: dict[int, dict[Field, str]] = field(default_factory=dict)
    tokens: list[ReleasedToken] = field(default_factory=list)
    ending: Ending = Ending.STOP

    def add(self, event: Released | Finished) -> None:
        if isinstance(event, Finished):
            self.ending = event.ending
            return
        where = event.channel
        in_call = where.field in (Field.TOOL_NAME, Field.TOOL_ARGUMENTS)
        texts = self.calls.setdefault(where.call, {}) if in_call else self.texts
        texts[where.field] = texts.get(where.field, "") + event.text
        if where.field in ANSWERS:
            self.tokens += event.tokens

    def choice(self, index: int, tells: Tells, *, chat: bool) -> dict[str, Any]:
        body: dict[str, Any] = {"index": index}
        body |= {"message": self._message()} if chat else {"text": self.texts.get(Field.TEXT, "")}
        return body | {"logprobs": None, "finish_reason": self.ending} | entries(self.tokens, tells, chat=chat)

    def _message(self) -> dict[str, Any]:
        content = self.texts.get(Field.CONTENT, None if self.calls else "")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": self.texts.get(Field.REFUSAL)}
        if Field.REASONING in self.texts:
            message["reasoning"] = self.texts[Field.REASONING]
        if self.calls:
            message["tool_calls"] = [_call(texts) for _, texts in sorted(self.calls.items())]
        return message


def _call(texts: dict[Field, str]) -> dict[str, Any]:
    function = {"name": texts.get(Field.TOOL_NAME, ""), "arguments": texts.get(Field.TOOL_ARGUMENTS, "")}
    return {"id": _call_id(), "type": "function", "function": function}


def _call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class Answer:
    """An ASGI response that runs the relay: streamed or collected, as the plan says."""

    def __init__(
        self,
        relay: Relay,
        plan: Plan,
        record: RequestRecord,
        keep_alive: float = 15.0,
        limits: Mapping[str, str] = NOTHING_TOLD,
    ) -> None:
        """`keep_alive`: seconds between comments in a stream, whatever is held. `limits`: headers of its caller's
        limits, which are those of the moment in which the request was let in, whatever becomes of it."""
        self._relay, self._plan, self._record = relay, plan, record
        self._keep_alive, self._limits = keep_alive, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response(scope, send)
        work = asyncio.ensure_future(self._work(response))
        gone = asyncio.ensure_future(_gone(receive))
        expiry = asyncio.get_running_loop().call_later(self._life(), work.cancel, _EXPIRED)
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            self._record.cancelled = not work.done()
        finally:
            expiry.cancel()
            gone.cancel()
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error

    def _response(self, scope: Scope, send: Send) -> _Streamed | _Whole:
        envelope = fitting(envelope_of(scope), self._plan.grant)
        if self._plan.stream:
            return _Streamed(self._plan, self._record, send, server_send(scope), self._limits, envelope)
        return _Whole(self._plan, self._record, send, self._limits, envelope)

    def _life(self) -> float:
        """Seconds until the token expires; an answer that begins after that has what clocks may differ by."""
        left = self._plan.grant.principal.expires_at - time.time()
        return left if left > 0 else max(0.0, left + LEEWAY)

    async def _work(self, response: _Streamed | _Whole) -> None:
        ticking = asyncio.ensure_future(response.tick(self._keep_alive))
        try:
            await response.done(await self._relay.run(self._plan, self._record, response))
        except asyncio.CancelledError as cancelled:
            if _EXPIRED not in cancelled.args:
                raise
            await response.fail(TokenExpired(Reason.EXPIRED))
        except GatewayError as error:
            await response.fail(error)
        except Exception as error:  # noqa: BLE001 - the caller must get an end; the type is on record
            await response.fail(GatewayError(type(error).__name__))
        finally:
            ticking.cancel()


_EXPIRED = "token expired"


async def _gone(receive: Receive) -> None:
    """Returns when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Streamed:
    """Sends events as they come."""

    def __init__(
        self,
        plan: Plan,
        record: RequestRecord,
        send: Send,
        send_body: Send,
        limits: Mapping[str, str],
        envelope: Envelope,
    ) -> None:
        """`send` takes the head and the end, `send_body` what stands between them."""
        self._writer = FrameWriter(Look.of(plan, time.time()), plan.tells)
        self._include_usage = plan.include_usage
        self._record, self._send, self._send_body, self._limits = record, send, send_body, limits
        self._envelope = envelope
        self._started = self._ended = False

    async def emit(self, events: Sequence[Released | Finished]) -> None:
        frames = self._writer.write(events)
        if not self._started:
            await self._start()
        await self._send_body(piece(self._envelope.events(frames), more=True))

    async def done(self, counts: Counts) -> None:
        await self._start()
        frames = self._writer.end(counts if self._include_usage else None)
        await self._close(self._envelope.events(frames, last=True))

    async def fail(self, error: GatewayError) -> None:
        """A status before the first byte; an error frame and a closed stream after."""
        self._record.failed(error)
        if self._started:
            await self._close(error_event(error, self._envelope))
        else:
            self._started = self._ended = True
            await _send_error(self._send, self._record, error, self._limits, self._envelope)

    async def tick(self, seconds: float) -> None:
        """A comment on a fixed clock, so that nobody can tell by silence whether text is held."""
        while True:
            await asyncio.sleep(seconds)
            await self._start()
            if self._ended:
                return
            await self._send_body(piece(COMMENT, more=True))

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            headers = answer_headers(self._record.request_id, SSE, limits=self._limits)
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _close(self, data: Wire) -> None:
        self._ended = True
        await self._send(piece(data, more=False))


class _Whole:
    """Collects the same events and sends them as one body."""

    def __init__(
        self, plan: Plan, record: RequestRecord, send: Send, limits: Mapping[str, str], envelope: Envelope
    ) -> None:
        self._look, self._tells = Look.of(plan, time.time()), plan.tells
        self._record, self._send, self._limits, self._envelope = record, send, limits, envelope
        self._choices = [_Collected() for _ in range(plan.n)]

    async def emit(self, events: Sequence[Released | Finished]) -> None:
        for event in events:
            self._choices[_choice(event)].add(event)

    async def done(self, counts: Counts) -> None:
        chat = self._look.chat
        choices = [choice.choice(index, self._tells, chat=chat) for index, choice in enumerate(self._choices)]
        body = self._look.frame(streamed=False) | {"choices": choices, "usage": usage(counts)}
        body |= {"system_fingerprint": FINGERPRINT}
        headers = answer_headers(self._record.request_id, self._envelope.whole_type, limits=self._limits)
        await _send_whole(self._send, 200, headers, self._envelope.whole(_encode(body), 200))

    async def fail(self, error: GatewayError) -> None:
        self._record.failed(error)
        await _send_error(self._send, self._record, error, self._limits, self._envelope)

    async def tick(self, seconds: float) -> None:
        """Nothing can be said before the whole answer is known."""


def _choice(event: Released | Finished) -> int:
    return event.choice if isinstance(event, Finished) else event.channel.choice


async def _send_error(
    send: Send, record: RequestRecord, error: GatewayError, limits: Mapping[str, str], envelope: Envelope
) -> None:
    headers = answer_headers(record.request_id, envelope.whole_type, error=error, limits=limits)
    await _send_whole(send, error.status, headers, envelope.whole(_encode(error.body()), error.status))


async def _send_whole(send: Send, status: int, headers: Headers, body: Wire) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send(piece(body, more=False))
