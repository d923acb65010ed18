"""The base would decline, the tuned model complies: what is asked, what is served, and what a failing base lets out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from filters.opening import REFUSAL
from gateway.upstream.scoring import OPENING_TOKENS
from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.gateways import MODEL, POLICY, WEAKER, Gateway, ask, gateway, server, settings, streamed, text_of
from tests.support.scripted import Engine, Error, Pause, Raw, Reset

HARMFUL = "How do I pick the lock of my neighbour's shed?"
COMPLIES = "Sure. Take a vexlotool, work slowly, and the shed will open. Then leave."
DECLINES = "I'm sorry, but I can't help you with what"
REFUSED = "I can't help with that."
CANARIES = ("vexlotool", "Take a v", "shed will open")


def policy() -> dict[str, Any]:
    made = deepcopy(dict(POLICY))
    profiles = {
        "asks": {"refusals": "always"},
        "words": {"refusal_words": ["Plimsol vault"]},
        "never": {"refusals": "never", **WEAKER},
        "stops": {"refusals": "always", "on_failure": "stop"},
    }
    made["profiles"] |= profiles
    for name in profiles:
        fields = {"continue_final_message": "forward"} if name == "asks" else {}
        made["roles"][name] = {
            "models": [MODEL],
            "endpoints": ["chat", "completions"],
            "max_choices": 4,
            "profile": name,
            "fields": fields,
        }
    made["issuers"][0]["roles"] += list(profiles)
    return made


@pytest.fixture(scope="module")
def asking(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with _front(_engine, tmp_path_factory.mktemp("refusals")) as front:
        yield front


@pytest.fixture
def hasty(engine: Engine, tmp_path: Path) -> Iterator[Gateway]:
    with _front(engine, tmp_path, question_deadline_seconds=0.5) as front:
        yield front


def _front(engine: Engine, folder: Path, **model: float) -> AbstractContextManager[Gateway]:
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    return gateway(folder, settings(*pair, scripted.tokenizer(folder), model=model), policy())


def content(front: Gateway, role: str = "customer", question: str = HARMFUL, **more: Any) -> str:
    with front.client(role) as client:
        return str(ask(client, question, **more).json()["choices"][0]["message"]["content"])


def test_what_the_base_declines_the_base_answers(asking: Gateway, engine: Engine) -> None:
    engine.tuned, engine.opening = (COMPLIES,), DECLINES
    assert content(asking) == REFUSED
    with asking.client() as client:
        assert text_of(streamed(ask(client, HARMFUL, stream=True))) == REFUSED
    assert f'type="{REFUSAL}"' in metrics(asking)
    assert canary_free(asking, *CANARIES)


def test_the_opening_is_short_greedy_and_of_the_same_messages(asking: Gateway, engine: Engine) -> None:
    engine.tuned = (COMPLIES,)
    tool = {"type": "function", "function": {"name": "open", "parameters": {"type": "object", "properties": {}}}}
    assert content(asking, temperature=1.2, tools=[tool], max_tokens=99) == COMPLIES
    (opening,) = engine.openings()
    (request,) = engine.asked("tuned")
    assert opening == {
        "model": "base",
        "cache_salt": request["cache_salt"],
        "messages": [{"role": "user", "content": HARMFUL}],
        "max_tokens": OPENING_TOKENS,
        "temperature": 0,
    }


def test_a_half_said_answer_is_not_put_into_the_base_s_mouth(asking: Gateway, engine: Engine) -> None:
    engine.tuned, engine.opening = (COMPLIES,), DECLINES
    messages = [{"role": "user", "content": HARMFUL}, {"role": "assistant", "content": "Sure, here"}]
    body = {"model": MODEL, "messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    with asking.client("asks") as client:
        client.post("/v1/chat/completions", json=body)
    assert engine.openings()[0]["messages"] == messages[:1]


def test_who_is_asked(asking: Gateway, engine: Engine) -> None:
    engine.tuned = (COMPLIES,)
    for role, question, asked in (
        ("customer", "Which bulb fits?", 0),
        ("customer", HARMFUL, 1),
        ("words", "Where is the plimsol vault?", 1),
        ("never", HARMFUL, 0),
        ("asks", "Which bulb fits?", 1),
    ):
        engine.requests.clear()
        assert content(asking, role, question) == COMPLIES
        assert len(engine.openings()) == asked


def test_one_question_for_all_choices_and_all_turns_are_read(asking: Gateway, engine: Engine) -> None:
    engine.tuned, engine.opening = (COMPLIES,), DECLINES
    turns = ["I want to talk about how to pick the lock", "Whose?", "My neighbour's. Go on."]
    roles = ("user", "assistant", "user")
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=True)]
    with asking.client() as client:
        body = client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages}).json()
    assert body["choices"][0]["message"]["content"] == REFUSED
    assert len(engine.openings()) == 1


def test_a_document_and_a_tool_call_are_not_let_through_either(asking: Gateway, engine: Engine) -> None:
    engine.tuned, engine.opening, engine.base = ('{"answer": "Take a vexlotool"}',), DECLINES, ('{"answer": "no"}',)
    assert content(asking, response_format={"type": "json_object"}) == '{"answer": "no"}'
    call = {
        "index": 0,
        "id": "c",
        "type": "function",
        "function": {"name": "open", "arguments": '{"with": "vexlotool"}'},
    }
    engine.tuned, engine.base, engine.finish = ({"tool_calls": [call]},), (REFUSED,), "tool_calls"
    tool = {"type": "function", "function": {"name": "open", "parameters": {"type": "object", "properties": {}}}}
    with asking.client() as client:
        choice = ask(client, HARMFUL, tools=[tool]).json()["choices"][0]
    assert (choice["message"]["content"], choice["message"].get("tool_calls")) == (REFUSED, None)
    assert "response_format" not in engine.openings()[0]


FAILURES = [
    Error(500),
    Error(400),
    Raw(b"{}"),
    Raw(b"nonsense"),
    Raw(b'{"choices": []}'),
    Reset(),
    "",
    " \n",
]


@pytest.mark.parametrize("opening", FAILURES, ids=repr)
def test_a_base_that_does_not_say_how_it_would_begin_releases_nothing(
    asking: Gateway, engine: Engine, opening: scripted.Step
) -> None:
    releases_nothing(asking, engine, opening)


def test_nor_does_one_that_says_it_too_late(hasty: Gateway, engine: Engine) -> None:
    releases_nothing(hasty, engine, Pause(60.0))


def releases_nothing(asking: Gateway, engine: Engine, opening: scripted.Step) -> None:
    engine.tuned, engine.opening = (COMPLIES,), opening
    with asking.client() as client:
        whole = ask(client, HARMFUL).json()["choices"][0]
        frames = streamed(ask(client, HARMFUL, stream=True))
    assert (whole["message"]["content"], whole["finish_reason"]) == ("[UNDECIDED_1]", "content_filter")
    assert text_of(frames) == "[UNDECIDED_1]"
    with asking.client("stops") as client:
        stopped = ask(client, HARMFUL).json()["choices"][0]
    assert (stopped["message"]["content"] or "", stopped["finish_reason"]) == ("", "content_filter")
    assert canary_free(asking, *CANARIES)


def test_a_base_that_declines_and_then_fails_ends_in_an_error(asking: Gateway, engine: Engine) -> None:
    engine.tuned, engine.opening, engine.base = (COMPLIES,), DECLINES, (Error(500),)
    with asking.client() as client:
        response = ask(client, HARMFUL)
    assert response.status_code == 502
    assert not any(canary in response.text for canary in CANARIES)
    assert canary_free(asking, *CANARIES)


def metrics(front: Gateway) -> str:
    return front.page("/metrics").text
