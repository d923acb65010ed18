"""What an operator names, and whom it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.auth.revocation import Kind, Revocation
from gateway.policy.load import Rules, load
from gateway.revoke import NotAimed, Wish, aim, listed, revoke, withdraw
from gateway.state import Entry
from gateway.state.memory import MemoryStore
from tests.gateway.admin.support import ADMIN_ISSUER, ADMIN_POLICY
from tests.gateway.support import ISSUER, POLICY, write_policy

NOW = 1_700_000_000.0
SECOND = "https://second.test"
TWO = POLICY.replace(
    "roles:\n  customer:",
    f"""\
  - issuer: {SECOND}
    audience: [tightlip]
    algorithms: [ES256]
    keys: [{{file: key.pem}}]
    roles: [customer]
    token_id_claim: null
    tenant: {{claim: org, allowed: [north, south]}}
roles:
  customer:""",
    1,
)


@pytest.fixture
def one(tmp_path: Path) -> Rules:
    return load(write_policy(tmp_path))


@pytest.fixture
def two(tmp_path: Path) -> Rules:
    return load(write_policy(tmp_path, TWO))


def test_where_there_is_one_issuer_and_tenant_they_need_no_name(one: Rules) -> None:
    assert aim(Wish(subject="alice"), one) == Revocation(Kind.SUBJECT, "alice", ISSUER, "acme")
    assert aim(Wish(token_id="t-1"), one) == Revocation(Kind.TOKEN_ID, "t-1", ISSUER)
    assert aim(Wish(role="customer"), one) == Revocation(Kind.ROLE, "customer")
    assert aim(Wish(issued_before=NOW), one) == Revocation(Kind.EVERYTHING, issued_before=NOW)


def test_what_is_named_is_what_is_meant(two: Rules) -> None:
    of_north = Wish(subject="alice", issuer=SECOND, tenant="north", issued_before=NOW)
    assert aim(of_north, two) == Revocation(Kind.SUBJECT, "alice", SECOND, "north", NOW)
    assert aim(Wish(role="customer", issuer=SECOND), two) == Revocation(Kind.ROLE, "customer", SECOND)
    everything = Wish(issuer=SECOND, tenant="south", issued_before=NOW)
    assert aim(everything, two) == Revocation(Kind.EVERYTHING, "", SECOND, "south", NOW)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish(), "name a token id"),
        (Wish(issuer=ISSUER), "name a token id"),
        (Wish(subject="a", role="customer"), "name one of"),
        (Wish(subject="a"), "several issuers"),
        (Wish(token_id="t"), "several issuers"),
        (Wish(tenant="acme", issued_before=NOW), "several issuers"),
        (Wish(subject="a", issuer="https://typing.error"), "is not an issuer"),
        (Wish(subject="a", issuer=SECOND), "several tenants"),
        (Wish(subject="a", issuer=SECOND, tenant="east"), "is not a tenant"),
        (Wish(subject="a", issuer=ISSUER, tenant="north"), "is not a tenant"),
        (Wish(token_id="t", issuer=SECOND), "have no id"),
        (Wish(role="custommer"), "is not a role"),
        (Wish(subject="", issuer=ISSUER), "needs a token id"),
        (Wish(issued_before=0.0), "seconds since the epoch"),
    ],
)
def test_what_would_revoke_nothing_or_too_much_is_refused(two: Rules, wish: Wish, why: str) -> None:
    with pytest.raises(NotAimed, match=why):
        aim(wish, two)


async def test_what_is_listed_is_what_is_in_force() -> None:
    store = MemoryStore()
    alice, expired = Revocation(Kind.SUBJECT, "alice", "idp", "acme"), Revocation(Kind.TOKEN_ID, "t-1", "idp")
    entry_id = await revoke(store, alice, NOW)
    assert await revoke(store, alice, NOW) == entry_id
    await revoke(store, expired, NOW - 200_000.0)
    await store.put(Entry("zz", '{"kind": "planet"}', None), NOW)
    assert [(each.id, each.revocation) for each in await listed(store, NOW)] == [(entry_id, alice), ("zz", None)]
    assert await withdraw(store, entry_id, NOW)
    assert await withdraw(store, "zz", NOW), "what nobody understands can be taken away"
    assert await listed(store, NOW) == []


def test_an_administrator_is_named_as_such(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path, ADMIN_POLICY))
    own = {"issuer": ADMIN_ISSUER, "tenant": "administration"}
    assert aim(Wish(subject="a", administrator=True), rules) == Revocation(Kind.SUBJECT, "a", **own)
    role = aim(Wish(role="privacy", administrator=True), rules)
    assert role == Revocation(Kind.ROLE, "administration:privacy", **own)
    everything = aim(Wish(issued_before=NOW, administrator=True), rules)
    assert everything == Revocation(Kind.EVERYTHING, "", issued_before=NOW, **own)
    assert aim(Wish(subject="a"), rules).tenant == "acme"
    callers_role, nobodys_tenant = Wish(role="customer", administrator=True), Wish(subject="a", tenant="administration")
    for wish in (Wish(role="privacy"), callers_role, nobodys_tenant):
        with pytest.raises(NotAimed, match="is not a"):
            aim(wish, rules)
