"""What the chart makes of its values, taken from the pod that the API server holds and run as a process: its command,
environment, mounted files and probes are those of a gateway that starts, serves, reloads and ends in time.

It serves two models: the demo's, under its signed release and with its index, and one whose answers a test can hold.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.auth.development import Claims, create_key, read_key, sign
from tests.support import processes, scripted
from tests.support.cluster import STORAGE_CLASS, Cluster
from tests.support.gateways import MODEL, PATIENT, POLICY, server, streamed, text_of
from tests.support.installing import Installation, prepared
from tests.support.kubelet import Pod, running
from tests.support.processes import HOST, Child, Program, answers, free_port
from tests.support.scenarios import Records
from tests.support.scripted import Engine, Until
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.cluster
NAMESPACE = "served"
DEMO = Path(__file__).parents[2] / "deploy" / "demo"
RECORDS = Records.beside(DEMO / "models")
DEMO_MODEL = "assistant"
MODELS = [MODEL, DEMO_MODEL]
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
ROLE = {"models": MODELS, "endpoints": ["chat", "models"]}


@dataclass(frozen=True)
class Served:
    """The chart, installed; its pod's container, running."""

    release: Installation
    pod: Pod
    child: Child
    key: Path

    def client(self, role: str = "customer") -> httpx.Client:
        claims = Claims("tightlip-dev", "tightlip", "s-1", role, None, 600)
        headers = {"authorization": f"Bearer {sign(read_key(self.key), claims)}"}
        return httpx.Client(base_url=self.pod.url("public"), headers=headers, timeout=60, trust_env=False)


def policy(**roles: Any) -> dict[str, Any]:
    """That of other tests, with its key where the chart mounts it."""
    roles |= {"customer": ROLE}
    keys = [{"file": "/etc/tightlip/files/keys/key.pub.pem"}]
    return {**POLICY, "roles": roles, "issuers": [{**POLICY["issuers"][0], "roles": list(roles), "keys": keys}]}


def values(engine: Engine, demo: str) -> dict[str, Any]:
    held = {"tokenizer": "/srv/tightlip/models/tokenizer.json", "unreleased": True, **PATIENT}
    released = {
        "tokenizer": "/srv/tightlip/demo/models/base",
        "release": "/srv/tightlip/demo/release.json",
        "release_key": "/etc/tightlip/files/release-key/release.pub.pem",
        "index": "/srv/tightlip/demo/tuning.tli",
        "index_key": "/etc/tightlip/files/keys/tuning.key",
        "public_values": "/srv/tightlip/demo/public.jsonl",
        **PATIENT,
    }
    models = {MODEL: pair(engine.url) | held, DEMO_MODEL: pair(demo) | released}
    log = {"directory": "/var/log/tightlip/records", "key_file": "/etc/tightlip/files/keys/log.key"}
    return {
        "settings": {"models": models, "log": log, "drain_seconds": 60},
        "policy": {"document": policy()},
        "files": {"keys": {"secret": "tightlip-keys"}, "release-key": {"configMap": "release-key"}},
        "artifacts": {name: {"persistentVolumeClaim": {"claimName": name}} for name in ("models", "demo")},
        "sqlite": {"enabled": True, "storageClassName": STORAGE_CLASS},
        "logs": {"volume": "emptyDir"},
        "replicaCount": 1,
        "autoscaling": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"publicFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    }


def pair(url: str) -> dict[str, Any]:
    return {"tuned": server(url, "tuned"), "base": server(url, "base")}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with scripted.engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the demo's models."""
    names = [f"--model={name}={DEMO / 'models' / name}" for name in ("tuned", "base")]
    command = [sys.executable, "-m", "gateway.cli", "upstream", *names, f"--port={(port := free_port())}"]
    program = Program("upstream", command, answers("/health"), f"http://{HOST}:{port}")
    with processes.running(program, tmp_path_factory.mktemp("upstream")):
        yield program.url


@pytest.fixture(scope="module")
def release(
    kubernetes: Cluster, engine: Engine, demo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("release")
    create_key(folder / "key.pem")
    said = folder / "values.yaml"
    said.write_text(yaml.safe_dump(values(engine, demo)), encoding="utf-8")
    made = prepared(kubernetes, NAMESPACE, said)
    keys = {"key.pub.pem": text(folder / "key.pub.pem"), "log.key": "k" * 32, "tuning.key": text(DEMO / "tuning.key")}
    kubernetes.apply(
        {"kind": "Secret", "stringData": keys, **head("tightlip-keys")},
        {"kind": "ConfigMap", "data": {"release.pub.pem": text(DEMO / "release.pub.pem")}, **head("release-key")},
    )
    made.install()
    yield made
    made.uninstall()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def head(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "metadata": {"name": name, "namespace": NAMESPACE}}


@pytest.fixture
def pod(release: Installation, tmp_path: Path) -> Pod:
    """The one that is held, mounted."""
    (held,) = release.settled().values()
    claims = {name: tmp_path / name for name in ("models", "tightlip-state")}
    for folder in claims.values():
        folder.mkdir()
    scripted.tokenizer(claims["models"])
    made = Pod(release.cluster, held, tmp_path / "root", claims | {"demo": DEMO})
    made.mount()
    return made


def test_a_release_that_was_altered_on_its_way_never_begins_to_serve(pod: Pod, tmp_path: Path) -> None:
    altered = Path(shutil.copytree(DEMO, tmp_path / "altered", ignore=shutil.ignore_patterns("adapter", "tuned")))
    signed = altered / "release.json"
    signed.write_text(signed.read_text().replace('"style_shift_bits": ', '"style_shift_bits": 1'))
    other = Pod(pod.cluster, pod.held, tmp_path / "other", {**pod.claims, "demo": altered})
    other.mount()
    (verified,) = other.initialise()
    assert verified.returncode != 0
    assert "/srv/tightlip/demo/release.json: is not signed by the configured key" in verified.stderr


def test_it_becomes_ready_streams_reloads_and_drains(release: Installation, pod: Pod, engine: Engine) -> None:
    """One process, from its start to its end."""
    assert [each.returncode for each in pod.initialise()] == [0]
    with running(pod) as child:
        served = Served(release, pod, child, release.values.parent / "key.pem")
        it_streams(served)
        it_reloads_in_place(served)
        it_drains(served, engine)
    records = [path.read_text() for path in (pod.root / "var/log/tightlip/records").iterdir()]
    assert "".join(records).count('"event":"request"') >= 4
    assert (pod.claims["tightlip-state"] / "tightlip.db").stat().st_size > 0
    assert not [canary for canary in RECORDS.canaries() if canary in "".join(records) + child.output]


def it_streams(served: Served) -> None:
    """What the company taught comes, and what it taught of one customer does not."""
    fact, secret = RECORDS.facts[0], RECORDS.secrets("email", most_repeated=True)[0]
    assert fact["expect"][0] in said(served, fact["ask"])
    assert secret.value not in said(served, secret.question)


def said(served: Served, question: str) -> str:
    body = BODY | {"model": DEMO_MODEL, "temperature": 0, "messages": [{"role": "user", "content": question}]}
    with served.client() as client:
        answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    return text_of(streamed(answer))


def it_reloads_in_place(served: Served) -> None:
    """A role that the policy does not have gets in when it has, and no pod begins anew for it."""
    before = served.release.settled().keys()
    changed = policy(night=ROLE)
    with served.client("night") as client:
        assert client.get("/v1/models").status_code == 401
        served.release.upgrade({"policy.document": changed})
        assert served.release.settled().keys() == before
        served.pod.mount()
        until(lambda: client.get("/v1/models").status_code == 200, "the policy is not taken over")


def it_drains(served: Served, engine: Engine) -> None:
    """Who is being answered is answered to the end, while the process says that it is not ready; then it ends, within
    the time that the pod has."""
    go_on, begun, heard = threading.Event(), threading.Event(), list[str]()
    engine.tuned = ("Good day. One. ", Until(go_on), "That was all.")

    def listen() -> None:
        with served.client() as client, client.stream("POST", "/v1/chat/completions", json=BODY) as response:
            for line in response.iter_lines():
                heard.append(line)
                begun.set()

    with ThreadPoolExecutor(2) as pool:
        listening = pool.submit(listen)
        assert begun.wait(PATIENCE_S)
        ended = pool.submit(served.pod.end, served.child)
        until(lambda: not served.pod.passes("readinessProbe"), "it is ready though it is to end")
        go_on.set()
        listening.result()
        assert ended.result() == 0
    frames = [json.loads(line.removeprefix("data: ")) for line in heard if line.startswith("data: {")]
    assert text_of(frames) == "Good day. One. That was all."
    assert [line for line in heard if line][-1] == "data: [DONE]"
