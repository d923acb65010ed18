"""Tokens bound to a certificate, on real connections: from the handshake, or from a trusted proxy's header.

What is refused looks like any other bad token, and nothing of a certificate or a thumbprint is written down."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.addresses import Proxies
from gateway.errors import Reason
from gateway.http.tls import ServerTls
from gateway.settings import TlsSettings
from tests.gateway.http.surface import CHAT, Public, authorization, public
from tests.gateway.support import POLICY, part
from tests.support.tls import Authority, client_context, der
from tests.support.waiting import PATIENCE_S

CANARY = "zqCanaryWordxv"
BOUND = POLICY.replace("  customer:\n", "  customer:\n    certificate_bound: true\n")
IGNORED = POLICY.replace("    tenant: {fixed", "    certificate_binding: ignored\n    tenant: {fixed")
REQUIRED = POLICY.replace("    tenant: {fixed", "    certificate_binding: required\n    tenant: {fixed")
LOOPBACK = (ip_network("127.0.0.0/8"),)
BEHIND = Proxies(LOOPBACK, client_cert_header=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def bound_to(certificate: Path) -> dict[str, str]:
    return authorization(cnf={"x5t#S256": part(hashlib.sha256(der(certificate)).digest())})


def client_cert(certificate: Path) -> str:
    return f":{base64.b64encode(der(certificate)).decode()}:"


async def ask(surface: Public, headers: Any, *more: tuple[str, str]) -> httpx.Response:
    return await surface.client.post("/v1/chat/completions", json=CHAT, headers=[*headers.items(), *more])


async def refused(surface: Public, reason: Reason, headers: Any, *more: tuple[str, str]) -> None:
    before = surface.count("tightlip_auth_failures_total", reason=reason)
    answer = await ask(surface, headers, *more)
    no_token = await surface.client.post("/v1/chat/completions", json=CHAT)
    assert (answer.status_code, answer.content) == (401, no_token.content)
    assert answer.headers["www-authenticate"] == no_token.headers["www-authenticate"] == "Bearer"
    assert surface.count("tightlip_auth_failures_total", reason=reason) == before + 1
    assert surface.plans == []


def listener(authority: Authority) -> ServerTls:
    path = authority.server()
    settings = TlsSettings(
        certificate=path, key=path, client_ca=authority.ca_file, client_certificates="optional", min_version="1.2"
    )
    return ServerTls(settings, lambda _told: None)


# ---- from the handshake ----------------------------------------------------------------------------------------------


async def test_the_handshakes_certificate_has_to_be_the_tokens(authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.server("mine"), authority.server("other")
    context = client_context(authority.ca_file, mine)
    for policy in (BOUND, REQUIRED, POLICY):
        async with public(tmp_path, policy=policy, tls=listener(authority), context=context) as surface:
            await refused(surface, Reason.CERTIFICATE, bound_to(other))
            await refused(surface, Reason.CERTIFICATE, bound_to(other), ("client-cert", client_cert(other)))
            await refused(surface, Reason.CONFIRMATION, authorization(cnf={"jkt": part(b"k" * 32)}))
            if policy is not POLICY:
                await refused(surface, Reason.NOT_BOUND, authorization())
            assert (await ask(surface, bound_to(mine))).status_code == 200
            assert (await ask(surface, bound_to(mine), ("client-cert", CANARY))).status_code == 200


async def test_a_caller_without_a_certificate_has_none(authority: Authority, tmp_path: Path) -> None:
    mine = authority.server("mine")
    async with public(
        tmp_path, policy=BOUND, tls=listener(authority), context=client_context(authority.ca_file)
    ) as surface:
        await refused(surface, Reason.CERTIFICATE, bound_to(mine))
        await refused(surface, Reason.CERTIFICATE, bound_to(mine), ("client-cert", client_cert(mine)))


async def test_a_token_that_another_connection_made_good_is_not_good_on_this_one(
    authority: Authority, tmp_path: Path
) -> None:
    """Verified tokens are remembered; whose connection they came on is not."""
    mine = authority.server("mine")
    async with public(tmp_path, tls=listener(authority), context=client_context(authority.ca_file, mine)) as surface:
        token = bound_to(mine)
        assert (await ask(surface, token)).status_code == 200
        thief = httpx.AsyncClient(
            base_url=surface.client.base_url,
            verify=client_context(authority.ca_file),
            trust_env=False,
            timeout=PATIENCE_S,
        )
        async with thief:
            answer = await thief.post("/v1/chat/completions", json=CHAT, headers=token)
        assert answer.status_code == 401


# ---- without a source ------------------------------------------------------------------------------------------------


async def test_where_nobody_can_see_certificates_bound_tokens_are_refused_unless_the_policy_ignores_it(
    authority: Authority, tmp_path: Path
) -> None:
    mine = authority.server("mine")
    spoofed = ("client-cert", client_cert(mine))
    async with public(tmp_path) as surface:
        await refused(surface, Reason.CERTIFICATE, bound_to(mine))
        await refused(surface, Reason.CERTIFICATE, bound_to(mine), spoofed)
        assert (await ask(surface, authorization())).status_code == 200
    async with public(tmp_path, policy=IGNORED) as surface:
        for claims in ({"cnf": {"x5t#S256": part(b"k" * 32)}}, {"cnf": CANARY}, {}):
            assert (await ask(surface, authorization(**claims))).status_code == 200


# ---- from a trusted proxy's header -----------------------------------------------------------------------------------


async def test_a_trusted_proxy_says_whose_certificate_it_saw(authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.server("mine"), authority.server("other")
    said = ("client-cert", client_cert(mine))
    async with public(tmp_path, policy=BOUND, proxies=BEHIND) as surface:
        await refused(surface, Reason.CERTIFICATE, bound_to(other), said)
        await refused(surface, Reason.CERTIFICATE, bound_to(mine))
        await refused(surface, Reason.NOT_BOUND, authorization(), said)
        assert (await ask(surface, bound_to(mine), said)).status_code == 200


@pytest.mark.parametrize("kind", ["doubled", "doubled otherwise", "joined", "no sequence", "garbage", "empty"])
async def test_a_header_that_is_not_one_certificate_refuses_every_token(
    authority: Authority, tmp_path: Path, kind: str
) -> None:
    mine = authority.server("mine")
    good = client_cert(mine)
    lines = {
        "doubled": [good, good],
        "doubled otherwise": [good, CANARY],
        "joined": [f"{good}, {good}"],
        "no sequence": [good.strip(":")],
        "garbage": [f":{base64.b64encode(CANARY.encode()).decode()}:"],
        "empty": [""],
    }[kind]
    async with public(tmp_path, proxies=BEHIND) as surface:
        for token in (bound_to(mine), authorization()):
            await refused(surface, Reason.CERTIFICATE, token, *(("Client-Cert", line) for line in lines))
        assert CANARY.encode() not in surface.log.getvalue()


async def test_an_expired_certificate_is_none(authority: Authority, tmp_path: Path) -> None:
    from datetime import timedelta

    gone = authority.server("gone", starts=timedelta(days=-2), ends=timedelta(days=-1))
    async with public(tmp_path, proxies=BEHIND) as surface:
        await refused(surface, Reason.CERTIFICATE, bound_to(gone), ("client-cert", client_cert(gone)))


@pytest.mark.parametrize(
    "proxies",
    [
        Proxies((ip_network("10.0.0.0/8"),), client_cert_header=True),  # the peer is none of them
        Proxies(LOOPBACK),  # they are trusted to say where callers are, and nothing else
        Proxies(),
    ],
)
async def test_a_header_from_anybody_else_does_not_exist(
    authority: Authority, tmp_path: Path, proxies: Proxies
) -> None:
    mine = authority.server("mine")
    async with public(tmp_path, proxies=proxies) as surface:
        await refused(surface, Reason.CERTIFICATE, bound_to(mine), ("client-cert", client_cert(mine)))
        assert (await ask(surface, authorization(), ("client-cert", CANARY))).status_code == 200


async def test_a_proxys_own_certificate_is_not_its_callers(authority: Authority, tmp_path: Path) -> None:
    """The proxy comes by mutual TLS itself: what counts is what it says of its caller."""
    proxys, callers = authority.server("proxy"), authority.server("caller")
    context = client_context(authority.ca_file, proxys)
    for proxies in (BEHIND, Proxies(LOOPBACK)):
        async with public(tmp_path, proxies=proxies, tls=listener(authority), context=context) as surface:
            await refused(surface, Reason.CERTIFICATE, bound_to(proxys))
            said = ("client-cert", client_cert(callers))
            if proxies is BEHIND:
                await refused(surface, Reason.CERTIFICATE, bound_to(proxys), said)
                assert (await ask(surface, bound_to(callers), said)).status_code == 200
            else:
                await refused(surface, Reason.CERTIFICATE, bound_to(callers), said)


# ---- through a proxy that passes bytes on ----------------------------------------------------------------------------


async def raw_answer(surface: Public, announced: str, headers: dict[str, str], context: ssl.SSLContext | None) -> int:
    """The status, for a caller that a proxy announces."""
    addresses = bytes(map(int, announced.split("."))) + bytes(8)
    before = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + addresses
    reader, writer = await asyncio.open_connection("127.0.0.1", surface.client.base_url.port)
    writer.write(before)
    if context is not None:
        await writer.start_tls(context, server_hostname="127.0.0.1")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET /v1/models HTTP/1.1\r\nhost: a\r\n{lines}\r\n".encode())
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.close()
    return status


async def test_through_a_proxy_that_passes_bytes_on_the_handshake_is_the_callers(
    authority: Authority, tmp_path: Path
) -> None:
    mine = authority.server("mine")
    context = client_context(authority.ca_file, mine)
    proxies = Proxies(LOOPBACK, proxy_protocol=True)
    async with public(tmp_path, policy=BOUND, proxies=proxies, tls=listener(authority), context=context) as surface:
        assert await raw_answer(surface, "198.51.100.7", bound_to(mine), context) == 200
        without = client_context(authority.ca_file)
        assert await raw_answer(surface, "198.51.100.7", bound_to(mine), without) == 401
        assert surface.records[0]["address"] == "198.51.100.0/24"


async def test_who_is_announced_writes_headers_that_are_believed_only_as_the_second_machine_of_ours(
    authority: Authority, tmp_path: Path
) -> None:
    mine = authority.server("mine")
    headers = bound_to(mine) | {"client-cert": client_cert(mine), "x-forwarded-for": "203.0.113.9"}
    networks = (*LOOPBACK, ip_network("10.0.0.0/8"))
    for hops, announced, status, address in (
        (2, "10.0.0.1", 200, "203.0.113.0/24"),
        (2, "198.51.100.7", 401, "198.51.100.0/24"),
        (1, "10.0.0.1", 401, "10.0.0.0/24"),
    ):
        proxies = Proxies(networks, hops, proxy_protocol=True, client_cert_header=True)
        async with public(tmp_path, policy=BOUND, proxies=proxies) as surface:
            assert await raw_answer(surface, announced, headers, None) == status
            assert surface.records[0]["address"] == address
