"""Limits of callers, end to end: what OpenAI's clients read, what is refused, and that hidden text costs nothing."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import canary_free
from tests.support import gateways, scripted
from tests.support.gateways import MODEL, Gateway, ask, gateway, served, server, settings
from tests.support.scripted import SURPRISED, Close, Engine, Error, Until
from tests.support.waiting import until

LIMITS = {
    "few": {"requests_per_minute": 2},
    "spare": {"tokens_per_minute": 1030, "tokens_per_day": 100_000},
    "raw": {"tokens_per_minute": 1030},
    "alone": {"streams": 1},
}
POLICY = gateways.POLICY | {
    "issuers": [gateways.POLICY["issuers"][0] | {"roles": list(LIMITS)}],
    "roles": {name: {"models": [MODEL], "endpoints": ["chat"], "limits": limits} for name, limits in LIMITS.items()},
}
POLICY["roles"]["raw"]["profile"] = "off"  # the tokens of a prompt come last
SECRET = "vexlo.trund47@kipmora.example"


@pytest.fixture(scope="module")
def limited(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("limited")
    servers = [server(_engine.url, name) for name in ("tuned", "base")]
    more = {"state": {"file": "state.db"}, "keep_alive_seconds": 0.2}
    with gateway(folder, settings(*servers, scripted.tokenizer(folder), **more), POLICY) as front:
        yield front


def asked(client: httpx.Client, content: str = "Hello?", **more: Any) -> httpx.Response:
    return served(lambda: ask(client, content, **more))


def left(answer: httpx.Response, unit: str = "tokens") -> int:
    return int(answer.headers[f"x-ratelimit-remaining-{unit}"])


def leave(client: httpx.Client, engine: Engine, prompt: str) -> None:
    """Asks, and goes away when the model has been asked."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 10}
    request = client.build_request("POST", "/v1/chat/completions", json=body)
    head = b"".join(b"%s: %s\r\n" % line for line in request.headers.raw)
    with socket.create_connection((request.url.host, request.url.port or 80)) as caller:
        caller.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n" + head + b"\r\n" + request.read())
        until(lambda: engine.asked("tuned"))


def test_over_his_requests_a_caller_is_refused_as_openai_does_it_and_nobody_else_is(
    limited: Gateway, engine: Engine
) -> None:
    engine.tuned = ("Good day.",)
    with limited.client("few", subject="eager") as client:
        answers = [asked(client), asked(client, stream=True), asked(client)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-limit-requests"] for answer in answers] == ["2"] * 3
    assert [left(answer, "requests") for answer in answers] == [1, 0, 0]
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 61
    with limited.client("few", subject="patient") as client:
        assert asked(client).status_code == 200


def test_tokens_become_what_usage_tells_whatever_was_hidden(limited: Gateway, engine: Engine) -> None:
    spent = {}
    for subject, said in (("plain", "Good day."), ("hidden", f"The e-mail on file is {SECRET}. " * 4)):
        engine.tuned, engine.score = (said,), SURPRISED
        with limited.client("spare", subject=subject) as client:
            first = asked(client, max_tokens=100)
            used = first.json()["usage"]["total_tokens"]
            assert left(first) < 1030 - 100, "reserved"

            def told(client: httpx.Client = client) -> int:
                refused = asked(client, max_tokens=1024)
                assert (refused.status_code, refused.json()["error"]["type"]) == (429, "tokens")
                return left(refused)

            until(lambda told=told, used=used: told() == 1030 - used)  # type: ignore[misc]
            spent[subject] = used
    assert spent["hidden"] < 60, "of what the model wrote only what was released"
    assert canary_free(limited, "vexlo.trund47")


@pytest.mark.parametrize("ending", ["gone", "error", "cut"])
def test_a_prompt_that_was_given_to_a_model_counts_though_its_answer_never_began(
    limited: Gateway, engine: Engine, ending: str
) -> None:
    go_on, prompt = threading.Event(), "Tell me more. " * 50
    engine.tuned = {"gone": (Until(go_on),), "error": (Error(500),), "cut": (Close(),)}[ending]
    with limited.client("raw", subject=ending) as client:
        if ending == "gone":
            leave(client, engine, prompt)
        else:
            assert asked(client, prompt, max_tokens=10).status_code == 502
        until(lambda: left(asked(client, max_tokens=1024)) == 1030 - len(prompt) - 8)
    go_on.set()


def test_a_second_answer_at_once_is_refused_and_the_place_comes_back(limited: Gateway, engine: Engine) -> None:
    go_on = threading.Event()
    engine.tuned = ("Good day. ", Until(go_on), "Good bye.")
    with (
        limited.client("alone") as client,
        client.stream(
            "POST",
            "/v1/chat/completions",
            json={"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}], "stream": True},
        ) as first,
    ):
        assert first.status_code == 200
        with limited.client("alone") as other:
            assert asked(other).status_code == 429
        go_on.set()
        first.read()
    engine.tuned = ("Good day.",)
    with limited.client("alone") as client:
        until(lambda: asked(client).status_code == 200)


def test_the_store_holds_nobody_s_name(limited: Gateway) -> None:
    with sqlite3.connect(limited.folder / "state.db") as connection:
        dump = "\n".join(connection.iterdump())
    assert 'INSERT INTO "windows"' in dump
    assert "eager" not in dump
