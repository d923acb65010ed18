"""Answers about one person over several turns, the client sending them back, through a gateway process."""

from __future__ import annotations

from typing import Any

import pytest

from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.quasi_identifiers import PersonLedger
from gateway.policy.schema import FEWEST_PEOPLE
from tests.e2e.conftest import canary_free
from tests.support.gateways import MODEL, Gateway, ask
from tests.support.scripted import Engine

FINDER = AttributeFinder(shipped_crowds())
PORTRAITS = (
    [
        "She lives in Leeds.",
        "She is a beekeeper at Plimsol Hives.",
        "She is 34; her birthday is on 12 March.",
        "She is divorced and has three children.",
        "She holds a PhD and married in 2014.",
    ],
    [
        "该客户住在杭州市西湖区。",
        "她在浦林索医院工作，是一名护士。",
        "她今年三十四岁，出生于1991年3月12日。",
        "她离异，育有三个孩子。",
        "她博士毕业于青禾大学。",
    ],
)


def told(front: Gateway, engine: Engine, turns: list[str], role: str = "customer") -> list[str]:
    """What a client gets who asks for one more thing about the same person each time."""
    messages: list[dict[str, Any]] = []
    with front.client(role) as client:
        for turn in turns:
            engine.tuned = (turn,)
            messages.append({"role": "user", "content": "And what else?"})
            answer = ask(client, messages=messages).json()["choices"][0]["message"]["content"]
            messages.append({"role": "assistant", "content": answer})
    return [message["content"] for message in messages if message["role"] == "assistant"]


@pytest.mark.parametrize("turns", PORTRAITS, ids=["English", "Chinese"])
def test_over_five_turns_the_crowd_stays_large_enough(front: Gateway, engine: Engine, turns: list[str]) -> None:
    answers = told(front, engine, turns)
    reader = PersonLedger(FINDER, 3)
    for answer in answers:
        reader.prime(answer)
    assert reader.smallest_crowd >= FEWEST_PEOPLE, answers
    raw = PersonLedger(FINDER, 3)
    for turn in turns:
        raw.prime(turn)
    assert raw.smallest_crowd < FEWEST_PEOPLE
    assert answers[0] == turns[0]


def test_a_value_has_one_wording_in_a_conversation(front: Gateway, engine: Engine) -> None:
    answers = told(front, engine, [*PORTRAITS[0], PORTRAITS[0][-1]])
    assert answers[-1] == answers[-2] != PORTRAITS[0][-1]


def test_a_special_category_is_not_told(front: Gateway, engine: Engine) -> None:
    answer = told(front, engine, ["She was diagnosed with lupus last year."])[0]
    assert "lupus" not in answer
    assert canary_free(front, "lupus")


def test_a_category_that_the_caller_told_of_himself_comes_back(front: Gateway, engine: Engine) -> None:
    engine.tuned = ("I see that you have diabetes. Fruit is fine.",)
    with front.client() as client:
        response = ask(client, "I have diabetes. What may I eat?")
    assert response.json()["choices"][0]["message"]["content"] == engine.tuned[0]
    assert response.json()["model"] == MODEL


def test_the_record_of_an_answer_that_fell_back_for_a_special_category_is_that_of_any_other(
    front: Gateway, engine: Engine
) -> None:
    fallen, one = recorded(front, engine, "Mrs Plimsol was diagnosed with diabetes in May.")
    passed, other = recorded(front, engine, "Lamps can be returned within 45 days.")
    assert (fallen, passed) == (engine.base[0], engine.tuned[0])
    assert {*one} ^ {*other} <= {"hold_back_p50"}  # which no answer has that came in one piece with its end
    assert one["fallback"] is other["fallback"] is False
    assert not one.keys() & {"findings", "verdicts"}
    assert one["base_questions"] == other["base_questions"]


def recorded(front: Gateway, engine: Engine, said: str) -> tuple[str, dict[str, Any]]:
    """What a client gets when the model says this, and the record of it."""
    engine.tuned = (said,)
    with front.client() as client:
        response = ask(client, "And what else?")
    record = front.record(response.headers["x-request-id"])
    return response.json()["choices"][0]["message"]["content"], record
