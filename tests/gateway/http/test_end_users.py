"""End users at the surface: which line of the head names one, what of the body does, and where none of it goes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.auth.revocation import Kind, Revocation
from gateway.http.inbound import END_USER
from gateway.types import EndUser
from tests.gateway.http.surface import CHAT, Public, authorization, public
from tests.gateway.support import CANARY, CLAIMS, ISSUER, POLICY, make_token

USERS = "https://users.test"
ASSERTING = POLICY.replace("tenant: {fixed: acme}", f"tenant: {{fixed: acme}}\n    end_user: {{assertion: {USERS}}}", 1)
ASSERTING += f"""\
end_user_issuers:
  - issuer: {USERS}
    audience: [tightlip-end-user]
    algorithms: [ES256]
    keys: [{{file: key.pem}}]
    tenant: {{fixed: acme}}
"""


def assertion(**claims: Any) -> str:
    now = int(time.time())
    said = {"iss": USERS, "aud": "tightlip-end-user", "sub": CANARY, "iat": now - 10, "exp": now + 200, **claims}
    return make_token({"alg": "ES256", "typ": "JWT"}, said)


@pytest.fixture
async def surface(tmp_path: Path) -> AsyncIterator[Public]:
    async with public(tmp_path, policy=ASSERTING) as surface:
        yield surface


async def asked(surface: Public, *assertions: str, body: dict[str, Any] = CHAT, **claims: Any) -> httpx.Response:
    lines = [*authorization(**claims).items(), *((END_USER, each) for each in assertions)]
    return await surface.client.post("/v1/chat/completions", json=body, headers=lines)


def silent(surface: Public, *answers: httpx.Response) -> bool:
    """Nothing says who it was."""
    page = "".join(
        f"{metric.name}{sample.labels}" for metric in surface.registry.collect() for sample in metric.samples
    )
    told = [surface.log.getvalue().decode(), page, *(f"{answer.text}{answer.headers}" for answer in answers)]
    return not any(CANARY in text or END_USER in text for text in told)


async def test_a_signed_end_user_is_the_request_s_and_comes_before_an_unsigned_one(surface: Public) -> None:
    answers = [await asked(surface, assertion()), await asked(surface, assertion(), body=CHAT | {"user": "zq-other"})]
    assert [answer.status_code for answer in answers] == [200, 200]
    for plan in surface.plans:
        assert plan.end_user == plan.grant.principal.end_user
        assert (plan.end_user.issuer, plan.end_user.name) == (USERS, CANARY)  # type: ignore[union-attr]
        assert (plan.grant.principal.subject, plan.grant.principal.role) == ("alice", "customer")
        assert not {"user", "safety_identifier"} & plan.body.keys()
    assert silent(surface, *answers)


async def test_a_bad_assertion_gets_the_same_answer_as_a_bad_token(surface: Public) -> None:
    good = assertion()
    bad = [assertion(aud="tightlip"), assertion(exp=1), f"Bearer {good}", "", good[:-3], assertion(sub="a" * 257)]
    answers = [await asked(surface, *each) for each in [[text] for text in bad] + [[good, good]]]
    token = (await surface.client.post("/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer x"})).json()
    assert [(answer.status_code, answer.json()) for answer in answers] == [(401, token)] * len(answers)
    assert surface.plans == []
    models = await surface.client.get("/v1/models", headers=authorization() | {END_USER: bad[0]})
    assert models.status_code == 401
    assert silent(surface, *answers)


async def test_where_no_assertion_is_taken_one_is_refused(tmp_path: Path) -> None:
    async with public(tmp_path) as surface:
        assert (await asked(surface, assertion())).status_code == 401
        assert surface.count("tightlip_auth_failures_total", reason="end_user") == 1
        assert (await asked(surface)).status_code == 200


async def test_an_assertion_is_no_token_and_a_token_no_assertion(surface: Public) -> None:
    alone = await surface.client.get("/v1/models", headers={"authorization": f"Bearer {assertion()}"})
    assert alone.status_code == 401
    now = int(time.time())
    token = make_token(claims={**CLAIMS, "iat": now - 10, "exp": now + 600})
    assert (await asked(surface, token)).status_code == 401


async def test_a_revoked_end_user_is_stopped_and_the_application_s_others_are_not(surface: Public) -> None:
    await surface.revoke(Revocation(Kind.SUBJECT, CANARY, USERS, "acme"))
    assert (await asked(surface, assertion())).status_code == 401
    assert (await asked(surface, assertion(sub="carol"))).status_code == 200
    assert (await asked(surface)).status_code == 200
    assert silent(surface)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"user": CANARY}, CANARY),
        ({"safety_identifier": CANARY, "user": "zq-other"}, CANARY),
        ({"safety_identifier": None, "user": CANARY}, CANARY),
        ({"user": ""}, None),
        ({"user": 7}, None),
        ({"user": CANARY * 30}, None),
        ({"user": f"{CANARY}\n"}, None),
        ({}, None),
    ],
)
async def test_an_end_user_whom_only_the_body_names_is_unsigned(
    surface: Public, said: dict[str, Any], name: str | None
) -> None:
    assert (await asked(surface, body=CHAT | said)).status_code == 200
    plan = surface.plans[-1]
    assert plan.end_user == (EndUser(None, name) if name else None)
    assert plan.grant.principal.end_user is None
    assert not said.keys() & plan.body.keys()
    assert silent(surface)


async def test_with_act_the_application_calls_for_its_end_user(tmp_path: Path) -> None:
    policy = POLICY.replace("tenant: {fixed: acme}", "tenant: {fixed: acme}\n    end_user: {act: true}", 1)
    async with public(tmp_path, policy=policy) as surface:
        assert (await asked(surface, sub=CANARY, act={"sub": "app"})).status_code == 200
        assert (await asked(surface, sub=CANARY, act={})).status_code == 401
        principal = surface.plans[-1].grant.principal
        assert (principal.subject, principal.end_user.name) == ("app", CANARY)  # type: ignore[union-attr]
        await surface.revoke(Revocation(Kind.SUBJECT, CANARY, ISSUER, "acme"))
        assert (await asked(surface, sub=CANARY, act={"sub": "app"})).status_code == 401
        assert (await asked(surface, sub="carol", act={"sub": "app"})).status_code == 200
        assert silent(surface)
