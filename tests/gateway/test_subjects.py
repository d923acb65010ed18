"""What is kept of a person is found by all of his names and nobody else's, and what is erased is gone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from filters.budget import Cost, Hour, Limits, Steps
from filters.profile import Profile
from gateway.audit_log import OfSubject
from gateway.auth.revocation import Kind, Revocation
from gateway.budgets import Admitted, Budgets
from gateway.last_use import Caller, LastUses, written
from gateway.limits import Admission, Limiter
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import RECORD_DAYS, Pseudonyms, SubjectForm
from gateway.policy.limits import RateLimits
from gateway.policy.load import load
from gateway.policy.parameters import admit, read
from gateway.receipts import Subjects
from gateway.revoke import revoke, withdraw
from gateway.state import StateUnavailable
from gateway.state.memory import MemoryStore
from gateway.state.sqlite import SqliteStore
from gateway.subjects import person
from gateway.types import EndUser, Plan, Principal, RequestId
from tests.gateway.admin.support import ADMINISTRATION, Administered, built, headers
from tests.gateway.support import CANARY, ISSUER, POLICY, make_grant, write_policy

BODY = b'{"model": "assistant", "max_tokens": 50, "messages": [{"role": "user", "content": "one two"}]}'
NORTH_AND_SOUTH = POLICY.replace("{fixed: acme}", "{claim: tid, allowed: [north, south]}") + ADMINISTRATION
RATES = RateLimits(requests_per_minute=9, tokens_per_day=900, streams=3)
MINE = {"subject": CANARY, "tenant": "north"}
OF_A_CALLER = {"requests_per_minute", "tokens_per_day", "streams", "bits", "findings", "bits_held", "findings_held"}


class House:
    """The parts of a gateway that keep something of callers, on one store."""

    def __init__(self, store: SqliteStore, uses: LastUses) -> None:
        metrics = Metrics(CollectorRegistry(), roles=["customer"])
        self.limiter = Limiter(store, metrics, lambda _grant: lambda text: len(text.split()))
        self.budgets, self.uses = Budgets(store, metrics), uses

    async def begin(self, plan: Plan) -> tuple[Admission, Admitted]:
        """An answer that has found something, and goes on."""
        admission, admitted = await self.limiter.take(plan), await self.budgets.admit(plan)
        await self.find(admitted)
        return admission, admitted

    async def find(self, admitted: Admitted) -> None:
        admitted.budget.spend(Cost(7.0, 1))
        self.budgets.renew()
        await self.budgets.aclose()

    async def end(self, plan: Plan, begun: tuple[Admission, Admitted]) -> None:
        admission, admitted = begun
        admission.end(10)
        admitted.end()
        await self.limiter.aclose()
        await self.budgets.aclose()
        record = RequestRecord(RequestId("r"), time.time(), 0.0, route="/v1/chat/completions", status=200)
        self.uses.note(replace(record, principal=plan.grant.principal, model="assistant"))

    async def serve(self, plan: Plan) -> None:
        await self.end(plan, await self.begin(plan))


def plan_of(subject: str = CANARY, tenant: str = "north", end_user: EndUser | None = None) -> Plan:
    principal = Principal(ISSUER, tenant, subject, "t", "customer", time.time() + 600)
    hour = Hour(Steps(500.0, None), Steps(50, None))
    profile = Profile("weak", budget=Limits(caller=hour, application=hour, reserve=1))
    limits = {"limits": RATES, "end_user_limits": RATES}
    grant = make_grant(principal=principal, profile=profile, **limits)
    return replace(admit(read(BODY, grant.endpoint), grant), end_user=end_user)


@pytest.fixture
async def administered(tmp_path: Path) -> AsyncIterator[Administered]:
    store = SqliteStore(tmp_path / "state.db")
    made = built(tmp_path, NORTH_AND_SOUTH, store=store)
    await made.revocations.begin()
    yield made
    await store.aclose()


@pytest.fixture
async def client(administered: Administered) -> AsyncIterator[httpx.AsyncClient]:
    async with administered.client() as client:
        yield client


@pytest.fixture
def house(administered: Administered) -> House:
    assert isinstance(administered.store, SqliteStore)
    return House(administered.store, administered.uses)


async def ask(client: httpx.AsyncClient, call: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/subjects/{call}", json=body, headers=headers("privacy"))
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def nothing() -> None:
    """There are no last uses to tell of."""


def second_issuer() -> str:
    """Another one with a tenant of the same name."""
    return """\
  - issuer: https://other.test
    audience: [tightlip]
    algorithms: [ES256]
    keys: [{file: key.pem}]
    tenant: {fixed: north}
    roles: [customer]
"""


class SlowStore(MemoryStore):
    """Takes last uses when it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go_on = asyncio.Event(), asyncio.Event()

    async def used(self, names: Mapping[str, float | None], now: float) -> None:
        self.began.set()
        await self.go_on.wait()
        await super().used(names, now)


def values(receipt: dict[str, Any]) -> set[str]:
    return {value["what"] for place in receipt["places"] for value in place["values"]}


def counts(receipt: dict[str, Any], what: str) -> dict[str, int]:
    return {place["place"]: place[what] for place in receipt["places"] if place[what]}


def files_of(folder: Path) -> bytes:
    """All that the store has on the disk."""
    return b"".join(file.read_bytes() for file in folder.glob("state.db*"))


# ---- what is found ---------------------------------------------------------------------------------------------------


async def test_all_that_a_caller_left_is_shown_with_its_values(client: httpx.AsyncClient, house: House) -> None:
    begun = await house.begin(plan_of())
    assert values(await ask(client, "export", **MINE)) == OF_A_CALLER
    await house.end(plan_of(), begun)
    receipt = await ask(client, "export", **MINE)
    assert values(receipt) == {"requests_per_minute", "tokens_per_day", "bits", "findings", "last_use"}
    shown = {value["what"]: value for place in receipt["places"] for value in place["values"]}
    assert shown["requests_per_minute"]["amount"] == 1
    assert shown["tokens_per_day"]["amount"] == 10
    assert (shown["bits"]["amount"], shown["findings"]["amount"]) == (7.0, 1.0)
    assert {value["role"] for value in shown.values()} == {"customer", None}
    for value in shown.values():
        assert time.time() < value["ends"] < time.time() + 401 * 86_400
    assert (receipt["call"], receipt["subject"], receipt["tenant"]) == ("export", CANARY, "north")
    assert (receipt["known"], receipt["audit_head"], receipt["left"]) == (True, "0a:7:0b", [])
    pseudonyms, him = Pseudonyms(b"p" * 32), plan_of().grant.principal
    assert receipt["mark"] == pseudonyms.lasting(him)
    assert receipt["record_marks"][-1]["mark"] == pseudonyms.subject(him, receipt["at"])


async def test_every_place_is_named_with_what_stays_and_until_when(client: httpx.AsyncClient) -> None:
    receipt = await ask(client, "export", **MINE)
    assert [place["place"] for place in receipt["places"] if place["searched"]] == [
        "limits",
        "leak_budget",
        "last_uses",
        "revocations",
    ]
    for place in receipt["places"]:
        assert place["searched"] or (place["why"] and place["until"])
    assert {"records", "audit_log", "tuning_index", "model_servers"} <= {place["place"] for place in receipt["places"]}


async def test_a_role_that_the_policy_lost_is_looked_at_where_he_was_seen_in_it(
    administered: Administered, client: httpx.AsyncClient, house: House
) -> None:
    gone = plan_of()
    grant = replace(gone.grant, principal=replace(gone.grant.principal, role="gone"))
    await house.serve(replace(gone, grant=grant))
    receipt = await ask(client, "export", **MINE)
    roles = {value["role"] for place in receipt["places"] for value in place["values"]}
    assert roles == {"gone", None}


# ---- whose -----------------------------------------------------------------------------------------------------------


async def test_the_same_subject_of_another_tenant_is_somebody_else(client: httpx.AsyncClient, house: House) -> None:
    for each in (plan_of(), plan_of(tenant="south")):
        await house.serve(each)
    assert (await ask(client, "erase", 400, subject=CANARY))["error"]["code"] == "means_nobody"
    before = values(await ask(client, "export", subject=CANARY, tenant="south"))
    assert counts(await ask(client, "erase", **MINE), "erased")
    assert values(await ask(client, "export", **MINE)) == set()
    assert values(await ask(client, "export", subject=CANARY, tenant="south")) == before != set()


async def test_an_unknown_subject_gets_a_receipt_with_nothing_in_it(client: httpx.AsyncClient, house: House) -> None:
    await house.serve(plan_of())
    for call in ("export", "erase"):
        receipt = await ask(client, call, subject="nobody", tenant="north")
        assert (counts(receipt, "found"), counts(receipt, "erased")) == ({}, {})
    assert values(await ask(client, "export", **MINE))


async def test_an_issuer_or_tenant_that_the_policy_lost_is_looked_at_if_it_is_named_in_full(
    client: httpx.AsyncClient, house: House
) -> None:
    await house.serve(plan_of(tenant="west"))
    assert (await ask(client, "export", 400, subject=CANARY, tenant="west"))["error"]["code"] == "means_nobody"
    receipt = await ask(client, "erase", subject=CANARY, tenant="west", issuer=ISSUER)
    assert not receipt["known"]
    assert set(counts(receipt, "erased")) == {"limits", "leak_budget", "last_uses"}


@pytest.mark.parametrize("signed_by", [None, ISSUER])
async def test_an_end_user_is_another_one_than_his_application(
    client: httpx.AsyncClient, house: House, signed_by: str | None
) -> None:
    await house.serve(plan_of("app", end_user=EndUser(signed_by, CANARY)))
    await house.serve(plan_of("app", end_user=EndUser(signed_by, "other")))
    behind = {"subject": "app", "tenant": "north", "end_user": CANARY}
    found = await ask(client, "export", **behind)
    assert values(found) == {"requests_per_minute", "tokens_per_day", "bits", "findings"}
    assert {value["signed_by"] for place in found["places"] for value in place["values"]} == {signed_by}
    assert (found["mark"], found["record_marks"]) == (None, []), "no record names an end user"
    other = values(await ask(client, "export", **{**behind, "end_user_issuer": "https://nobody.test"}))
    assert other == set()
    assert counts(await ask(client, "erase", **behind), "erased")
    assert values(await ask(client, "export", **behind)) == set()
    assert values(await ask(client, "export", **{**behind, "end_user": "other"}))
    assert "requests_per_minute" in values(await ask(client, "export", subject="app", tenant="north"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": ""},
        {"subject": "a\nb", "tenant": "north"},
        {"subject": "x" * 257, "tenant": "north"},
        {"subject": "app", "tenant": "north", "end_user": ""},
        {"subject": "app", "tenant": "north", "end_user_issuer": ISSUER},
        {"subject": "app", "issuer": "a\x00b", "tenant": "north"},
    ],
)
async def test_what_can_be_nobody_is_refused(client: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    for call in ("export", "erase"):
        assert (await ask(client, call, 400, **wrong))["error"]["code"] == "means_nobody"


async def test_a_plain_mark_that_may_be_another_s_is_not_taken_for_his(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    """ "Zoë" and "Zoé" are written alike."""
    plain = Pseudonyms(b"p" * 32, subject="plain")
    zoe = replace(plan_of().grant.principal, subject="Zoë")
    assert plain.lasting(zoe) == plain.subject(zoe, 0.0) == "Zo?"
    assert plain.own_lasting(zoe, alone=True) is None
    assert plain.own_lasting(replace(zoe, subject="zoe"), alone=True) == "zoe"
    assert list(plain.own_subjects(zoe, 0.0, alone=True)) == []
    assert Pseudonyms(b"p" * 32, subject="off").own_lasting(zoe, alone=True) is None


@pytest.mark.parametrize("form", ["plain", "hashed"])
async def test_a_caller_of_a_tenant_that_two_issuers_call_alike_is_told_from_the_other_s(
    tmp_path: Path, form: SubjectForm
) -> None:
    """A plain mark does not say which issuer's he is, so that nothing of the other's is shown or erased by it."""
    store, marks = MemoryStore(), Pseudonyms(b"p" * 32, subject=form)
    others = replace(plan_of().grant.principal, issuer="https://other.test")
    await store.used({written(Caller("north", "customer", marks.lasting(others) or "")): 1_700_000_000.0}, 1e9)
    write_policy(tmp_path, NORTH_AND_SOUTH.replace("issuers:\n", f"issuers:\n{second_issuer()}", 1))
    rules = load(tmp_path / "policy.yaml")
    subjects = Subjects(store, marks, lambda *_: None, lambda: None, nothing, shared=True, marks_kept=True)
    for issuer in ("https://other.test", ISSUER):
        who = person(CANARY, issuer, "north", None, None, rules)
        receipt = await subjects.erase(who, rules, time.time())
        [uses] = [place for place in receipt.places if place.place == "last_uses"]
        assert uses.searched == (form == "hashed"), "what nobody looked for is not said to be gone"
        assert uses.erased == (1 if form == "hashed" and issuer != ISSUER else 0)
    assert len(await store.uses()) == (1 if form == "plain" else 0)


async def test_a_last_use_that_is_on_its_way_is_waited_for() -> None:
    """Else it would come to the store behind the erasure."""
    store = SlowStore()
    uses = LastUses(store, Pseudonyms(b"p" * 32), Metrics(CollectorRegistry()))
    record = RequestRecord(RequestId("r"), time.time(), 0.0, route="/v1/chat/completions", status=200)
    uses.note(replace(record, principal=plan_of().grant.principal, model="assistant"))
    first = asyncio.ensure_future(uses.tell())
    await store.began.wait()
    second = asyncio.ensure_future(uses.tell())
    await asyncio.sleep(0)
    assert not second.done()
    store.go_on.set()
    await asyncio.gather(first, second)
    assert await store.uses()


async def test_how_long_records_are_kept_is_said_where_the_gateway_keeps_them(tmp_path: Path) -> None:
    write_policy(tmp_path, NORTH_AND_SOUTH)
    rules = load(tmp_path / "policy.yaml")
    subjects = Subjects(
        MemoryStore(),
        Pseudonyms(b"p" * 32),
        lambda *_: None,
        lambda: None,
        nothing,
        shared=True,
        marks_kept=True,
        kept_days={"security_events": 180},
    )
    receipt = await subjects.export(person(CANARY, None, "north", None, None, rules), rules, time.time())
    until = {place.place: place.until or "" for place in receipt.places}
    assert until["security_events"].startswith("180 days")
    assert until["records"] == "the retention of whoever keeps the lines"


async def test_who_called_before_a_period_s_edge_is_found_and_erased_after_it_by_another_replica(
    administered: Administered,
) -> None:
    edge = 2900 * RECORD_DAYS * 86_400.0
    store, him = MemoryStore(), plan_of().grant.principal
    one, other = (Pseudonyms(b"p" * 32) for _ in range(2))
    uses = LastUses(store, one, Metrics(CollectorRegistry()), now=lambda: edge - 1)
    uses.note(RequestRecord(RequestId("r"), edge - 1, 0.0, "/v1/models", status=200, principal=him))
    await uses.tell()
    subjects = Subjects(store, other, lambda *_: None, lambda: None, uses.tell, shared=True, marks_kept=True)
    rules = administered.policies.now.rules
    who = person(CANARY, ISSUER, "north", None, None, rules)
    found = await subjects.export(who, rules, edge + 1)
    before, after = one.subject(him, edge - 1), one.subject(him, edge + 1)
    assert [each.mark for each in found.record_marks[-2:]] == [before, after]
    erased = await subjects.erase(who, rules, edge + 1)
    assert {place.place: place.erased for place in erased.places if place.erased} == {"last_uses": 1}
    assert [name for name in await store.uses() if CANARY in name or (one.lasting(him) or "") in name] == []


# ---- what is erased --------------------------------------------------------------------------------------------------


async def test_what_was_found_is_erased_and_the_receipt_says_so_without_values(
    client: httpx.AsyncClient, house: House
) -> None:
    await house.serve(plan_of())
    found = counts(await ask(client, "export", **MINE), "found")
    receipt = await ask(client, "erase", **MINE)
    assert counts(receipt, "erased") == found == {"limits": 2, "leak_budget": 2, "last_uses": 1}
    assert values(receipt) == set()
    assert counts(await ask(client, "erase", **MINE), "found") == {}


async def test_a_last_use_that_waits_to_be_told_does_not_come_back(client: httpx.AsyncClient, house: House) -> None:
    await house.serve(plan_of())
    await ask(client, "erase", **MINE)
    await house.uses.tell()
    assert values(await ask(client, "export", **MINE)) == set()


async def test_a_revocation_outlives_an_erasure(
    administered: Administered, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    mine = Revocation(Kind.SUBJECT, CANARY, ISSUER, "north")
    others = Revocation(Kind.SUBJECT, CANARY, ISSUER, "south"), Revocation(Kind.SUBJECT, "other", ISSUER, "north")
    for each in (mine, *others):
        await revoke(administered.store, each, time.time())
    receipt = await ask(client, "erase", **MINE)
    assert (counts(receipt, "found"), counts(receipt, "erased")) == ({"revocations": 1}, {})
    [place] = [place for place in receipt["places"] if place["place"] == "revocations"]
    assert "outlives an erasure" in place["why"]
    assert "revoke withdraw" in place["until"]
    assert values(await ask(client, "export", **MINE)) == {mine.id}
    for each in (mine, others[0]):
        assert await withdraw(administered.store, each.id, time.time())
    await ask(client, "erase", **MINE)
    assert CANARY.encode() not in files_of(tmp_path)


async def test_an_answer_under_way_goes_on_and_keeps_only_what_it_does_after(
    client: httpx.AsyncClient, house: House
) -> None:
    """His tokens that were reserved are not given back to him a second time, and his place is counted again."""
    plan = plan_of()
    begun = await house.begin(plan)
    await ask(client, "erase", **MINE)
    assert await house.limiter.renew()
    await house.find(begun[1])
    running = values(await ask(client, "export", **MINE))
    assert running == {"streams", "bits", "findings", "bits_held", "findings_held"}
    await house.end(plan, begun)
    receipt = await ask(client, "export", **MINE)
    assert values(receipt) == {"bits", "findings", "last_use"}
    [bits] = [value for place in receipt["places"] for value in place["values"] if value["what"] == "bits"]
    assert bits["amount"] == 7.0, "what it found before is gone"


async def test_a_store_that_is_away_acknowledges_nothing(tmp_path: Path) -> None:
    class Away(MemoryStore):
        async def erase(self, names: Any) -> Any:
            raise StateUnavailable(CANARY)

    made = built(tmp_path, NORTH_AND_SOUTH, store=Away())
    await made.revocations.begin()
    async with made.client() as client:
        error = (await ask(client, "erase", 503, **MINE))["error"]
    assert error["code"] == "not_acknowledged"
    assert CANARY not in json.dumps(error)
    assert made.audit.told[-1] == ("erase_subject", "failed", "not_acknowledged")


# ---- what is on record -----------------------------------------------------------------------------------------------


async def test_the_audit_log_has_both_calls_and_whom_they_were_about(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    for call in ("export", "erase"):
        administered.audit.records.clear()
        await ask(client, call, **MINE)
        assert administered.audit.told == [(f"{call}_subject", "asked", None), (f"{call}_subject", "done", None)]
        assert [each.target for each in administered.audit.records] == [OfSubject(ISSUER, "north", CANARY)] * 2


async def test_what_can_t_be_written_down_is_not_erased(
    administered: Administered, client: httpx.AsyncClient, house: House
) -> None:
    await house.serve(plan_of())
    administered.audit.full = 0
    assert (await ask(client, "erase", 503, **MINE))["error"]["code"] == "audit_unavailable"
    administered.audit.full = None
    assert values(await ask(client, "export", **MINE))


@pytest.mark.parametrize("role", ["security", "operations"])
async def test_another_role_s_administrator_may_not(client: httpx.AsyncClient, house: House, role: str) -> None:
    await house.serve(plan_of())
    for call in ("export", "erase"):
        answer = await client.post(f"/subjects/{call}", json=MINE, headers=headers(role))
        assert (answer.status_code, CANARY in answer.text) == (403, False)
    assert values(await ask(client, "export", **MINE))


async def test_nothing_of_the_subject_is_printed(
    client: httpx.AsyncClient, house: House, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    await house.serve(plan_of())
    for call in ("export", "erase"):
        await ask(client, call, **MINE)
        await ask(client, call, 400, subject=CANARY)
    printed = capfd.readouterr()
    assert CANARY not in printed.out + printed.err
    assert not [record for record in caplog.records if CANARY in record.getMessage()]
