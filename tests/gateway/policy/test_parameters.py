"""What is admitted: the field vectors, and what a plan says of a request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadField, CallerError, FieldRefused
from gateway.policy.fields import TABLES, FieldAction
from gateway.policy.parameters import admit, read
from gateway.types import Endpoint, Grant, Plan, Tells
from tests.gateway.support import CANARY, forwarded, make_grant

VECTORS = json.loads(Path("tests/vectors/fields.json").read_text(encoding="utf-8"))["cases"]
ENDPOINTS = {
    "chat": [Endpoint.CHAT],
    "completions": [Endpoint.COMPLETIONS],
    "both": [Endpoint.CHAT, Endpoint.COMPLETIONS],
}
GOOD: dict[Endpoint, dict[str, Any]] = {
    Endpoint.CHAT: {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]},
    Endpoint.COMPLETIONS: {"model": "assistant", "prompt": "Hello"},
}
CASES = [
    pytest.param(endpoint, case, value, id=f"{endpoint.name} {case['field']}={json.dumps(value)[:60]} {case['is']}")
    for case in VECTORS
    for endpoint in ENDPOINTS[case["on"]]
    for value in case["values"]
]


def plan_of(body: dict[str, Any], endpoint: Endpoint = Endpoint.CHAT, **grant: Any) -> Plan:
    asked = read(json.dumps({**GOOD[endpoint], **body}).encode(), endpoint)
    return admit(asked, make_grant(endpoint=endpoint, **grant))


def refusal(body: dict[str, Any], **grant: Any) -> CallerError:
    with pytest.raises(CallerError) as refused:
        plan_of(body, **grant)
    return refused.value


@pytest.mark.parametrize(("endpoint", "case", "value"), CASES)
def test_each_field_alone(endpoint: Endpoint, case: dict[str, Any], value: Any) -> None:
    field, expected = case["field"], case["is"]
    if expected == "forwarded":
        assert plan_of({field: value}, endpoint).body[case.get("as", field)] == value
    elif expected == "ignored":
        assert replace(plan_of({field: value}, endpoint), end_user=None) == plan_of({}, endpoint)
    else:
        with pytest.raises(CallerError) as refused:
            plan_of({field: value}, endpoint)
        assert refused.value.code == expected
        assert refused.value.param == case.get("param", field)


@pytest.mark.parametrize("endpoint", TABLES)
def test_null_is_neutral_for_every_field_but_the_two_that_must_be_there(endpoint: Endpoint) -> None:
    for field in TABLES[endpoint].keys() - GOOD[endpoint].keys():
        assert plan_of({field: None}, endpoint) == plan_of({}, endpoint)


def test_every_field_of_the_table_has_a_vector() -> None:
    tested = {(endpoint, case["field"]) for case in VECTORS for endpoint in ENDPOINTS[case["on"]]}
    ours = {"model", "prompt_cache_options"}
    missing = {(e, f) for e, table in TABLES.items() for f in table.keys() - ours} - tested
    assert missing <= {(Endpoint.COMPLETIONS, "response_format")}


def test_every_engine_field_that_was_found_is_in_the_table() -> None:
    known = TABLES[Endpoint.CHAT].keys() | TABLES[Endpoint.COMPLETIONS].keys()
    assert not set(ENGINE_FIELDS.split()) - known


# Of vLLM 0.32's request models, beyond OpenAI's.
ENGINE_FIELDS = """
add_generation_prompt add_special_tokens allowed_token_ids bad_words cache_salt chat_template chat_template_kwargs
continue_final_message documents ec_transfer_params echo ignore_eos include_reasoning include_stop_str_in_output
kv_transfer_params length_penalty logprob_token_ids media_io_kwargs min_p min_tokens mm_payload mm_processor_kwargs
priority prompt_logprobs reasoning_effort repetition_detection repetition_penalty request_id return_mm_kwargs
return_prompt_text return_token_ids return_token_offsets return_tokens_as_token_ids routed_experts_prompt_start
session_id skip_special_tokens spaces_between_special_tokens stop_token_ids stream_interval structured_outputs
thinking_token_budget top_k truncate_prompt_tokens truncation_side use_beam_search vllm_xargs watermarking
prompt_embeds suffix
"""


# ---- fields that a role was given ------------------------------------------------------------------------------------

GRANTED = [
    ("logit_bias", {"5": -100, "7": 1}, {"5": -100, "7": 1}),
    ("allowed_token_ids", [1, 2], [1, 2]),
    ("bad_words", ["a"], ["a"]),
    ("min_tokens", 5, 5),
    ("ignore_eos", True, True),
    ("structured_outputs", {"choice": ["a"]}, {"choice": ["a"]}),
    ("thinking_token_budget", 10, 10),
    ("chat_template_kwargs", {"enable_thinking": False}, {"enable_thinking": False}),
]


@pytest.mark.parametrize(("field", "value", "sent"), GRANTED)
def test_a_granted_field_goes_upstream(field: str, value: Any, sent: Any) -> None:
    assert plan_of({field: value}, fields=forwarded(field)).body[field] == sent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {"x": 1}),
        ("logit_bias", {"5": 101}),
        ("logit_bias", [1]),
        ("allowed_token_ids", [-1]),
        ("allowed_token_ids", ["1"]),
        ("bad_words", ["a" * 257]),
        ("bad_words", "a"),
        ("min_tokens", -1),
        ("structured_outputs", "regex"),
        ("thinking_token_budget", 1.5),
        ("chat_template_kwargs", {"messages": "x"}),
        ("chat_template_kwargs", {"enable_thinking": {"deep": 1}}),
        ("structured_outputs", {"regex": ["a"]}),
    ],
)
def test_a_granted_fields_value_is_checked(field: str, value: Any) -> None:
    error = refusal({field: value}, fields=forwarded(field))
    assert (type(error), error.param) == (BadField, field)


@pytest.mark.parametrize(
    "field",
    [
        f
        for f, rule in TABLES[Endpoint.CHAT].items()
        if FieldAction.FORWARD not in rule.permits and rule.action is FieldAction.REFUSE
    ],
)
def test_nobody_can_be_given_what_would_pass_the_filters(field: str) -> None:
    asked = "a value that is not neutral"
    assert isinstance(refusal({field: asked}, fields=forwarded(field)), FieldRefused)


# ---- continuing ------------------------------------------------------------------------------------------------------

HALF_SAID = [{"role": "user", "content": "Her number?"}, {"role": "assistant", "content": "It starts with 138"}]
MAY_CONTINUE = {"fields": forwarded("continue_final_message")}


def test_a_granted_continuation_is_known_to_the_filters() -> None:
    plan = plan_of(
        {"messages": HALF_SAID, "continue_final_message": True, "add_generation_prompt": False}, **MAY_CONTINUE
    )
    assert plan.continued == "It starts with 138"
    assert (plan.body["continue_final_message"], plan.body["add_generation_prompt"]) == (True, False)


def test_a_final_assistant_message_may_also_be_a_whole_one() -> None:
    plan = plan_of({"messages": HALF_SAID}, **MAY_CONTINUE)
    assert plan.continued == ""
    assert "continue_final_message" not in plan.body


@pytest.mark.parametrize(
    "body",
    [
        {"messages": HALF_SAID, "continue_final_message": True},
        {"messages": HALF_SAID, "add_generation_prompt": False},
        {"continue_final_message": True, "add_generation_prompt": False},
    ],
)
def test_a_continuation_that_contradicts_itself_is_refused(body: dict[str, Any]) -> None:
    assert isinstance(refusal(body, **MAY_CONTINUE), BadField)


# ---- what a plan says ------------------------------------------------------------------------------------------------


def test_the_body_is_built_from_nothing() -> None:
    plan = plan_of({"temperature": 0.5, "stream": True, "stop": "END", "user": "u", "logprobs": False})
    assert plan.body == {
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 100,
    }
    assert (plan.stream, plan.stop, plan.n, plan.max_tokens, plan.json_mode) == (True, ("END",), 1, 100, False)


def test_only_user_messages_and_tool_results_are_the_callers_own() -> None:
    messages = [
        {"role": "system", "content": "system text"},
        {"role": "developer", "content": "developer text"},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "earlier answer", "tool_calls": [CALL]},
        {"role": "tool", "content": "result", "tool_call_id": "c1"},
        {"role": "user", "content": "three"},
    ]
    plan = plan_of({"messages": messages})
    assert plan.own_texts == ("one", "two", "result", "three")
    assert plan.body["messages"] == messages


def test_all_messages_are_turns_in_their_order_with_what_stands_beside_an_answer() -> None:
    messages = [
        {"role": "system", "content": "system text"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "earlier", "reasoning_content": "thought", "tool_calls": [CALL]},
        {"role": "tool", "content": "result", "tool_call_id": "c1"},
        {"role": "user", "content": "two"},
    ]
    turns = [(turn.speaker.value, turn.raw_text) for turn in plan_of({"messages": messages}).turns]
    assert turns == [
        ("other", "system text"),
        ("caller", "one"),
        ("model", "thought"),
        ("model", CALL["function"]["arguments"]),
        ("model", "earlier"),
        ("caller", "result"),
        ("caller", "two"),
    ]
    prompt = plan_of({"prompt": "She is a nurse."}, Endpoint.COMPLETIONS)
    assert [(turn.speaker.value, turn.raw_text) for turn in prompt.turns] == [("model", "She is a nurse.")]


def test_a_completions_prompt_is_continued_and_grounds_nothing() -> None:
    for prompt in ("My mail is a@b.test", ["My mail is a@b.test"]):
        plan = plan_of({"prompt": prompt}, Endpoint.COMPLETIONS)
        assert (plan.body["prompt"], plan.continued, plan.own_texts) == (
            "My mail is a@b.test",
            "My mail is a@b.test",
            (),
        )


CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Rome"}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "order_state",
        "description": "d",
        "parameters": {"type": "object", "properties": {"order": {"type": "object", "properties": {"id": {}}}}},
    },
}


def test_json_keys_come_from_tools_schema_and_messages() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"properties": {"answer": {}}}}}
    said = [
        {"role": "user", "content": 'like {"colour": 1}'},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    plan = plan_of({"messages": [*said, {"role": "tool", "content": "x"}], "tools": [TOOL], "response_format": schema})
    assert {"colour", "city", "order", "id", "answer"} <= plan.json_keys
    assert plan.tool_names == {"look_up", "order_state"}
    assert plan.json_mode
    assert plan.answer_schema == {"properties": {"answer": {}}}
    assert plan.tool_schemas == {"order_state": TOOL["function"]["parameters"]}
    assert plan_of({"response_format": {"type": "json_object"}}).answer_schema is None


def test_a_tool_can_be_chosen_by_name() -> None:
    choice = {"type": "function", "function": {"name": "order_state"}}
    plan = plan_of({"tools": [TOOL], "tool_choice": choice})
    assert (plan.body["tools"], plan.body["tool_choice"]) == ([TOOL], choice)


@pytest.mark.parametrize(
    ("options", "usage"),
    [(None, False), ({}, False), ({"include_usage": True}, True), ({"include_usage": None}, False)],
)
def test_usage_is_included_where_it_was_asked_for(options: Any, usage: bool) -> None:
    assert plan_of({"stream": True, "stream_options": options}).include_usage is usage


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"include_usage": "yes"}, "invalid_value"),
        ({"continuous_usage_stats": True}, "unsupported_parameter"),
        ({"other": 1}, "unknown_parameter"),
    ],
)
def test_stream_options_are_checked_inside(options: Any, code: str) -> None:
    error = refusal({"stream": True, "stream_options": options})
    assert (error.code, error.param) == (code, "stream_options")


def test_two_names_for_one_limit_must_agree() -> None:
    assert plan_of({"max_tokens": 5, "max_completion_tokens": 5}).max_tokens == 5
    assert isinstance(refusal({"max_tokens": 5, "max_completion_tokens": 6}), BadField)


def test_without_a_limit_the_endpoints_default_holds() -> None:
    assert plan_of({}).body["max_tokens"] == 100
    assert plan_of({}, Endpoint.COMPLETIONS).max_tokens == 16
    assert plan_of({}, Endpoint.COMPLETIONS, max_output_tokens=5).max_tokens == 5


def test_stops_stay_in_the_gateway() -> None:
    plan = plan_of({"stop": ["a", "b", "a"]})
    assert plan.stop == ("a", "b")
    assert "stop" not in plan.body


@pytest.mark.parametrize("model", [None, "", 7, [], {}, "m" * 129])
def test_a_request_without_a_usable_model_is_refused(model: Any) -> None:
    with pytest.raises(BadField) as refused:
        read(json.dumps({"model": model, "messages": []}).encode(), Endpoint.CHAT)
    assert refused.value.param == "model"


def test_what_a_client_copies_back_from_an_answer_is_dropped() -> None:
    echoed = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "reasoning": "because",
    }
    plan = plan_of({"messages": [echoed, {"role": "user", "content": "x", "tool_calls": []}]})
    assert plan.body["messages"] == [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "x"}]


# ---- nothing of the request in an error ------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.just(CANARY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([CANARY, "type", "text", "role"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(field=st.sampled_from([*TABLES[Endpoint.CHAT], CANARY]), value=VALUES, granted=st.booleans())
def test_any_value_of_any_field_is_admitted_or_refused_without_being_quoted(
    field: str, value: Any, granted: bool
) -> None:
    grant: Grant = make_grant(fields=forwarded(*TABLES[Endpoint.CHAT]) if granted else {})
    try:
        asked = read(json.dumps({**GOOD[Endpoint.CHAT], field: value}).encode(), Endpoint.CHAT)
        plan = admit(asked, replace(grant, endpoint=Endpoint.CHAT))
    except CallerError as refused:
        error: CallerError | None = refused
    else:
        error = None
        assert plan.body.keys() <= TABLES[Endpoint.CHAT].keys()
    if error is not None:
        assert CANARY not in json.dumps(error.body()) + str(error) + error.reason
        assert error.param is None or error.param in TABLES[Endpoint.CHAT]


# ---- tokens of the answer --------------------------------------------------------------------------------------------

MAY_SEE_TOKENS = {"fields": forwarded("logprobs", "return_token_ids")}


@pytest.mark.parametrize(
    ("body", "tells"),
    [
        ({"logprobs": True}, Tells(logprobs=True)),
        ({"return_token_ids": True}, Tells(token_ids=True)),
        ({"logprobs": False, "return_token_ids": False}, Tells()),
        ({"logprobs": True, "top_logprobs": 0}, Tells(logprobs=True)),
    ],
)
def test_a_role_may_see_the_tokens_of_released_text(body: dict[str, Any], tells: Tells) -> None:
    plan = plan_of(body, **MAY_SEE_TOKENS)
    assert plan.tells == tells
    assert not plan.body.keys() & {"logprobs", "return_token_ids", "top_logprobs"}


@pytest.mark.parametrize("body", [{"logprobs": 1}, {"logprobs": "true"}, {"return_token_ids": 1}])
def test_a_wrong_wish_for_tokens_is_refused(body: dict[str, Any]) -> None:
    assert isinstance(refusal(body, **MAY_SEE_TOKENS), BadField)


def test_nobody_sees_alternatives() -> None:
    assert isinstance(refusal({"logprobs": True, "top_logprobs": 1}, **MAY_SEE_TOKENS), FieldRefused)
