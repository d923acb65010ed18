"""A real gateway whose answers are encrypted, and the openai package in front of it, as an application would use it."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.encryption import own, pinned, public_jwk, write_clients, write_ring
from tests.support.gateways import MODEL, POLICY, Gateway, gateway, server, settings
from tests.support.scripted import Engine, Until
from tests.support.waiting import until
from tightlip_client import AsyncEncryptedTransport, EncryptedTransport, GatewayKeys

PATIENCE = 60.0
ASKED, SAID = "qzventilade", "qzmarquentin"  # in the request, in the answer
FRAME = re.compile(r"data: [\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+|: keep-alive", re.ASCII)
QUESTION: list[Any] = [{"role": "user", "content": f"What of {ASKED}?"}]


@pytest.fixture(scope="module")
def front(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("encryption")
    policy = copy.deepcopy(POLICY)
    policy["issuers"][0] |= {"client_keys": "clients.yaml", "roles": ["sealed", "either", "customer"]}
    role = policy["roles"]["customer"]
    policy["roles"] = {
        "sealed": role | {"encryption": "required"},
        "either": role | {"encryption": "accepted"},
        "customer": role,
    }
    write_ring(folder, "gateway-1")
    write_clients(folder, {"s-1": ["client-1"]})
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    # no comment begins an answer before it has a status
    more = {"encryption_keys_file": "encryption.jwks", "keep_alive_seconds": 60}
    with gateway(folder, settings(*pair, scripted.tokenizer(folder), **more), policy) as running:
        yield running


class Watched(httpx.BaseTransport):
    """Sees what goes over the wire."""

    def __init__(self) -> None:
        self.inner, self.wire = httpx.HTTPTransport(), b""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.wire += b"".join(name + b": " + value for name, value in request.headers.raw) + request.read()
        response = self.inner.handle_request(request)
        body = b"".join(response.stream)  # type: ignore[arg-type]
        self.wire += b"".join(name + b": " + value for name, value in response.headers.raw) + body
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))


def api(front: Gateway, role: str = "sealed", *, keys: GatewayKeys | None = None, inner: Any = None) -> openai.OpenAI:
    transport = EncryptedTransport(keys or pinned(), own(), inner)
    client = httpx.Client(transport=transport, timeout=60)
    return openai.OpenAI(base_url=f"{front.public}/v1", api_key=front.token(role), http_client=client, max_retries=0)


def streamed(client: openai.OpenAI) -> str:
    chunks = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_the_openai_package_works_as_without(front: Gateway, engine: Engine) -> None:
    engine.tuned = (f"It is {SAID}. Good day.",)
    watched = Watched()
    client = api(front, inner=watched)
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert answer.choices[0].message.content == f"It is {SAID}. Good day."
    assert streamed(client) == f"It is {SAID}. Good day."
    assert [model.id for model in client.models.list()] == [MODEL]
    assert ASKED in json.dumps(engine.asked("tuned"))
    assert not [word for word in (ASKED, SAID, "choices", MODEL, "Good day") if word.encode() in watched.wire]
    assert canary_free(front, ASKED, SAID)


def test_the_asynchronous_client_too(front: Gateway, engine: Engine) -> None:
    engine.tuned = (f"It is {SAID}.",)

    async def ask() -> tuple[str | None, str]:
        transport = AsyncEncryptedTransport(pinned(), own())
        async with openai.AsyncOpenAI(
            base_url=f"{front.public}/v1",
            api_key=front.token("sealed"),
            http_client=httpx.AsyncClient(transport=transport, timeout=60),
            max_retries=0,
        ) as client:
            whole = await client.chat.completions.create(model=MODEL, messages=QUESTION)
            pieces = await client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in pieces if chunk.choices]
            return whole.choices[0].message.content, "".join(said)

    assert asyncio.run(ask()) == (f"It is {SAID}.", f"It is {SAID}.")


def test_errors_come_sealed_with_their_status(front: Gateway, engine: Engine) -> None:
    client = api(front)
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model=ASKED, messages=QUESTION)
    assert refused.value.code == "model_not_found"
    assert refused.value.response.extensions["tightlip_sealed"]
    engine.tuned = (scripted.Error(500),)
    with pytest.raises(openai.InternalServerError) as failed:
        streamed(client)
    assert failed.value.response.extensions["tightlip_sealed"]


def test_who_must_encrypt_and_who_must_not(front: Gateway, engine: Engine) -> None:
    with front.client("sealed") as plain:
        assert plain.post("/v1/chat/completions", json={"model": MODEL, "messages": QUESTION}).status_code == 403
        assert plain.get("/v1/models").json()["error"]["code"] == "encryption_required"
    assert engine.asked("tuned") == []
    with pytest.raises(openai.PermissionDeniedError) as refused:
        streamed(api(front, "customer"))
    assert refused.value.code == "encryption_not_accepted"
    assert streamed(api(front, "either")) == "Good day."
    with front.client("either") as plain:
        answer = plain.post("/v1/chat/completions", json={"model": MODEL, "messages": QUESTION})
        assert answer.json()["choices"][0]["message"]["content"] == "Good day."


def test_the_keys_are_told_to_those_who_encrypt(front: Gateway) -> None:
    with front.client("sealed") as plain:
        (told,) = plain.get("/v1/encryption-keys").json()["keys"]
    assert told == public_jwk("gateway-1") | {"use": "enc", "alg": "ECDH-ES+A256KW"}
    with front.client("customer") as other:
        assert other.get("/v1/encryption-keys").status_code == 404
    assert httpx.get(f"{front.public}/v1/encryption-keys", timeout=PATIENCE, trust_env=False).status_code == 401


def test_the_gateways_key_changes_while_an_answer_runs(front: Gateway, engine: Engine) -> None:
    go_on = threading.Event()
    engine.tuned = ("It rained. ", Until(go_on), f"It is {SAID}.")
    keys = pinned("gateway-1")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(streamed, api(front, keys=keys))
        until(lambda: bool(engine.asked("tuned")))
        write_ring(front.folder, "gateway-1", "gateway-2")
        write_ring(front.folder, "gateway-2", "gateway-1")
        until(lambda: _first(front) == "gateway-2")
        engine.tuned = ("Good day.",)
        assert streamed(api(front, keys=keys)) == "Good day."  # the old one still decrypts
        assert keys.kids == ("gateway-2", "gateway-1")  # and the client has been told of the new one
        write_ring(front.folder, "gateway-2")
        until(lambda: _kids(front) == ["gateway-2"])
        assert streamed(api(front, keys=keys)) == "Good day."
        go_on.set()
        assert running.result(timeout=PATIENCE) == f"It rained. It is {SAID}."
    with pytest.raises(openai.BadRequestError) as refused:
        streamed(api(front, keys=pinned("gateway-1")))
    assert refused.value.code == "unknown_encryption_key"
    assert streamed(api(front, keys=pinned("gateway-1", "gateway-2"))) == "Good day."  # it tries what it was given
    write_ring(front.folder, "gateway-1")
    until(lambda: _kids(front) == ["gateway-1"])


def test_keys_that_cant_be_used_change_nothing(front: Gateway, engine: Engine) -> None:
    good = (front.folder / "encryption.jwks").read_text()
    (front.folder / "encryption.jwks").write_text(f'{{"keys": [{{"kid": "{ASKED}"}}]}}')
    until(lambda: "those before stay" in front.child.stderr)
    assert streamed(api(front)) == "Good day."
    assert canary_free(front, ASKED)
    (front.folder / "encryption.jwks").write_text(good)


def test_a_clients_key_is_replaced_without_a_restart(front: Gateway, engine: Engine) -> None:
    def with_key(*kids: str) -> str:
        transport = EncryptedTransport(pinned(), [own(kid) for kid in kids])
        client = httpx.Client(transport=transport, timeout=60)
        made = openai.OpenAI(
            base_url=f"{front.public}/v1", api_key=front.token("sealed"), http_client=client, max_retries=0
        )
        try:
            return streamed(made)
        except openai.BadRequestError as refused:
            return str(refused.code)

    assert with_key("client-2") == "unknown_answer_key"
    write_clients(front.folder, {"s-1": ["client-1", "client-2"]})
    until(lambda: with_key("client-2") == "Good day.")
    assert with_key("client-1") == "Good day."
    write_clients(front.folder, {"s-1": ["client-2"]})
    until(lambda: with_key("client-1") == "unknown_answer_key")
    write_clients(front.folder, {"s-1": ["client-1"]})
    until(lambda: with_key("client-1") == "Good day.")


def test_a_raw_stream_is_jwe(front: Gateway, engine: Engine) -> None:
    engine.tuned = ("It rained. ", scripted.Pause(0.1), "Good day.")
    watched = Watched()
    assert streamed(api(front, inner=watched)) == "It rained. Good day."
    lines = [line for line in watched.wire.split(b"cache-control")[1].decode("latin-1").split("\n") if line][1:]
    frames = [line for line in lines if line.startswith("data: ")]
    assert len(frames) > 3
    assert all(FRAME.fullmatch(line) for line in lines)


def _kids(front: Gateway) -> list[str]:
    with front.client("sealed") as plain:
        return [key["kid"] for key in plain.get("/v1/encryption-keys").json()["keys"]]


def _first(front: Gateway) -> str:
    return _kids(front)[0]
