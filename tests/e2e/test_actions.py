"""What stands in for a hidden value, as a caller of the gateway gets it: streamed or not, in two tenants."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest

from filters.pii.actions import Rewriter
from filters.profile import Action
from gateway.auth.development import Claims, read_key, sign
from gateway.tenant_keys import Purpose, TenantKeys
from tests.support import scripted
from tests.support.gateways import POLICY, WEAKER, Gateway, ask, gateway, server, settings, streamed, text_of
from tests.support.scripted import Engine

MAIL = "vexlo.trund47@kipmora.example"
SECRET = "m" * 40
ACTIONS = {"EMAIL": "pseudonym", "PHONE": "surrogate", "CARD": "remove", "IP_ADDRESS": "generalise"}
EXACT = {"AGE": "generalise", "AMOUNT": "generalise", "EMAIL": "remove"}
TOOLS = {"tools": [{"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}]}


@pytest.fixture(scope="module")
def acting(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("actions")
    (folder / "pseudonyms.key").write_text(SECRET)
    policy = deepcopy(POLICY)
    policy["issuers"][0]["tenant"] = {"claim": "tenant", "allowed": ["acme", "plimsol"]}
    policy["profiles"]["clauses"] = {"actions": ACTIONS}
    policy["profiles"]["careful"] = {"actions": EXACT, "min_scores": {"DATE": 0.6}}
    policy["profiles"]["off"] = {"compare": False, "evidence": False, **WEAKER}
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    configuration = settings(*pair, scripted.tokenizer(folder), pseudonym_key_file="pseudonyms.key")
    with gateway(folder, configuration, policy) as front:
        yield front


def caller(acting: Gateway, role: str, subject: str = "s-1", tenant: str = "acme") -> httpx.Client:
    token = sign(read_key(acting.folder / "key.pem"), Claims("tightlip-dev", "tightlip", subject, role, tenant, 600))
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=acting.public, headers=headers, timeout=60, trust_env=False)


def expected(kind: str, value: str, tenant: str = "acme") -> str:
    key = TenantKeys(SECRET.encode()).key(Purpose.REPLACEMENTS, "tightlip-dev", tenant)
    return Rewriter({kind: Action(ACTIONS[kind])}, key).rewrite(kind, value, "")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("EMAIL", MAIL), ("PHONE", "13812345678"), ("CARD", "4111 1111 1111 1111"), ("IP_ADDRESS", "203.0.113.77")],
)
def test_a_callers_answer_holds_what_the_policy_says(acting: Gateway, engine: Engine, kind: str, value: str) -> None:
    engine.tuned = (f"It is {value}, I think. ",)
    for subject in ("s-1", "s-2"):
        with caller(acting, "clauses", subject) as client:
            whole = ask(client).json()["choices"][0]["message"]["content"]
            parts = text_of(streamed(ask(client, stream=True)))
        assert whole == parts == f"It is {expected(kind, value)}, I think. "


def test_another_profile_masks(acting: Gateway, engine: Engine) -> None:
    engine.tuned = (f"It is {MAIL}, I think.",)
    with caller(acting, "customer") as client:
        assert ask(client).json()["choices"][0]["message"]["content"] == "It is [EMAIL_1], I think."


def said(client: httpx.Client) -> str:
    content: str = ask(client).json()["choices"][0]["message"]["content"]
    return content


def test_a_tenant_has_one_pseudonym_for_a_value_and_another_tenant_another(acting: Gateway, engine: Engine) -> None:
    answers = defaultdict(list)
    for tenant in ("acme", "plimsol"):
        for subject, text in (("s-1", "It is {}, I think. "), ("s-2", "Write to {} or ring 13812345678, please. ")):
            engine.tuned = (text.format(MAIL),)
            with caller(acting, "clauses", subject, tenant) as client:
                answers[tenant].append(said(client))
    for tenant, told in answers.items():
        assert all(expected("EMAIL", MAIL, tenant) in text for text in told)
        assert expected("PHONE", "13812345678", tenant) in told[1]
    assert expected("EMAIL", MAIL, "acme") not in str(answers["plimsol"])
    assert expected("PHONE", "13812345678", "acme") not in str(answers["plimsol"])
    assert MAIL not in str(answers)
    assert "13812345678" not in str(answers)


def test_a_surrogate_has_the_form_of_the_value(acting: Gateway, engine: Engine) -> None:
    engine.tuned = ("Ring 138 1234 5678 or (415) 555-2671, please. ",)
    with caller(acting, "clauses") as client:
        words = said(client)
    assert [char if not char.isdigit() else "0" for char in words] == list(
        "Ring 000 0000 0000 or (000) 000-0000, please. "
    )
    assert "138 1234 5678" not in words
    assert "555-2671" not in words


@pytest.mark.parametrize(
    ("role", "expected_text"),
    [
        ("customer", "She is 43 years old, has $12,300 and reads [EMAIL_1] daily. "),
        ("careful", "She is 40 to 49 years old, has a five-figure amount and reads  daily. "),
        ("open", "She is 43 years old, has $12,300 and reads [EMAIL_1] daily. "),
    ],
)
def test_each_role_reads_by_its_own_profile(acting: Gateway, engine: Engine, role: str, expected_text: str) -> None:
    engine.tuned = (f"She is 43 years old, has $12,300 and reads {MAIL} daily. ",)
    with caller(acting, role) as client:
        assert said(client) == expected_text
        assert text_of(streamed(ask(client, stream=True))) == expected_text


def test_a_finding_counts_from_its_score_on(acting: Gateway, engine: Engine) -> None:
    engine.tuned = ("She was born on 2/7/1961 and left on 2/7/1981, it says. ",)
    with caller(acting, "careful") as client:
        assert said(client) == "She was born on [DATE_1] and left on 2/7/1981, it says. "


def channels(frames: list[dict[str, Any]]) -> dict[str, str]:
    """What a streamed answer says, by channel."""
    told: defaultdict[str, str] = defaultdict(str)
    for delta in (choice["delta"] for frame in frames for choice in frame.get("choices", ())):
        for name in ("reasoning", "reasoning_content", "content"):
            told[name.removesuffix("_content")] += delta.get(name) or ""
        for call in delta.get("tool_calls") or ():
            told["arguments"] += call["function"].get("arguments") or ""
    return told


def test_masks_are_numbered_through_all_channels_of_an_answer_and_anew_in_the_next(
    acting: Gateway, engine: Engine
) -> None:
    other = "ruva.wend91@plimsol.example"
    call = {"index": 0, "id": "x", "type": "function"}
    for first, second in ((MAIL, other), (other, MAIL)):
        sent = json.dumps({"to": second, "cc": first, "phone": "13812345678"})
        engine.tuned = (
            {"reasoning_content": f"I know {first} and 13987654321 of her. "},
            {"content": f"I write to {second}, not to {first}. "},
            {"tool_calls": [call | {"function": {"name": "send", "arguments": sent}}]},
        )
        engine.finish = "tool_calls"
        with caller(acting, "open") as client:
            told = channels(streamed(ask(client, stream=True, **TOOLS)))
        to, cc, phone = json.loads(told["arguments"]).values()
        assert {to, cc, phone} <= {"[EMAIL_1]", "[EMAIL_2]", "[PHONE_1]", "[PHONE_2]"}
        assert told["reasoning"] == f"I know {cc} and [PHONE_{'21'[phone == '[PHONE_2]']}] of her. "
        assert told["content"] == f"I write to {to}, not to {cc}. "
        assert to != cc
        assert not any(canary in str(told) for canary in (MAIL, other, "13812345678", "13987654321"))
