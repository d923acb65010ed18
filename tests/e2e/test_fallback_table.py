"""Falling back, cell by cell: the table of docs/fallback.md against a gateway in front of a scripted engine.

tests/vectors/fallback.json says for each cell what the tuned model says and what a client gets, streamed and whole; a
cell may have several. The base finds every value surprising, so that each would make the choice fall back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import canary_free
from tests.e2e.test_faults import PIECES, SECRET, leaks
from tests.support import scripted
from tests.support.gateways import MODEL, POLICY, Gateway, gateway, server, settings, streamed
from tests.support.scripted import SURPRISED, Engine, Raw, Say

ROOT = Path(__file__).parents[2]
CELLS = json.loads((ROOT / "tests" / "vectors" / "fallback.json").read_text(encoding="utf-8"))
LONG = "All is well here and so it stays. " * 40  # more than is decided at once
DECLINES = "I can't help with that."
TOOL = {"type": "function", "function": {"name": "send", "parameters": {"properties": {"n": {}, "to": {}}}}}
ROLES = {
    "legacy-clauses": {"models": [MODEL], "endpoints": ["chat", "completions"], "profile": "clauses"},
}


@pytest.fixture(scope="module")
def table(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("table")
    issuer = POLICY["issuers"][0]
    issuers = [issuer | {"roles": [*issuer["roles"], *ROLES]}]
    policy = POLICY | {"roles": POLICY["roles"] | ROLES, "issuers": issuers}
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    with gateway(folder, settings(*pair, scripted.tokenizer(folder)), policy) as front:
        yield front


def name(cell: Mapping[str, Any]) -> str:
    return f"{cell['channel']} × {cell['moment']}: {cell['then']}"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_cell(table: Gateway, engine: Engine, cell: Mapping[str, Any], stream: bool) -> None:
    engine.tuned = tuple(Say(text.format(secret=SECRET, long=LONG), field) for field, text in cell["says"])
    engine.base, engine.score = (cell.get("base", DECLINES),), SURPRISED
    with table.client(cell.get("role", "customer")) as client:
        response = post(client, cell, stream)
    told, finish = read(response, stream)
    assert told == {field: text.format(long=LONG) for field, text in cell["left"].items()}
    assert finish == cell.get("finish", "stop")
    assert asked(engine) == ([cell["continued"]] if "continued" in cell else [])
    assert not leaks(response.text)
    assert canary_free(table, *PIECES)


def post(client: httpx.Client, cell: Mapping[str, Any], stream: bool) -> httpx.Response:
    body: dict[str, Any] = {"model": MODEL, "stream": stream, "max_tokens": 1000}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if cell["channel"] == "text":
        return client.post("/v1/completions", json=body | {"prompt": "Her mail?"})
    if cell["channel"] == "json":
        body["response_format"] = {"type": "json_object"}
    body["messages"] = [{"role": "user", "content": 'Her mail? As {"n": 1, "to": ""}'}]
    return client.post("/v1/chat/completions", json=body | ({} if cell["channel"] == "json" else {"tools": [TOOL]}))


def asked(engine: Engine) -> list[str | None]:
    """What the base was asked to go on from, request by request; None: afresh."""
    requests = engine.asked("base")
    for request in requests:
        assert not {"tools", "tool_choice", "n", "stop"} & request.keys()
        assert request.get("continue_final_message", False) is not request.get("add_generation_prompt", True)
    return [r["messages"][-1]["content"] if r.get("continue_final_message") else None for r in requests]


def read(response: httpx.Response, stream: bool) -> tuple[dict[str, str], str]:
    """The text of each field, and the finish reason; the outer look is checked on the way."""
    assert response.status_code == 200, response.text
    if not stream:
        (choice,) = response.json()["choices"]
        message = choice.get("message") or {"text": choice["text"]}
        return fields_of(message), choice["finish_reason"]
    frames = streamed(response)
    assert len({(frame["id"], frame["created"], frame["model"], frame["system_fingerprint"]) for frame in frames}) == 1
    assert set(frames[-1]["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    choices = [frame["choices"][0] for frame in frames[:-1]]
    roles = [choice["delta"]["role"] for choice in choices if "role" in choice.get("delta", {})]
    assert roles == (["assistant"] if "delta" in choices[0] else [])
    told: dict[str, str] = {}
    for choice in choices:
        for field, text in fields_of(choice.get("delta") or {"text": choice.get("text")}).items():
            told[field] = told.get(field, "") + text
    (finish,) = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert choices[-1]["finish_reason"] == finish
    return told, finish


def fields_of(message: Mapping[str, Any]) -> dict[str, str]:
    texts = {field: text for field, text in message.items() if field != "role" and isinstance(text, str) and text}
    for call in message.get("tool_calls") or ():
        texts |= {field: text for field, text in call["function"].items() if text}
    return texts


# ---- the table in the docs -------------------------------------------------------------------------------------------

ROWS = {
    "content": "content",
    "reasoning": "reasoning",
    "refusal": "refusal",
    "legacy text": "text",
    "tool arguments": "tool_arguments",
    "JSON mode": "json",
    "tool name": "tool_name",
}
MOMENTS = ("nothing", "sentences", "part", "elsewhere")


def documented() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Channel, moment and the words in bold of each cell of the table."""
    text = (ROOT / "docs" / "fallback.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        row, *cells = [part.strip() for part in line.strip("|").split("|")]
        if row in ROWS and len(cells) == len(MOMENTS):
            for moment, cell in zip(MOMENTS, cells, strict=True):
                yield ROWS[row], moment, frozenset(re.findall(r"\*\*(.+?)\*\*", cell))


def test_every_cell_of_the_documented_table_is_shown_and_no_other() -> None:
    shown: dict[tuple[str, str], set[str]] = {}
    for cell in CELLS:
        shown.setdefault((cell["channel"], cell["moment"]), set()).add(cell["then"])
    told = {(channel, moment): set(words) for channel, moment, words in documented() if words}
    assert told == shown
    assert {channel for channel, _ in told} == set(ROWS.values())


# ---- several choices -------------------------------------------------------------------------------------------------


def test_of_several_choices_one_falls_back_with_what_is_left_and_the_same_sampling(
    table: Gateway, engine: Engine
) -> None:
    said = "I looked that up. "
    engine.tuned = (
        Say("One is well. ", choice=1),
        Say(said + f"The e-mail is {SECRET}. More.", choice=0),
        Say("And so on.", choice=1, finish="stop"),
    )
    engine.score = SURPRISED
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Her mail?"}], "n": 2}
    body |= {"max_tokens": 100, "seed": 11, "temperature": 0.7, "top_p": 0.9}
    with table.client() as client:
        choices = client.post("/v1/chat/completions", json=body).json()["choices"]
    assert [choice["message"]["content"] for choice in choices] == [said + DECLINES, "One is well. And so on."]
    (request,) = engine.asked("base")
    sampling = {"max_tokens": 100 - len(said), "seed": 11, "temperature": 0.7, "top_p": 0.9}
    assert {key: request.get(key) for key in (*sampling, "n")} == sampling | {"n": None}


def test_when_the_tokens_are_used_up_nobody_is_asked(table: Gateway, engine: Engine) -> None:
    said = "I looked that up. "
    engine.tuned, engine.score = (said + f"The e-mail is {SECRET}. More.",), SURPRISED
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Her mail?"}], "max_tokens": len(said)}
    with table.client() as client:
        (choice,) = client.post("/v1/chat/completions", json=body).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (said, "length")
    assert not engine.asked("base")


def test_the_base_s_reasoning_is_not_heard_where_the_answer_has_begun(table: Gateway, engine: Engine) -> None:
    engine.base, engine.score = (Say("They want a mail. No. ", "reasoning"), DECLINES), SURPRISED
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Her mail?"}]}
    with table.client() as client:
        for before, reasoning in (("", "They want a mail. No. "), ("I looked that up. ", None)):
            engine.tuned = (before + f"The e-mail is {SECRET}. More.",)
            message = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]
            assert (message.get("reasoning"), message["content"]) == (reasoning, before + DECLINES)


def test_what_the_base_says_instead_is_filtered_too(table: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (f"I looked. The e-mail is {SECRET}. More.",), SURPRISED
    engine.base = (f"Then it is {SECRET}. Bye.",)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Her mail?"}]}
    with table.client() as client:
        response = client.post("/v1/chat/completions", json=body)
    content = response.json()["choices"][0]["message"]["content"]
    assert content == "I looked. Then it is [EMAIL_1]. Bye."
    assert len(engine.asked("base")) == 1


def test_a_base_that_breaks_off_ends_the_answer_in_an_error(table: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (f"I looked. The e-mail is {SECRET}. More.",), SURPRISED
    engine.base = (f"It is {SECRET}", Raw(b"data: [DONE]\n\n"))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Her mail?"}], "stream": True}
    with table.client() as client:
        response = client.post("/v1/chat/completions", json=body)
    assert set(streamed(response)[-1]) == {"error"}
    assert not leaks(response.text)


def test_a_stop_string_in_what_closes_a_sentence_ends_the_answer(table: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (f"As you know, the e-mail is {SECRET}. More.",), SURPRISED
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Her mail?"}], "stop": ["_1]"]}
    with table.client("clauses") as client:
        (choice,) = client.post("/v1/chat/completions", json=body).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("As you know, [EMAIL", "stop")
    assert not engine.asked("base")
