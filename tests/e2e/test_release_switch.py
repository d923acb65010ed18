"""Two releases of a model behind gateways that share a store: switched, rolled back, withdrawn, under load."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest

from gateway.app import Gateway
from gateway.release.desk import Refused
from gateway.release.standing import Choice, Scope
from gateway.settings import StateSettings
from gateway.state import Entry, StateUnavailable
from gateway.state.opening import open_store
from tests.e2e.test_administration import POLICY as ADMINISTERED
from tests.e2e.test_administration import recorded, tightlip
from tests.support import gateways, replicas, scripted
from tests.support.gateways import MODEL, PATIENT, gateway, server, settings, streamed, text_of
from tests.support.replicas import last_frame, log_of, replica, stream, token
from tests.support.scripted import SURPRISED, Engine, Say, Step, Until
from tests.support.waiting import until

SOON = 30.0  # on a machine that does much else; the second that is promised is measured by bench_release_switch
CANARY = "zqHeldCanaryxv"
SECRET = "vexlo.trund47@kipmora.example"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


async def acknowledged(told: Callable[[], Awaitable[object]]) -> None:
    """Asked again while a disk is too busy for the store's patience, as an operator would."""
    async with asyncio.timeout(SOON):
        while True:
            with suppress(StateUnavailable):
                await told()
                return


def two_releases(url: str, tokenizer: Path, **more: Any) -> dict[str, Any]:
    """Blue and green, of one server, each with a base of its own."""

    def release(name: str) -> dict[str, Any]:
        pair = {"tuned": server(url, f"{name}-tuned"), "base": server(url, f"{name}-base")}
        return {**pair, "tokenizer": str(tokenizer), "unreleased": True, **PATIENT}

    one = settings(server(url, "-"), server(url, "-"), tokenizer, **more)
    model = {"releases": {name: release(name) for name in ("blue", "green")}, "serving": "blue"}
    return one | {"models": {MODEL: model}}


def speaking(raw: Callable[[str], Sequence[Step]]) -> scripted.Replies:
    """Each tuned model says what `raw` has for the name of its release; a base says whose it is."""

    def replies(body: dict[str, Any]) -> tuple[Sequence[Step], str]:
        name, _, kind = body["model"].partition("-")
        return (raw(name) if kind == "tuned" else [f"The base of {name}."]), "stop"

    return replies


def one_line(name: str) -> Sequence[Step]:
    return [f"This is {name}. It is {name}. "]


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[tuple[Gateway, httpx.AsyncClient], httpx.AsyncClient]]:
    async with replica(folder, "one") as one, replica(folder, "two") as (_, second):
        yield one, second


async def said(client: httpx.AsyncClient, headers: Mapping[str, str]) -> str:
    """The text, or the error's code."""
    answer = (await client.post("/v1/chat/completions", json=ASK, headers=headers)).json()
    text: str = answer["error"]["code"] if "error" in answer else answer["choices"][0]["message"]["content"]
    return text


async def soon(ask: Callable[[], Awaitable[str]], wanted: str) -> None:
    """What is in force stays so: this waits for nothing that may pass by."""
    deadline = time.monotonic() + SOON
    while wanted not in (last := await ask()):
        assert time.monotonic() < deadline, last
        await asyncio.sleep(0.02)


async def test_a_switch_is_in_force_everywhere_and_who_has_begun_stays_where_he_is(
    state: Mapping[str, Any], engine: Engine, tmp_path: Path
) -> None:
    replicas.written(tmp_path, two_releases(engine.url, scripted.tokenizer(tmp_path), state=dict(state)))
    go_on, alice, began = threading.Event(), token(tmp_path, "alice"), asyncio.Event()
    engine.score = SURPRISED
    engine.replies = speaking(
        lambda name: [f"Good day. One. This is {name}. ", Until(go_on), f"His e-mail is {SECRET}. "]
    )
    async with two(tmp_path) as ((gateway, one), second):
        running = asyncio.create_task(stream(one, alice, began))
        await began.wait()
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"green": 1}))
        go_on_with_one_line(engine)
        await soon(lambda: said(second, alice), "This is green.")
        await soon(lambda: said(one, alice), "This is green.")
        engine.requests.clear()
        go_on.set()
        text, _ = await running
        answered = "".join(choice["delta"].get("content") or "" for choice in choices(text))
        assert "This is blue." in answered
        assert "The base of blue." in answered, "the fallback is the release's own"
        assert "green" not in text
        assert text.rstrip().endswith("data: [DONE]")
        assert engine.questions("blue-base")
        assert not engine.questions("green-base")
        assert SECRET not in text
        engine.requests.clear()
        engine.replies = speaking(lambda name: [f"This is {name}. His e-mail is {SECRET}. "])
        assert "The base of green." in await said(second, alice)
        assert {body["model"] for body in engine.requests} == {"green-tuned", "green-base"}
        go_on_with_one_line(engine)
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"blue": 1}))  # roll back
        await soon(lambda: said(second, alice), "This is blue.")
        await soon(lambda: said(one, alice), "This is blue.")
        page = generate_latest(gateway.metrics.registry).decode()
    assert f'tightlip_release_share{{model="{MODEL}",release="blue"}} 1.0' in page
    assert f'tightlip_release_share{{model="{MODEL}",release="green"}} 0.0' in page
    assert f'tightlip_fallbacks_total{{model="{MODEL}",release="blue"}} 1.0' in page
    records = [json.loads(line) for line in log_of(tmp_path, "one").splitlines()]
    assert {record["release"] for record in records if record["event"] == "request"} == {"blue", "green"}
    await cleared(state)


def go_on_with_one_line(engine: Engine) -> None:
    engine.replies = speaking(one_line)


def choices(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("data: {"):
            yield from json.loads(line.removeprefix("data: ")).get("choices", ())


async def cleared(state: Mapping[str, Any]) -> None:
    """The store has nothing of releases any more: the next test has it as well."""
    store = open_store(StateSettings(**state))
    for entry in (await store.changes(None)).entries:
        await store.withdraw(entry.id, time.time())
    await store.aclose()


async def test_a_withdrawn_release_ends_what_runs_and_answers_nobody_until_it_is_reinstated(
    state: Mapping[str, Any], engine: Engine, tmp_path: Path
) -> None:
    replicas.written(tmp_path, two_releases(engine.url, scripted.tokenizer(tmp_path), state=dict(state)))
    never, alice, began = threading.Event(), token(tmp_path, "alice"), asyncio.Event()
    engine.replies = speaking(lambda name: ["Good day. One. Two. ", f"and then {CANARY}", Until(never), " was said. "])
    async with two(tmp_path) as ((gateway, one), second):
        running = asyncio.create_task(stream(second, alice, began))
        await began.wait()
        await acknowledged(lambda: gateway.desk.withdraw(MODEL, "blue"))
        text, _ = await asyncio.wait_for(running, SOON)
        never.set()
        assert last_frame(text)["error"]["code"] == "model_withdrawn"
        assert "Good day." in text
        assert CANARY not in text
        go_on_with_one_line(engine)
        for client in (one, second):
            await soon(lambda client=client: said(client, alice), "model_withdrawn")  # type: ignore[misc]
        engine.requests.clear()
        for client in (one, second):
            refused = await client.post("/v1/chat/completions", json=ASK, headers=alice)
            assert (refused.status_code, refused.json()["error"]["type"]) == (503, "server_error")
        assert not engine.requests, "nobody asks a withdrawn release, or another in its place"
        assert gateway.releases.ready, "the process is well, and tells its callers"
        with pytest.raises(Refused, match="withdrawn"):
            await gateway.desk.switch(MODEL, {"green": 9, "blue": 1})
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"green": 1}))
        await soon(lambda: said(second, alice), "This is green.")
        await acknowledged(lambda: gateway.desk.reinstate(MODEL, "blue"))
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"blue": 1}))
        await soon(lambda: said(second, alice), "This is blue.")
    logs = log_of(tmp_path, "one", "two")
    assert '"error":"model_withdrawn"' in logs
    assert CANARY not in logs
    await cleared(state)


async def test_roles_and_tenants_may_have_another_release(engine: Engine, tmp_path: Path) -> None:
    """And a choice that names what is not here is nobody's: a replica that was not given a release yet refuses."""
    state = {"file": str(tmp_path / "state.db")}
    replicas.written(tmp_path, two_releases(engine.url, scripted.tokenizer(tmp_path), state=state))
    go_on_with_one_line(engine)
    alice, other = token(tmp_path, "alice"), token(tmp_path, "alice", "long")
    async with replica(tmp_path, "one") as (gateway, one):
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"green": 1}, Scope(role="long")))
        await soon(lambda: said(one, other), "This is green.")
        assert "This is blue." in await said(one, alice)
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"blue": 1}, Scope("tightlip-dev", "acme", "long")))
        await soon(lambda: said(one, other), "This is blue.")
        await acknowledged(lambda: gateway.desk.unswitch(MODEL, Scope("tightlip-dev", "acme", "long")))
        await soon(lambda: said(one, other), "This is green.")
        store = open_store(StateSettings(**state))  # type: ignore[arg-type]
        red = Choice(model=MODEL, shares={"red": 1}, revision=9)
        await store.put(Entry(red.id, red.written(), None), time.time())
        await store.aclose()
        await soon(lambda: said(one, alice), "model_withdrawn")
        (status,) = gateway.desk.status()
        assert [(each.scope, each.unknown) for each in status.choices] == [(Scope(), ["red"]), (Scope(role="long"), [])]
        assert "tightlip_release_choices_unknown 1.0" in generate_latest(gateway.metrics.registry).decode()
        assert gateway.releases.ready, "green still serves a role"
        await acknowledged(lambda: gateway.desk.unswitch(MODEL, Scope(role="long")))
        await soon(lambda: said(one, other), "model_withdrawn")
        assert not gateway.releases.ready, "a rollout without the release that is in service stops by itself"
        await acknowledged(lambda: gateway.desk.switch(MODEL, {"blue": 1}))
        await soon(lambda: said(one, alice), "This is blue.")


def test_blue_green_blue_under_load_on_real_processes(engine: Engine, tmp_path: Path) -> None:
    """Two processes on one file, callers who go on asking, and not one answer that fails, leaks or is of two
    releases: where the tuned model says what it must not, the base of the same release goes on."""
    engine.score = SURPRISED
    engine.replies = speaking(
        lambda name: [Say(f"This is {name}. "), Say(f"Still {name}. "), Say(f"His e-mail is {SECRET}. ")]
    )
    state = {"file": str(tmp_path / "state.db")}
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        fronts = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "audit.key").write_text("a" * 40)
            audit = {"directory": "audit", "key_file": "audit.key"}
            configuration = two_releases(engine.url, scripted.tokenizer(folder), state=state, audit=audit)
            fronts.append(stack.enter_context(gateway(folder, configuration, ADMINISTERED)))
        done, heard = threading.Event(), list[str]()
        callers = [pool.submit(_go_on_asking, front, f"s-{n}", done, heard) for n, front in enumerate(fronts)]
        try:
            for release in ("blue", "green", "blue"):
                told = tightlip(fronts[0], "operations", "release", "switch", MODEL, release)
                assert told.exit_code == 0, told.output
                for front in fronts:
                    _until_it_answers(front, release)
        finally:
            done.set()
        for caller in callers:
            caller.result()
    actions = [(each["action"], each["release"]) for each in recorded(tmp_path / "one") if each["outcome"] == "done"]
    assert actions == [("switch_release", name) for name in ("blue", "green", "blue")]
    assert {text.strip() for text in heard} == {
        f"This is {name}. Still {name}. The base of {name}." for name in ("blue", "green")
    }
    assert all(SECRET not in front.output for front in fronts)


def _go_on_asking(front: gateways.Gateway, subject: str, done: threading.Event, heard: list[str]) -> None:
    with front.client(subject=subject) as client:
        while not done.is_set():
            answer = client.post("/v1/chat/completions", json=ASK | {"stream": True})
            assert answer.status_code == 200, answer.text
            assert answer.text.rstrip().endswith("data: [DONE]"), answer.text
            heard.append(text_of(streamed(answer)))


def _until_it_answers(front: gateways.Gateway, release: str) -> None:
    with front.client() as client:
        until(lambda: f"This is {release}." in client.post("/v1/chat/completions", json=ASK).text)
