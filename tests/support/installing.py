"""The chart in a cluster: what it wants to be there before, one installation of it, and what is there of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.chart import CHART, RELEASE, containers, helm, objects, of_kind, pods
from tests.support.cluster import STORAGE_CLASS, Cluster, Object
from tests.support.waiting import until

LIMIT = "--timeout=120s"


@dataclass(frozen=True)
class Installation:
    """One release of the chart, in a namespace of its own."""

    cluster: Cluster
    namespace: str
    values: Path

    def install(self) -> None:
        """Done when all of it is ready."""
        self.cluster.helm("install", RELEASE, str(CHART), *self.chosen, "--wait", LIMIT)

    def upgrade(self, more: Mapping[str, Any]) -> None:
        """With these values over those that it has."""
        over = [f"--set-json={name}={json.dumps(value)}" for name, value in more.items()]
        self.cluster.helm("upgrade", RELEASE, str(CHART), *self.chosen, *over, "--wait", LIMIT)

    def roll_back(self) -> None:
        """To how it was installed."""
        self.cluster.helm("rollback", RELEASE, "1", *self._here, "--wait", LIMIT)

    def uninstall(self) -> None:
        self.cluster.helm("uninstall", RELEASE, *self._here, "--wait", LIMIT)

    def check_again(self) -> None:
        """What was installed, once more to the server: it takes it, and warns of nothing."""
        manifest = self.cluster.helm("get", "manifest", RELEASE, *self._here)
        self.cluster.kubectl(
            "apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-", text=manifest
        )

    def get(self, kind: str, name: str, group: str = "/api/v1") -> Object:
        """`kind` and `group` as addresses have them."""
        found: Object = self.cluster.get(f"{group}/namespaces/{self.namespace}/{kind}/{name}")
        return found

    def all_of(self, kind: str, group: str = "/api/v1") -> list[Object]:
        return self.cluster.all_of(f"{group}/namespaces/{self.namespace}/{kind}")

    def gateway_template(self) -> Object:
        """What its pods are made of."""
        (found,) = [each for each in self.all_of("deployments", "/apis/apps/v1") if is_of_gateway(each)]
        template: Object = found["spec"]["template"]
        return template

    def gateway_pods(self) -> dict[str, Object]:
        """Those that are to stay, by their own ids."""
        alive = [each for each in self.all_of("pods") if "deletionTimestamp" not in each["metadata"]]
        return {each["metadata"]["uid"]: each for each in alive if is_of_gateway(each)}

    def settled(self) -> dict[str, Object]:
        """The gateway's pods, once there are as many as are wanted, all of the newest kind and ready."""
        until(self._is_settled, "the pods don't settle")
        return self.gateway_pods()

    def _is_settled(self) -> bool:
        (wanted,) = [each for each in self.all_of("deployments", "/apis/apps/v1") if is_of_gateway(each)]
        count = wanted["spec"]["replicas"]
        scalers = self.all_of("horizontalpodautoscalers", HPA)
        least = min((each["spec"]["minReplicas"] for each in scalers), default=count)
        status = wanted["status"]
        same = all(status.get(key) == count for key in ("replicas", "updatedReplicas", "readyReplicas"))
        newest = status.get("observedGeneration") == wanted["metadata"]["generation"]
        return count >= least and same and newest and len(self.gateway_pods()) == count

    @property
    def chosen(self) -> Sequence[str]:
        """As Helm takes it."""
        return [*self._here, f"--values={self.values}"]

    @property
    def _here(self) -> Sequence[str]:
        return [f"--namespace={self.namespace}"]


HPA = "/apis/autoscaling/v2"


def is_of_gateway(found: Object) -> bool:
    """A gateway's own, and not a model server's or the probe's."""
    return bool(found["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "gateway")


def prepared(cluster: Cluster, namespace: str, values: Path) -> Installation:
    """A namespace in which pods must be hardened, with the secrets, config maps and volumes that these values name;
    nothing is installed yet. Secrets are empty."""
    cluster.restricted(namespace)
    release = Installation(cluster, namespace, values)
    found = objects(helm("template", RELEASE, CHART, *release.chosen))
    brought = {(each["kind"], each["metadata"]["name"]) for each in found}
    lacking = [each for each in wanted(found) if (each["kind"], each["metadata"]["name"]) not in brought]
    claims = [each["metadata"]["name"] for each in of_kind([*found, *lacking], "PersistentVolumeClaim")]
    for name in [*claims, *claims_of_sets(found)]:
        cluster.volume(f"{namespace}-{name}")
    if lacking:
        cluster.apply(*({**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in lacking))
    return release


def wanted(found: Sequence[Object]) -> list[Object]:
    """Secrets, config maps and claims that pods of these objects mount or read."""
    named = set[tuple[str, str]]()
    for pod in pods(found).values():
        for volume in pod["spec"].get("volumes", []):
            named |= set(_named(volume))
            named |= {each for source in volume.get("projected", {}).get("sources", []) for each in _named(source)}
        for container in containers(pod):
            sources = [each.get("valueFrom", {}) for each in container.get("env", [])]
            named |= {("Secret", each["secretKeyRef"]["name"]) for each in sources if "secretKeyRef" in each}
    return [_made(kind, name) for kind, name in sorted(named - {("ConfigMap", "kube-root-ca.crt")})]


def _named(volume: Object) -> Iterator[tuple[str, str]]:
    if secret := volume.get("secret"):
        yield "Secret", secret.get("secretName") or secret["name"]
    if map_ := volume.get("configMap"):
        yield "ConfigMap", map_["name"]
    if claim := volume.get("persistentVolumeClaim"):
        yield "PersistentVolumeClaim", claim["claimName"]


def _made(kind: str, name: str) -> Object:
    made: Object = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    if kind == "PersistentVolumeClaim":
        modes = ["ReadWriteMany"]
        made["spec"] = {
            "accessModes": modes,
            "storageClassName": STORAGE_CLASS,
            "resources": {"requests": {"storage": "1Gi"}},
        }
    return made


def claims_of_sets(found: Sequence[Object]) -> list[str]:
    """What the controller of stateful sets makes, and leaves where it is."""
    return [
        f"{claim['metadata']['name']}-{each['metadata']['name']}-{at}"
        for each in of_kind(found, "StatefulSet")
        for claim in each["spec"].get("volumeClaimTemplates", [])
        for at in range(each["spec"].get("replicas", 1))
    ]


def kept(found: Sequence[Object]) -> set[str]:
    """KIND/NAME of the volumes that an uninstall leaves: those that say so, and those of stateful sets."""
    policy = "helm.sh/resource-policy"
    claims = of_kind(found, "PersistentVolumeClaim")
    stay = [each for each in claims if each["metadata"].get("annotations", {}).get(policy) == "keep"]
    names = [*(each["metadata"]["name"] for each in stay), *claims_of_sets(found)]
    return {f"persistentvolumeclaims/{name}" for name in names}
