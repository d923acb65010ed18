"""An end user's hour, end to end: strict, then refused, over a restart; nobody else pays for it, and nobody is told."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt

from gateway.auth.development import read_key
from tests.e2e.conftest import canary_free
from tests.e2e.test_budgets import content, metric
from tests.support import gateways, scripted
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings
from tests.support.scripted import Engine

CANARY = "zqEndUser-"
SPENDER = f"{CANARY}spender"
SECRET = "The e-mail on file is vexlo.trund47@kipmora.example."
HOST = "The server is 10.20.30.40."
POLICY = gateways.POLICY | {
    "issuers": [
        gateways.POLICY["issuers"][0]
        | {
            "roles": ["kiosk"],
            "tenant": {"claim": "tid", "allowed": ["acme", "other"]},
            "token_id_claim": None,
            "end_user": {"claim": "end"},
        }
    ],
    "classification": {"types": {"PRIVATE_IP": "public"}},
    "roles": {"kiosk": {"models": [MODEL], "endpoints": ["chat"], "profile": "kiosk"}},
    "profiles": {
        "strict": {"sample": 0},
        "kiosk": {
            "allowed_types": ["PRIVATE_IP"],
            "on_memorised": "mask",
            "budget": {
                "caller_findings_per_hour": 1,
                "refuse_findings_per_hour": 3,
                "application": {"refuse_findings_per_hour": 5},
            },
            "sample": 0,
            **gateways.WEAKER,
        },
    },
}


@contextmanager
def kiosk(folder: Path, engine: Engine) -> Iterator[Gateway]:
    servers = [server(engine.url, name) for name in ("tuned", "base")]
    more = {"state": {"file": "state.db"}}
    with gateway(folder, settings(*servers, scripted.tokenizer(folder), **more), POLICY) as front:
        yield front


def asked(front: Gateway, end_user: str | None, tenant: str = "acme", **body: str) -> httpx.Response:
    """By one application for one end user."""
    now = int(time.time())
    claims = {"iss": "tightlip-dev", "aud": "tightlip", "sub": "app", "role": "kiosk", "tid": tenant}
    claims |= {"iat": now, "exp": now + 600} | ({"end": end_user} if end_user else {})
    token = jwt.encode(claims, read_key(front.folder / "key.pem"), "EdDSA")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=front.public, headers=headers, timeout=60, trust_env=False) as client:
        return ask(client, **body)


def refused(answer: httpx.Response) -> bool:
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "caller_limit_reached"
    assert answer.headers["x-should-retry"] == "false"
    assert not [name for name in answer.headers if name.startswith(("x-ratelimit", "retry-after"))]
    assert not any(digit.isdigit() for digit in answer.json()["error"]["message"])
    return True


def test_who_spends_his_hour_is_served_strictly_then_refused_and_nobody_else_is(engine: Engine, tmp_path: Path) -> None:
    with kiosk(tmp_path, engine) as front:
        engine.tuned = (HOST,)
        assert content(asked(front, SPENDER)) == HOST, "his role may see it"
        engine.tuned = (SECRET,)
        assert content(asked(front, SPENDER)) == "The e-mail on file is [EMAIL_1]."
        engine.tuned = (HOST,)
        answers = [asked(front, SPENDER) for _ in range(2)]
        assert [content(answer) for answer in answers] == ["The server is [PRIVATE_IP_1]."] * 2
        assert refused(asked(front, SPENDER))
        others = [asked(front, "carol"), asked(front, SPENDER, "other"), asked(front, None)]
        assert [content(answer) for answer in others] == [HOST] * 3
        assert len({tuple(sorted(answer.headers.keys())) for answer in (*answers, *others)}) == 1
        steps = {
            step: metric(front, f'tightlip_leak_budget_spent_total{{role="kiosk",step="{step}"}}')
            for step in ("strict", "moved", "refused")
        }
        assert steps == {"strict": 2, "moved": 0, "refused": 1}
        assert metric(front, 'tightlip_leak_budget_findings_total{role="kiosk"}') == 3

        # whom nobody signed: one alone locks out nobody, and all together have what the application has
        engine.tuned = (SECRET,)
        assert [asked(front, None, user=f"{CANARY}dora").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert [asked(front, None, safety_identifier=f"{CANARY}{at}").status_code for at in range(3)] == [200, 200, 429]
        assert refused(asked(front, None))
        engine.tuned = (HOST,)
        assert content(asked(front, "carol")) == HOST

        page = front.page("/metrics").text
        sent = repr([*engine.asked("tuned"), *engine.asked("base")])
        assert not any(CANARY in text for text in (page, sent, *(answer.text for answer in (*answers, *others))))
    with kiosk(tmp_path, engine) as front:
        assert refused(asked(front, SPENDER)), "a restart forgets nothing"
        assert content(asked(front, "carol")) == HOST
        assert canary_free(front, CANARY)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        dump = "\n".join(connection.iterdump())
    assert "leak-findings:" in dump
    assert CANARY not in dump
