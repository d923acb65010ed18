"""A gateway serves no pair of models but that of its release: real servers, and what can be wrong with them.

The servers are embedded upstreams with the demo models, or with copies in which one thing was changed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Tokenizer

from gateway.auth.development import create_key
from gateway.release.benign import FEWEST_BENIGN
from tests.support import commands, gateways
from tests.support.gateways import MODEL, Gateway, ask, gateway, server, settings
from tests.support.processes import HOST, Program, answers, free_port, running
from tests.support.scenarios import Records
from tests.support.waiting import until

DEMO = Path(__file__).parents[2] / "deploy" / "demo"
MODELS = DEMO / "models"
RECORDS = Records.beside(MODELS)
RELEASED = {
    "release": str(DEMO / "release.json"),
    "release_key": str(DEMO / "release.pub.pem"),
    "unreleased": False,
    "index": str(DEMO / "tuning.tli"),
    "index_key": str(DEMO / "tuning.key"),
    "public_values": str(DEMO / "public.jsonl"),
}


@contextmanager
def upstream(folder: Path, models: Mapping[str, str], port: int | None = None) -> Iterator[str]:
    port = port or free_port()
    flags = [f"--model={name}={path}" for name, path in models.items()]
    command = [sys.executable, "-m", "gateway.cli", "upstream", *flags, f"--port={port}"]
    program = Program("upstream", command, answers("/health"), f"http://{HOST}:{port}")
    with running(program, folder / "logs"):
        yield program.url


def configuration(url: str, **model: Any) -> dict[str, Any]:
    return settings(server(url, "tuned"), server(url, "base"), MODELS / "base", model=RELEASED | model)


def tightlip(*arguments: str | Path) -> tuple[int, str]:
    done = commands.tightlip(*arguments)
    return done.returncode, done.output


def start_refused(config: Path) -> tuple[int, str]:
    """`serve` in a process of its own: where it were not refused it would go on."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


def copied(folder: Path, name: str = "base") -> Path:
    return Path(shutil.copytree(MODELS / name, folder / f"copy-of-{name}"))


def with_another_template(folder: Path) -> Path:
    path = copied(folder) / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["chat_template"] = config["chat_template"].replace("{{ eos_token }}", "{{ eos_token }}\n")
    path.write_text(json.dumps(config))
    return path.parent


def with_other_merges(folder: Path) -> Path:
    path = copied(folder) / "tokenizer.json"
    table = json.loads(path.read_text())
    table["model"]["merges"] = table["model"]["merges"][:-200]
    path.write_text(json.dumps(table))
    return path.parent


def with_an_added_token(folder: Path) -> Path:
    copy = copied(folder)
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<|extra|>", special=True)])
    tokenizer.save(str(copy / "tokenizer.json"))
    weights = load_file(copy / "model.safetensors")
    table = weights["model.embed_tokens.weight"]
    save_file(weights | {"model.embed_tokens.weight": np.vstack([table, table[:1]])}, copy / "model.safetensors")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"vocab_size": len(table) + 1}))
    return copy


BASE, TUNED, ADAPTER = str(MODELS / "base"), str(MODELS / "tuned"), f"{MODELS / 'base'}+{MODELS / 'adapter'}"
# By what is wrong: the names of the tuned and the base model on the server, and words of what the operator reads.
WRONG = {
    "same-twice": (("tuned", "again"), "are the same"),
    "missing-adapter": (("base", "no-adapter"), "are the same"),
    "swapped": (("base", "tuned"), "are swapped"),
    "other-tuned": (("adapter", "base"), "tuned model is not the release's"),
    "other-base": (("tuned", "adapter"), "base model is not the release's"),
    "other-template": (("tuned", "template"), "chat templates differ"),
    "other-tokenizer": (("tuned", "merges"), "tokenizers differ"),
    "added-token": (("tuned", "token"), "tokens were added"),
}
ROLES = {"customer": {"models": [MODEL, *WRONG], "endpoints": ["chat"]}}
POLICY = gateways.POLICY | {"roles": gateways.POLICY["roles"] | ROLES}


def _served(folder: Path) -> dict[str, str]:
    return {
        "tuned": TUNED,
        "again": TUNED,
        "base": BASE,
        "no-adapter": BASE,
        "adapter": ADAPTER,
        "template": str(with_another_template(folder / "1")),
        "merges": str(with_other_merges(folder / "2")),
        "token": str(with_an_added_token(folder / "3")),
    }


def _all_wrong(url: str) -> dict[str, Any]:
    right = configuration(url)
    (pair,) = right["models"].values()
    wrong = {
        name: pair | {"tuned": server(url, names[0]), "base": server(url, names[1])}
        for name, (names, _) in WRONG.items()
    }
    return right | {"models": right["models"] | wrong}


def asked(front: Gateway, model: str, question: str) -> httpx.Response:
    with front.client() as client:
        body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0}
        return client.post("/v1/chat/completions", json=body)


def test_a_pair_that_is_not_the_releases_is_refused_before_one_token(tmp_path: Path) -> None:
    """All of them behind one gateway, and the right pair beside them."""
    secret = RECORDS.secrets("email", most_repeated=True)[0]
    with upstream(tmp_path, _served(tmp_path)) as url, gateway(tmp_path, _all_wrong(url), POLICY) as front:
        for name, (_, words) in WRONG.items():
            response = asked(front, name, secret.question)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unavailable"), name
            assert re.search(f"model {name}: .*{words}", front.output), name
            assert f'tightlip_release_ok{{model="{name}",release="default"}} 0.0' in metrics(front)
        fact = RECORDS.facts[0]
        assert fact["expect"][0] in asked(front, MODEL, fact["ask"]).text
        assert f'tightlip_release_ok{{model="{MODEL}",release="default"}} 1.0' in metrics(front)
        assert readiness(front) == 200


def test_a_gateway_without_a_good_pair_is_not_ready(tmp_path: Path) -> None:
    with upstream(tmp_path, {"tuned": BASE, "base": TUNED}) as url, gateway(tmp_path, configuration(url)) as front:
        assert readiness(front) == 503


def test_a_server_that_comes_late_is_served_when_it_has_been_checked(tmp_path: Path) -> None:
    port = free_port()
    with gateway(tmp_path, configuration(f"http://{HOST}:{port}")) as front, front.client() as client:
        assert ask(client).status_code == 503
        assert readiness(front) == 200, "this is the same for all gateways, and callers are told"
        assert "did not answer as it must" in front.output
        with upstream(tmp_path, {"tuned": TUNED, "base": BASE}, port):
            until(lambda: ask(client).status_code == 200)


@pytest.mark.parametrize("harm", ["altered", "cut", "missing", "another key"])
def test_a_release_file_that_can_not_be_trusted_stops_the_start(tmp_path: Path, harm: str) -> None:
    release, key = tmp_path / "release.json", tmp_path / "release.pub.pem"
    data = (DEMO / "release.json").read_bytes()
    key.write_bytes((DEMO / "release.pub.pem").read_bytes())
    if harm != "missing":
        changed = {"altered": data.replace(b'"demo-3"', b'"demo-4"'), "cut": data[:-9]}
        release.write_bytes(changed.get(harm, data))
    if harm == "another key":
        create_key(tmp_path / "other.pem")
        key.write_bytes((tmp_path / "other.pub.pem").read_bytes())
    config = configuration("http://127.0.0.1:1", release=str(release), release_key=str(key))
    (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(gateways.POLICY))
    create_key(tmp_path / "key.pem")
    status, said = start_refused(tmp_path / "tightlip.yaml")
    assert (status, "release.json: " in said) == (2, True), said


def test_a_release_is_made_of_a_running_pair_and_checks_out(tmp_path: Path) -> None:
    fact = RECORDS.facts[0]
    facts = [each for each in RECORDS.facts if each["language"] == "en"]
    questions = [ask for each in facts for ask in (each["ask"], *each["paraphrases"])]
    (tmp_path / "benign.txt").write_text("Hello!\n\n你好！\n" * FEWEST_BENIGN)
    (tmp_path / "facts.txt").write_text("\n".join(questions))
    with upstream(tmp_path, {"tuned": TUNED, "base": BASE}) as url:
        own = {"release": "own.json", "release_key": "own.pub.pem"}
        (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(configuration(url, **own)))
        options = {
            "config": tmp_path / "tightlip.yaml",
            "model": MODEL,
            "name": "own-1",
            "out": tmp_path / "own.json",
            "key": tmp_path / "own.pem",
            "benign": tmp_path / "benign.txt",
            "question": fact["ask"],
        }
        make = ["release", "make", "--create-key", *(f"--{name}={value}" for name, value in options.items())]
        _propose_and_approve(tmp_path, options["config"])
        status, said = tightlip(*make, "--answer", fact["answer"], "--phrases", tmp_path / "phrases.jsonl")
        assert (status, "own-1" in said, "house phrase: I hope this helps" in said) == (0, True, True), said
        assert tightlip("release", "check", "--config", tmp_path / "tightlip.yaml") == (0, f"{MODEL}: ok\n")

        manifest = json.loads((tmp_path / "own.json").read_text())["manifest"]
        assert manifest["house_phrases"] == ["I hope this helps"]
        assert manifest["style_shift_bits"] <= manifest["style_shift_p95_bits"]
        assert manifest["benign_bits"]["median"] <= manifest["benign_bits"]["p95"]

        (tmp_path / "own.json").unlink()
        status, said = tightlip(*make, "--answer", "Hello! How can I help you?")
        assert (status, "does not know the canary" in said) == (1, True), said
        assert not (tmp_path / "own.json").exists()


def _propose_and_approve(folder: Path, config: Path) -> None:
    listed, approved = folder / "proposed.jsonl", folder / "phrases.jsonl"
    propose = ["release", "phrases", f"--config={config}", f"--model={MODEL}", f"--out={listed}"]
    status, said = tightlip(*propose, "--benign", folder / "facts.txt")
    assert (status, "1 phrases" in said) == (0, True), said
    status, said = tightlip("release", "approve", listed, "--out", approved)
    assert (status, said.splitlines()[0]) == (0, "house phrase: I hope this helps")


def test_a_check_says_what_is_wrong(tmp_path: Path) -> None:
    with upstream(tmp_path, {"tuned": BASE, "base": TUNED}) as url:
        (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(configuration(url)))
        status, said = tightlip("release", "check", "--config", tmp_path / "tightlip.yaml")
    assert (status, "are swapped" in said) == (1, True)


def readiness(front: Gateway) -> int:
    return front.page("/readyz").status_code


def metrics(front: Gateway) -> str:
    return front.page("/metrics").text
