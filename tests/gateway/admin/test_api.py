"""Who may administrate, what is written down of it, and what is never done."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admin.actions import ACTIONS, Action
from gateway.admin.api import MOST_AT_ONCE, note_reload
from gateway.audit_log import AuditRecord, By, OfId, OfRelease, OfRevocation, Outcome
from gateway.auth.binding import CallerCertificate
from gateway.auth.issuers import Verifier
from gateway.auth.revocation import Kind, Revocation
from gateway.http.arrivals import Origin
from gateway.refusals import MINUTE, MOST, MOST_OF_ONE, Refusals
from gateway.release.standing import Choice
from gateway.reload import Reload
from gateway.revoke import withdraw
from gateway.state import Entry, StateUnavailable
from gateway.state.memory import MemoryStore
from gateway.types import AdminRole
from tests.gateway.admin.support import (
    ADMIN_ISSUER,
    ADMIN_POLICY,
    Administered,
    built,
    headers,
)
from tests.gateway.hostile_tokens import CASES, issuers_of, token_of
from tests.gateway.http.surface import public, serving
from tests.gateway.support import CANARY, NOW, POLICY, make_token
from tests.support.releases import MODEL
from tests.support.waiting import PATIENCE_S

VECTORS = json.loads(Path("tests/vectors/administration.json").read_text(encoding="utf-8"))
ALICE = {"subject": "alice"}
BLUE = {"model": MODEL, "release": "blue"}
BODIES: dict[str, dict[str, Any]] = {
    "revoke": {"json": ALICE},
    "switch_release": {"json": {"model": MODEL, "shares": {"green": 1}}},
    "withdraw_release": {"json": BLUE},
    "reinstate_release": {"json": BLUE},
    "export_subject": {"json": ALICE},
    "erase_subject": {"json": ALICE},
}


@pytest.fixture
async def administered(tmp_path: Path) -> Administered:
    made = built(tmp_path)
    await made.revocations.begin()
    return made


@pytest.fixture
async def client(administered: Administered) -> AsyncIterator[httpx.AsyncClient]:
    async with administered.client() as client:
        yield client


async def call(client: httpx.AsyncClient, action: Action, role: str, **token: Any) -> httpx.Response:
    path = action.path.replace("{id}", "0123456789abcdef")
    more = BODIES.get(action.name, {})
    return await client.request(action.method, path, headers=headers(role, **token), **more)


# ---- who -------------------------------------------------------------------------------------------------------------


def test_the_vectors_name_every_action_once() -> None:
    named = [name for names in VECTORS["roles"].values() for name in names]
    assert sorted(named) == sorted(action.name for action in ACTIONS)
    assert VECTORS["roles"].keys() == set(AdminRole)


@pytest.mark.parametrize("role", list(AdminRole))
async def test_each_role_may_do_its_own_actions_and_no_other(
    administered: Administered, client: httpx.AsyncClient, role: str
) -> None:
    for action in ACTIONS:
        administered.audit.records.clear()
        answer = await call(client, action, role)
        told = administered.audit.told
        if action.name not in VECTORS["roles"][role]:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")
            assert told == [(action.name, "refused", "not_allowed")]
        elif action.name == "withdraw_revocation":  # there is none
            assert answer.status_code == 404
            assert told == [(action.name, "asked", None), (action.name, "refused", "revocation_not_found")]
        else:
            assert answer.status_code == 200, answer.text
            assert told == [(action.name, "asked", None), (action.name, "done", None)]
        [request_id] = {record.request_id for record in administered.audit.records}
        assert answer.headers["x-request-id"] == request_id
        for record in administered.audit.records:
            assert record.by is By.TOKEN
            assert record.principal
            assert (record.principal.subject, record.principal.role) == ("root-1", f"administration:{role}")
            assert record.policy_before == administered.policies.now.rules.version


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
async def test_a_token_that_is_no_administrators_lets_nobody_in(
    administered: Administered, client: httpx.AsyncClient, vector: dict[str, Any]
) -> None:
    if "token" in vector:
        sent = {"authorization": f"Bearer {vector['token']}"} if vector["token"] else {}
    else:
        claims = {"lives": tuple(vector["lives"])} if "lives" in vector else {}
        sent = headers(key=vector.get("key", "ES256"), **claims, **{"role": "security", **vector.get("claims", {})})
    answer = await client.post("/revocations", json=ALICE, headers=sent)
    garbled = await client.get("/status", headers={"authorization": "Bearer x.y.z"})
    assert (answer.status_code, answer.content) == (401, garbled.content), "all of them look the same"
    record = administered.audit.records[0]
    assert (record.outcome, record.code, record.by) == (Outcome.REFUSED, vector["code"], By.NOBODY)
    assert record.principal is None
    assert record.target is None
    assert CANARY not in repr(administered.audit.records) + answer.text
    assert not (await administered.store.changes(None)).entries


async def test_hostile_tokens_get_one_and_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.refusals.MOST", 10_000)
    monkeypatch.setattr("gateway.refusals.MOST_OF_ONE", 10_000)
    known = dict(issuers_of({}))
    made = built(tmp_path, verifier=Verifier(known, now=lambda: float(NOW)))
    await made.revocations.begin()
    sent, looks = 0, set()
    async with made.client() as client:
        for case in CASES:
            known.update(issuers_of(case))
            if (token := token_of(case)).isascii() and token.isprintable():
                sent += 1
                answer = await client.get("/status", headers={"authorization": f"Bearer {token}"})
                looks.add((answer.status_code, answer.content))
        good = await client.get("/status", headers={"authorization": f"Bearer {make_token()}"})
    assert sent >= 150
    assert [status for status, _ in looks] == [401]
    assert {(each.outcome, each.by) for each in made.audit.records[:-1]} == {(Outcome.REFUSED, By.NOBODY)}
    assert (good.status_code, made.audit.records[-1].by) == (403, By.TOKEN), "a caller's role may do nothing here"


async def test_a_token_in_a_query_is_refused(administered: Administered, client: httpx.AsyncClient) -> None:
    answer = await client.get("/status", params={"access_token": CANARY}, headers=headers("operations"))
    assert answer.status_code == 401
    assert administered.audit.told == [("status", "refused", "in_query")]


async def test_nothing_of_it_is_on_the_public_listener(tmp_path: Path) -> None:
    async with public(tmp_path, policy=ADMIN_POLICY) as surface:
        for action in ACTIONS:
            for sent in (headers(action.role), {}):
                answer = await surface.client.request(action.method, f"/admin/v1{action.path}", headers=sent)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        for audience in ("tightlip-admin", ["tightlip-admin", "tightlip"]):
            token = make_token(claims={**_living(), "aud": audience})
            refused = await surface.client.get("/v1/models", headers={"authorization": f"Bearer {token}"})
            assert refused.status_code == 401
        refused = await surface.client.get("/v1/models", headers=headers("security"))
        assert refused.status_code == 401
        own = {"authorization": f"Bearer {make_token(claims=_living())}"}
        good = await surface.client.get("/v1/models", headers=own)
        assert good.status_code == 200


def _living() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "https://issuer.test",
        "aud": "tightlip",
        "sub": "alice",
        "jti": "t",
        "role": "customer",
        "iat": now - 10,
        "exp": now + 600,
    }


async def test_without_administration_in_the_policy_nothing_is_there(tmp_path: Path) -> None:
    made = built(tmp_path, POLICY)
    await made.revocations.begin()
    async with made.client() as client:
        answers = [await call(client, action, action.role) for action in ACTIONS]
        answers.append(await client.get("/elsewhere"))
        answers.append(await client.put("/status"))
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(404, "not_found")}
    assert made.audit.records == []


async def test_it_comes_and_goes_with_the_policy(administered: Administered, client: httpx.AsyncClient) -> None:
    (administered.folder / "policy.yaml").write_text(POLICY)
    assert (await client.post("/policy/reload", headers=headers("operations"))).status_code == 200
    assert (await client.get("/status", headers=headers("operations"))).status_code == 404
    (administered.folder / "policy.yaml").write_text(ADMIN_POLICY)
    assert (await administered.policies.reload()).done
    assert (await client.get("/status", headers=headers("operations"))).status_code == 200


async def test_strange_paths_and_methods_are_written_down(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    answers = [await client.get(f"/{CANARY}"), await client.put("/status"), await client.head("/status")]
    assert [answer.status_code for answer in answers] == [404, 405, 405]
    assert answers[1].headers["allow"] == "GET"
    assert administered.audit.told == [
        ("unknown", "refused", "not_found"),
        ("unknown", "refused", "method_not_allowed"),
        ("unknown", "refused", "method_not_allowed"),
    ]
    assert CANARY not in repr(administered.audit.records)


async def test_the_networks_and_the_certificate_that_the_policy_asks_for(tmp_path: Path) -> None:
    made = built(tmp_path, ADMIN_POLICY + "  networks: [192.0.2.0/24]\n  certificate_bound: true\n")
    await made.revocations.begin()
    shown = CallerCertificate(b"c" * 32, 0.0, 2.0**33)
    bound = {"cnf": {"x5t#S256": "Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M"}}
    other = CallerCertificate(b"d" * 32, 0.0, 2.0**33)
    asked = [
        ("192.0.2.7", shown, bound, 200),
        ("198.51.100.7", shown, bound, 403),
        (None, shown, bound, 403),
        ("192.0.2.7", other, bound, 401),
        ("192.0.2.7", None, bound, 401),
        ("192.0.2.7", shown, {}, 401),
    ]
    for peer, certificate, claims, status in asked:
        async with made.client(Origin(peer, certificate=certificate)) as client:
            sent = {**headers("operations", **claims), "x-forwarded-for": "192.0.2.7", "client-cert": ":AAAA:"}
            assert (await client.get("/status", headers=sent)).status_code == status, (peer, claims)


# ---- what it does ----------------------------------------------------------------------------------------------------


async def test_a_revocation_holds_is_listed_and_is_withdrawn(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    answer = (await client.post("/revocations", json=ALICE, headers=headers())).json()
    assert answer == {
        "revocation": {
            "id": answer["revocation"]["id"],
            "kind": "subject",
            "value": "alice",
            "issuer": "https://issuer.test",
            "tenant": "acme",
            "issued_before": None,
            "expires_at": None,
        },
        "shared": True,
    }
    revocation = Revocation(Kind.SUBJECT, "alice", "https://issuer.test", "acme")
    assert [record.target for record in administered.audit.records] == [OfRevocation(revocation)] * 2
    listed = (await client.get("/revocations", headers=headers())).json()
    assert listed == {"revocations": [answer["revocation"]]}
    path = f"/revocations/{revocation.id}"
    assert (await client.delete(path, headers=headers())).json() == {"id": revocation.id, "shared": True}
    assert administered.audit.records[-1].target == OfId(revocation.id)
    again = await client.delete(path, headers=headers())
    assert (again.status_code, again.json()["error"]["code"]) == (404, "revocation_not_found")


async def test_a_release_is_switched_to_withdrawn_and_reinstated(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    sent = headers("operations")

    async def ask(what: str, **body: Any) -> tuple[int, Any]:
        answer = await client.post(f"/releases/{what}", json={"model": MODEL, **body}, headers=sent)
        await administered.revocations.look()
        return answer.status_code, answer.json()

    assert await ask("switch", shares={"blue": 9, "green": 1}) == (200, {"shared": True})
    assert await ask("switch", shares={"green": 1}, role="support", tenant="acme") == (200, {"shared": True})
    of_support = ("https://issuer.test", "acme", "support")
    assert [each.target for each in administered.audit.records[1::2]] == [
        OfRelease(MODEL, "blue=9+green=1", "blue"),
        OfRelease(MODEL, "green", None, *of_support),
    ]
    assert (await ask("withdraw", release="green"))[0] == 200
    status, refused = await ask("switch", shares={"green": 1})
    assert (status, refused["error"]["code"]) == (409, "release_refused")
    assert "is withdrawn" in refused["error"]["message"]
    assert administered.audit.records[-1].code == "release_refused"
    [shown] = (await client.get("/releases", headers=sent)).json()["models"]
    assert [(each["name"], each["withdrawn"], each["part"]) for each in shown["releases"]] == [
        ("blue", False, 0.9),
        ("green", True, 0.1),
    ]
    assert shown["choices"][1] == {
        "shares": {"green": 1},
        "issuer": "https://issuer.test",
        "tenant": "acme",
        "role": "support",
        "unknown": [],
    }
    assert (await ask("switch", shares=None, role="support", tenant="acme"))[0] == 200
    assert (await ask("reinstate", release="green"))[0] == 200
    assert (await ask("reinstate", release="green"))[0] == 409


@pytest.mark.parametrize(
    ("what", "body", "status", "code"),
    [
        ("switch", {"model": CANARY, "shares": {"blue": 1}}, 409, "release_refused"),
        ("switch", {"model": MODEL, "shares": {CANARY: 1}}, 409, "release_refused"),
        ("switch", {"model": MODEL, "shares": {}}, 409, "release_refused"),
        ("switch", {"model": MODEL, "shares": {"blue": -1}}, 409, "release_refused"),
        ("switch", {"model": MODEL, "shares": {"blue": 1}, "role": CANARY}, 400, "means_nobody"),
        ("switch", {"model": MODEL, "shares": {"blue": 1}, "tenant": CANARY}, 400, "means_nobody"),
        ("switch", {"model": MODEL, "shares": {"blue": CANARY}}, 400, "invalid_value"),
        ("switch", {"model": MODEL}, 400, "invalid_value"),
        ("withdraw", {"model": MODEL, "release": CANARY}, 409, "release_refused"),
        ("withdraw", {"model": CANARY, "release": "blue"}, 409, "release_refused"),
        ("withdraw", {"model": MODEL, "release": "blue", CANARY: 1}, 400, "unknown_parameter"),
        ("reinstate", {"model": MODEL, "release": CANARY}, 409, "release_refused"),
    ],
)
async def test_what_names_no_release_changes_nothing_and_is_not_repeated(
    administered: Administered, client: httpx.AsyncClient, what: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post(f"/releases/{what}", json=body, headers=headers("operations"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not (await administered.store.changes(None)).entries
    assert CANARY not in repr(administered.audit.records) + answer.text


async def test_a_choice_for_a_role_that_is_no_more_can_be_taken_back(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    scope = {"role": "gone", "tenant": "closed", "issuer": "https://former.test"}
    kept = Choice(model=MODEL, shares={"green": 1}, **scope)
    await administered.store.put(Entry(kept.id, kept.written(), None), 0)
    await administered.revocations.look()
    sent = headers("operations")
    wrong = await client.post("/releases/switch", json={"model": MODEL, "shares": {"blue": 1}, **scope}, headers=sent)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "means_nobody")
    done = await client.post("/releases/switch", json={"model": MODEL, "shares": None, **scope}, headers=sent)
    assert done.status_code == 200
    assert administered.audit.records[-1].target == OfRelease(MODEL, None, "green", scope["issuer"], "closed", "gone")
    assert not (await administered.store.changes(None)).entries


async def test_what_is_said_of_releases_is_not_withdrawn_as_a_revocation(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    """Who may withdraw revocations has another role."""
    await client.post("/releases/withdraw", json=BLUE, headers=headers("operations"))
    [entry] = (await administered.store.changes(None)).entries
    assert (await client.get("/revocations", headers=headers())).json() == {"revocations": []}
    assert (await client.delete(f"/revocations/{entry.id}", headers=headers())).status_code == 404
    assert not await withdraw(administered.store, entry.id, time.time())
    assert (await administered.store.changes(None)).entries == [entry]


@pytest.mark.parametrize("name", [CANARY, "%2e%2e", "0123456789ABCDEF", "0" * 3000])
async def test_what_can_be_no_id_is_none(administered: Administered, client: httpx.AsyncClient, name: str) -> None:
    answer = await client.delete(f"/revocations/{name}", headers=headers())
    assert answer.status_code == 404
    assert CANARY not in answer.text


async def test_who_means_nobody_is_told_why(administered: Administered, client: httpx.AsyncClient) -> None:
    answer = await client.post("/revocations", json={"role": CANARY}, headers=headers())
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "this is not a role of the policy"
    assert administered.audit.told == [("revoke", "refused", "means_nobody")]
    assert CANARY not in repr(administered.audit.records) + answer.text


async def test_an_administrator_who_is_revoked_is_out(administered: Administered, client: httpx.AsyncClient) -> None:
    other = {"subject": "root-2", "administrator": True}
    done = await client.post("/revocations", json=other, headers=headers())
    assert done.json()["revocation"]["tenant"] == "administration"
    await administered.revocations.look()
    refused = await client.get("/status", headers=headers("operations", sub="root-2"))
    assert refused.status_code == 401
    assert administered.audit.told[-1] == ("status", "refused", "revoked_subject")
    last = administered.audit.records[-1].principal
    assert last
    assert last.subject == "root-2", "whom a good token proved is named"
    assert (await client.get("/status", headers=headers("operations"))).status_code == 200


async def test_administrators_and_callers_of_one_name_are_two(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    await client.post("/revocations", json={"subject": "root-1"}, headers=headers())
    await client.post("/revocations", json={"role": "customer"}, headers=headers())
    await administered.revocations.look()
    assert (await client.get("/status", headers=headers("operations"))).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "root-1", "administrator": True},
        {"role": "security", "administrator": True},
        {"issued_before": 4e9, "administrator": True, "issuer": ADMIN_ISSUER},
    ],
)
async def test_nobody_shuts_himself_out_by_mistake(
    administered: Administered, client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    refused = await client.post("/revocations", json=body, headers=headers())
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "shuts_out_myself")
    assert not (await administered.store.changes(None)).entries
    done = await client.post("/revocations", json={**body, "including_myself": True}, headers=headers())
    assert done.status_code == 200
    await administered.revocations.look()
    assert (await client.get("/revocations", headers=headers())).status_code == 401


async def test_nobody_shuts_out_whoever_could_take_it_back(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    """An issuer that the policy is given later would be shut out too."""
    for said in (False, True):
        everybody = {"issued_before": 4e9, "including_myself": said}
        refused = await client.post("/revocations", json=everybody, headers=headers())
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "shuts_out_myself")
    assert not (await administered.store.changes(None)).entries


@pytest.mark.parametrize(
    "body",
    [
        {"issued_before": "now"},
        {"token_id": "admin-1", "administrator": True},
        {"role": "operations", "administrator": True},
    ],
)
async def test_what_a_new_token_undoes_shuts_nobody_out(
    administered: Administered, client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    body = {name: time.time() if value == "now" else value for name, value in body.items()}
    assert (await client.post("/revocations", json=body, headers=headers())).status_code == 200


async def test_the_policy_is_read_again(administered: Administered, client: httpx.AsyncClient) -> None:
    before = administered.policies.now.rules.version
    (administered.folder / "policy.yaml").write_text(ADMIN_POLICY + "# more\n")
    answer = (await client.post("/policy/reload", headers=headers("operations"))).json()
    now = administered.policies.now.rules.version
    assert answer == {"before": before, "now": now}
    assert now != before
    done = administered.audit.records[-1]
    assert (done.policy_before, done.policy_after) == (before, now)


async def test_a_policy_that_cant_be_used_is_explained_and_changes_nothing(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    before = administered.policies.now
    (administered.folder / "policy.yaml").write_text(ADMIN_POLICY + f"persons: {{k: {CANARY}}}\n")
    answer = await client.post("/policy/reload", headers=headers("operations"))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "policy_refused")
    [problem] = error["problems"]
    assert "policy.yaml:" in problem
    assert "persons.k" in problem
    assert CANARY not in answer.text
    assert administered.policies.now is before
    assert administered.audit.told[-1] == ("reload_policy", "refused", "policy_refused")


async def test_a_review_is_by_days(client: httpx.AsyncClient) -> None:
    answer = await client.get("/review", params={"idle_days": "7"}, headers=headers("privacy"))
    assert {each["role"] for each in answer.json()["grants"]} == {"customer", "support"}
    for days in ("x", "-1", "nan", "inf", "1e9", CANARY):
        refused = await client.get("/review", params={"idle_days": days}, headers=headers("privacy"))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "idle_days")
    twice = await client.get("/review?idle_days=1&idle_days=2", headers=headers("privacy"))
    assert twice.status_code == 400


async def test_what_a_file_brought_about_is_written_down(administered: Administered) -> None:
    await note_reload(administered.audit, Reload("a", "b"))
    await note_reload(administered.audit, Reload("b", "b", ("wrong",)))  # type: ignore[arg-type]
    assert administered.audit.told == [
        ("reload_policy", "done", None),
        ("reload_policy", "refused", "policy_refused"),
    ]
    assert {record.by for record in administered.audit.records} == {By.FILE}
    administered.audit.full = 0
    await note_reload(administered.audit, Reload("b", "c"))


# ---- bodies ----------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("token_id", "subject", "role", "issuer", "tenant", "issued_before", "administrator", "including_myself")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), JSON | st.just(CANARY), max_size=4) | JSON)
async def test_any_body_is_answered_and_never_quoted(administered: Administered, body: object) -> None:
    administered.audit.records.clear()
    administered.administration.refusals.__init__()  # type: ignore[misc]
    sent = {**headers(), "content-type": "application/json"}
    async with administered.client() as client:
        answer = await client.post("/revocations", content=json.dumps(body).encode(), headers=sent)
    assert answer.status_code in (200, 400, 409)
    if answer.status_code != 200:
        assert CANARY not in answer.text
        assert CANARY not in repr(administered.audit.records)
    assert administered.uncaught == []
    assert [record.outcome for record in administered.audit.records] in (
        [Outcome.REFUSED],
        [Outcome.ASKED, Outcome.DONE],
    )


@pytest.mark.parametrize(
    ("content", "more", "code"),
    [
        (b'{"subject": "a", "subject": "b"}', {}, "invalid_json"),
        (b'{"subject": "a"', {}, "invalid_json"),
        (b"[]", {}, "invalid_json"),
        (b"", {}, "invalid_json"),
        (b'{"subjekt": "zqCanaryWordxv"}', {}, "unknown_parameter"),
        (b'{"subject": 7}', {}, "invalid_value"),
        (b'{"issued_before": "1"}', {}, "invalid_value"),
        (b'{"administrator": 1}', {}, "invalid_value"),
        (b'{"subject": "' + b"a" * 20_000 + b'"}', {}, "request_too_large"),
        (b'{"subject": "a"}', {"content-type": "text/plain"}, "unsupported_media_type"),
        (b'{"subject": "a"}', {"content-encoding": "gzip"}, "unsupported_media_type"),
    ],
)
async def test_a_body_is_read_strictly(
    administered: Administered, client: httpx.AsyncClient, content: bytes, more: dict[str, str], code: str
) -> None:
    sent = {**headers(), "content-type": "application/json", **more}
    answer = await client.post("/revocations", content=content, headers=sent)
    assert answer.json()["error"]["code"] == code
    assert administered.audit.told == [("revoke", "refused", code)]
    assert CANARY not in answer.text


async def test_an_action_without_a_body_takes_none(administered: Administered, client: httpx.AsyncClient) -> None:
    answer = await client.post("/policy/reload", json={"file": CANARY}, headers=headers("operations"))
    assert answer.status_code == 400
    assert (await client.get("/status", params={"x": CANARY}, headers=headers("operations"))).status_code == 400


# ---- what can't be written down, or done -----------------------------------------------------------------------------


async def test_what_cant_be_written_down_is_not_done(administered: Administered, client: httpx.AsyncClient) -> None:
    administered.audit.full = 0
    before = administered.policies.now
    for action in ACTIONS:
        answer = await call(client, action, action.role)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
    assert not (await administered.store.changes(None)).entries
    assert administered.policies.now is before
    refused = await client.get("/status", headers=headers("privacy"))
    assert refused.status_code == 403, "a refusal stands"


async def test_it_is_told_where_the_outcome_is_not_on_record(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    administered.audit.full = 1
    answer = await client.post("/revocations", json=ALICE, headers=headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "outcome_not_recorded")
    assert len((await administered.store.changes(None)).entries) == 1


class Away(MemoryStore):
    async def put(self, entry: Entry, now: float) -> None:
        raise StateUnavailable("away")


class Broken(MemoryStore):
    async def put(self, entry: Entry, now: float) -> None:
        raise RuntimeError(CANARY)


class Hanging(MemoryStore):
    async def put(self, entry: Entry, now: float) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("store", "status", "code"),
    [(Away, 503, "not_acknowledged"), (Hanging, 503, "not_acknowledged"), (Broken, 500, "internal_error")],
)
async def test_what_the_store_does_not_take_is_not_acknowledged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: type[MemoryStore],
    status: int,
    code: str,
) -> None:
    monkeypatch.setattr("gateway.admin.actions.STORE_SECONDS", 0.05)
    made = built(tmp_path, store=store())
    await made.revocations.begin()
    async with made.client() as client:
        answer = await client.post("/revocations", json=ALICE, headers=headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert made.audit.told == [("revoke", "asked", None), ("revoke", "failed", code)]
    assert made.uncaught == (["RuntimeError"] if store is Broken else [])
    assert CANARY not in answer.text


async def test_while_nobody_can_tell_what_is_revoked_nobody_administrates(tmp_path: Path) -> None:
    made = built(tmp_path)  # the store was never asked
    async with made.client() as client:
        answer = await client.get("/status", headers=headers("operations"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "revocations_unavailable")


# ---- floods ----------------------------------------------------------------------------------------------------------


async def test_a_flood_of_refused_calls_is_counted_and_shuts_nobody_out(
    administered: Administered, client: httpx.AsyncClient
) -> None:
    sent = 50
    answers = [await client.get("/status") for _ in range(sent)]
    assert [answer.status_code for answer in answers] == [401] * MOST_OF_ONE + [429] * (sent - MOST_OF_ONE)
    assert len(administered.audit.records) == MOST_OF_ONE
    assert (await client.get("/status", headers=headers("operations"))).status_code == 200
    administered.audit.full = 0
    await administered.administration.tell()
    administered.audit.full = None
    await administered.administration.tell()
    last = administered.audit.records[-1]
    assert (last.outcome, last.code, last.count) == (Outcome.REFUSED, "too_many_refused", sent - MOST_OF_ONE)
    await administered.administration.tell()
    assert administered.audit.records[-1] is last, "told once"


async def test_who_calls_without_end_does_not_keep_others_from_the_log(tmp_path: Path) -> None:
    """However many calls of his there are, a few of them are before whoever comes next."""
    made, gate = built(tmp_path), asyncio.Event()
    await made.revocations.begin()
    write = made.audit.write

    async def slowly(record: AuditRecord) -> None:
        await write(record)
        await gate.wait()

    made.audit.write = slowly  # type: ignore[method-assign]
    async with made.client() as client:
        endless = headers("privacy", sub="eve")
        flood = [asyncio.create_task(client.get("/audit/head", headers=endless)) for _ in range(5 * MOST_AT_ONCE)]
        async with asyncio.timeout(30):
            while len(made.audit.records) < MOST_AT_ONCE:  # noqa: ASYNC110 - records have no event
                await asyncio.sleep(0.01)
        revoked = asyncio.create_task(client.post("/revocations", json=ALICE, headers=headers()))
        async with asyncio.timeout(30):
            while made.audit.records[-1].action != "revoke":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(made.audit.records) == MOST_AT_ONCE + 1
        gate.set()
        assert (await revoked).status_code == 200
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}
    assert not made.administration.turns, "nothing is kept of who has gone"


async def test_who_floods_the_log_hides_no_administrators_tries(tmp_path: Path) -> None:
    made = built(tmp_path)
    await made.revocations.begin()
    for number in range(2 * MOST):
        async with made.client(Origin(f"192.0.2.{number}")) as client:
            assert (await client.get("/status")).status_code == (401 if number < MOST else 429)
    async with made.client() as client:
        assert (await client.get("/status", headers=headers("privacy"))).status_code == 403
    assert made.audit.told[-1] == ("status", "refused", "not_allowed")
    assert made.audit.records[-1].by is By.TOKEN


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklm"), st.booleans(), st.floats(0, 5)), max_size=400))
def test_no_minute_has_more_records_than_stated_and_every_refusal_is_told(calls: list[tuple[str, bool, float]]) -> None:
    refusals, now = Refusals(), 0.0
    taken: list[tuple[str, bool]] = []
    for who, known, later in calls:
        now += later
        if refusals.take(who, now, known=known):
            taken.append((who, known))
    assert len(taken) + refusals.untold() == len(calls)
    minutes = now / MINUTE + 1
    for known in (True, False):
        of_these = Counter(who for who, each in taken if each is known)
        assert of_these.total() <= MOST * minutes
        assert max(of_these.values(), default=0) <= MOST_OF_ONE * minutes


# ---- on a real server ------------------------------------------------------------------------------------------------


async def test_it_is_served_beside_the_probes(administered: Administered) -> None:
    async with (
        serving(administered.app) as address,
        httpx.AsyncClient(base_url=address, trust_env=False, timeout=PATIENCE_S) as client,
    ):
        good = await client.get("/admin/v1/status", headers=headers("operations"))
        assert good.status_code == 200
        assert good.headers["cache-control"] == "no-store"
        assert (await client.get("/admin/v1/status")).headers["www-authenticate"] == "Bearer"
        assert (await client.get("/healthz")).status_code == 200
        page = (await client.get("/metrics")).text
    assert 'tightlip_administration_calls_total{action="status",result="done"} 1.0' in page
    assert 'tightlip_administration_calls_total{action="status",result="refused"} 1.0' in page
    assert administered.audit.records[0].address == "127.0.0.1"
