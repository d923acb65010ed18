"""A whole Kubernetes control plane on loopback, with simulated nodes: API server, admission, controllers, scheduler and
kubectl are real; pods are scheduled and reported ready, and no container runs.

Beside the programs the folder that KUBEBUILDER_ASSETS names has `simulated-nodes.yaml` (kwok's stages: nodes become
ready, pods run) and `crds`, the definitions of others that the chart has objects of.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.control_plane import ApiServer
from tests.support.programs import find
from tests.support.waiting import until

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl", "helm")
FILES = ("simulated-nodes.yaml", "crds")
ZONES = 3
SECONDS = 180  # for a command; none takes ten on a machine that is not busy
STORAGE_CLASS = "local"
GONE_BY_THEMSELVES = frozenset({"events", "endpoints", "endpointslices", "leases"})

Object = dict[str, Any]


def missing() -> str | None:
    """Why there can be no cluster, or None."""
    absent = [name for name in PROGRAMS if find(name) is None]
    absent += [name for name in FILES if not _file(name).exists()]
    return f"no {', '.join(absent)} in the folder KUBEBUILDER_ASSETS" if absent else None


def _file(name: str) -> Path:
    return Path(os.environ.get("KUBEBUILDER_ASSETS", "")) / name


class Cluster(ApiServer):
    """It has three nodes with GPUs in three zones, a storage class whose volumes are made by `volume`, and the
    definitions of Prometheus' operator and of the Gateway API."""

    def start_controllers(self) -> None:
        self.kubeconfig = self.home / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
        known = f"--kubeconfig={self.kubeconfig}"
        alone = "--leader-elect=false", "--secure-port=0"
        self._spawn(
            "kube-controller-manager",
            known,
            *alone,
            "--service-account-private-key-file=first.key",
            "--use-service-account-credentials",
            "--horizontal-pod-autoscaler-sync-period=1s",
        )
        self._spawn("kube-scheduler", known, *alone)
        stages = f"--config={_file('simulated-nodes.yaml').resolve()}"
        self._spawn("kwok", known, stages, "--manage-all-nodes=true", "--node-lease-duration-seconds=40")

    def furnish(self) -> None:
        """What a cluster has before anybody installs anything."""
        self.kubectl("apply", "--server-side", "-f", str(_file("crds").resolve()))
        self.apply(*(_node(at) for at in range(ZONES)), *_CLASSES)
        definitions = self.all_of("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        until(lambda: all(self._serves(each["spec"]) for each in definitions), "what was defined is not served")
        until(lambda: all(_is(node, "Ready") for node in self.all_of("/api/v1/nodes")), "nodes are not ready")

    def restricted(self, name: str) -> None:
        """A namespace whose pods must be hardened; the server warns of those that are not, too."""
        modes = ("enforce", "warn", "audit")
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        for made in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            until(lambda made=made: self.exists(f"/api/v1/namespaces/{name}/{made}"))  # type: ignore[misc]

    def volume(self, name: str, gigabytes: int = 10) -> None:
        """One that the next claim of the storage class gets."""
        spec = {
            "capacity": {"storage": f"{gigabytes}Gi"},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/srv/{name}"},
        }
        self.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})

    def get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def all_of(self, path: str) -> list[Object]:
        """The items of a list."""
        found: list[Object] = self.get(path)["items"]
        return found

    def exists(self, path: str) -> bool:
        answer = self._client.get(path)
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()
        return answer.is_success

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def everything_in(self, namespace: str) -> set[str]:
        """KIND/NAME of all objects, of whatever kind, but for those that come and go by themselves."""
        found = set[str]()
        for group, kind in self._kinds:
            path = f"{group}/namespaces/{namespace}/{kind}"
            found |= {f"{kind}/{each['metadata']['name']}" for each in self.all_of(path)}
        return found

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """What it printed on stdout; neither errors nor warnings are accepted."""
        return self._command("kubectl", *arguments, "--warnings-as-errors", text=text)

    def helm(self, *arguments: str, text: str | None = None) -> str:
        """Likewise."""
        return self._command("helm", *arguments, text=text)

    def _command(self, name: str, *arguments: str, text: str | None = None) -> str:
        done = self.run(name, *arguments, text=text)
        assert done.returncode == 0, f"{name} {' '.join(arguments)}\n{done.stderr}"
        assert "warning" not in done.stderr.lower(), done.stderr
        return done.stdout

    def run(self, name: str, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """`kubectl` or `helm`, whatever comes of it; `text` is its standard input."""
        homes = {f"HELM_{kind}_HOME": str(self.home / "helm") for kind in ("CACHE", "CONFIG", "DATA")}
        environment = {**os.environ, **homes, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home)}
        program = find(name)
        assert program is not None
        return subprocess.run(
            [program, *arguments], input=text, text=True, capture_output=True, timeout=SECONDS, env=environment
        )

    def _serves(self, definition: Object) -> bool:
        """The server takes a moment from a definition to what it defines."""
        group, kind = definition["group"], definition["names"]["plural"]
        versions = [f"/apis/{group}/{each['name']}" for each in definition["versions"] if each["served"]]
        return all(
            self.exists(path) and kind in [each["name"] for each in self.get(path)["resources"]] for path in versions
        )

    @cached_property
    def _kinds(self) -> Sequence[tuple[str, str]]:
        """The address of its group, and the name, of each kind that stands in namespaces and can be listed."""
        groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in self.get("/apis")["groups"]]
        return [
            (path, each["name"])
            for path in ("/api/v1", *groups)
            for each in self.get(path)["resources"]
            if each["namespaced"] and "list" in each["verbs"] and each["name"] not in GONE_BY_THEMSELVES
        ]

    @cached_property
    def _client(self) -> httpx.Client:
        """One connection for all that is asked."""
        trusted = ssl.create_default_context(cafile=str(self.ca_file))
        headers = {"authorization": f"Bearer {self.admin}"}
        return httpx.Client(base_url=self.url, verify=trusted, headers=headers, timeout=60, trust_env=False)

    def _kubeconfig(self) -> Mapping[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": "admin", "user": {"token": self.admin}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }


_CLASSES: Sequence[Object] = (
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
    },
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"},
)


def _node(at: int) -> Object:
    size = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8", "ephemeral-storage": "1Ti"}
    labels = {
        "kubernetes.io/hostname": f"node-{at}",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{at}",
        "nvidia.com/gpu.present": "true",
    }
    metadata = {"name": f"node-{at}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"allocatable": size, "capacity": size}}


def _is(found: Object, condition: str) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


@contextmanager
def cluster(home: Path) -> Iterator[Cluster]:
    """Runs inside the block."""
    made = Cluster(home)
    try:
        made.start_etcd()
        made.start("first", ["first"])
        made.start_controllers()
        made.furnish()
        yield made
    finally:
        made.stop()
