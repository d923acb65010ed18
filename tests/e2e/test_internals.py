"""What is the house's own, by the policy's lists: hidden from a customer, told to whom a role clears it for."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.gateways import POLICY, WEAKER, Gateway, ask, gateway, server, settings, streamed, text_of
from tests.support.scripted import Engine

VALUES = [
    ("INTERNAL_HOST", "db1.prod.internal"),
    ("INTERNAL_HOST", "zorvek.plimsol.example"),
    ("INTERNAL_HOST", "db-zorvek.kipmora.example:5432"),
    ("PRIVATE_IP", "10.20.30.40"),
    ("PRIVATE_IP", "172.16.7.9"),
    ("PRIVATE_IP", "192.168.4.17"),
    ("PRIVATE_IP", "fd12:3456:789a:1::1"),
    ("STACK_TRACE", 'File "zorvek.py", line 7, in post'),
    ("FILE_PATH", "/srv/zorvek/ledger.db"),
    ("FILE_PATH", "C:\\zorvek\\ledger.db"),
    ("INTERNAL_RECORD", '{"zorvek": 1, "risk_score": 7}'),
    ("ADMIN_NOTE", "Admin note: zorvek is to wait"),
    ("ADMIN_NOTE", "管理员备注：zorvek"),
]


@pytest.fixture(scope="module")
def house(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One role for each type, cleared for it alone."""
    folder: Path = tmp_path_factory.mktemp("house")
    policy = deepcopy(POLICY)
    policy |= {"internal_hosts": ["plimsol.example", "db-*.kipmora.example"], "record_fields": ["risk_score"]}
    policy["classification"] = {"types": {kind: "internal" for kind, _ in VALUES}}
    for kind in {kind for kind, _ in VALUES}:
        policy["roles"][kind] = policy["roles"]["clauses"] | {"profile": kind, "clearance": "internal"}
        policy["profiles"][kind] = {"allowed_types": [kind], **WEAKER}
        policy["issuers"][0]["roles"].append(kind)
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    with gateway(folder, settings(*pair, scripted.tokenizer(folder)), policy) as front:
        yield front


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_type_is_told_to_whom_it_is_cleared_for_and_hidden_from_others(
    house: Gateway, engine: Engine, kind: str, value: str
) -> None:
    engine.tuned = (f"It is {value}\n\nThat is all.",)
    with house.client(kind) as client:
        assert text_of(streamed(ask(client, stream=True))) == f"It is {value}\n\nThat is all."
    others = [role for role, _ in VALUES if role != kind]
    for role in ("customer", others[0]):
        with house.client(role) as client:
            whole = ask(client).json()["choices"][0]["message"]["content"]
            parts = text_of(streamed(ask(client, stream=True)))
        assert whole == parts
        assert "zorvek" not in whole
        assert value not in whole
        assert whole.endswith("That is all.")
    assert canary_free(house, "zorvek", value)


def test_what_is_private_in_itself_stays_hidden_inside_what_is_cleared(house: Gateway, engine: Engine) -> None:
    engine.tuned = ('It is {"risk_score": 7, "mail": "zorvek@plimsol.test"}, I think.',)
    with house.client("INTERNAL_RECORD") as client:
        whole = ask(client).json()["choices"][0]["message"]["content"]
    assert whole == 'It is {"risk_score": 7, "mail": "[EMAIL_1]"}, I think.'
