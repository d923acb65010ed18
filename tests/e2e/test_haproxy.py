"""A real HAProxy in front: it announces callers by the PROXY protocol, and says whose certificate it saw (RFC 9440)."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from gateway.addresses import Proxies
from tests.gateway.http.surface import CHAT, Public, authorization, public
from tests.gateway.http.test_bound_tokens import BOUND, bound_to, client_cert, listener
from tests.support.processes import HOST, Child, Program, free_port, start, stop, wait_until_ready
from tests.support.tls import Authority, client_context
from tests.support.waiting import PATIENCE_S, until_async

HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
LOOPBACK = (ip_network("127.0.0.0/8"),)
CONFIGURATION = """\
defaults
  timeout connect 30s
  timeout client 30s
  timeout server 30s
listen front
  bind {host}:{port}{bind}
"""
# Bytes are passed on, to a listener with TLS; its own checks are LOCAL connections, and late ones don't count.
PASSES = """\
  mode tcp
  option httpchk GET /none
  http-check expect status 404
  server gateway {host}:{gateway} send-proxy-v2 check inter 100ms fall 100000 check-send-proxy check-ssl verify none
"""
# As docs/tls.md has it.
ENDS_TLS = """\
  mode http
  http-request del-header Client-Cert
  http-request set-header Client-Cert ":%[ssl_c_der,base64]:" if {{ ssl_c_used }}
  http-request set-header X-Forwarded-For %[src]
  server gateway {host}:{gateway}
"""

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="needs haproxy on PATH (apt-get install haproxy)")


@asynccontextmanager
async def haproxy(folder: Path, surface: Public, backend: str, bind: str = "") -> AsyncIterator[str]:
    """Where it listens, in front of the surface, which goes on answering while it starts."""
    port, gateway = free_port(), surface.client.base_url.port
    file = folder / "haproxy.cfg"
    file.write_text((CONFIGURATION + backend).format(host=HOST, port=port, bind=bind, gateway=gateway))
    child = start(Program("haproxy", [str(HAPROXY), "-db", "-f", str(file)], lambda _: True), folder / "logs")
    try:
        await asyncio.to_thread(wait_until_ready, child)
        await _listening(port, child)
        yield f"https://{HOST}:{port}"
    finally:
        await asyncio.to_thread(stop, child)


async def _listening(port: int, child: Child) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                assert child.process.poll() is None, child.output
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def chat(url: str, context: ssl.SSLContext, *headers: tuple[str, str]) -> int:
    async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False, timeout=PATIENCE_S) as client:
        return (await client.post("/v1/chat/completions", json=CHAT, headers=list(headers))).status_code


async def test_it_announces_callers_and_the_handshake_stays_theirs(authority: Authority, tmp_path: Path) -> None:
    mine = authority.server("mine")
    proxies = Proxies(LOOPBACK, proxy_protocol=True)
    async with (
        public(tmp_path, policy=BOUND, proxies=proxies, tls=listener(authority)) as surface,
        haproxy(tmp_path, surface, PASSES) as url,
    ):
        with_mine, without = client_context(authority.ca_file, mine), client_context(authority.ca_file)
        await until_async(lambda: surface.records)  # its first check, which is a request of its own
        assert await chat(url, with_mine, *bound_to(mine).items()) == 200
        assert await chat(url, without, *bound_to(mine).items()) == 401
        spoofed = ("client-cert", client_cert(mine)), ("x-forwarded-for", "203.0.113.9")
        assert await chat(url, without, *bound_to(mine).items(), *spoofed) == 401
        assert {record["address"] for record in surface.records} == {"127.0.0.0/24"}


async def test_it_says_whose_certificate_it_saw(authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.server("mine"), authority.server("other")
    bind = f" ssl crt {authority.server('front')} ca-file {authority.ca_file} verify optional"
    proxies = Proxies(LOOPBACK, client_cert_header=True)
    async with (
        public(tmp_path, policy=BOUND, proxies=proxies) as surface,
        haproxy(tmp_path, surface, ENDS_TLS, bind) as url,
    ):
        spoofed = ("client-cert", client_cert(mine))
        for shown, token, more, status in (
            (mine, bound_to(mine), (), 200),
            (other, bound_to(mine), (), 401),
            (None, bound_to(mine), (), 401),
            (None, bound_to(mine), (spoofed,), 401),
            (other, bound_to(mine), (spoofed,), 401),
            (mine, authorization(), (), 401),
        ):
            assert await chat(url, client_context(authority.ca_file, shown), *token.items(), *more) == status
