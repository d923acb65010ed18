"""What is denied while answers run is hidden in them, whoever asks; a broken list changes nothing and is counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings
from tests.support.knowledge import deny, write_knowledge
from tests.support.scripted import Engine, Until
from tests.support.waiting import until

CANARY, SECOND = "zlavundo", "quibbertam"
ENTRIES = f'tightlip_deny_list_entries{{model="{MODEL}",release="default"}} '
FAILURES = f'tightlip_deny_list_reload_failures_total{{model="{MODEL}",release="default"}} '


@pytest.fixture(scope="module")
def denying(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("deny")
    files = write_knowledge(folder, [{"text": "Lamps can be sent back within 45 days."}], {}, ["vexlo tamber"])
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    with gateway(folder, settings(*pair, scripted.tokenizer(folder), model=files)) as front:
        yield front


def wait_for(front: Gateway, line: str) -> None:
    until(lambda: line in front.page("/metrics").text, line)


def content(line: str) -> str:
    if not line.startswith("data: {"):
        return ""
    frame: dict[str, Any] = json.loads(line[6:])
    return "".join(choice["delta"].get("content") or "" for choice in frame["choices"])


@pytest.mark.parametrize("role", ["customer", "clauses", "open"])
def test_what_is_denied_now_is_hidden_in_a_running_answer(denying: Gateway, engine: Engine, role: str) -> None:
    deny(denying.folder, ["vexlo tamber"])
    wait_for(denying, ENTRIES + "1.0")
    go_on = threading.Event()
    engine.tuned = (f"He is {CANARY}. It rained. ", Until(go_on), f"He is {CANARY.upper()}, again. Good day.")
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Who is {CANARY}?"}], "stream": True}
    said = ""
    with denying.client(role) as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.iter_lines()
        while "He is" not in said:
            said += content(next(lines))
        assert CANARY in said or role == "open"
        deny(denying.folder, ["vexlo tamber", CANARY])
        wait_for(denying, ENTRIES + "2.0")
        go_on.set()
        said += "".join(map(content, lines))
    assert CANARY.upper() not in said
    assert said.lower().count(CANARY) == 1
    assert canary_free(denying, CANARY)


def test_a_broken_list_keeps_the_one_before(denying: Gateway, engine: Engine) -> None:
    path = deny(denying.folder, ["vexlo tamber", CANARY, SECOND])
    wait_for(denying, ENTRIES + "3.0")
    path.write_bytes(path.read_bytes().replace(b'"characters":10', b'"characters":11'))
    wait_for(denying, FAILURES + "1.0")
    engine.tuned = (f"It is {SECOND}.",)
    with denying.client() as client:
        assert SECOND not in ask(client, f"Is it {SECOND}?").text
    assert "deny.jsonl: is not as it was written; the deny list before it stays in force" in denying.output
    assert canary_free(denying, CANARY, SECOND)
    path.unlink()
    wait_for(denying, FAILURES + "2.0")
    with denying.client("legacy") as client:
        response = client.post("/v1/completions", json={"model": MODEL, "prompt": "It is quibber"})
        assert response.status_code == 200
        assert SECOND not in response.text
