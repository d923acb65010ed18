"""A real gateway process and a real store: who is erased while his answer runs, what comes back of him after, and that
nothing of him stands in a file or a log."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import budgets, limits
from gateway.observe.pseudonyms import Pseudonyms
from gateway.types import Principal
from tests.support import gateways
from tests.support.administration import POLICY, configuration, tightlip
from tests.support.gateways import MODEL, Gateway
from tests.support.redis import DURABLE, needs_redis, redis
from tests.support.scripted import Engine, Until
from tests.support.waiting import until

WHO = "zqSubjectxv"
LOG_KEY = "l" * 40
HIM = Principal("tightlip-dev", "acme", WHO, None, "customer", 0.0)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("redis", marks=needs_redis)])
def test_who_is_erased_while_his_answer_runs_is_gone_but_for_what_came_after(
    kind: str, engine: Engine, tmp_path: Path
) -> None:
    go_on = threading.Event()
    engine.tuned = ("Good day. One. Two. ", Until(go_on), "And good bye. ")
    (tmp_path / "state").mkdir()
    with store(kind, tmp_path / "state") as state, running(engine, tmp_path, state) as gateway:
        with gateway.client(subject=WHO) as client, began(client) as rest:
            assert {"requests_per_minute", "streams", "findings_held"} <= found(gateway)
            assert marks_in(tmp_path / "state") != []
            receipt = asked(gateway, "erase")
            assert {place["place"] for place in receipt["places"] if place["erased"]} == {"limits", "leak_budget"}
            go_on.set()
            text = "".join(rest)
        assert "And good bye." in text
        assert text.endswith("data: [DONE]\n\n")
        until(lambda: found(gateway) == {"last_use"})
        asked(gateway, "erase")
        assert found(gateway) == set()
        until(lambda: marks_in(tmp_path / "state") == [], "Redis may write its file anew behind the answer")
        assert [record["status"] for record in his_records(gateway)] == [200]
    assert marks_in(tmp_path / "state") == [], "nor does its end bring anything back"
    audit = "".join(file.read_text() for file in (tmp_path / "audit").iterdir())
    assert WHO not in gateway.output + audit
    for said in (gateway.output, audit):
        assert said.count('"action":"erase_subject"') == 4, "asked and done, twice"


@contextmanager
def store(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    if kind == "sqlite":
        yield {"file": str(folder / "state.db")}
        return
    with redis(folder, *DURABLE) as server:
        yield {"url": server.url}


@contextmanager
def running(engine: Engine, folder: Path, state: dict[str, str]) -> Iterator[Gateway]:
    policy: dict[str, Any] = deepcopy(POLICY)
    customer = policy["roles"]["customer"] | {"limits": {"requests_per_minute": 50, "streams": 5}}
    strict = policy["profiles"]["strict"] | {"budget": {"refuse_findings_per_hour": 50}}
    policy |= {"roles": {"customer": customer}, "profiles": {"strict": strict}}
    policy["issuers"][0]["roles"] = ["customer"]
    (folder / "log.key").write_text(LOG_KEY)
    settings = configuration(engine, folder, state) | {"log": {"key_file": "log.key"}}
    with gateways.gateway(folder, settings, policy) as gateway:
        yield gateway


@contextmanager
def began(client: httpx.Client) -> Iterator[Iterator[str]]:
    """A stream of which something has come, and its rest."""
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Hello?"}]}
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_text()
        seen = ""
        while "Good day." not in seen:
            seen += "".join(text_of(next(pieces)))
        yield pieces


def text_of(piece: str) -> Iterator[str]:
    for line in piece.splitlines():
        if line.startswith("data: {"):
            yield from (choice["delta"].get("content") or "" for choice in json.loads(line[6:])["choices"])


def asked(gateway: Gateway, call: str, *more: str) -> Mapping[str, Any]:
    done = tightlip(gateway, "privacy", "subject", call, WHO, *more)
    assert done.exit_code == 0, done.output
    receipt: Mapping[str, Any] = json.loads(done.stdout)
    return receipt


def found(gateway: Gateway) -> set[str]:
    """What is kept of him."""
    return {value["what"] for place in asked(gateway, "export")["places"] for value in place["values"]}


def his_records(gateway: Gateway) -> list[dict[str, Any]]:
    """As the collector of the gateway's standard output finds them."""
    file = gateway.folder / "collected.jsonl"
    file.write_text(gateway.output)
    places = asked(gateway, "export", "--records", str(file))["places"]
    [records] = [place for place in places if place["place"] == "records"]
    assert records["searched"]
    return list(records["values"])


def marks_in(folder: Path) -> list[str]:
    """Of all under which something of him may stand, those that are in the store's files."""
    counted = limits.counted(HIM)
    mark = Pseudonyms(LOG_KEY.encode()).lasting(HIM)
    names = [*counted.windows, counted.places, *budgets.accounts(HIM), f'"{mark}"', WHO]
    raw = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return [name for name in names if name.encode() in raw]
