"""A name that only the operator's model knows, through a gateway process; and a process whose model is not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.auth.development import create_key
from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.gateways import POLICY, Gateway, ask, gateway, server, settings, streamed, text_of
from tests.support.name_models import configure
from tests.support.scripted import Engine

ANSWER = "You may ask Zorvek, or 查十十 instead. "
HIDDEN = "You may ask [PERSON_1], or [PERSON_2] instead. "


def with_names() -> dict[str, Any]:
    policy = deepcopy(POLICY)
    policy["profiles"]["clauses"] = {"names": True, "on_memorised": "mask"}
    return policy


@pytest.fixture(scope="module")
def named(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("names")
    configure(folder)
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    configuration = settings(*pair, scripted.tokenizer(folder), names_engine={"configuration": "names.yaml"})
    with gateway(folder, configuration, with_names()) as front:
        yield front


def test_a_name_that_only_this_engine_knows_is_hidden(named: Gateway, engine: Engine) -> None:
    engine.tuned, engine.score = (ANSWER,), -20.0  # the base would not have said it
    with named.client("clauses") as client:
        assert ask(client).json()["choices"][0]["message"]["content"] == HIDDEN
        assert text_of(streamed(ask(client, stream=True))) == HIDDEN
    with named.client("customer") as client:
        assert ask(client).json()["choices"][0]["message"]["content"] == ANSWER
    assert canary_free(named, "Zorvek", "查十十")


def test_the_embedded_model_does_not_know_it(front: Gateway, engine: Engine) -> None:
    engine.tuned = (ANSWER,)
    with front.client("customer") as client:
        assert "Zorvek" in ask(client).text


def test_a_gateway_whose_engine_is_not_there_does_not_start(tmp_path: Path, engine: Engine) -> None:
    configure(tmp_path, models=[{"lang_code": "en", "model_name": "en_core_web_lg"}])
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    names = {"configuration": "names.yaml"}
    for name, content in (
        ("tightlip", settings(*pair, scripted.tokenizer(tmp_path), names_engine=names)),
        ("policy", with_names()),
    ):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    create_key(tmp_path / "key.pem")
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(tmp_path / "tightlip.yaml")]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    place = tmp_path / "names.yaml"
    assert done.stderr == f"tightlip: {place}: the spaCy model for en is neither a folder nor an installed package\n"
