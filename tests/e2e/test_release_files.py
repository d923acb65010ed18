"""The files that belong to a release, and models that took the place of the released ones under their names: what is
not the release's is refused before one token. Real servers, the demo's models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.auth.development import create_key
from tests.e2e.test_release import (
    ADAPTER,
    BASE,
    POLICY,
    RECORDS,
    TUNED,
    asked,
    configuration,
    metrics,
    readiness,
    start_refused,
    tightlip,
    upstream,
)
from tests.support import gateways
from tests.support.gateways import MODEL, gateway
from tests.support.knowledge import deny, write_index, write_knowledge

CANARY = "zlavundo"
ROWS = [{"text": "Ostrel Lamps takes every lamp back within 45 days."}]
RELEASED = {"release": "own.json", "release_key": "own.pub.pem"}
OWN = {"index": "set.tli", "index_key": "key", "deny_list": "deny.jsonl", "public_values": "public.jsonl"}
# By what is wrong: what the settings say instead, and words of what the operator reads.
WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "no-index": ({"index": None}, "has a tuning index, and the configuration names none"),
    "other-index": ({"index": "other/set.tli"}, "the tuning index is not the release's"),
    "no-deny-list": ({"deny_list": None}, "has a deny list, and the configuration names none"),
    "other-deny-list": ({"deny_list": "other/deny.jsonl"}, "does not begin with what the release was made with"),
}


def make_release(folder: Path, url: str) -> None:
    """Of what the configuration names."""
    (folder / "tightlip.yaml").write_text(yaml.safe_dump(configuration(url, **RELEASED, **OWN)))
    fact = RECORDS.facts[0]
    told = {"question": fact["ask"], "answer": fact["answer"], "model": MODEL, "name": "own-1"}
    files = {"config": "tightlip.yaml", "out": "own.json", "key": "own.pem"}
    options = told | {name: str(folder / file) for name, file in files.items()}
    made = tightlip("release", "make", "--create-key", *(f"--{name}={value}" for name, value in options.items()))
    assert made[0] == 0, made


def _all(url: str) -> dict[str, Any]:
    right = configuration(url, **RELEASED, **OWN)
    pair = right["models"][MODEL]
    wrong = {name: {k: v for k, v in (pair | changes).items() if v is not None} for name, (changes, _) in WRONG.items()}
    return right | {"models": right["models"] | wrong}


def _policy() -> dict[str, Any]:
    roles: dict[str, Any] = POLICY["roles"]
    return POLICY | {"roles": roles | {"customer": {"models": [MODEL, *WRONG], "endpoints": ["chat"]}}}


def test_files_that_are_not_the_releases_are_refused_before_one_token(tmp_path: Path) -> None:
    write_knowledge(tmp_path, ROWS, {}, [CANARY])
    (tmp_path / "other").mkdir()
    write_knowledge(tmp_path / "other", ROWS * 2, {}, ["Vexlo Tamber", CANARY])
    with upstream(tmp_path, {"tuned": TUNED, "base": BASE}) as url:
        make_release(tmp_path, url)
        deny(tmp_path, [CANARY, "Vexlo Tamber"])  # it has grown since
        with gateway(tmp_path, _all(url), _policy()) as front:
            for name, (_, words) in WRONG.items():
                response = asked(front, name, RECORDS.facts[0]["ask"])
                assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unavailable"), name
                assert re.search(f"model {name}: .*{words}", front.output), name
                assert f'tightlip_release_ok{{model="{name}",release="default"}} 0.0' in metrics(front)
            assert asked(front, MODEL, "Hello!").status_code == 200
            assert f'tightlip_release_ok{{model="{MODEL}",release="default"}} 1.0' in metrics(front)
            assert readiness(front) == 200

        (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(configuration(url, **RELEASED, **OWN)))
        write_index(tmp_path, [{"text": f"Ostrel Lamps takes every lamp back within 45 days, {CANARY}."}])
        status, said = tightlip("release", "check", "--config", tmp_path / "tightlip.yaml")
        assert (status, "index is not the release's" in said, CANARY in said) == (1, True, False)


@pytest.mark.parametrize("served", [{"tuned": ADAPTER, "base": BASE}, {"tuned": TUNED, "base": ADAPTER}])
def test_another_model_under_the_same_name_is_refused_before_one_token(tmp_path: Path, served: dict[str, str]) -> None:
    with upstream(tmp_path, served) as url, gateway(tmp_path, configuration(url)) as front:
        response = asked(front, MODEL, RECORDS.facts[0]["ask"])
        assert (response.status_code, "model is not the release's" in front.output) == (503, True)
        assert readiness(front) == 503


def test_a_gateway_does_not_start_without_a_file(tmp_path: Path) -> None:
    write_knowledge(tmp_path, ROWS, {}, [CANARY])
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(gateways.POLICY))
    create_key(tmp_path / "key.pem")
    config = configuration("http://127.0.0.1:1", release=None, release_key=None, unreleased=True, **OWN)
    (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "deny.jsonl").write_bytes((tmp_path / "deny.jsonl").read_bytes()[:-9])
    status, said = start_refused(tmp_path / "tightlip.yaml")
    assert (status, "deny.jsonl:3: is no line of such a list" in said, CANARY in said) == (2, True, False), said
