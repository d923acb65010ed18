"""Who must encrypt, who must not, and that nothing plain leaves however an answer ends."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from filters.events import Channel, Ending, Field, Finished, Released
from gateway.auth.revocation import Kind, Revocation
from gateway.encryption.opening import Opener
from gateway.errors import (
    ContextTooLong,
    FilterFailed,
    GatewayError,
    PolicyChanged,
    ShuttingDown,
    UpstreamBroken,
    UpstreamUnavailable,
)
from gateway.http.accounting import record_of
from gateway.http.envelope import PLAIN, fitting
from gateway.http.inbound import END_USER
from gateway.http.outbound import Answer
from gateway.relay import Counts, Relay, Sink
from gateway.state import Counters, StateUnavailable
from gateway.state.memory import MemoryStore
from gateway.types import Endpoint, Plan
from tests.gateway.http.surface import CHAT, Public, authorization, public
from tests.gateway.http.test_end_users import ASSERTING, assertion
from tests.gateway.support import CANARY, ISSUER, POLICY, make_grant
from tests.support.clock import leap
from tests.support.encryption import clients, own, pinned, ring
from tightlip_client import AsyncEncryptedTransport
from tightlip_client.protocol import CutOff, Events, Exchange


def sealed(policy: str) -> str:
    """Its first role must encrypt."""
    return policy.replace("max_output_tokens: 100\n", "max_output_tokens: 100\n    encryption: required\n").replace(
        "    tenant: {fixed: acme}\n", "    client_keys: clients.yaml\n    tenant: {fixed: acme}\n", 1
    )


SEALED = sealed(POLICY)
ACCEPTED = SEALED.replace("encryption: required", "encryption: accepted")
JWE = r"[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+"
LINE = re.compile(rf"(?:data: {JWE}|: keep-alive|)", re.ASCII)
WHOLE = re.compile(JWE, re.ASCII)
LONGEST = 300.0  # seconds that an answer may take, on a clock that is put forward
TOLD = {"content-type", "content-length", "cache-control", "x-request-id", "date", "x-accel-buffering", "connection"}
TOLD |= {"transfer-encoding", "www-authenticate", "retry-after"}


@dataclass
class Sent:
    """An encrypted request, and what will open its answer."""

    exchange: Exchange
    message: str
    headers: dict[str, str]


def sent(path: str = Endpoint.CHAT, body: bytes | None = None, *, sealed_for: str | None = None, **claims: Any) -> Sent:
    """`sealed_for`: the path that it says it is for, if another."""
    exchange, headers = Exchange(pinned(), "gateway-1", [own()]), authorization(**claims)
    token = headers["authorization"].removeprefix("Bearer ")
    message = exchange.seal(question() if body is None else body, token=token, path=sealed_for or path)
    return Sent(exchange, message, headers | {"content-type": "application/jose"})


def question(**more: Any) -> bytes:
    import json

    return json.dumps(CHAT | {"messages": [{"role": "user", "content": CANARY}]} | more).encode()


Steps = Callable[[Sink], Awaitable[None]]


class Scripted:
    """In the relay's place: does what the test says."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    async def run(self, plan: Plan, record: object, sink: Sink) -> Counts:
        await self._steps(sink)
        return Counts(1, 1)


async def say(sink: Sink, text: str = CANARY) -> None:
    await sink.emit([Released(Channel(0, Field.CONTENT), text)])


async def tell_all(sink: Sink) -> None:
    for word in ("It ", "is ", CANARY):
        await say(sink, word)
    await sink.emit([Finished(0, Ending.STOP)])


@asynccontextmanager
async def running(
    folder: Path, steps: Steps = tell_all, policy: str = SEALED, counters: Counters | None = None, **more: Any
) -> AsyncIterator[Public]:
    async def run(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(cast(Relay, Scripted(steps)), plan, record_of(scope), keep_alive=0.2)
        await answer(scope, receive, send)

    opener = Opener(ring(folder), counters or MemoryStore())
    known = clients(ISSUER, "acme", alice=["client-1"])
    async with public(folder, run, policy=policy, opener=opener, clients=known, **more) as surface:
        yield surface


async def post(surface: Public, request: Sent, path: str = Endpoint.CHAT) -> httpx.Response:
    return await surface.client.post(path, content=request.message, headers=request.headers)


def opened(answer: httpx.Response, exchange: Exchange) -> list[str]:
    """What it says to its caller. Nothing of it may be plain."""
    assert CANARY not in answer.text + str(answer.headers)
    assert set(answer.headers) <= TOLD
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert all(LINE.fullmatch(line) for line in answer.text.split("\n"))
        events = Events(exchange)
        said = [event.decode() for event in events.feed(answer.content)]
        events.close()
        return said
    assert answer.headers["content-type"] == "application/jose"
    assert WHOLE.fullmatch(answer.text)
    said = [exchange.open(answer.text).decode()]
    exchange.close()
    assert exchange.status == answer.status_code
    return said


# ---- who must, and who must not --------------------------------------------------------------------------------------


async def test_a_plain_request_of_who_must_encrypt_is_refused_before_its_body_is_used(tmp_path: Path) -> None:
    async with running(tmp_path) as surface:
        headers = authorization() | {"content-type": "application/json"}
        answer = await surface.client.post(Endpoint.CHAT, content=b"{" + CANARY.encode() * 1000, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "encryption_required")
        listed = await surface.client.get(Endpoint.MODELS, headers=authorization())
        assert (listed.status_code, listed.json()["error"]["code"]) == (403, "encryption_required")
        assert surface.plans == []


async def test_an_encrypted_request_of_who_does_not_encrypt_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, policy=SEALED) as surface:
        answer = await post(surface, sent(role="support"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "encryption_not_accepted")
        told = await surface.client.get(Endpoint.KEYS, headers=authorization(role="support"))
        assert told.status_code == 404


async def test_who_may_encrypt_is_answered_as_he_asked(tmp_path: Path) -> None:
    async with running(tmp_path, policy=ACCEPTED) as surface:
        plain = await surface.client.post(Endpoint.CHAT, json=CHAT, headers=authorization())
        assert plain.json()["choices"][0]["message"]["content"] == f"It is {CANARY}"
        request = sent()
        (said,) = opened(await post(surface, request), request.exchange)
        assert CANARY in said


async def test_models_and_keys_are_sealed_too(tmp_path: Path) -> None:
    async with running(tmp_path) as surface:
        for path, word in ((Endpoint.MODELS, "assistant"), (Endpoint.KEYS, "gateway-1")):
            request = sent(path, b"")
            headers = request.headers | {"tightlip-request": request.message}
            answer = await surface.client.get(path, headers=headers)
            assert answer.status_code == 200
            assert word in opened(answer, request.exchange)[0]
            assert word not in answer.text
        twice = [*headers.items(), ("tightlip-request", request.message)]
        assert (await surface.client.get(Endpoint.KEYS, headers=twice)).status_code == 400


def test_no_answer_is_made_that_would_leave_in_the_plain() -> None:
    with pytest.raises(GatewayError):
        fitting(PLAIN, make_grant(encryption="required"))
    assert fitting(PLAIN, make_grant(encryption="accepted")) is PLAIN


# ---- what a request is good for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_of", "code", "reason"),
    [
        (lambda: _with_another_token(), "decryption_failed", "token"),
        (lambda: sent(sealed_for=Endpoint.COMPLETIONS), "decryption_failed", "path"),
        (lambda: sent(sub="bob"), "unknown_answer_key", "answer_key"),
        (lambda: Sent(Exchange(pinned(), "", [own()]), CANARY, sent().headers), "decryption_failed", "malformed"),
    ],
)
async def test_what_was_made_for_somebody_or_something_else_is_refused(
    tmp_path: Path, request_of: Callable[[], Sent], code: str, reason: str
) -> None:
    async with running(tmp_path) as surface:
        answer = await post(surface, request_of())
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        assert CANARY not in answer.text
        assert surface.plans == []
        assert surface.count("tightlip_requests_not_decrypted_total", reason=reason) == 1


@pytest.mark.parametrize(
    ("on_the_way", "status", "faults"),
    [
        (lambda said: [said], 200, 0),
        (lambda said: [], 400, 1),
        (lambda said: [assertion(sub="another")], 400, 1),
        (lambda said: [said, said], 401, 0),
    ],
)
async def test_nobody_on_the_way_says_who_sits_before_the_application(
    tmp_path: Path, on_the_way: Callable[[str], list[str]], status: int, faults: int
) -> None:
    """The helper binds the assertion that goes with a request, as it binds the token."""

    class Way(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            lines = [(name, value) for name, value in request.headers.raw if name.lower() != END_USER.encode()]
            said = request.headers[END_USER]
            lines += [(END_USER.encode(), each.encode()) for each in on_the_way(said)]
            return await super().handle_async_request(
                httpx.Request(request.method, request.url, headers=lines, stream=request.stream)
            )

    headers = authorization() | {END_USER: assertion()}
    async with running(tmp_path, policy=sealed(ASSERTING)) as surface:
        transport = AsyncEncryptedTransport(pinned(), own(), Way())
        async with httpx.AsyncClient(transport=transport, base_url=surface.client.base_url, headers=headers) as client:
            answer = await client.post(Endpoint.CHAT, json=CHAT)
        assert answer.status_code == status
        assert surface.count("tightlip_requests_not_decrypted_total", reason="token") == faults
        assert len(surface.plans) == (status == 200)


def _with_another_token() -> Sent:
    mine, other = sent(), sent(jti="token-2")
    return Sent(mine.exchange, mine.message, other.headers)


async def test_a_request_is_good_once_and_soon(tmp_path: Path) -> None:
    async with running(tmp_path) as surface:
        request = sent()
        assert (await post(surface, request)).status_code == 200
        again = await post(surface, request)
        assert again.status_code == 400
        assert "stale_request" in opened(again, Exchange_of(request))[0]
        assert surface.count("tightlip_requests_not_decrypted_total", reason="replayed") == 1


def Exchange_of(request: Sent) -> Exchange:  # noqa: N802 - made like one
    """One that opens a second answer to the same request."""
    fresh = Exchange(pinned(), "gateway-1", [own()])
    fresh._secret, fresh._digest = request.exchange._secret, request.exchange._digest
    return fresh


async def test_an_old_request_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as surface:
        now = time.time()
        monkeypatch.setattr("tightlip_client.protocol.time.time", lambda: now - 600)
        request = sent(iat=int(now) - 10, exp=int(now) + 600)
        monkeypatch.undo()
        answer = await post(surface, request)
        assert "stale_request" in opened(answer, request.exchange)[0]


async def test_while_nobody_can_tell_what_came_before_nothing_is_answered(tmp_path: Path) -> None:
    class Away(MemoryStore):
        async def take(self, *_: Any) -> Any:
            raise StateUnavailable

    async with running(tmp_path, counters=Away()) as surface:
        request = sent()
        answer = await post(surface, request)
        assert answer.status_code == 503
        assert "replays_unknown" in opened(answer, request.exchange)[0]
        assert surface.plans == []


# ---- endings ---------------------------------------------------------------------------------------------------------


def fails(error: Exception, after: int) -> Steps:
    async def steps(sink: Sink) -> None:
        for _ in range(after):
            await say(sink)
        raise error

    return steps


def hangs(after: int) -> Steps:
    async def steps(sink: Sink) -> None:
        for _ in range(after):
            await say(sink)
        await asyncio.Event().wait()

    return steps


FAILURES: Sequence[tuple[Exception, str]] = [
    (ContextTooLong(), "context_length_exceeded"),
    (UpstreamUnavailable("release"), "upstream_unavailable"),
    (UpstreamBroken("cut"), "upstream_error"),
    (FilterFailed("ValueError"), "filter_unavailable"),
    (ValueError(CANARY), "internal_error"),
]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_good_answer_is_sealed(tmp_path: Path, stream: bool) -> None:
    async with running(tmp_path) as surface:
        request = sent(body=question(stream=stream))
        said = opened(await post(surface, request), request.exchange)
        assert CANARY in "".join(said)
        assert (said[-1] == "data: [DONE]\n\n") is stream


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_is_sealed(tmp_path: Path, stream: bool, after: int) -> None:
    error, steps = ValueError(), fails(ValueError(), after)

    async def chosen(sink: Sink) -> None:
        await steps(sink)

    async with running(tmp_path, chosen) as surface:
        for error, code in FAILURES:
            steps = fails(error, after)
            request = sent(body=question(stream=stream))
            said = opened(await post(surface, request), request.exchange)
            assert code in said[-1]
            assert not any(CANARY in record for record in map(str, surface.records))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{" + CANARY.encode(), "invalid_json"),
        (question(model=CANARY), "model_not_found"),
        (question(**{CANARY: 1}), "unknown_parameter"),
        (question(messages=[{"role": "user", "content": "x" * 5000}]), "request_too_large"),
    ],
)
async def test_what_is_wrong_with_the_request_is_told_sealed(tmp_path: Path, body: bytes, code: str) -> None:
    async with running(tmp_path) as surface:
        request = sent(body=body)
        answer = await post(surface, request)
        assert 400 <= answer.status_code < 500
        assert code in opened(answer, request.exchange)[0]


@pytest.mark.parametrize(
    ("how", "after"),
    [("timeout", 2), ("expiry", 2), *((how, after) for how in ("revoked", "drained", "policy") for after in (0, 2))],
)
async def test_what_ends_it_from_outside_is_told_sealed(tmp_path: Path, how: str, after: int) -> None:
    async def end(surface: Public) -> str:
        if how == "revoked":
            await surface.revoke(Revocation(Kind.SUBJECT, "alice", ISSUER, "acme"))
            return "invalid_api_key"
        if how == "drained":
            surface.lifecycle.end(lambda _record: ShuttingDown())
            return "shutting_down"
        if how == "policy":
            surface.lifecycle.end(lambda _record: PolicyChanged())
            return "policy_changed"
        leap(LONGEST)
        return {"timeout": "upstream_timeout", "expiry": "invalid_api_key"}[how]

    reached = asyncio.Event()

    async def steps(sink: Sink) -> None:
        for _ in range(after):
            await say(sink)
        reached.set()
        await asyncio.Event().wait()

    now = time.time()
    claims = {"exp": now + LONGEST - 1} if how == "expiry" else {}
    async with running(tmp_path, steps, longest=LONGEST if how == "timeout" else None) as surface:
        request = sent(body=question(stream=True), **claims)
        surface.client.timeout = None  # its clock is put forward too
        asking = asyncio.ensure_future(post(surface, request))
        await asyncio.wait([asking, asyncio.ensure_future(reached.wait())], return_when=asyncio.FIRST_COMPLETED)
        code = await end(surface)
        said = opened(await asking, request.exchange)
        assert code in said[-1]
        assert not any(CANARY in record for record in map(str, surface.records))


async def test_a_cut_connection_is_noticed(tmp_path: Path) -> None:
    async with running(tmp_path, hangs(2)) as surface:
        request, events = sent(body=question(stream=True)), None
        async with surface.client.stream(
            "POST", Endpoint.CHAT, content=request.message, headers=request.headers
        ) as answer:
            events = Events(request.exchange)
            async for piece in answer.aiter_bytes():
                if list(events.feed(piece)):
                    break
        with pytest.raises(CutOff):
            events.close()
