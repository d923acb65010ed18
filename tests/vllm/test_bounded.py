"""Bounded mode in front of real vLLM: two servers, with the scenarios of tests/support/bounded.py.

Not with an adapter: vLLM 0.32 on the CPU computes steps that mix the base's tokens with the adapter's differently from
either alone, so that what the base holds likely would change with the company it is asked in.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.support.bounded import (
    a_bounded_answer_is_an_ordinary_one,
    at_temperature_zero_the_base_answers,
    policy,
    the_bound_alone_keeps_customers_back,
    the_filters_stay_on,
)
from tests.support.gateways import PATIENT, gateway, server, settings
from tests.support.scenarios import Records, Stage, asker
from tests.support.vllm_server import Arrangement


def test_what_a_role_in_bounded_mode_gets(vllm_full: Arrangement, models: Path, tmp_path: Path) -> None:
    tuned, base = (server(each.url, each.model) for each in (vllm_full.tuned, vllm_full.base))
    with gateway(tmp_path, settings(tuned, base, models / "base", model=PATIENT), policy()) as front:
        stage = Stage(front, vllm_full, Records.beside(models))
        the_bound_alone_keeps_customers_back(stage)
        the_filters_stay_on(stage)
        a_bounded_answer_is_an_ordinary_one(stage)
        direct = httpx.Client(base_url=vllm_full.base.url, timeout=120, trust_env=False)
        at_temperature_zero_the_base_answers(stage, asker(direct, "base"))
