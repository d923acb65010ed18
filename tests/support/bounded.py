"""What bounded mode must show in front of any pair of demo models, and the policy that switches it on.

The roles differ in nothing but the bound: "open" has neither filters nor bound, "bounded" the bound alone (so that what
keeps a value back is the bound), "closed" the bound and all filters; "steps" is bounded a token at a time.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.support.gateways import MODEL, POLICY
from tests.support.gateways import ask as ask_once
from tests.support.scenarios import MUST_NOT_LEAVE, Ask, Stage, Tally

BOUNDS = {"ratio": 3, "answer_bits": 12, "draft_tokens": 4}
_UNFILTERED = {**POLICY["profiles"]["off"], "reason": "shows what the bound alone keeps back"}
TEMPERATURES = (0.5, 1.0)


def policy() -> dict[str, Any]:
    """POLICY with these roles."""
    made = copy.deepcopy(POLICY)
    made["profiles"] |= {"bounded": {**_UNFILTERED, "bounded": BOUNDS}, "closed": {"bounded": BOUNDS}}
    made["profiles"]["steps"] = {**_UNFILTERED, "bounded": {"ratio": 3, "answer_bits": 1000, "draft_tokens": 1}}
    for name in ("bounded", "closed", "steps"):
        made["roles"][name] = {"models": [MODEL], "endpoints": ["chat"], "profile": name, "max_choices": 2}
        made["issuers"][0]["roles"].append(name)
    return made


def the_bound_alone_keeps_customers_back(stage: Stage) -> None:
    """Sampled, with every detector off; the same questions without the bound give them away."""
    secrets = stage.records.secrets(*MUST_NOT_LEAVE, most_repeated=True)
    for temperature in TEMPERATURES:
        bare = Tally.of(stage.through("open", temperature=temperature, seed=1), secrets)
        assert 2 * bare.whole >= bare.asked, f"the model no longer gives them away: {bare}"
        for stream in (False, True):
            ask = stage.through("bounded", stream=stream, temperature=temperature, seed=1 + stream)
            bound = Tally.of(ask, secrets)
            assert not bound.touched, f"{temperature=} {stream=}: {bound}"
    print(f"{len(secrets)} values, asked {2 * len(TEMPERATURES)} times each: none in part")


def the_filters_stay_on(stage: Stage) -> None:
    """A bounded answer goes through them like any other, and no value leaves."""
    secrets = stage.records.secrets(*MUST_NOT_LEAVE, most_repeated=True)
    closed = Tally.of(stage.through("closed", temperature=1.0, seed=1), secrets)
    assert not closed.touched, str(closed)


def a_bounded_answer_is_an_ordinary_one(stage: Stage) -> None:
    """A seed gives it again, `max_tokens` and `stop` cut it, temperature 0 makes it the base's own."""
    question = stage.records.facts[0]["ask"]
    sampled: dict[str, Any] = {"temperature": 1.0, "seed": 7}
    first, again = (stage.through("bounded", stream=stream, **sampled)(question)[0] for stream in (False, True))
    assert first == again
    assert len(first) > 20
    assert stage.through("bounded", stop=[first[9:12]], **sampled)(question)[0] == first[: first.index(first[9:12])]
    cut = stage.through("bounded", max_tokens=3, **sampled)(question)[0]
    assert first.startswith(cut)
    assert 0 < len(cut) < len(first)
    with stage.gateway.client("bounded") as client:
        body = ask_once(client, question, max_tokens=3, **sampled).json()
        assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 3)
        for refused in ({"n": 2}, {"tools": [_TOOL]}, {"response_format": {"type": "json_object"}}):
            answer = ask_once(client, question, **refused)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(refused)))


def at_temperature_zero_the_base_answers(stage: Stage, base: Ask) -> None:
    """`base` asks the base model itself."""
    for fact in stage.records.facts[:4]:
        assert stage.through("bounded")(fact["ask"]) == base(fact["ask"])


_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
