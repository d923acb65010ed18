"""What the chart makes of its values, taken from the pod that the API server holds and run as a process: its command,
environment, mounted files and probes are those of a gateway that starts, serves, reloads and ends in time."""

from __future__ import annotations

import json
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
from tests.support import scripted
from tests.support.cluster import Cluster
from tests.support.gateways import MODEL, PATIENT, POLICY, server, streamed, text_of
from tests.support.installing import Installation, prepared
from tests.support.kubelet import Pod, running
from tests.support.processes import Child
from tests.support.scripted import SURPRISED, Engine, Until
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.cluster
NAMESPACE = "served"
SECRET = "vexlo.trund47@kipmora.example"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}


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


def policy(**more: Any) -> dict[str, Any]:
    """That of other tests, with its key where the chart mounts it."""
    (issuer,) = POLICY["issuers"]
    return {**POLICY, "issuers": [{**issuer, "keys": [{"file": "/etc/tightlip/files/keys/key.pub.pem"}]}], **more}


def values(engine: Engine) -> dict[str, Any]:
    pair = {"tuned": server(engine.url, "tuned"), "base": server(engine.url, "base")}
    model = {**pair, "tokenizer": "/srv/tightlip/models/tokenizer.json", "unreleased": True, **PATIENT}
    log = {"directory": "/var/log/tightlip/records", "key_file": "/etc/tightlip/files/keys/log.key"}
    return {
        "settings": {"models": {MODEL: model}, "log": log, "drain_seconds": 60},
        "policy": {"document": policy()},
        "files": {"keys": {"secret": "tightlip-keys"}},
        "artifacts": {"models": {"persistentVolumeClaim": {"claimName": "models"}}},
        "sqlite": {"enabled": True, "storageClassName": "local"},
        "logs": {"volume": "emptyDir"},
        "replicaCount": 1,
        "autoscaling": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"publicFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    }


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with scripted.engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def release(kubernetes: Cluster, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("release")
    create_key(folder / "key.pem")
    said = folder / "values.yaml"
    said.write_text(yaml.safe_dump(values(engine)), encoding="utf-8")
    made = prepared(kubernetes, NAMESPACE, said)
    keys = {"key.pub.pem": (folder / "key.pub.pem").read_text(), "log.key": "k" * 32}
    metadata = {"name": "tightlip-keys", "namespace": NAMESPACE}
    kubernetes.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})
    made.install()
    yield made
    made.uninstall()


def test_it_becomes_ready_streams_reloads_and_drains(release: Installation, engine: Engine, tmp_path: Path) -> None:
    """One process, from its start to its end."""
    (held,) = release.settled().values()
    models, state = tmp_path / "models", tmp_path / "state"
    models.mkdir()
    state.mkdir()
    scripted.tokenizer(models)
    pod = Pod(release.cluster, held, tmp_path / "root", {"models": models, "tightlip-state": state})
    with running(pod) as child:
        served = Served(release, pod, child, release.values.parent / "key.pem")
        it_streams(served, engine)
        it_reloads_in_place(served)
        it_drains(served, engine)
    records = [path.read_text() for path in (pod.root / "var/log/tightlip/records").iterdir()]
    assert "".join(records).count('"event":"request"') >= 3
    assert (state / "tightlip.db").stat().st_size > 0
    assert SECRET not in "".join(records) + child.output


def it_streams(served: Served, engine: Engine) -> None:
    engine.tuned, engine.base, engine.score = (f"Good day. His e-mail is {SECRET}. ",), ("Who knows?",), SURPRISED
    with served.client() as client:
        answer = client.post("/v1/chat/completions", json=BODY)
    assert answer.status_code == 200, answer.text
    assert text_of(streamed(answer)) == "Good day. Who knows?"
    assert answer.text.rstrip().endswith("data: [DONE]")


def it_reloads_in_place(served: Served) -> None:
    """A role that the policy does not have gets in when it has, and no pod begins anew for it."""
    before = served.release.settled().keys()
    changed = policy(roles={**POLICY["roles"], "night": {"models": [MODEL], "endpoints": ["models"]}})
    changed["issuers"][0]["roles"] = [*changed["issuers"][0]["roles"], "night"]
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
    said = [json.loads(line.removeprefix("data: ")) for line in heard if line.startswith("data: {")]
    assert text_of(said) == "Good day. One. That was all."
    assert [line for line in heard if line][-1] == "data: [DONE]"
