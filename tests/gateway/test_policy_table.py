"""Every role with every endpoint, field and model, through the whole public application: it does what the policy says.

What the policy says is worked out here from its YAML and from tests/vectors/fields.json, which says of each field's
values what an ordinary role may expect; nothing of `gateway.policy` is asked. All combinations are tried, which is more
than every three of them, and each field alone with all its values. What was refused never came to where answers are
made, and so to no model server.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from gateway.types import Plan
from tests.gateway.http.surface import Built, authorization, built

POLICY = """\
version: 1
issuers:
  - issuer: https://issuer.test
    audience: [tightlip]
    algorithms: [ES256]
    keys: [{file: key.pem}]
    roles: [plain, chatter, lister, given, narrowed, idle]
    tenant: {fixed: acme}
roles:
  plain: {models: [assistant], endpoints: [chat, completions, models], max_output_tokens: 100, max_choices: 2}
  chatter: {models: [assistant, second], endpoints: [chat], max_output_tokens: 100, max_choices: 2}
  lister: {models: [second], endpoints: [models]}
  given:
    models: [assistant]
    endpoints: [chat, completions, models]
    max_output_tokens: 100
    max_choices: 2
    fields:
      logit_bias: forward
      allowed_token_ids: forward
      bad_words: forward
      min_tokens: forward
      ignore_eos: forward
      thinking_token_budget: forward
      chat_template_kwargs: forward
      logprobs: forward
      return_token_ids: forward
  narrowed:
    models: [second, assistant]
    endpoints: [completions, models]
    max_output_tokens: 100
    max_choices: 2
    fields: {temperature: refuse, seed: ignore, user: refuse, top_k: refuse}
  idle: {}
"""
RULES = yaml.safe_load(POLICY)["roles"]
MODELS = ("assistant", "second", "nobody's", "")
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "models": "/v1/models"}
GOOD: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "completions": {"prompt": "Hello"},
}
LOOKS = 500  # requests, after which the copy of the revocations is renewed, as a gateway does by the clock
VECTORS = json.loads(Path("tests/vectors/fields.json").read_text(encoding="utf-8"))["cases"]
ALLOWED, REFUSED = "allowed", "unsupported_parameter"
# Values that a role may be given a field for, where the vectors' first one is none.
OTHERWISE_WRONG = {("completions", "logprobs"): "invalid_value"}  # true; there it is a number


@dataclass(frozen=True)
class Sent:
    """One field of a request with a value, and what becomes of it for an ordinary role: `forwarded`, `ignored`, or the
    code of the refusal and the field that it names."""

    field: str
    value: Any
    outcome: str
    told_as: str | None


NOTHING = Sent("", None, "ignored", None)


def sent_on(endpoint: str, case: dict[str, Any], value: Any) -> Sent | None:
    """What the vectors expect there. None: they say nothing of this value there."""
    field = case["field"]
    if case["on"] in ("both", endpoint):
        told = case.get("as", field) if case["is"] == "forwarded" else case.get("param", field)
        return Sent(field, value, case["is"], told)
    if any(other["field"] == field and other["on"] in ("both", endpoint) for other in VECTORS):
        return None
    return Sent(field, value, "unknown_parameter", None)


def expected(role: str, endpoint: str, model: str, sent: Sent) -> tuple[str, str | None]:
    """`allowed` or the code, and the field that the refusal names."""
    rule = RULES[role]
    if model == "":
        return "invalid_value", "model"
    if endpoint not in rule.get("endpoints", []):
        return "not_allowed", None
    if model not in rule.get("models", []):
        return "model_not_found", "model"
    action = rule.get("fields", {}).get(sent.field)
    if action == "ignore" or sent.outcome == "ignored":
        return (REFUSED, sent.field) if action == "refuse" else (ALLOWED, None)
    if action == "refuse":
        return REFUSED, sent.field
    if action == "forward" and sent.outcome == REFUSED:
        wrong = OTHERWISE_WRONG.get((endpoint, sent.field))
        return (wrong, sent.field) if wrong else (ALLOWED, None)
    return (ALLOWED, None) if sent.outcome == "forwarded" else (sent.outcome, sent.told_as)


@pytest_asyncio.fixture
async def app(tmp_path: Path) -> Built:
    return await built(tmp_path, policy=POLICY)


@pytest.fixture(scope="module")
def headers() -> dict[str, list[tuple[bytes, bytes]]]:
    """One token for each role: the cache remembers it."""
    return {
        role: [
            (b"authorization", authorization(role=role)["authorization"].encode()),
            (b"content-type", b"application/json"),
        ]
        for role in RULES
    }


async def ask(app: Built, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, Any]:
    """Status and body, in-process: a request of its own for the application, without a connection."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("192.0.2.1", 1),
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
    }
    answer: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answer.append(message)

    await app.app(scope, receive, send)
    return answer[0]["status"], json.loads(b"".join(message.get("body", b"") for message in answer[1:]))


async def outcome(
    app: Built, headers: list[tuple[bytes, bytes]], endpoint: str, model: str, sent: Sent, *, stream: bool
) -> tuple[tuple[str, str | None], Plan | None]:
    """As `expected`, and the plan that came to where answers are made."""
    body = {**GOOD[endpoint], "model": model, "stream": stream}
    if sent is not NOTHING:
        body[sent.field] = sent.value
    app.plans.clear()
    status, answer = await ask(app, "POST", PATHS[endpoint], headers, json.dumps(body).encode())
    if status == 200:
        (plan,) = app.plans
        return (ALLOWED, None), plan
    assert not app.plans, "a refused request went on"
    return (answer["error"]["code"], answer["error"]["param"]), None


def firsts(endpoint: str) -> Iterator[Sent]:
    """One value of each kind for each field, and nothing beside the good request."""
    yield NOTHING
    for case in VECTORS:
        sent = sent_on(endpoint, case, case["values"][0])
        if sent and sent.field != "stream":
            yield sent


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
async def test_every_role_endpoint_field_and_model(
    app: Built, headers: dict[str, list[tuple[bytes, bytes]]], endpoint: str
) -> None:
    seen: Counter[str] = Counter()
    for number, (role, model, sent) in enumerate(product(RULES, MODELS, firsts(endpoint))):
        if number % LOOKS == 0:
            await app.revocations.look()
        wanted = expected(role, endpoint, model, sent)
        stream = number % 2 == 0 and sent.field != "stream_options"  # which is wrong without it
        got, plan = await outcome(app, headers[role], endpoint, model, sent, stream=stream)
        assert got == wanted, (role, endpoint, model, sent)
        if plan:
            assert (plan.grant.model, plan.grant.principal.role) == (model, role)
            says(plan, sent, role)
        seen[got[0]] += 1
    assert {ALLOWED, REFUSED, "not_allowed", "model_not_found", "unknown_parameter", "invalid_value"} <= seen.keys()
    assert min(seen[code] for code in (ALLOWED, REFUSED, "unknown_parameter")) > 30


def says(plan: Plan, sent: Sent, role: str) -> None:
    """What of the field goes upstream."""
    action = RULES[role].get("fields", {}).get(sent.field)
    if sent.outcome == "forwarded" and action != "ignore":
        assert plan.body[str(sent.told_as)] == sent.value
    elif sent.outcome == REFUSED and sent.field not in ("logprobs", "return_token_ids"):
        assert plan.body[sent.field] == sent.value
    elif sent.field not in ("stop", "n", "messages", "prompt", "max_tokens"):
        assert sent.field not in plan.body


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
async def test_every_field_alone_on_a_role_that_lists_none(
    app: Built, headers: dict[str, list[tuple[bytes, bytes]]], endpoint: str
) -> None:
    _, bare = await outcome(app, headers["plain"], endpoint, "assistant", NOTHING, stream=False)
    assert bare
    tried = set()
    for case in VECTORS:
        for value in (*case["values"], None):
            sent = sent_on(endpoint, case, value)
            if sent is None or (value is None and sent.field in ("messages", "prompt", "model", "", "model ")):
                continue
            got, plan = await outcome(app, headers["plain"], endpoint, "assistant", sent, stream=False)
            if value is None:
                assert plan == bare, sent
                continue
            tried.add(sent.field)
            assert got == expected("plain", endpoint, "assistant", sent), sent
            if sent.outcome == "ignored":
                assert plan is not None
                assert replace(plan, end_user=None) == bare, sent  # whom it is counted for, and nothing else
    assert len(tried) >= 90


async def test_models_are_listed_as_the_policy_says(app: Built, headers: dict[str, list[tuple[bytes, bytes]]]) -> None:
    for role, rule in RULES.items():
        status, answer = await ask(app, "GET", PATHS["models"], headers[role], b"")
        if "models" in rule.get("endpoints", []):
            assert status == 200
            assert [model["id"] for model in answer["data"]] == sorted(rule["models"])
        else:
            assert (status, answer["error"]["code"]) == (403, "not_allowed")
