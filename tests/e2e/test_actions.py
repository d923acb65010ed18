"""What stands in for a hidden value, as a caller of the gateway gets it: streamed or not, in two tenants."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from filters.pii.actions import Rewriter
from filters.profile import Action
from gateway.tenant_keys import Purpose, TenantKeys
from tests.support import scripted
from tests.support.gateways import POLICY, Gateway, ask, gateway, server, settings, streamed, text_of
from tests.support.scripted import Engine

MAIL = "vexlo.trund47@kipmora.example"
SECRET = "m" * 40
ACTIONS = {"EMAIL": "pseudonym", "PHONE": "surrogate", "CARD": "remove", "IP_ADDRESS": "generalise"}


@pytest.fixture(scope="module")
def acting(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("actions")
    (folder / "pseudonyms.key").write_text(SECRET)
    policy = deepcopy(POLICY)
    policy["profiles"]["clauses"] = {"actions": ACTIONS}
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    configuration = settings(*pair, scripted.tokenizer(folder), pseudonym_key_file="pseudonyms.key")
    with gateway(folder, configuration, policy) as front:
        yield front


def expected(kind: str, value: str) -> str:
    key = TenantKeys(SECRET.encode()).key(Purpose.REPLACEMENTS, "tightlip-dev", "acme")
    return Rewriter({kind: Action(ACTIONS[kind])}, key).rewrite(kind, value, "")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("EMAIL", MAIL), ("PHONE", "13812345678"), ("CARD", "4111 1111 1111 1111"), ("IP_ADDRESS", "203.0.113.77")],
)
def test_a_callers_answer_holds_what_the_policy_says(acting: Gateway, engine: Engine, kind: str, value: str) -> None:
    engine.tuned = (f"It is {value}, I think. ",)
    for subject in ("s-1", "s-2"):
        with acting.client("clauses", subject=subject) as client:
            whole = ask(client).json()["choices"][0]["message"]["content"]
            parts = text_of(streamed(ask(client, stream=True)))
        assert whole == parts == f"It is {expected(kind, value)}, I think. "


def test_another_profile_masks(acting: Gateway, engine: Engine) -> None:
    engine.tuned = (f"It is {MAIL}, I think.",)
    with acting.client("customer") as client:
        assert ask(client).json()["choices"][0]["message"]["content"] == "It is [EMAIL_1], I think."
