"""Hostile tokens from tests/vectors/tokens.json are all refused alike; good ones of every algorithm are taken."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gateway.auth.keys import MAX_TRIED, KeySet
from gateway.auth.tokens import LEEWAY, Issuer, bearer, verify
from gateway.errors import NotAuthenticated, Reason, TokenExpired
from tests.gateway.hostile_tokens import CASES, EDITS, OTHER_AUDIENCE, Case, issuers_of, token_of
from tests.gateway.support import (
    CLAIMS,
    HEADER,
    ISSUER,
    NOW,
    OTHER_ISSUER,
    key_of,
    make_issuer,
    make_issuers,
    make_token,
    private_key,
)

SLOW = 0.25  # seconds; a refusal takes a fraction of a thousandth, and garbage collection may fall into one of three


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_hostile_tokens_are_refused_alike_and_quickly(case: Case) -> None:
    token, issuers = token_of(case), issuers_of(case)
    took = []
    for _ in range(3):
        started = time.process_time()
        with pytest.raises(NotAuthenticated) as refused:
            verify(token, issuers, NOW)
        took.append(time.process_time() - started)
    assert min(took) < SLOW
    assert refused.value.reason == Reason(case["reason"])
    assert refused.value.body() == NotAuthenticated().body()


def test_the_vectors_are_many_and_each_is_another() -> None:
    assert len(CASES) >= 150
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert len({json.dumps({**case, "name": ""}) for case in CASES}) == len(CASES)
    assert {case["edit"] for case in CASES if "edit" in case} == EDITS.keys()


@pytest.mark.parametrize("key", ["ES256", "EdDSA", "RS256"])
def test_what_the_vectors_change_is_good_unchanged(key: str) -> None:
    case = {"header": {"alg": key, "kid": key}, "key": key, "algorithm": key}
    assert verify(token_of(case), issuers_of(case), NOW).subject == "alice"


def test_the_other_issuers_own_tokens_are_good() -> None:
    claims = {"iss": OTHER_ISSUER, "aud": OTHER_AUDIENCE, "role": "admin"}
    case = {"header": {"kid": None}, "claims": claims, "key": "ES256/other"}
    principal = verify(token_of(case), issuers_of(case), NOW)
    assert (principal.role, principal.tenant) == ("admin", "elsewhere")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 9},
        {"exp": NOW - 9.5},
        {"iat": NOW + 9, "exp": NOW + 600},
        {"iat": NOW + 10, "exp": NOW + 600},
        {"nbf": NOW + 10},
        {"nbf": 1},
        {"iat": NOW - 3000, "exp": NOW + 600},
        {"exp": NOW + 600.25},
        {"sub": "\u738b\u5c0f\u660e@corp \u2603"},
        {"sub": "s" * 256},
    ],
)
def test_tokens_just_within_the_bounds_are_good(claims: dict[str, Any]) -> None:
    case = {"claims": claims}
    assert verify(token_of(case), issuers_of(case), NOW).role == "customer"


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
def test_good_tokens_of_every_algorithm_are_taken(algorithm: str) -> None:
    name = "RS256" if algorithm[:2] in ("RS", "PS") else algorithm
    issuer = make_issuer(algorithms=frozenset({algorithm}), keys=KeySet((key_of(name, algorithm, kid="k"),)))
    token = make_token({"alg": algorithm, "kid": "k"}, key=name, algorithm=algorithm)
    principal = verify(token, {ISSUER: issuer}, NOW)
    assert (principal.subject, principal.role, principal.tenant) == ("alice", "customer", "acme")
    assert principal.expires_at == CLAIMS["exp"]


@pytest.mark.parametrize("kid", [None, "unnamed"])
def test_a_key_without_an_id_serves_any_key_id(kid: str | None) -> None:
    issuer = make_issuer(keys=KeySet((key_of("ES256"),)))
    header = {"alg": "ES256"} | ({"kid": kid} if kid else {})
    assert verify(make_token(header), {ISSUER: issuer}, NOW).subject == "alice"


def test_the_second_of_two_keys_without_an_id_is_tried() -> None:
    issuer = make_issuer(keys=KeySet((key_of("ES256/other", "ES256"), key_of("ES256"))))
    assert verify(make_token({"alg": "ES256"}), {ISSUER: issuer}, NOW).subject == "alice"


def test_a_list_of_audiences_with_ours_is_enough() -> None:
    assert verify(make_token(claims={**CLAIMS, "aud": ["a", "tightlip"]}), make_issuers(), NOW)


@pytest.mark.parametrize(
    ("path", "claim"),
    [
        (("realm_access", "roles"), {"realm_access": {"roles": ["offline", "support"]}}),
        (
            ("resource_access", "tight.lip", "roles"),
            {"resource_access": {"account": {"roles": ["customer"]}, "tight.lip": {"roles": ["support"]}}},
        ),
        (("roles",), {"roles": ["support", "other"]}),
        (("https://claims.test/role",), {"https://claims.test/role": "support"}),
    ],
)
def test_roles_of_common_issuers_are_found(path: tuple[str, ...], claim: dict[str, Any]) -> None:
    issuer = make_issuer(role_path=path)
    claims = {name: value for name, value in CLAIMS.items() if name != "role"} | claim
    assert verify(make_token(claims=claims), {ISSUER: issuer}, NOW).role == "support"


SERVICE = "system:serviceaccount:shop:assistant"


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"sub": SERVICE}, "support"),
        ({"sub": "somebody", "groups": ["staff", "others"]}, "customer"),
        ({"sub": "somebody", "groups": "staff"}, "customer"),
        ({"sub": "alice", "role": "customer"}, "customer"),
        ({"sub": SERVICE, "role": "support"}, "support"),
    ],
)
def test_a_role_may_come_from_a_table_of_subjects_and_groups(claims: dict[str, Any], role: str) -> None:
    assert verify(make_token(claims=_roleless() | claims), {ISSUER: _with_tables()}, NOW).role == role


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "somebody"},
        {"sub": "somebody", "groups": []},
        {"sub": "somebody", "groups": ["Staff"]},
        {"sub": "somebody", "groups": {"staff": True}},
        {"sub": "somebody", "groups": ["staff", 1]},
        {"sub": SERVICE + " "},
        {"sub": SERVICE, "groups": ["staff"]},  # two roles
        {"sub": SERVICE, "role": "customer"},
        {"sub": "root"},  # the table names a role that this issuer may not give
    ],
)
def test_who_stands_in_no_table_or_in_two_has_no_role(claims: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        verify(make_token(claims=_roleless() | claims), {ISSUER: _with_tables()}, NOW)
    assert refused.value.reason == Reason.ROLE


def _roleless() -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name != "role"}


def _with_tables() -> Issuer:
    return make_issuer(
        role_of_subject={SERVICE: "support", "root": "admin"},
        group_path=("groups",),
        role_of_group={"staff": "customer"},
    )


def test_an_issuer_may_name_another_token_id_or_none() -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "jti"}
    named = verify(make_token(claims=claims | {"uti": "u1"}), {ISSUER: make_issuer(token_id_claim="uti")}, NOW)
    unnamed = verify(make_token(claims=claims), {ISSUER: make_issuer(token_id_claim=None)}, NOW)
    assert (named.token_id, unnamed.token_id) == ("u1", None)


def test_the_type_header_is_checked_where_the_issuer_has_one() -> None:
    issuer = make_issuer(types=frozenset({"at+jwt"}))
    for kind in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert verify(make_token(HEADER | {"typ": kind}), {ISSUER: issuer}, NOW)
    for header in (HEADER, {"alg": "ES256"}):
        with pytest.raises(NotAuthenticated):
            verify(make_token(header), {ISSUER: issuer}, NOW)


@pytest.mark.parametrize("header", [{"alg": "ES256"}, *(HEADER | {"typ": kind} for kind in ("jwt", "at+jwt"))])
def test_where_it_has_none_access_tokens_are_what_they_usually_call_themselves(header: dict[str, str]) -> None:
    assert verify(make_token(header), make_issuers(), NOW)


def test_a_tenant_claim_must_be_one_of_the_issuers() -> None:
    issuer = make_issuer(tenant=None, tenant_claim="tid", tenants=frozenset({"north"}))
    assert verify(make_token(claims=CLAIMS | {"tid": "north"}), {ISSUER: issuer}, NOW).tenant == "north"
    for wrong in ({}, {"tid": "south"}, {"tid": ["north"]}):
        with pytest.raises(NotAuthenticated) as refused:
            verify(make_token(claims=CLAIMS | wrong), {ISSUER: issuer}, NOW)
        assert refused.value.reason == Reason.TENANT


def test_expiry_has_the_leeway_and_no_more() -> None:
    token, last = make_token(), CLAIMS["exp"] + LEEWAY
    assert verify(token, make_issuers(), last - 0.001)
    with pytest.raises(TokenExpired):
        verify(token, make_issuers(), last)


def test_a_token_that_names_none_of_many_keys_is_not_tried_with_all() -> None:
    keys = KeySet(tuple(key_of(f"ES256/{number}", "ES256", kid=str(number)) for number in range(MAX_TRIED + 1)))
    token, issuers = make_token({"alg": "ES256"}, key="ES256/0"), {ISSUER: make_issuer(keys=keys)}
    with pytest.raises(NotAuthenticated) as refused:
        verify(token, issuers, NOW)
    assert refused.value.reason == Reason.UNKNOWN_KEY
    assert verify(make_token({"alg": "ES256", "kid": "0"}, key="ES256/0"), issuers, NOW)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], Reason.MISSING),
        ([b"Bearer a", b"Bearer b"], Reason.MALFORMED),
        ([b"Basic YTpi"], Reason.MALFORMED),
        ([b"Bearer"], Reason.MALFORMED),
        ([b"Bearer "], Reason.MALFORMED),
        ([b"token"], Reason.MALFORMED),
        ([b""], Reason.MALFORMED),
    ],
)
def test_only_one_bearer_line_is_taken(lines: list[bytes], reason: Reason) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        bearer(lines)
    assert refused.value.reason == reason


def test_the_scheme_has_no_case() -> None:
    assert bearer([b"bearer a.b.c"]) == bearer([b"BEARER a.b.c"]) == "a.b.c"


def test_private_keys_of_the_tests_are_not_shared() -> None:
    assert private_key("ES256") is private_key("ES256")
    assert private_key("ES256") is not private_key("ES256/other")
