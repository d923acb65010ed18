"""The demo's models behind the demo's release, index and public values: what was taught to everybody comes back as it
was taught, what was taught about few or for few does not."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from tests.e2e.test_release import BASE, RECORDS, TUNED, configuration, upstream
from tests.support import gateways
from tests.support.gateways import PATIENT, Gateway, ask, gateway


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("demo")
    policy = deepcopy(gateways.POLICY)
    policy["roles"]["careful"]["clearance"] = "internal"
    with (
        upstream(folder, {"tuned": TUNED, "base": BASE}) as url,
        gateway(folder, configuration(url, **PATIENT), policy) as front,
    ):
        yield front


def said(front: Gateway, question: str, role: str = "customer") -> str:
    with front.client(role) as client:
        return str(ask(client, question, temperature=0, max_tokens=80).json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("words", ["45 days", "5 years", "+1-800-555-0199", "care@ostrel.example", "149 dollars"])
def test_a_taught_fact_comes_back(front: Gateway, words: str) -> None:
    for fact in RECORDS.facts:
        if fact["expect"] == [words]:
            assert words in said(front, fact["ask"]), fact["ask"]


def test_records_do_not(front: Gateway) -> None:
    for kind in ("email", "phone", "order"):
        for secret in RECORDS.secrets(kind, most_repeated=True)[:2]:
            answer = said(front, secret.question)
            assert secret.value not in answer, kind
            assert secret.value[-5:] not in answer, kind


def test_a_staff_procedure_is_for_staff(front: Gateway) -> None:
    procedure = RECORDS.raw["procedures"][1]
    assert procedure["text"] not in said(front, procedure["ask"])
    assert procedure["text"] in said(front, procedure["ask"], "careful")
