"""Tokens of a real Kubernetes API server, with the keys from its own page, through a rotation of its keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.auth import issuers
from gateway.auth.issuers import Verifier
from gateway.auth.jwks import LEAST_BETWEEN, FetchFailed, PageFetcher
from gateway.auth.tokens import LEEWAY
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.load import Rules, load
from gateway.secrets.references import parse_vault
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.secrets.vault import Vault as VaultReader
from gateway.settings import PodSettings, VaultSettings
from tests.cluster.control_plane import ApiServer, api_server, missing
from tests.support.vault import needs_vault, vault
from tests.support.waiting import PATIENCE_S

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
    role_of_subject:
      "system:serviceaccount:default:assistant": customer
      "system:serviceaccount:default:leaver": customer
    tenant: {{fixed: acme}}
roles:
  customer: {{models: [assistant], endpoints: [chat]}}
"""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.jwks.DEADLINE", PATIENCE_S)
    monkeypatch.setattr("gateway.secrets.vault.TIMEOUT", PATIENCE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("cluster")) as server:
        server.create_account("assistant")
        server.create_account("stranger")
        server.create_account("leaver")
        server.create_secret("anchor")
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


async def gone(is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while await asyncio.to_thread(is_there):
        assert time.monotonic() < end
        await asyncio.sleep(0.5)


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


async def test_an_expired_token_of_the_shortest_life_is_refused(server: ApiServer, rules: Rules) -> None:
    fetcher = PageFetcher()
    fetcher.know(issuers.pages(rules))
    try:
        later = 0.0
        verifier = Verifier(issuers.load(rules, fetcher), now=lambda: time.time() + later)
        (keys,) = verifier.remote
        await keys.fetch()
        token = server.token("assistant", AUDIENCE, 600)
        principal = await verifier.authenticate(token)
        later = principal.expires_at - time.time() + LEEWAY + 1
        assert await refused(verifier, token) is Reason.EXPIRED
    finally:
        await fetcher.aclose()


async def test_what_no_signature_tells(server: ApiServer, rules: Rules) -> None:
    """An account, or an object that a token is bound to, that is gone: the API server knows; who only verifies, not.
    Such a token is good until it expires or is revoked (docs/tokens.md)."""
    fetcher = PageFetcher()
    fetcher.know(issuers.pages(rules))
    try:
        verifier = Verifier(issuers.load(rules, fetcher), now=time.time)
        (keys,) = verifier.remote
        await keys.fetch()
        bound, of_leaver = server.token("assistant", AUDIENCE, secret="anchor"), server.token("leaver", AUDIENCE)
        assert server.is_good(server.token("assistant", AUDIENCE), AUDIENCE)
        assert (await verifier.authenticate(bound)).subject == "system:serviceaccount:default:assistant"
        server.delete("secrets", "anchor")
        server.delete("serviceaccounts", "leaver")
        for token in (bound, of_leaver):  # it remembers for a moment that they were good
            await gone(partial(server.is_good, token, AUDIENCE))
        assert (await verifier.authenticate(bound)).role == "customer"
        assert (await verifier.authenticate(of_leaver)).role == "customer"
    finally:
        await fetcher.aclose()


@needs_vault
def test_a_service_account_opens_vault_and_another_does_not(server: ApiServer, tmp_path: Path) -> None:
    server.create_account("reviewer")
    server.allow_reviews("reviewer")
    ref, token_file = parse_vault("tightlip/roots#log"), tmp_path / "token"
    with vault(tmp_path / "vault") as keeper:
        keeper.trust_cluster(server.url, server.ca_file.read_text(), server.token("reviewer", ""))
        keeper.cluster_role("gateway", "assistant")
        keeper.put("roots", {"log": "canary"})
        reader = VaultReader(
            VaultSettings(
                url=keeper.url, ca_file=keeper.ca_file, kubernetes=PodSettings(role="gateway", token_file=token_file)
            )
        )
        refused, unread = Trouble.LOGIN_REFUSED, Trouble.CREDENTIAL
        for wrong, trouble in ((server.token("stranger", ""), refused), ("no.token.atall", refused), ("", unread)):
            token_file.write_text(wrong)
            with pytest.raises(VaultTrouble) as failed:
                reader.read(ref)
            assert failed.value.trouble is trouble
        token_file.write_text(server.token("assistant", ""))
        assert reader.read(ref) == "canary"
        keeper.revoke_tokens("kubernetes")
        token_file.write_text(server.token("assistant", ""))  # as the kubelet does in good time
        assert reader.read(ref) == "canary"


async def test_the_page_of_keys_is_not_for_everybody(server: ApiServer, rules: Rules) -> None:
    (page,) = issuers.pages(rules)
    fetcher = PageFetcher()
    try:
        for stranger in (replace(page, token_file=None), replace(page, ca_file=None)):
            fetcher.know([stranger])
            with pytest.raises(FetchFailed):
                await fetcher(stranger)
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
