"""Two tenants with the same subject, token id, role and model: nothing that one does changes anything for the other.

One gateway, and two pairs of neighbours: two tenants of one issuer, and tenants of the same name of two issuers. Each
action is done by one of them until he feels it himself; what the other gets is compared with what he got before.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from gateway.auth.development import create_key, read_key
from gateway.auth.revocation import Kind, Revocation
from gateway.observe.pseudonyms import Pseudonyms
from gateway.revoke import revoke, withdraw
from gateway.settings import StateSettings
from gateway.state import Store
from gateway.state.opening import open_store
from gateway.types import Principal
from tests.support import gateways, scripted
from tests.support.gateways import MODEL, Gateway, gateway, served, server, settings
from tests.support.scripted import SURPRISED, Engine, Step, Until
from tests.support.waiting import until

MAIL = "vexlo.trund47@kipmora.example"
TELLING = f"The e-mail on file is {MAIL}. Goodbye."
FROM_BASE = "I can't help with that."
PATIENCE = 60.0
BOTH = {"models": [MODEL], "endpoints": ["chat"], "max_output_tokens": 120}
ROLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "few": {"limits": {"requests_per_minute": 6}},
    "crowd": {"total_limits": {"requests_per_minute": 6}},
    "tokens": {"limits": {"tokens_per_day": 200}, "total_limits": {"tokens_per_day": 200}},
    "alone": {"limits": {"streams": 1}},
    "together": {"total_limits": {"streams": 1}},
    "held": {"max_streams": 1},
    "metered": {"profile": "metered"},
    "ended": {"profile": "ended"},
    "named": {"profile": "named"},
}
PROFILES = {
    "strict": {"sample": 0},
    "metered": {"sample": 0, "budget": {"caller_bits_per_hour": 100}},
    "ended": {"sample": 0, "budget": {"refuse_bits_per_hour": 100}},
    "named": {"sample": 0, "on_memorised": "mask", "actions": {"EMAIL": "pseudonym"}},
}
SCHEMA = {"type": "object", "properties": {"answer": {"enum": ["red", "green"]}}, "required": ["answer"]}


@dataclass(frozen=True)
class Who:
    """One of two who have the same names."""

    front: Gateway
    issuer: str
    tenant: str
    subject: str = "s-1"
    role: str = "plain"

    def ask(self, words: str = "Hello", **more: Any) -> httpx.Response:
        """With a token whose id is that of the other's."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": "tightlip",
            "sub": self.subject,
            "role": self.role,
            "tenant": self.tenant,
            "iat": now - 120,  # before any moment of a test from which on all is revoked
            "exp": now + 600,
            "jti": f"token-of-{self.subject}",
        }
        token = jwt.encode(claims, read_key(self.front.folder / "key.pem"), algorithm="EdDSA")
        body = {"model": MODEL, "messages": [{"role": "user", "content": words}], "max_tokens": 100} | more
        headers = {"authorization": f"Bearer {token}"}
        url = f"{self.front.public}/v1/chat/completions"
        sent = {"json": body, "headers": headers, "timeout": PATIENCE, "trust_env": False, "verify": False}
        return served(lambda: httpx.post(url, **sent))

    def sees(self, engine: Engine) -> dict[str, Any]:
        """What three of his requests come to, but for names that are new each time; what the engine is told of him."""
        answers = [self.ask(), self.ask("Tell me"), self.ask("Pick", **_shaped())]
        told = [(each.status_code, {**each.json(), "id": None, "created": None}) for each in answers]
        return {"told": told, "salts": sorted({each["cache_salt"] for each in engine.asked("tuned")[-3:]})}


def _shaped() -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "pick", "schema": SCHEMA}}}


class House:
    """The gateway, its store, and what the engine says."""

    def __init__(self, front: Gateway, engine: Engine) -> None:
        self.front, self.engine = front, engine
        self.go_on = threading.Event()

    def says(self, body: dict[str, Any]) -> tuple[Sequence[Step], str]:
        if body["model"] == "base":
            return (FROM_BASE,), "stop"
        asked = body["messages"][-1]["content"]
        said: dict[str, Sequence[Step]] = {
            "Tell me": (TELLING,),
            "Pick": ('{"answer": "red"}',),
            "Wait": ("Good day. ", Until(self.go_on), "Goodbye."),
        }
        return said.get(asked, ("Good day.",)), "stop"

    def store(self, work: Callable[[Store], Any]) -> Any:
        """Done in the store that the gateway has."""

        async def done() -> Any:
            store = open_store(StateSettings(file=self.front.folder / "state.db"))
            try:
                return await work(store)
            finally:
                await store.aclose()

        return asyncio.run(done())

    def revoked(self, revocation: Revocation, who: Who) -> str:
        """Once he feels it."""
        entry_id: str = self.store(lambda store: revoke(store, revocation, time.time()))
        until(lambda: who.ask().status_code == 401)
        return entry_id

    def withdrawn(self, entry_id: str, who: Who) -> None:
        assert self.store(lambda store: withdraw(store, entry_id, time.time()))
        until(lambda: who.ask().status_code == 200)

    @contextmanager
    def waiting(self, who: Who) -> Iterator[None]:
        """An answer to him is under way inside."""
        self.go_on.clear()
        before = len(self.engine.asked("tuned"))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(who.ask, "Wait")
            until(lambda: len(self.engine.asked("tuned")) > before)
            try:
                yield
            finally:
                self.go_on.set()
            assert answer.result().status_code == 200


@pytest.fixture(scope="module")
def _front(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("tenants")
    create_key(folder / "key.pem")
    (folder / "root.key").write_text("r" * 32)
    common = gateways.POLICY["issuers"][0] | {
        "roles": list(ROLES),
        "tenant": {"claim": "tenant", "allowed": ["north", "south"]},
        "token_id_claim": "jti",
    }
    policy = gateways.POLICY | {
        "issuers": [common | {"issuer": name} for name in ("one", "two")],
        "roles": {name: BOTH | more for name, more in ROLES.items()},
        "profiles": PROFILES,
    }
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    more = {"state": {"file": "state.db"}, "pseudonym_key_file": "root.key", "log": {"key_file": "root.key"}}
    with gateway(folder, settings(*pair, scripted.tokenizer(folder), **more), policy) as front:
        yield front


@pytest.fixture
def house(_front: Gateway, engine: Engine) -> House:
    made = House(_front, engine)
    engine.replies, engine.score = made.says, SURPRISED
    return made


NEIGHBOURS = ("one", "south"), ("two", "north")
EACH_NEIGHBOUR = pytest.mark.parametrize("neighbour", NEIGHBOURS, ids=["of the same issuer", "of the same name"])


def both(house: House, neighbour: tuple[str, str], role: str, subject: str) -> tuple[Who, Who]:
    """He who does something, and he who must not feel it."""
    named = f"{subject}-{'-'.join(neighbour)}"
    return Who(house.front, *neighbour, named, role), Who(house.front, "one", "north", named, role)


# ---- what is revoked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_revoked_and_withdrawn(house: House, kind: Kind) -> None:
    other = Who(house.front, "one", "north", f"revoked-{kind}")
    actors = [replace(other, issuer=issuer, tenant=tenant) for issuer, tenant in NEIGHBOURS]
    before = other.sees(house.engine)
    value = {Kind.TOKEN_ID: f"token-of-{other.subject}", Kind.SUBJECT: other.subject, Kind.ROLE: "plain"}.get(kind, "")
    moment = time.time() if kind is Kind.EVERYTHING else None
    entries = [house.revoked(Revocation(kind, value, each.issuer, each.tenant, moment), each) for each in actors]
    assert other.sees(house.engine) == before
    own = house.revoked(Revocation(kind, value, other.issuer, other.tenant, moment), other)
    for actor, entry_id in zip(actors, entries, strict=True):
        house.withdrawn(entry_id, actor)
    assert other.ask().status_code == 401, "what one withdraws brings no token of the other's back"
    house.withdrawn(own, other)
    assert other.sees(house.engine) == before


# ---- what is counted -------------------------------------------------------------------------------------------------


@EACH_NEIGHBOUR
@pytest.mark.parametrize("role", ["few", "crowd"])
def test_limits_that_are_used_up(house: House, neighbour: tuple[str, str], role: str) -> None:
    actor, other = both(house, neighbour, role, "spender")
    first = limits_of(actor.ask())
    until(lambda: actor.ask().status_code == 429)
    answer = other.ask()
    assert (answer.status_code, limits_of(answer)) == (200, first)


def limits_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "limit-" in name and "reset" not in name}


@EACH_NEIGHBOUR
@pytest.mark.parametrize("role", ["tokens", "alone", "together", "held"])
def test_what_is_taken_while_an_answer_runs(house: House, neighbour: tuple[str, str], role: str) -> None:
    actor, other = both(house, neighbour, role, "waiter")
    with house.waiting(actor):
        assert actor.ask().status_code == 429
        until(lambda: other.ask().status_code == 200)
        assert actor.ask().status_code == 429


@EACH_NEIGHBOUR
def test_a_leak_budget_that_is_spent(house: House, neighbour: tuple[str, str]) -> None:
    actor, other = both(house, neighbour, "metered", "leaker")
    ended = replace(actor, role="ended"), replace(other, role="ended")
    assert {actor.ask("Tell me").status_code for _ in range(2)} == {200}
    until(lambda: content(actor.ask()) == FROM_BASE)
    until(lambda: ended[0].ask("Tell me").status_code == 429)
    assert content(other.ask()) == "Good day."
    assert content(ended[1].ask()) == "Good day."


# ---- what is known and kept ------------------------------------------------------------------------------------------


@EACH_NEIGHBOUR
def test_what_is_made_of_a_tenant_s_key(house: House, neighbour: tuple[str, str]) -> None:
    """Pseudonyms of what both are told, the names of their prefix caches, and their marks in reviews."""
    actor, other = both(house, neighbour, "named", "same")
    seen = [who.sees(house.engine) for who in (actor, other)]
    pseudonyms = [each["told"][1][1]["choices"][0]["message"]["content"] for each in seen]
    assert all(MAIL not in each and "Goodbye." in each for each in pseudonyms)
    assert pseudonyms[0] != pseudonyms[1]
    assert len(seen[0]["salts"]) == len(seen[1]["salts"]) == 1
    assert seen[0]["salts"] != seen[1]["salts"]
    assert other.sees(house.engine) == seen[1]


@EACH_NEIGHBOUR
def test_a_schema_that_one_may_send(house: House, neighbour: tuple[str, str]) -> None:
    """That it was harmless, or refused, for one is nothing that the other's request goes by."""
    actor, other = both(house, neighbour, "plain", "shaper")
    bad = {"type": "object", "properties": {"answer": {"enum": [MAIL]}}}
    refused = [who.ask("Pick", response_format=_format(bad)) for who in (actor, other)]
    assert [each.status_code for each in refused] == [400, 400]
    assert actor.ask("Pick", **_shaped()).status_code == 200
    assert other.sees(house.engine)["told"][2][0] == 200


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "pick", "schema": schema}}


def test_reviews_tell_them_apart() -> None:
    """As everything that knows callers by their marks does."""
    one = Principal("one", "north", "s-1", "token-1", "plain", 2e9)
    pseudonyms = Pseudonyms(b"r" * 32)
    marks = {pseudonyms.lasting(each) for each in (one, replace(one, tenant="south"), replace(one, issuer="two"))}
    assert len(marks - {None}) == 3


# ---- the base model --------------------------------------------------------------------------------------------------


@EACH_NEIGHBOUR
def test_one_who_keeps_all_his_places_at_the_base_changes_no_verdict_of_the_other(
    house: House, neighbour: tuple[str, str]
) -> None:
    """His questions are not answered while the other asks as much as he ever would."""
    actor, other = both(house, neighbour, "plain", "crowd")
    alone = [told(other.ask("Tell me", n=2)) for _ in range(3)]
    salt = salt_of(house, actor)
    engine = house.engine
    engine.requests.clear()
    engine.score_when = lambda body: house.go_on if body["cache_salt"] == salt else None
    house.go_on.clear()
    with ThreadPoolExecutor(12) as pool:
        crowd = [pool.submit(replace(actor, subject=f"s-{at}").ask, "Tell me") for at in range(12)]
        until(lambda: sum(each["cache_salt"] == salt for each in engine.questions()) >= 6)
        try:
            beside = [told(other.ask("Tell me", n=2)) for _ in range(3)]
            assert not any(each.done() for each in crowd)
        finally:
            house.go_on.set()
        assert {told(each.result())[0] for each in crowd} == {200}
    assert beside == alone
    assert MAIL not in str(beside)


def salt_of(house: House, who: Who) -> str:
    who.ask()
    salt: str = house.engine.asked("tuned")[-1]["cache_salt"]
    return salt


def told(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json() | {"id": None, "created": None}


def content(answer: httpx.Response) -> str:
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text
