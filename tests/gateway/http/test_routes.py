"""The public surface as a caller sees it: what is there, what is refused and how, and that nothing is quoted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send

from gateway.addresses import Proxies
from gateway.auth.issuers import Verifier
from gateway.auth.revocation import Kind, Revocation
from gateway.errors import ContextTooLong, UpstreamUnavailable
from gateway.http.connection import MOST_HEAD_BYTES
from gateway.types import Endpoint, Plan
from tests.gateway.hostile_tokens import CASES, issuers_of, token_of
from tests.gateway.http.surface import CHAT, MOST_BYTES, Public, authorization, public
from tests.gateway.support import CANARY, ISSUER, NOW, POLICY, make_token
from tests.support.clock import leap
from tests.support.waiting import PATIENCE_S

HEADERS = {"content-type", "content-length", "cache-control", "x-request-id", "date"}


@pytest_asyncio.fixture
async def surface(tmp_path: Path) -> AsyncIterator[Public]:
    async with public(tmp_path) as running:
        yield running


def assert_refused(answer: httpx.Response, status: int, code: str, *, param: str | None = None) -> None:
    """OpenAI's shape, our fixed text and headers, nothing of the request."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert set(answer.headers) <= HEADERS | {"www-authenticate", "allow", "connection"}
    assert CANARY not in answer.text + str(answer.headers)


# ---- what is there ---------------------------------------------------------------------------------------------------


async def test_a_good_request_becomes_a_plan(surface: Public) -> None:
    answer = await surface.chat()
    assert answer.json() == {"ok": True}
    (plan,) = surface.plans
    assert (plan.grant.model, plan.grant.endpoint, plan.grant.principal.subject) == (
        "assistant",
        Endpoint.CHAT,
        "alice",
    )


async def test_models_are_listed_in_openais_shape(surface: Public) -> None:
    answer = await surface.client.get(Endpoint.MODELS, headers=authorization(role="support"))
    assert answer.json()["object"] == "list"
    assert [model["id"] for model in answer.json()["data"]] == ["assistant", "second"]
    assert all(model.keys() == {"id", "object", "created", "owned_by"} for model in answer.json()["data"])
    assert set(answer.headers) <= HEADERS


async def test_completions_are_for_those_who_may(surface: Public) -> None:
    body = {"model": "assistant", "prompt": "Hello"}
    allowed = await surface.client.post(Endpoint.COMPLETIONS, json=body, headers=authorization(role="support"))
    assert allowed.status_code == 200
    refused = await surface.client.post(Endpoint.COMPLETIONS, json=body, headers=authorization())
    assert_refused(refused, 403, "not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/tokenize",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/completions/render",
        "/v1/models/",
        "/v1/models/assistant",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions/../../../metrics",
        "/v1/chat/completions%2f..%2f..%2fmetrics",
        "/v1/chat%2fcompletions/x",
        f"/{CANARY}",
    ],
)
async def test_every_other_path_is_not_there(surface: Public, path: str) -> None:
    for method in ("GET", "POST"):
        request = httpx.Request(method, str(surface.client.base_url), headers=authorization())
        request.url = request.url.copy_with(raw_path=path.encode())
        assert_refused(await surface.client.send(request), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed(surface: Public, method: str) -> None:
    answer = await surface.client.request(method, Endpoint.CHAT, headers=authorization())
    assert answer.headers["allow"] == "POST"
    assert_refused(answer, 405, "method_not_allowed")


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"authorization": f"Basic {CANARY}"}, "malformed"),
        ({"authorization": f"Bearer {CANARY}"}, "malformed"),
        ({"authorization": f"Bearer {make_token()}"}, "expired"),
        ({"authorization": f"Bearer {make_token(key='ES256/other')}"}, "signature"),
        ({"x-api-key": CANARY, "cookie": f"token={CANARY}"}, "missing"),
    ],
)
async def test_without_a_good_token_all_refusals_look_alike(
    surface: Public, headers: dict[str, str], reason: str
) -> None:
    for path in (Endpoint.CHAT, Endpoint.COMPLETIONS):
        answer = await surface.client.post(path, json=CHAT, headers=headers)
        assert_refused(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert_refused(await surface.client.get(Endpoint.MODELS, headers=headers), 401, "invalid_api_key")
    assert surface.count("tightlip_auth_failures_total", reason=reason) == 3
    assert {record["reason"] for record in surface.records} == {reason}


def sendable(token: str) -> bool:
    """As one header line of a usual size: the rest never becomes a token (raw_http.json has it), or loses its space."""
    long = not 0 < len(token) < MOST_HEAD_BYTES // 2
    return not (long or any(sign in token for sign in "\n\0") or token != token.strip())


async def test_hostile_tokens_get_one_and_the_same_answer(tmp_path: Path) -> None:
    known = dict(issuers_of({}))
    async with public(tmp_path, verifier=Verifier(known, now=lambda: float(NOW))) as surface:
        looks, sent = set(), 0
        for case in CASES:
            known.update(issuers_of(case))
            token = token_of(case)
            if sendable(token):
                sent += 1
                looks.add(look(await with_token(surface, token)))
        assert sent >= 150
        assert len(looks) == 1
        assert_refused(await with_token(surface, "x"), 401, "invalid_api_key")
        assert look(await with_token(surface, "x")) in looks
        assert not surface.plans
        assert not any(text in surface.log.getvalue() for text in (b"eyJ", b"alice", b"evil"))
        known.update(issuers_of({}))
        await surface.revocations.look()
        assert (await with_token(surface, token_of({}))).status_code == 200


async def with_token(surface: Public, token: str) -> httpx.Response:
    headers = {b"authorization": b"Bearer " + token.encode("utf-8")}
    return await surface.client.post(Endpoint.CHAT, json=CHAT, headers=headers)


def look(answer: httpx.Response) -> tuple[int, bytes, frozenset[tuple[str, str]]]:
    """All that a caller sees but the time and our number for the request."""
    told = [(name, value) for name, value in answer.headers.items() if name not in ("date", "x-request-id")]
    return answer.status_code, answer.content, frozenset(told)


@pytest.mark.parametrize(
    "query",
    [
        f"access_token={CANARY}",
        f"api_key={CANARY}",
        f"a=eyJ{CANARY}",
        "Token=",
        "%61ccess_token=x",
        f"x=1;access_token={CANARY}",
        f"X-API-Key={CANARY}",
        f"subscription-key={CANARY}",
        f"q=ew0K{'A' * 16}.{'B' * 16}.{CANARY}",
        "x" * 5000,
    ],
)
async def test_a_token_in_the_query_is_refused_beside_a_good_one(surface: Public, query: str) -> None:
    answer = await surface.client.post(f"{Endpoint.CHAT}?{query}", json=CHAT, headers=authorization())
    assert_refused(answer, 401, "invalid_api_key")
    assert surface.count("tightlip_auth_failures_total", reason="in_query") == 1
    assert not any(text in surface.log.getvalue().decode() for text in ("eyJ", CANARY, "?"))


async def test_a_token_anywhere_else_is_none(surface: Public) -> None:
    """In a cookie, another header, the body, the path: it is not looked at, and lets nobody in."""
    token = authorization()["authorization"].removeprefix("Bearer ")
    named = ("x-api-key", "api-key", "x-auth-token", "x-forwarded-access-token", "proxy-authorization", "token")
    headers = dict.fromkeys(named, token) | {"cookie": f"access_token={token}; Authorization=Bearer {token}"}
    assert_refused(
        await surface.client.post(Endpoint.CHAT, json={**CHAT, "access_token": token}, headers=headers),
        401,
        "invalid_api_key",
    )
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await surface.client.post(Endpoint.CHAT, content=f"access_token={token}", headers=form)
    assert_refused(answer, 401, "invalid_api_key")
    assert_refused(await surface.client.post(f"{Endpoint.CHAT}/{token}", json=CHAT), 404, "not_found")
    assert surface.count("tightlip_auth_failures_total", reason="missing") == 2
    assert "eyJ" not in surface.log.getvalue().decode()


async def test_two_authorization_lines_are_refused(surface: Public) -> None:
    lines = [("authorization", authorization()["authorization"])] * 2
    assert_refused(await surface.client.post(Endpoint.CHAT, json=CHAT, headers=lines), 400, "invalid_request")
    assert not surface.plans


async def test_another_query_is_ignored(surface: Public) -> None:
    answer = await surface.client.post(f"{Endpoint.CHAT}?api-version=1", json=CHAT, headers=authorization())
    assert answer.status_code == 200


# ---- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_json", None),
        (CANARY.encode(), 400, "invalid_json", None),
        (b'{"' + CANARY.encode(), 400, "invalid_json", None),
        (b"[]", 400, "invalid_json", None),
        (b'{"model": "assistant", "model": "second"}', 400, "invalid_json", None),
        (b"{}", 400, "invalid_value", "model"),
        (json.dumps({**CHAT, "model": CANARY}).encode(), 404, "model_not_found", "model"),
        (json.dumps({**CHAT, "model": "second"}).encode(), 404, "model_not_found", "model"),
        (json.dumps({**CHAT, "model": [CANARY]}).encode(), 400, "invalid_value", "model"),
        (json.dumps({**CHAT, CANARY: 1}).encode(), 400, "unknown_parameter", None),
        (json.dumps({**CHAT, "temperature": CANARY}).encode(), 400, "invalid_value", "temperature"),
        (json.dumps({**CHAT, "logprobs": True}).encode(), 400, "unsupported_parameter", "logprobs"),
        (json.dumps({**CHAT, "messages": CANARY}).encode(), 400, "invalid_value", "messages"),
    ],
)
async def test_bad_bodies_are_refused_without_being_quoted(
    surface: Public, body: bytes, status: int, code: str, param: str | None
) -> None:
    headers = authorization() | {"content-type": "application/json"}
    answer = await surface.client.post(Endpoint.CHAT, content=body, headers=headers)
    assert_refused(answer, status, code, param=param)
    assert CANARY.encode() not in surface.log.getvalue()
    assert not surface.plans


async def test_a_large_body_is_refused_by_its_length_and_by_its_bytes(surface: Public) -> None:
    large = json.dumps({**CHAT, "user": "x" * MOST_BYTES}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 100):
            yield large[start : start + 100]

    headers = authorization() | {"content-type": "application/json"}
    for content in (large, chunks()):
        assert_refused(
            await surface.client.post(Endpoint.CHAT, content=content, headers=headers), 413, "request_too_large"
        )


async def test_a_body_in_chunks_is_read(surface: Public) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in json.dumps(CHAT).encode():
            yield bytes([byte])

    headers = authorization() | {"content-type": "application/json; charset=UTF-8"}
    assert (await surface.client.post(Endpoint.CHAT, content=chunks(), headers=headers)).status_code == 200


async def test_a_body_that_does_not_come_is_not_waited_for(surface: Public, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.connection.REST_SECONDS", PATIENCE_S)

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"model"'
        for _ in range(200):
            if surface.records:
                break
            leap(1.0)
            await asyncio.sleep(0.005)
        yield b"}"

    headers = authorization() | {"content-type": "application/json"}
    answer = await surface.client.post(Endpoint.CHAT, content=stalled(), headers=headers)
    assert_refused(answer, 408, "request_timeout")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/jsonx"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": CANARY},
        {},
    ],
)
async def test_other_media_are_refused(surface: Public, headers: dict[str, str]) -> None:
    answer = await surface.client.post(Endpoint.CHAT, content=b"{}", headers=authorization() | headers)
    assert_refused(answer, 415, "unsupported_media_type")


# ---- errors of the answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UpstreamUnavailable(), 503, "upstream_unavailable"),
        (ContextTooLong(), 400, "context_length_exceeded"),
        (RuntimeError(CANARY), 500, "internal_error"),
        (TimeoutError(CANARY), 500, "internal_error"),
        (KeyError(CANARY), 500, "internal_error"),
    ],
)
async def test_errors_before_the_first_byte_have_their_status(
    tmp_path: Path, error: Exception, status: int, code: str
) -> None:
    async def fail(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async with public(tmp_path, fail) as surface:
        assert_refused(await surface.chat(), status, code)
        (record,) = surface.records
        assert (record["status"], record["error"]) == (status, code)
        assert CANARY.encode() not in surface.log.getvalue()


async def test_an_error_after_the_first_byte_only_cuts_the_answer_off(tmp_path: Path) -> None:
    async def fail(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError(CANARY)

    async with public(tmp_path, fail) as surface:
        with pytest.raises(httpx.RemoteProtocolError):
            await surface.chat()
        assert CANARY.encode() not in surface.log.getvalue()


# ---- records ---------------------------------------------------------------------------------------------------------


async def test_every_request_has_one_record_with_metadata_only(surface: Public) -> None:
    said: dict[str, Any] = {
        **CHAT,
        "messages": [
            {"role": "system", "content": CANARY},
            {"role": "user", "content": CANARY, "name": CANARY},
        ],
        "user": CANARY,
        "metadata": {CANARY: CANARY},
        "stop": [CANARY],
    }
    headers = authorization(sub=CANARY, jti=CANARY) | {"x-request-id": CANARY, "user-agent": CANARY}
    answer = await surface.client.post(Endpoint.CHAT, json=said, headers=headers)
    assert answer.status_code == 200
    (record,) = surface.records
    assert CANARY not in surface.log.getvalue().decode()
    assert (record["route"], record["role"], record["model"], record["status"]) == (
        "/v1/chat/completions",
        "customer",
        "assistant",
        200,
    )
    labels = {
        "route": "/v1/chat/completions",
        "role": "customer",
        "model": "assistant",
        "release": "none",
        "status": "200",
    }
    assert surface.count("tightlip_requests_total", **labels) == 1


async def test_request_ids_are_ours_and_never_the_same(surface: Public) -> None:
    answers = [await surface.client.get("/x", headers={"x-request-id": CANARY}) for _ in range(3)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert [record["request_id"] for record in surface.records] == [a.headers["x-request-id"] for a in answers]


NETWORKS = POLICY.replace("endpoints: [chat, models]", "endpoints: [chat, models]\n    networks: [198.51.100.0/24]")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-forwarded-for": "198.51.100.7"}, 200),
        ({"x-forwarded-for": "192.0.2.9, 198.51.100.7"}, 200),
        ({"x-forwarded-for": "198.51.100.7, 192.0.2.9"}, 403),
        ({"x-forwarded-for": "198.51.100.7,"}, 403),
        ({"forwarded": "for=198.51.100.7"}, 403),
        ({}, 403),
    ],
)
async def test_a_role_for_certain_networks_believes_our_proxy_alone(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    ours = Proxies((ip_network("127.0.0.0/8"),), 1)
    async with public(tmp_path, proxies=ours, policy=NETWORKS) as gateway:
        answer = await gateway.client.post(Endpoint.CHAT, json=CHAT, headers=authorization() | headers)
        assert answer.status_code == status
    async with public(tmp_path, policy=NETWORKS) as gateway:
        answer = await gateway.client.post(Endpoint.CHAT, json=CHAT, headers=authorization() | headers)
        assert answer.status_code == 403
        assert len(gateway.plans) == 0


async def test_a_revoked_token_is_refused_as_any_other_bad_one(surface: Public) -> None:
    assert (await surface.chat()).status_code == 200
    await surface.revoke(Revocation(Kind.TOKEN_ID, "token-1", ISSUER))
    refused = await surface.chat()
    garbled = await surface.client.post(Endpoint.CHAT, json=CHAT, headers={"authorization": "Bearer a.b.c"})
    assert_refused(refused, 401, "invalid_api_key")
    assert refused.json() == garbled.json()
    assert surface.records[-2]["reason"] == "revoked_token"
    assert surface.count("tightlip_auth_failures_total", reason="revoked_token") == 1
