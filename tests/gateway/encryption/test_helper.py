"""The helper's transports: what is not the gateway's own answer is an error, whoever wrote it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest

from gateway.encryption.answers import AnswerSealer
from gateway.encryption.compact import OpenedRequest, open_request
from gateway.encryption.keys import read_key
from gateway.http.envelope import Sealed
from tests.support.encryption import own, pinned, private_jwk, public_jwk
from tightlip_client import (
    Altered,
    AsyncEncryptedTransport,
    CutOff,
    EncryptedTransport,
    GatewayKeys,
    NotTheGateway,
    PlainAnswer,
)

URL = "https://gateway.test/v1/chat/completions"
JOSE = {"content-type": "application/jose"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
CLIENT = read_key(public_jwk("client-1"), private=False)
KEYS = {kid: read_key(private_jwk(kid), private=True) for kid in ("gateway-1", "gateway-2")}

Answer = Callable[[Sealed], httpx.Response]


def opened(request: httpx.Request) -> OpenedRequest:
    message = request.headers["tightlip-request"].encode() if request.method == "GET" else request.read()
    return open_request(message, KEYS.get)


def asking(answer: Answer, **more: Any) -> httpx.Response:
    """Through both transports, which agree."""

    def gateway(request: httpx.Request) -> httpx.Response:
        return answer(Sealed(AnswerSealer(opened(request), CLIENT)))

    transport = EncryptedTransport(pinned(), own(), httpx.MockTransport(gateway))
    with httpx.Client(transport=transport, headers={"authorization": "Bearer t"} | more) as client:
        return client.post(URL, json={"a": 1})


def whole(envelope: Sealed, status: int = 200, told: int | None = None) -> httpx.Response:
    return httpx.Response(told or status, headers=JOSE, content=envelope.whole(b'{"ok":1}', status))


def streamed(content: bytes) -> httpx.Response:
    return httpx.Response(200, headers=SSE, content=content)


def test_an_answer_and_an_error_are_opened() -> None:
    good = asking(whole)
    assert (good.json(), good.headers["content-type"]) == ({"ok": 1}, "application/json")
    assert good.extensions["tightlip_sealed"] is True
    bad = asking(lambda envelope: whole(envelope, 429))
    assert (bad.status_code, bad.json()) == (429, {"ok": 1})


def test_a_plain_error_is_passed_on_as_one_that_nobody_vouches_for() -> None:
    answer = asking(lambda _: httpx.Response(401, json={"error": {}}))
    assert (answer.status_code, answer.extensions["tightlip_sealed"]) == (401, False)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: httpx.Response(200, json={"choices": []}), PlainAnswer),
        (lambda _: httpx.Response(302, headers={"location": URL}), PlainAnswer),
        (lambda _: httpx.Response(500, content=b"x" * 100_000), PlainAnswer),
        (lambda envelope: whole(envelope, 200, told=403), Altered),
        (lambda envelope: whole(envelope, 403, told=200), Altered),
        (lambda envelope: httpx.Response(500, headers=SSE, content=envelope.events([b"{}"], last=True)), Altered),
        (lambda envelope: httpx.Response(200, headers=JOSE, content=envelope.events([b"{}"])), Altered),
        (lambda envelope: httpx.Response(200, headers=SSE, content=envelope.events([b"{}"])), CutOff),
        (lambda _: httpx.Response(200, headers=SSE, content=b""), CutOff),
        (lambda _: httpx.Response(200, headers=JOSE, content=b""), NotTheGateway),
        (lambda envelope: streamed(b"data: " + whole(envelope, 403).content), CutOff),
        (lambda envelope: streamed(b"data: " + whole(envelope, 403).content + b"\n\n"), Altered),
    ],
)
def test_what_is_not_the_gateways_answer_is_an_error(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        asking(answer)


def test_one_frame_alone_is_no_whole_answer() -> None:
    def unfinished(envelope: Sealed) -> httpx.Response:
        frame = envelope.events([b"{}"]).removeprefix(b"data: ").strip()
        return httpx.Response(200, headers=JOSE, content=frame)

    with pytest.raises(CutOff):
        asking(unfinished)


def test_without_a_token_nothing_is_sent() -> None:
    with pytest.raises(NotTheGateway):
        asking(whole, authorization="Basic QQ==")


def test_an_assertion_is_bound_too() -> None:
    seen: list[str] = []

    def gateway(request: httpx.Request) -> httpx.Response:
        seen.append(opened(request).head.credentials)
        return whole(Sealed(AnswerSealer(opened(request), CLIENT)))

    transport = EncryptedTransport(pinned(), own(), httpx.MockTransport(gateway))
    with httpx.Client(transport=transport, headers={"authorization": "Bearer t"}) as client:
        client.post(URL, json={})
        client.post(URL, json={}, headers={"tightlip-end-user": "a"})
        client.post(URL, json={}, headers={"tightlip-end-user": "b"})
    assert len(set(seen)) == 3


@pytest.mark.parametrize(("kids", "good"), [(("gateway-9", "gateway-2"), True), (("gateway-9",), False)])
async def test_a_key_that_is_retired_is_left_for_the_next_one_that_was_given(kids: Any, good: bool) -> None:
    asked: list[str] = []

    def gateway(request: httpx.Request) -> httpx.Response:
        header = json.loads(_padded(request.read().split(b".")[0]))
        asked.append(header["kid"])
        if header["kid"] not in KEYS:
            return httpx.Response(400, json={"error": {"code": "unknown_encryption_key"}})
        return whole(Sealed(AnswerSealer(opened(request), CLIENT)))

    keys = GatewayKeys({"keys": [public_jwk(kid) for kid in kids]})
    transport = AsyncEncryptedTransport(keys, own(), httpx.MockTransport(gateway))
    async with httpx.AsyncClient(transport=transport, headers={"authorization": "Bearer t"}) as client:
        answer = await client.post(URL, json={})
    assert asked == list(kids)
    assert answer.is_success == good


class Wire(httpx.AsyncByteStream, httpx.SyncByteStream):
    """What comes over the network, for either transport; remembers how far it was read and who closed it."""

    def __init__(self, pieces: Iterable[bytes], closed: list[str]) -> None:
        self._pieces, self._closed, self.read = pieces, closed, 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.read += len(piece)
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self._closed.append("sync")

    async def aclose(self) -> None:
        self._closed.append("async")


async def asynchronously(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
    transport = AsyncEncryptedTransport(pinned(), own(), httpx.MockTransport(answer))
    async with httpx.AsyncClient(transport=transport, headers={"authorization": "Bearer t"}) as client:
        return await client.post(URL, json={})


@pytest.mark.parametrize(("headers", "error"), [(JOSE, Altered), ({}, PlainAnswer), (SSE, Altered)])
@pytest.mark.parametrize("transport", ["sync", "async"])
def test_an_answer_without_end_is_given_up_and_closed(
    monkeypatch: pytest.MonkeyPatch, transport: str, headers: dict[str, str], error: type[Exception]
) -> None:
    monkeypatch.setattr("tightlip_client.transport.MOST_FRAME_CHARS", 1 << 20)
    monkeypatch.setattr("tightlip_client.protocol.MOST_FRAME_CHARS", 1 << 20)
    closed: list[str] = []
    wire = Wire(itertools.repeat(b"A" * 65536), closed)
    answer = httpx.Response(200 if headers else 500, headers=headers, stream=wire)
    ask = asking if transport == "sync" else lambda give: asyncio.run(asynchronously(give))
    with pytest.raises(error):
        ask(lambda _: answer)
    assert wire.read < 1 << 21
    assert transport in closed


def test_a_stream_with_an_errors_status_is_closed_too() -> None:
    closed: list[str] = []
    with pytest.raises(Altered):
        asking(lambda _: httpx.Response(500, headers=SSE, stream=Wire([b"data: x\n\n"], closed)))
    assert closed


def test_nobody_on_the_way_is_asked_to_compress() -> None:
    seen: list[str] = []

    def gateway(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["accept-encoding"])
        return whole(Sealed(AnswerSealer(opened(request), CLIENT)))

    with httpx.Client(transport=EncryptedTransport(pinned(), own(), httpx.MockTransport(gateway))) as client:
        client.post(URL, json={}, headers={"authorization": "Bearer t"})
    assert seen == ["identity"]


@pytest.mark.parametrize("keys", [{}, {"keys": []}, {"keys": [{}]}, {"keys": [{"kid": "a"}]}, {"keys": ["a"]}, []])
def test_what_is_no_set_of_keys_is_refused_when_it_is_given(keys: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        GatewayKeys(keys)
    with pytest.raises(ValueError, match="key"):
        EncryptedTransport(pinned(), [])


def test_streams_pass_frame_by_frame_and_are_closed() -> None:
    closed: list[str] = []

    def gateway(request: httpx.Request) -> httpx.Response:
        envelope = Sealed(AnswerSealer(opened(request), CLIENT))
        data = envelope.events([b"1", b"2"]) + b": keep-alive\n\n" + envelope.events([b"[DONE]"], last=True)
        return httpx.Response(
            200, headers=SSE, stream=Wire([data[at : at + 7] for at in range(0, len(data), 7)], closed)
        )

    given, headers = b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", {"authorization": "Bearer t"}
    wire = httpx.MockTransport(gateway)
    with httpx.Client(transport=EncryptedTransport(pinned(), own(), wire), headers=headers) as client:
        assert client.post(URL, json={}).content == asyncio.run(asynchronously(gateway)).content == given
    assert set(closed) == {"sync", "async"}


def _padded(part: bytes) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
