"""Bounded mode in a policy, and what a request may not ask for in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filters.profile import Profile
from filters.specificity.bounded import Bounds
from gateway.config_file import ConfigError
from gateway.errors import FieldRefused
from gateway.policy.load import load
from gateway.policy.parameters import admit, read
from gateway.types import Endpoint, Plan
from tests.gateway.support import POLICY, forwarded, make_grant, write_policy

BOUNDED = Profile("bounded", bounded=Bounds(3.0, 12.0))
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


def plan_of(body: dict[str, Any], profile: Profile = BOUNDED, **grant: Any) -> Plan:
    asked = read(json.dumps({"model": "assistant", "messages": HELLO, **body}).encode(), Endpoint.CHAT)
    return admit(asked, make_grant(endpoint=Endpoint.CHAT, profile=profile, **grant))


@pytest.mark.parametrize(
    ("field", "value", "granted"),
    [
        ("tools", [TOOL], ()),
        ("response_format", {"type": "json_object"}, ()),
        ("n", 2, ()),
        ("logprobs", True, ("logprobs",)),
        ("return_token_ids", True, ("return_token_ids",)),
        ("top_k", 5, ()),
        ("min_p", 0.1, ()),
        ("presence_penalty", 0.5, ()),
        ("frequency_penalty", -0.5, ()),
        ("repetition_penalty", 1.1, ()),
        ("logit_bias", {"7": 3}, ("logit_bias",)),
        ("allowed_token_ids", [7], ("allowed_token_ids",)),
        ("structured_outputs", {"choice": ["yes", "no"]}, ("structured_outputs",)),
        ("ignore_eos", True, ("ignore_eos",)),
        ("min_tokens", 5, ("min_tokens",)),
    ],
)
def test_what_the_bound_does_not_speak_of_is_refused_by_name(field: str, value: Any, granted: tuple[str, ...]) -> None:
    grant = {"max_choices": 4, "fields": forwarded(*granted)}
    with pytest.raises(FieldRefused) as refused:
        plan_of({field: value}, **grant)
    assert (refused.value.status, refused.value.param) == (400, field)
    assert plan_of({field: value}, Profile("strict"), **grant)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"temperature": 0.3, "top_p": 0.9, "seed": 4, "max_tokens": 9, "stop": ["."], "stream": True, "user": "u"},
        {"top_k": -1, "min_p": 0, "presence_penalty": 0, "frequency_penalty": 0.0, "repetition_penalty": 1},
        {"tools": [], "tool_choice": "auto", "n": 1, "logprobs": False, "response_format": {"type": "text"}},
    ],
    ids=json.dumps,
)
def test_what_ordinary_clients_send_is_taken(body: dict[str, Any]) -> None:
    assert plan_of(body).grant.profile.bounded == Bounds(3.0, 12.0)


def test_a_profile_says_how_far_the_tuned_model_may_go(tmp_path: Path) -> None:
    more = "  closed: {bounded: {ratio: 3, answer_bits: 12, draft_tokens: 6}}\n"
    profiles = load(write_policy(tmp_path, POLICY + more)).profiles
    assert profiles["closed"].bounded == Bounds(3.0, 12.0, 6)
    assert profiles["strict"].bounded is None


@pytest.mark.parametrize(
    "section",
    [
        "{}",
        "{ratio: 3}",
        "{answer_bits: 12}",
        "{ratio: 0, answer_bits: 12}",
        "{ratio: 3, answer_bits: 1.9}",
        "{ratio: 1000000, answer_bits: 4000}",
        "{ratio: 3, answer_bits: 12, draft_tokens: 0}",
        "{ratio: 3, answer_bits: 12, draft_tokens: 1000}",
        "{ratio: 3, answer_bits: 12, more: 1}",
    ],
)
def test_bounds_that_are_none_are_refused(tmp_path: Path, section: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, POLICY + f"  closed: {{bounded: {section}}}\n"))
    assert all(problem.key.startswith("profiles.closed.bounded") for problem in refused.value.problems)


def test_it_is_for_chats_alone(tmp_path: Path) -> None:
    more = "  strict: {bounded: {ratio: 3, answer_bits: 12}}\n"
    policy = POLICY.replace("endpoints: [chat", "endpoints: [completions, chat", 1)
    assert policy != POLICY
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, policy + more))
    assert [problem.key for problem in refused.value.problems] == ["roles.customer.endpoints"]
