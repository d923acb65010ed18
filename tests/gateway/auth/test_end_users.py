"""Who sits before an application: named by its token, or by an assertion beside it; by two only where they agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.end_users import EndUsers
from gateway.auth.issuers import Verifier
from gateway.auth.revocation import Kind, Revocation, Revocations
from gateway.auth.tokens import NO_ROLE, Issuer, verify
from gateway.errors import NotAuthenticated, Reason
from gateway.types import EndUser, Principal
from tests.gateway.hostile_tokens import CASES as HOSTILE
from tests.gateway.hostile_tokens import Case, issuers_of, token_of
from tests.gateway.support import CLAIMS, ISSUER, NOW, OTHER_ISSUER, make_issuer, make_token

VECTORS = json.loads(Path("tests/vectors/end_users.json").read_text(encoding="utf-8"))
USERS = "https://users.test"
ASSERTED = {"iss": USERS, "aud": "tightlip-end-user", "sub": "bob", "iat": NOW - 10, "exp": NOW + 200}
APP = Principal(ISSUER, "acme", "app", "t-1", "customer", NOW + 600.0, issued_at=NOW - 60.0)


def principal_of(case: Case) -> Principal:
    issuer = make_issuer(takes_actors=case.get("takes_actors", False), end_user_claim=case.get("end_user_claim"))
    return verify(token_of(case), {ISSUER: issuer}, NOW)


def text(value: Any) -> Any:
    return value["repeat"] * value["times"] if isinstance(value, dict) else value


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_a_token_names_who_calls_and_who_sits_before_him(case: Case) -> None:
    if "is" not in case:
        with pytest.raises(NotAuthenticated) as refused:
            principal_of(case)
        assert refused.value.reason == Reason.END_USER
        assert refused.value.body() == NotAuthenticated().body()
        return
    principal, (subject, end_user) = principal_of(case), map(text, case["is"])
    assert principal.subject == subject
    assert principal.end_user == (EndUser(ISSUER, end_user, NOW - 60.0) if end_user else None)
    assert (principal.role, principal.tenant, principal.token_id) == ("customer", "acme", "token-1")


@pytest.mark.parametrize("case", VECTORS["malformed"], ids=lambda case: case["name"])
def test_a_name_that_can_be_nobody_s_is_refused(case: Case) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        principal_of(case)
    assert refused.value.reason == Reason.MALFORMED


def test_an_end_user_never_brings_his_own_role() -> None:
    """The table gives the application its role, whoever sits before it."""
    table = {"alice": "support", "app": "customer"}
    issuer = make_issuer(role_path=(), role_of_subject=table, takes_actors=True)
    claims = {name: value for name, value in CLAIMS.items() if name != "role"}
    for act, role in ((None, "support"), ({"sub": "app"}, "customer")):
        token = make_token(claims=claims | ({"act": act} if act else {}))
        assert verify(token, {ISSUER: issuer}, NOW).role == role
    with pytest.raises(NotAuthenticated):
        verify(make_token(claims=claims | {"act": {"sub": "stranger"}}), {ISSUER: issuer}, NOW)


# ---- assertions ------------------------------------------------------------------------------------------------------


def end_users(**changes: Any) -> EndUsers:
    issuer = asserting(**changes)
    return EndUsers(Verifier({issuer.name: issuer}, now=lambda: NOW), {ISSUER: USERS})


def asserting(**changes: Any) -> Issuer:
    defaults = {"name": USERS, "audiences": frozenset({"tightlip-end-user"}), "max_life": 300.0, "roles": frozenset()}
    return make_issuer(**{**defaults, "role_path": (), "token_id_claim": None, **changes})


def assertion(**claims: Any) -> bytes:
    return make_token(claims={name: value for name, value in {**ASSERTED, **claims}.items() if value}).encode()


async def test_an_assertion_names_the_end_user_and_changes_nothing_else() -> None:
    named = await end_users().named(APP, [assertion(role="admin", tenant="other")])
    assert named == replace(APP, end_user=EndUser(USERS, "bob", NOW - 10))
    assert await end_users().named(APP, []) is APP
    again = assertion()
    good = end_users()
    assert [await good.named(APP, [again]) for _ in range(3)] == [named] * 3, "it is good until it ends"


async def test_what_names_an_end_user_lets_nobody_in() -> None:
    said = verify(assertion(role="customer").decode(), {USERS: asserting()}, NOW)
    assert said.role == NO_ROLE == ""


async def reason(users: EndUsers, *assertions: bytes, caller: Principal = APP) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        await users.named(caller, assertions)
    assert refused.value.body() == NotAuthenticated().body()
    return refused.value.reason


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "tightlip"}, Reason.AUDIENCE),
        ({"iss": ISSUER}, Reason.UNKNOWN_ISSUER),
        ({"sub": ""}, Reason.CLAIM_MISSING),
        ({"sub": "bob\n"}, Reason.MALFORMED),
        ({"exp": NOW - 60}, Reason.EXPIRED),
        ({"exp": NOW + 400}, Reason.TOO_LONG_LIVED),
        ({"iat": NOW + 60, "exp": NOW + 100}, Reason.NOT_YET),
        ({"cnf": {"x5t#S256": "A" * 43}}, Reason.END_USER),
        ({"cnf": {"jkt": "A" * 43}}, Reason.CONFIRMATION),
    ],
)
async def test_a_bad_assertion_is_refused_as_a_bad_token_is(claims: dict[str, Any], why: Reason) -> None:
    assert await reason(end_users(), assertion(**claims)) == why


async def test_one_that_was_not_asked_for_or_comes_twice_is_refused() -> None:
    good = assertion()
    assert await reason(end_users(), good, good) == Reason.END_USER
    assert await reason(end_users(), good, b"") == Reason.END_USER
    assert await reason(end_users(), good, caller=replace(APP, issuer=OTHER_ISSUER)) == Reason.END_USER
    for raw in (b"", b"bob", b"Bearer " + good, good + b", " + good, b"\xff" * 40, b"A" * 9000):
        assert await reason(end_users(), raw) == Reason.MALFORMED


async def test_one_of_another_tenant_is_refused() -> None:
    users = end_users(tenant=None, tenant_claim="tid", tenants=frozenset({"acme", "other"}))
    assert (await users.named(APP, [assertion(tid="acme")])).end_user == EndUser(USERS, "bob", NOW - 10)
    assert await reason(users, assertion(tid="other")) == Reason.END_USER
    assert await reason(users, assertion()) == Reason.TENANT


async def test_who_is_signed_twice_must_be_the_same() -> None:
    same = replace(APP, end_user=EndUser(USERS, "bob", NOW - 60.0))
    assert (await end_users().named(same, [assertion()])).end_user == EndUser(USERS, "bob", NOW - 10)
    for other in (EndUser(USERS, "carol"), EndUser(ISSUER, "bob")):
        assert await reason(end_users(), assertion(), caller=replace(APP, end_user=other)) == Reason.END_USER


async def test_every_hostile_token_is_a_hostile_assertion() -> None:
    for case in HOSTILE:
        issuers = {name: replace(each, roles=frozenset()) for name, each in issuers_of(case).items()}
        if case["reason"] == "role":  # of which an assertion has none
            continue
        users = EndUsers(Verifier(issuers, now=lambda: NOW), {ISSUER: ISSUER})
        try:
            raw = token_of(case).encode("latin-1")
        except UnicodeEncodeError:  # no header line can hold it
            continue
        assert await reason(users, raw) == case["reason"], case["name"]


# ---- revocations -----------------------------------------------------------------------------------------------------

BEHIND = replace(APP, end_user=EndUser(USERS, "bob", NOW - 10.0, "a-1"))


@pytest.mark.parametrize(
    ("revocation", "meant"),
    [
        (Revocation(Kind.SUBJECT, "bob", USERS, "acme"), True),
        (Revocation(Kind.SUBJECT, "bob", USERS, "acme", NOW), True),
        (Revocation(Kind.SUBJECT, "bob", USERS, "acme", NOW - 30.0), False),
        (Revocation(Kind.SUBJECT, "bob", USERS, "other"), False),
        (Revocation(Kind.SUBJECT, "bob", ISSUER, "acme"), False),
        (Revocation(Kind.SUBJECT, "carol", USERS, "acme"), False),
        (Revocation(Kind.SUBJECT, "app", ISSUER, "acme"), True),
        (Revocation(Kind.TOKEN_ID, "a-1", USERS), True),
        (Revocation(Kind.TOKEN_ID, "a-1", ISSUER), False),
        (Revocation(Kind.EVERYTHING, issuer=USERS, issued_before=NOW), True),
        (Revocation(Kind.EVERYTHING, issuer=USERS, issued_before=NOW - 30.0), False),
    ],
)
def test_a_subject_that_is_revoked_is_stopped_behind_any_application(revocation: Revocation, meant: bool) -> None:
    copy = Revocations()
    copy.put(revocation.id, revocation, None)
    if meant:
        with pytest.raises(NotAuthenticated):
            copy.check(BEHIND)
    else:
        copy.check(BEHIND)


def test_whom_nobody_signed_can_t_be_revoked_and_stops_nobody() -> None:
    copy = Revocations()
    revocation = Revocation(Kind.SUBJECT, "bob", ISSUER, "acme")
    copy.put(revocation.id, revocation, None)
    copy.check(replace(APP, end_user=EndUser(None, "bob")))
