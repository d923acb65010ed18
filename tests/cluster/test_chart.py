"""The chart on a real API server: each combination of values is installed, upgraded, rolled back and uninstalled, in a
namespace that takes hardened pods alone, and the server warns of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import COMBINATIONS, RELEASE, rendered
from tests.support.cluster import Cluster, Object
from tests.support.installing import HPA, Installation, kept, prepared
from tests.support.waiting import until

pytestmark = pytest.mark.cluster
ANOTHER_IMAGE = {"image.digest": f"sha256:{'b' * 64}"}
KIND = Path(__file__).parents[2] / "deploy" / "kind"
NETWORK = "/apis/networking.k8s.io/v1"
POLICY = "/apis/policy/v1"


MAP = "existingConfigMap"


def policy_values(combination: str) -> dict[str, Any]:
    """What the combination says of the policy."""
    values: Any = yaml.safe_load(COMBINATIONS[combination].read_text(encoding="utf-8"))
    policy: dict[str, Any] = values["policy"]
    return policy


def change_policy(release: Installation, combination: str, **more: Any) -> None:
    """One more field name that makes a record internal: nobody is served otherwise for it. In a config map of the
    operator's own he changes it himself."""
    policy = policy_values(combination)
    if MAP in policy:
        metadata = {"name": policy[MAP], "namespace": release.namespace}
        data = {"policy.yaml": "record_fields: [sealed_note]\n"}
        release.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        return
    document = policy["document"]
    as_text = isinstance(document, str)
    changed = f"{document}record_fields: [sealed_note]\n" if as_text else document | {"record_fields": ["sealed_note"]}
    release.upgrade(more | {"policy.document": changed})


def policy_of(installed: Installation) -> str:
    """What the gateway finds as its policy: the map that its pods mount."""
    (map_,) = [each["configMap"]["name"] for each in volumes(installed) if each["name"] == "policy"]
    text: str = installed.get("configmaps", map_).get("data", {}).get("policy.yaml", "")
    return text


def volumes(installed: Installation) -> list[Object]:
    found: list[Object] = installed.gateway_template()["spec"]["volumes"]
    return found


def image_of(pod: Object) -> str:
    image: str = pod["spec"]["containers"][0]["image"]
    return image


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_it_is_installed_upgraded_rolled_back_and_gone(kubernetes: Cluster, combination: str) -> None:
    release = prepared(kubernetes, f"life-{combination}", COMBINATIONS[combination])
    before = kubernetes.everything_in(release.namespace)
    release.install()
    release.check_again()
    first, template, policy = release.settled(), release.gateway_template(), policy_of(release)

    release.upgrade(ANOTHER_IMAGE)
    second = release.settled()
    assert not first.keys() & second.keys(), "another image is other pods"
    assert {image_of(pod).partition("@")[2] for pod in second.values()} == {ANOTHER_IMAGE["image.digest"]}

    change_policy(release, combination, **ANOTHER_IMAGE)
    assert release.settled().keys() == second.keys(), "another policy is read in place"
    assert "sealed_note" in policy_of(release)

    release.roll_back()
    assert not release.settled().keys() & second.keys()
    assert release.gateway_template() == template
    assert policy_of(release) == policy or MAP in policy_values(combination), "what is the operator's own stays"

    release.uninstall()
    until(lambda: kubernetes.everything_in(release.namespace) == before | kept(rendered(combination)))


def test_a_pod_that_is_not_hardened_is_refused_there(kubernetes: Cluster) -> None:
    """What the tests above stand on: the server warns, and these are warnings to them, and it admits no such pod."""
    kubernetes.restricted("strict")
    lax = {"name": "lax", "image": "registry.example/lax"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lax"}, "spec": {"containers": [lax]}}
    template = {"metadata": {"labels": {"app": "lax"}}, "spec": pod["spec"]}
    spec = {"selector": {"matchLabels": {"app": "lax"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lax"}, "spec": spec}
    refused = kubernetes.run("kubectl", "apply", "-n", "strict", "-f", "-", text=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted' in refused.stderr
    with pytest.raises(AssertionError, match="would violate PodSecurity"):
        kubernetes.kubectl("apply", "-n", "strict", "-f", "-", text=yaml.safe_dump(deployment))


def test_what_is_tried_with_kind_is_accepted_and_hardened(kubernetes: Cluster) -> None:
    """Its namespaces, its model server and its values; who enforces network policies is not here."""
    around = (KIND / "around.yaml").read_text(encoding="utf-8").replace("image: IMAGE", "image: tightlip:0.1.0")
    kubernetes.kubectl("apply", "-f", "-", text=around)
    until(lambda: ready_replicas(kubernetes, "models", "upstream") == 1)
    release = Installation(kubernetes, "shop", KIND / "values.yaml")
    release.install()
    release.check_again()
    release.uninstall()


def ready_replicas(kubernetes: Cluster, namespace: str, name: str) -> int:
    status = kubernetes.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")["status"]
    return int(status.get("readyReplicas", 0))


# ---- what the server holds -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(kubernetes: Cluster) -> Iterator[Installation]:
    """The default combination."""
    release = prepared(kubernetes, "read-back", COMBINATIONS["default"])
    release.install()
    release.settled()
    yield release
    release.uninstall()


def test_the_autoscaler_keeps_at_least_two_and_goes_down_no_faster_than_pods_drain(installed: Installation) -> None:
    scaler = installed.get("horizontalpodautoscalers", RELEASE, HPA)
    spec, pod = scaler["spec"], installed.gateway_template()["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": RELEASE}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    (metric,) = spec["metrics"]
    assert (metric["resource"]["name"], metric["resource"]["target"]["averageUtilization"]) == ("cpu", 70)
    assert "cpu" in pod["containers"][0]["resources"]["requests"], "of which it is a share"
    (down,) = spec["behavior"]["scaleDown"]["policies"]
    drain = pod["terminationGracePeriodSeconds"] - 15
    assert (down["type"], down["value"]) == ("Pods", 1)
    assert down["periodSeconds"] >= drain
    until(lambda: installed.get("horizontalpodautoscalers", RELEASE, HPA)["status"].get("currentReplicas") == 2)


def test_one_pod_may_be_away_at_once(installed: Installation) -> None:
    budget = installed.get("poddisruptionbudgets", RELEASE, POLICY)
    assert (budget["spec"]["maxUnavailable"], budget["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    counted = {"expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1}

    def status() -> Object:
        found: Object = installed.get("poddisruptionbudgets", RELEASE, POLICY)["status"]
        return found

    until(lambda: counted.items() <= status().items(), "its controller counts otherwise")


def test_pods_take_calls_from_who_is_named_and_call_whom_the_settings_name(installed: Installation) -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in installed.all_of("networkpolicies", NETWORK)}
    everything = {"app.kubernetes.io/name": "tightlip", "app.kubernetes.io/instance": RELEASE}
    deny = found.pop(f"{RELEASE}-deny")
    assert deny == {"podSelector": {"matchLabels": everything}, "policyTypes": ["Ingress", "Egress"]}
    gateway = found.pop(RELEASE)
    assert not found
    assert set(gateway["policyTypes"]) == {"Ingress", "Egress"}
    selected = gateway["podSelector"]["matchLabels"].items()
    labels = [pod["metadata"]["labels"] for pod in installed.gateway_pods().values()]
    assert len(labels) == 2
    assert all(selected <= each.items() and everything.items() <= each.items() for each in labels)
    of_namespace = "kubernetes.io/metadata.name"
    public, management = gateway["ingress"]
    assert public == {
        "from": [{"namespaceSelector": {"matchLabels": {of_namespace: "ingress-nginx"}}}],
        "ports": [{"protocol": "TCP", "port": "public"}],
    }
    assert [each["namespaceSelector"]["matchLabels"][of_namespace] for each in management["from"]] == ["monitoring"]
    assert management["ports"] == [{"protocol": "TCP", "port": "management"}]
    assert calls(gateway) == {
        ("namespace kube-system", "UDP", 53),
        ("namespace kube-system", "TCP", 53),
        ("namespace models", "TCP", 8000),
        ("namespace data", "TCP", 6379),
        ("192.0.2.10/32", "TCP", 443),
    }


def calls(policy: Object) -> set[tuple[str, str, int]]:
    """To whom, by which protocol, at which port."""
    return {
        (_peer(peer), port["protocol"], port["port"])
        for rule in policy["egress"]
        for peer in rule["to"]
        for port in rule["ports"]
    }


def _peer(peer: Object) -> str:
    if "ipBlock" in peer:
        cidr: str = peer["ipBlock"]["cidr"]
        return cidr
    return f"namespace {peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}"


def test_prometheus_finds_the_management_port_and_the_rules(installed: Installation) -> None:
    monitoring = "/apis/monitoring.coreos.com/v1"
    monitor = installed.get("servicemonitors", RELEASE, monitoring)
    service = installed.get("services", f"{RELEASE}-management")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    public = installed.get("services", RELEASE)
    assert not monitor["spec"]["selector"]["matchLabels"].items() <= public["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    rules = installed.get("prometheusrules", RELEASE, monitoring)
    assert sum(len(group["rules"]) for group in rules["spec"]["groups"]) > 10


def test_services_lead_to_the_pods_by_their_ports(installed: Installation) -> None:
    """The controller of endpoints has found them; nobody reaches the management port through the public service."""
    slices = "/apis/discovery.k8s.io/v1"

    def endpoints(service: str) -> set[tuple[str, int]]:
        of_it = [
            each
            for each in installed.all_of("endpointslices", slices)
            if each["metadata"]["labels"]["kubernetes.io/service-name"] == service
        ]
        addresses = [address for each in of_it for found in each["endpoints"] or () for address in found["addresses"]]
        return {(address, port["port"]) for address in addresses for each in of_it for port in each["ports"]}

    addresses = {pod["status"]["podIP"] for pod in installed.gateway_pods().values()}
    until(lambda: endpoints(RELEASE) == {(address, 8080) for address in addresses})
    until(lambda: endpoints(f"{RELEASE}-management") == {(address, 9090) for address in addresses})
