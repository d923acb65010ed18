"""Tokens of a real Kubernetes API server, with the keys from its own page, through a rotation of its keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.auth import issuers
from gateway.auth.issuers import Verifier
from gateway.auth.jwks import LEAST_BETWEEN, PageFetcher
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.load import Rules, load
from tests.cluster.control_plane import ApiServer, api_server, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

AUDIENCE = "tightlip"
POLICY = """\
version: 1
issuers:
  - issuer: https://kubernetes.default.svc
    audience: [tightlip]
    algorithms: [RS256]
    keys: [{{url: "{url}/openid/v1/jwks", ca_file: {ca}, token_file: reader.token, refresh_seconds: 3600}}]
    roles: [customer]
    role_claim: null                 # a service account has no claim that says a role
    role_of_subject: {{"system:serviceaccount:default:assistant": customer}}
    tenant: {{fixed: acme}}
roles:
  customer: {{models: [assistant], endpoints: [chat]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("cluster")) as server:
        server.create_account("assistant")
        server.create_account("stranger")
        yield server


@pytest.fixture
def rules(server: ApiServer, tmp_path: Path) -> Rules:
    (tmp_path / "reader.token").write_text(server.token("stranger", "") + "\n")  # any account may read the page
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.format(url=server.url, ca=server.ca_file), encoding="utf-8")
    return load(path)


async def refused(verifier: Verifier, token: str) -> Reason:
    with pytest.raises(NotAuthenticated) as refusal:
        await verifier.authenticate(token)
    return Reason(refusal.value.reason)


async def test_a_service_account_is_let_in_by_its_subject_alone(server: ApiServer, rules: Rules) -> None:
    fetcher = PageFetcher(issuers.pages(rules))
    try:
        verifier = Verifier(issuers.load(rules, fetcher), now=time.time)
        assert all(await asyncio.gather(*(keys.fetch() for keys in verifier.remote)))
        principal = await verifier.authenticate(server.token("assistant", AUDIENCE))
        assert (principal.subject, principal.role) == ("system:serviceaccount:default:assistant", "customer")
        assert principal.token_id
        assert await refused(verifier, server.token("stranger", AUDIENCE)) is Reason.ROLE
        assert await refused(verifier, server.token("assistant", "another")) is Reason.AUDIENCE
        assert await refused(verifier, server.token("assistant", "")) is Reason.AUDIENCE
        assert await refused(verifier, server.token("assistant", AUDIENCE, 7200)) is Reason.TOO_LONG_LIVED
    finally:
        await fetcher.aclose()


async def test_a_rotation_there_needs_no_restart_here(server: ApiServer, rules: Rules) -> None:
    fetcher = PageFetcher(issuers.pages(rules))
    try:
        verifier = Verifier(issuers.load(rules, fetcher), now=time.time)
        (keys,) = verifier.remote
        await keys.fetch()
        old = server.token("assistant", AUDIENCE)
        assert (await verifier.authenticate(old)).role == "customer"

        await asyncio.to_thread(server.restart, "second", ["first", "second"])
        new = await asyncio.to_thread(server.token, "assistant", AUDIENCE)
        assert (await verifier.authenticate(new)).role == "customer"  # its key id was unknown, and was fetched for
        assert (await verifier.authenticate(old)).role == "customer"

        await asyncio.to_thread(server.restart, "second", ["second"])
        (rules.document.path.parent / "reader.token").write_text(server.token("stranger", "") + "\n")
        assert await keys.fetch()
        assert await refused(verifier, old) is Reason.UNKNOWN_KEY
        assert (await verifier.authenticate(new)).role == "customer"
        await asyncio.sleep(LEAST_BETWEEN)
    finally:
        await fetcher.aclose()


async def test_while_the_server_is_away_known_keys_serve(server: ApiServer, rules: Rules) -> None:
    fetcher = PageFetcher(issuers.pages(rules))
    try:
        verifier = Verifier(issuers.load(rules, fetcher), now=time.time)
        (keys,) = verifier.remote
        assert await keys.fetch()
        token = await asyncio.to_thread(server.token, "assistant", AUDIENCE)
        server.stop()
        assert not await keys.fetch()
        assert (await verifier.authenticate(token)).role == "customer"
    finally:
        await fetcher.aclose()
