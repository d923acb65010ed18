"""Every combination of values: sound by Helm, by Kubernetes' own schemas, by the gateway, and hardened."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate.utils as kubernetes
import pytest
import yaml

from gateway.policy import load as policies
from gateway.settings import Settings, load, mapped
from tests.support.chart import (
    CHART,
    COMBINATIONS,
    Object,
    containers,
    gateway,
    helm,
    needs_helm,
    of_kind,
    pods,
    rendered,
    settings_text,
)

pytestmark = [needs_helm, pytest.mark.parametrize("combination", COMBINATIONS)]

VERSIONS = ("1.37", "1.36", "1.35")
# Definitions that a cluster has only if somebody put them there; a real API server checks them (tests/cluster).
CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "BackendTLSPolicy"}
NAMES = {"everything": "gateway"}  # where the values choose it


def name(combination: str) -> str:
    return NAMES.get(combination, "tightlip")


@pytest.fixture(autouse=True)
def _schemas_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "schema_contents", _contents)


@cache
def _contents(file: str, version: str) -> Any:
    return _read(file, version)


_read = kubernetes.schema_contents


def test_helm_finds_nothing_to_say(combination: str) -> None:
    done = helm("lint", "--strict", CHART, f"--values={COMBINATIONS[combination]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(combination: str, version: str) -> None:
    for found in rendered(combination):
        if found["kind"] not in CUSTOM:
            assert kubernetes.validate(found, version, strict=True) == version


def test_the_least_is_valid_for_the_oldest_kubernetes_that_the_chart_names(combination: str) -> None:
    oldest = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["kubeVersion"]
    assert oldest == ">=1.30.0-0"
    if combination in ("default", "sqlite", "bare"):  # without an image volume, which is younger
        for found in rendered(combination):
            if found["kind"] not in CUSTOM:
                assert kubernetes.validate(found, "1.30", strict=True) == "1.30"


def test_every_object_says_whose_it_is_and_where(combination: str) -> None:
    for found in rendered(combination):
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "tightlip"
        assert labels["app.kubernetes.io/instance"] == "tightlip"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert found["metadata"]["namespace"] == "shop"


def test_no_two_objects_have_one_name(combination: str) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered(combination)]
    assert len(names) == len(set(names))


def test_secrets_are_named_and_never_made(combination: str) -> None:
    assert not of_kind(rendered(combination), "Secret")


def test_every_container_is_hardened(combination: str) -> None:
    for pod in pods(rendered(combination)).values():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] > 0
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]


def test_every_selector_finds_its_pods_and_no_others(combination: str) -> None:
    found = rendered(combination)
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(found).items()}
    for each in found:
        selector = _selector(each)
        if selector is None or each["kind"] in ("ServiceMonitor",):
            continue
        meant = [name for name, has in labels.items() if selector.items() <= has.items()]
        components = {labels[name]["app.kubernetes.io/component"] for name in meant}
        assert meant, (each["kind"], each["metadata"]["name"])
        assert len(components) == 1 or each["metadata"]["name"].endswith("-deny")


def _selector(found: Object) -> Any:
    spec = found.get("spec", {})
    selector = spec.get("selector", spec.get("podSelector"))
    return selector.get("matchLabels", selector) if selector else None


def test_every_rule_names_ports_that_its_pods_have(combination: str) -> None:
    found = rendered(combination)
    for policy in of_kind(found, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"].items()
        meant = [pod for pod in pods(found).values() if selector <= pod["metadata"]["labels"].items()]
        ports = {port["name"] for pod in meant for each in containers(pod) for port in each.get("ports", [])}
        asked = {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
        assert asked <= ports


def test_every_file_that_a_command_names_is_mounted(combination: str) -> None:
    for pod in pods(rendered(combination)).values():
        for container in containers(pod):
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            named = [word.partition("=")[2] or word for word in container["command"][1:]]
            for file in (word for word in named if word.startswith("/") and not word.startswith("/release/")):
                assert any(Path(file).is_relative_to(mount) for mount in mounts), file


def test_no_account_brings_its_token(combination: str) -> None:
    for account in of_kind(rendered(combination), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_monitor_finds_its_service(combination: str) -> None:
    found = rendered(combination)
    for monitor in of_kind(found, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = [each for each in of_kind(found, "Service") if wanted <= each["metadata"]["labels"].items()]
        assert len(services) == 1
        ports = {port["name"] for port in services[0]["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


def test_every_mount_has_its_volume_and_none_is_a_single_file(combination: str) -> None:
    for pod in pods(rendered(combination)).values():
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        mounted = [mount for container in containers(pod) for mount in container["volumeMounts"]]
        for mount in mounted:
            is_claim = "persistentVolumeClaim" in volumes.get(mount["name"], {}) or mount["name"] == "data"
            assert is_claim or "subPath" not in mount
        templates = {"data"} if "tightlip-redis" in str(volumes.get("config", "")) else set()
        assert {mount["name"] for mount in mounted} == volumes.keys() | templates


def test_every_pull_is_of_the_mirror_and_with_its_secret(combination: str) -> None:
    mirrored = combination == "everything"
    for pod in pods(rendered(combination)).values():
        for container in containers(pod):
            assert container["image"].startswith("mirror.internal/all/") is mirrored
        if mirrored:
            assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}]


def test_the_gateway_takes_the_settings(combination: str, tmp_path: Path) -> None:
    settings = _settings(combination, tmp_path)
    container = gateway(rendered(combination), name(combination))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (settings.public.port, settings.management.port) == (ports["public"], ports["management"])
    assert (settings.public.host, settings.management.host) == ("0.0.0.0", "0.0.0.0")
    assert container["command"][:3] == ["tightlip", "serve", "--config"]


def test_every_file_that_the_settings_name_is_mounted(combination: str, tmp_path: Path) -> None:
    mounts = [each["mountPath"] for each in gateway(rendered(combination), name(combination))["volumeMounts"]]
    paths = list(_paths(_settings(combination, tmp_path)))
    assert paths
    for path in paths:
        assert any(path.is_relative_to(mount) for mount in mounts), path


def test_the_gateway_takes_the_policy(combination: str, tmp_path: Path) -> None:
    maps = {found["metadata"]["name"]: found["data"] for found in of_kind(rendered(combination), "ConfigMap")}
    mounted = {each["name"]: each for each in pods(rendered(combination))[name(combination)]["spec"]["volumes"]}
    source = mounted["policy"]["configMap"]["name"]
    if source == "tightlip-own-policy":
        assert source not in maps
        return
    (tmp_path / "policy.yaml").write_text(maps[source]["policy.yaml"], encoding="utf-8")
    settings = _settings(combination, tmp_path)
    policies.check_fit(policies.load(tmp_path / "policy.yaml"), settings)


def _settings(combination: str, folder: Path) -> Settings:
    file = folder / "tightlip.yaml"
    file.write_text(settings_text(rendered(combination), name(combination)), encoding="utf-8")
    return load(file)


def _paths(settings: Settings) -> Iterator[Path]:
    """All paths in them, secrets in files among them."""
    found: list[Path] = []

    def note(leaf: Any) -> Any:
        if isinstance(leaf, Path):
            found.append(leaf)
        return leaf

    mapped(settings, note)
    yield from found


def test_a_text_is_the_policy_byte_by_byte(combination: str) -> None:
    given = yaml.safe_load(COMBINATIONS[combination].read_text("utf-8"))["policy"].get("document")
    if isinstance(given, str):
        found = of_kind(rendered(combination), "ConfigMap")
        assert given.rstrip("\n") in [each["data"].get("policy.yaml", "").rstrip("\n") for each in found]
