"""Who is meant by a revocation and who is not, and how long it has to be kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import tokens
from gateway.auth.revocation import Kind, Revocation, Revocations
from gateway.auth.tokens import LEEWAY
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.schema import LONGEST_LIFE
from gateway.types import Principal
from tests.gateway.support import CLAIMS, ISSUER, NOW, make_issuers, make_token

ALICE = Principal("idp", "acme", "alice", "t-1", "customer", NOW + 600.0, issued_at=NOW - 60.0)
TOKEN = Revocation(Kind.TOKEN_ID, "t-1", "idp")
SUBJECT = Revocation(Kind.SUBJECT, "alice", "idp", "acme")
ROLE = Revocation(Kind.ROLE, "customer")
EVERYTHING = Revocation(Kind.EVERYTHING, issued_before=NOW)


def known(*revocations: Revocation) -> Revocations:
    copy = Revocations()
    for each in revocations:
        copy.put(each.id, each, each.expires_at(NOW))
    return copy


def reason(copy: Revocations, principal: Principal) -> str | None:
    try:
        copy.check(principal)
    except NotAuthenticated as refused:
        return refused.reason
    return None


@pytest.mark.parametrize(
    ("revocation", "why"),
    [
        (TOKEN, Reason.REVOKED_TOKEN),
        (replace(TOKEN, tenant="acme"), Reason.REVOKED_TOKEN),
        (SUBJECT, Reason.REVOKED_SUBJECT),
        (replace(SUBJECT, issued_before=NOW), Reason.REVOKED_SUBJECT),
        (ROLE, Reason.REVOKED_ROLE),
        (replace(ROLE, issuer="idp"), Reason.REVOKED_ROLE),
        (replace(ROLE, issuer="idp", tenant="acme"), Reason.REVOKED_ROLE),
        (EVERYTHING, Reason.REVOKED_TIME),
        (replace(EVERYTHING, issuer="idp"), Reason.REVOKED_TIME),
        (replace(EVERYTHING, issuer="idp", tenant="acme"), Reason.REVOKED_TIME),
    ],
)
def test_each_kind_means_its_tokens_and_says_which_it_was(revocation: Revocation, why: Reason) -> None:
    copy = known(revocation)
    assert reason(copy, ALICE) == why
    copy.drop(revocation.id)
    assert reason(copy, ALICE) is None
    assert len(copy) == 0


@pytest.mark.parametrize(
    "revocation",
    [
        replace(TOKEN, value="t-2"),
        replace(TOKEN, issuer="other"),
        replace(TOKEN, tenant="globex"),
        replace(SUBJECT, value="bob"),
        replace(SUBJECT, issuer="other"),
        replace(SUBJECT, tenant="globex"),
        replace(SUBJECT, issued_before=NOW - 60.0),
        replace(ROLE, value="support"),
        replace(ROLE, issuer="other"),
        replace(ROLE, issuer="idp", tenant="globex"),
        replace(EVERYTHING, issued_before=NOW - 60.0),
        replace(EVERYTHING, issuer="other"),
        replace(EVERYTHING, issuer="idp", tenant="globex"),
        Revocation(Kind.SUBJECT, "t-1", "idp", "acme"),
        Revocation(Kind.TOKEN_ID, "alice", "idp"),
    ],
)
def test_nobody_else_is_meant(revocation: Revocation) -> None:
    assert reason(known(revocation), ALICE) is None


def test_a_token_without_an_id_is_not_the_one_that_has_none() -> None:
    assert reason(known(TOKEN), replace(ALICE, token_id=None)) is None


def test_a_narrower_one_takes_nothing_from_a_wider_one() -> None:
    narrow = replace(SUBJECT, issued_before=NOW - 100.0)
    copy = known(SUBJECT, narrow)
    assert reason(copy, ALICE) == Reason.REVOKED_SUBJECT
    copy.drop(SUBJECT.id)
    assert reason(copy, ALICE) is None
    assert reason(copy, replace(ALICE, issued_at=NOW - 101.0)) == Reason.REVOKED_SUBJECT


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": Kind.TOKEN_ID, "value": "t"},
        {"kind": Kind.TOKEN_ID, "issuer": "idp"},
        {"kind": Kind.SUBJECT, "value": "alice", "issuer": "idp"},
        {"kind": Kind.ROLE, "value": "customer", "tenant": "acme"},
        {"kind": Kind.ROLE},
        {"kind": Kind.EVERYTHING},
        {"kind": Kind.EVERYTHING, "value": "all", "issued_before": 1.0},
        {"kind": Kind.EVERYTHING, "issued_before": float("nan")},
        {"kind": Kind.EVERYTHING, "issued_before": 1e300},
    ],
)
def test_what_could_mean_somebody_else_s_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Revocation(**fields)


TEXTS = st.text('ab"é', min_size=1, max_size=3)
REVOCATIONS = st.one_of(
    st.builds(Revocation, st.just(Kind.TOKEN_ID), TEXTS, TEXTS, st.none() | TEXTS, st.none()),
    st.builds(Revocation, st.just(Kind.SUBJECT), TEXTS, TEXTS, TEXTS, st.none() | st.floats(1, 2e9)),
    st.builds(Revocation, st.just(Kind.ROLE), TEXTS, st.none() | TEXTS, st.none(), st.none() | st.floats(1, 2e9)),
    st.builds(Revocation, st.just(Kind.EVERYTHING), st.just(""), TEXTS, st.none() | TEXTS, st.floats(1, 2e9)),
)


@given(REVOCATIONS)
def test_it_is_read_as_it_was_written_and_has_one_name(revocation: Revocation) -> None:
    again = Revocation.read(revocation.written())
    assert again == revocation
    assert again.id == revocation.id


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"kind": "planet", "value": "x"}', '{"kind": "role"}', "x"])
def test_what_this_version_does_not_understand_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no revocation"):
        Revocation.read(text)


def test_a_condition_of_a_newer_version_is_left_out_so_that_more_is_refused() -> None:
    newer = ROLE.written()[:-1] + ', "network": "10.0.0.0/8"}'
    assert Revocation.read(newer) == ROLE


@given(issued=st.floats(NOW - 2 * LONGEST_LIFE, NOW + LEEWAY), life=st.floats(1, LONGEST_LIFE), later=st.floats(0, 3e5))
@pytest.mark.parametrize("revocation", [TOKEN, EVERYTHING, replace(SUBJECT, issued_before=NOW)])
def test_it_is_forgotten_only_when_no_token_that_it_means_can_live(
    revocation: Revocation, issued: float, life: float, later: float
) -> None:
    """A token that was there when it was made, and lives as long as the longest may."""
    copy, then = known(revocation), NOW + later
    token = replace(ALICE, issued_at=issued, expires_at=issued + life + LEEWAY)
    was_meant = reason(copy, token) is not None
    copy.expire(then)
    if was_meant and then < token.expires_at:
        assert reason(copy, token) is not None
    if later > LONGEST_LIFE + 2 * LEEWAY:
        assert len(copy) == 0


def test_what_means_tokens_whenever_they_are_issued_stays() -> None:
    copy = known(SUBJECT, ROLE)
    copy.expire(NOW + 1e9)
    assert set(copy) == {SUBJECT.id, ROLE.id}


@given(st.lists(st.tuples(REVOCATIONS, st.booleans()), max_size=20))
def test_the_copy_agrees_with_asking_each_one(steps: Iterable[tuple[Revocation, bool]]) -> None:
    copy: Revocations = Revocations()
    held: dict[str, Revocation] = {}
    for each, stays in steps:
        copy.put(each.id, each, None)
        held[each.id] = each
        if not stays:
            copy.drop(each.id)
            del held[each.id]
    for each, _ in steps:
        caller = _caller_of(each)
        assert (reason(copy, caller) is not None) == any(_means(other, caller) for other in held.values())
    assert set(copy) == held.keys()


def _caller_of(revocation: Revocation) -> Principal:
    names = dict.fromkeys((revocation.kind,), revocation.value)
    return Principal(
        issuer=revocation.issuer or "any",
        tenant=revocation.tenant or "any",
        subject=names.get(Kind.SUBJECT, "nobody else"),
        token_id=names.get(Kind.TOKEN_ID),
        role=names.get(Kind.ROLE, "no other role"),
        expires_at=3e9,
        issued_at=1e9,
    )


def _means(revocation: Revocation, principal: Principal) -> bool:
    named = {
        Kind.TOKEN_ID: principal.token_id,
        Kind.SUBJECT: principal.subject,
        Kind.ROLE: principal.role,
        Kind.EVERYTHING: "",
    }
    return (
        named[revocation.kind] == revocation.value
        and revocation.issuer in (None, principal.issuer)
        and revocation.tenant in (None, principal.tenant)
        and principal.issued_at < revocation.threshold
    )


def test_a_token_s_own_time_is_what_counts() -> None:
    caller = tokens.verify(make_token(claims={**CLAIMS, "iat": NOW - 60}), make_issuers(), NOW)
    assert caller.issued_at == NOW - 60
    everything = replace(EVERYTHING, issuer=ISSUER)
    assert reason(known(replace(everything, issued_before=NOW - 59.5)), caller) == Reason.REVOKED_TIME
    assert reason(known(replace(everything, issued_before=NOW - 60.0)), caller) is None
