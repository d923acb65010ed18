"""A real gateway whose policy is changed while answers run: none is lost, none is cut, each has the version it began
with; a bad file changes nothing; an urgent one ends what began before it."""

from __future__ import annotations

import copy
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.gateways import MODEL, POLICY, Gateway, ask, gateway, server, settings
from tests.support.scripted import Engine, Pause, Until
from tests.support.waiting import PATIENCE_S, until

CANARY = "qvelundra"
RELOADS = 20
STREAMS = 6


@pytest.fixture(scope="module")
def changing(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("reload")
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    with gateway(folder, settings(*pair, scripted.tokenizer(folder))) as front:
        yield front


def policy(number: int = 0, **more: Any) -> dict[str, Any]:
    """One with a role of its own, so that each is another version and can be told by what it lets in."""
    made = copy.deepcopy(POLICY) | more
    made["issuers"][0]["roles"].append(f"role-{number}")
    made["roles"][f"role-{number}"] = {"models": [MODEL], "endpoints": ["chat"]}
    return made


def write(front: Gateway, made: Mapping[str, Any] | str) -> None:
    text = made if isinstance(made, str) else yaml.safe_dump(dict(made))
    (front.folder / ".policy").write_text(text)
    (front.folder / ".policy").replace(front.folder / "policy.yaml")


def metrics(front: Gateway) -> str:
    return front.page("/metrics").text


def in_force(front: Gateway) -> str:
    return next(line for line in metrics(front).splitlines() if line.startswith("tightlip_info{"))


def switch(front: Gateway, made: Mapping[str, Any]) -> str:
    """Write it and have it read; the version then in force."""
    before = in_force(front)
    write(front, made)
    os.kill(front.child.process.pid, signal.SIGHUP)
    until(lambda: in_force(front) != before)
    return in_force(front).partition('policy="')[2].partition('"')[0]


def stream(front: Gateway, begun: threading.Event | None = None) -> tuple[int, str, str]:
    """Status, text and the last line of one streamed answer; `begun` is set by its first text."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Go on."}], "stream": True}
    said, last = "", ""
    with front.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            last = line or last
            if line.startswith("data: {"):
                frame = json.loads(line[6:])
                said += "".join(choice["delta"].get("content") or "" for choice in frame.get("choices", ()))
            if said and begun:
                begun.set()
        return response.status_code, said, last


def records(front: Gateway) -> list[dict[str, Any]]:
    return [record for record in front.records if record["event"] == "request"]


def records_of(front: Gateway, expected: int, which: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """A record is written once the answer has gone."""
    until(lambda: len([record for record in records(front) if which(record)]) >= expected)
    return [record for record in records(front) if which(record)]


def test_no_answer_is_lost_while_the_policy_changes_again_and_again(changing: Gateway, engine: Engine) -> None:
    sentences = [f"It rained in part {number} of the story. " for number in range(8)]
    engine.tuned = tuple(step for sentence in sentences for step in (sentence, Pause(0.1)))
    stop, told = threading.Event(), {record["request_id"] for record in records(changing)}
    versions = {in_force(changing).partition('policy="')[2].partition('"')[0]}

    def again_and_again() -> list[tuple[int, str, str]]:
        answers = []
        while not stop.is_set():
            answers.append(stream(changing))
        return answers

    with ThreadPoolExecutor(STREAMS) as pool:
        running = [pool.submit(again_and_again) for _ in range(STREAMS)]
        for number in range(RELOADS):
            versions.add(switch(changing, policy(number)))
        stop.set()
        answers = [answer for each in running for answer in each.result()]
    assert len(versions) == RELOADS + 1
    assert len(answers) > STREAMS
    assert {(status, last) for status, _, last in answers} == {(200, "data: [DONE]")}
    assert {said.strip() for _, said, _ in answers} == {"".join(sentences).strip()}
    new = records_of(changing, len(answers), lambda record: record["request_id"] not in told)
    assert len(new) == len(answers)
    assert {record["policy"] for record in new} <= versions
    assert len({record["policy"] for record in new}) > 1
    with changing.client(f"role-{RELOADS - 1}") as now, changing.client("role-0") as gone:
        assert (ask(now).status_code, ask(gone).status_code) == (200, 401)
    counted = f'tightlip_requests_total{{model="{MODEL}",release="default",role="role-{RELOADS - 1}"'
    assert counted in metrics(changing)


def test_a_bad_policy_is_refused_whole_and_only_its_code_is_on_record(changing: Gateway, engine: Engine) -> None:
    version = switch(changing, policy(100))
    write(changing, yaml.safe_dump(policy(101)) + f"{CANARY}: [{CANARY}]\n")
    until(lambda: "tightlip_policy_reload_failures_total 1.0" in metrics(changing))
    assert version in in_force(changing)
    with changing.client("role-100") as client:
        assert ask(client).status_code == 200
    told = changing.child.stderr
    assert "policy.yaml:" in told
    assert "is not a known key; the policy before it stays in force" in told
    assert CANARY not in changing.child.stdout


def test_an_urgent_policy_ends_what_began_before_it(changing: Gateway, engine: Engine) -> None:
    begun, go_on = threading.Event(), threading.Event()
    engine.tuned = (f"It rained. Her mail is {CANARY}@", Until(go_on), "plimsol.example. Good day.")
    switch(changing, policy(200))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream, changing, begun)
        assert begun.wait(PATIENCE_S)
        switch(changing, policy(201))  # one that can wait
        assert not running.done()
        version = switch(changing, policy(202, urgent=True))
        status, said, last = running.result(timeout=PATIENCE_S)
    go_on.set()
    assert (status, "policy_changed" in last, CANARY in said) == (200, True, False)
    (record,) = records_of(changing, 1, lambda record: record.get("error") == "policy_changed")
    assert record["policy"] != version
    engine.tuned = ("Good day.",)
    with changing.client("role-202") as client:
        assert ask(client).status_code == 200
    assert canary_free(changing, f"{CANARY}@")
