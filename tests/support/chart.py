"""The Helm chart as Helm renders it, once for each set of values."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import find

CHART = Path(__file__).parents[2] / "helm" / "tightlip"
COMBINATIONS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
# Kinds that are in a cluster only if somebody put them there.
MONITORED = ["ServiceMonitor", "PodMonitor", "PrometheusRule"]
NAMESPACE, RELEASE = "shop", "tightlip"
HELM = find("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="no helm in the folder KUBEBUILDER_ASSETS, nor on the PATH")
SECONDS = 120

Object = dict[str, Any]


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    return subprocess.run([HELM, *map(str, arguments)], text=True, capture_output=True, timeout=SECONDS)


def template(
    combination: str, values: Mapping[str, Any], monitored: Sequence[str] = MONITORED
) -> subprocess.CompletedProcess[str]:
    """`helm template` with a combination's values and these over them (None takes one of its away), for a cluster that
    knows these kinds."""
    given = over(yaml.safe_load(COMBINATIONS[combination].read_text("utf-8")), values)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(given, file, allow_unicode=True)
        file.flush()
        known = [f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in monitored]
        return helm("template", RELEASE, CHART, f"--namespace={NAMESPACE}", f"--values={file.name}", *known)


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, as Helm puts values over each other; but None, which takes away what is below, stays None above nothing."""
    merged = dict(below)
    for name, value in above.items():
        if value is None and name in below:
            del merged[name]
        elif isinstance(value, Mapping) and isinstance(below.get(name), Mapping):
            merged[name] = over(below[name], value)
        else:
            merged[name] = value
    return merged


@cache
def rendered(combination: str) -> Sequence[Object]:
    """All objects of it."""
    return objects(template(combination, {}))


def rendered_with(combination: str, **values: Any) -> Sequence[Object]:
    """All objects of it, with these values over the combination's."""
    return objects(template(combination, values))


def objects(done: subprocess.CompletedProcess[str]) -> Sequence[Object]:
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each is not None]


def refusal(combination: str, values: Mapping[str, Any]) -> str:
    """Why Helm does not render it."""
    done = template(combination, values)
    assert done.returncode != 0, "was rendered"
    return done.stderr


def of_kind(found: Sequence[Object], kind: str) -> list[Object]:
    return [each for each in found if each["kind"] == kind]


def one(found: Sequence[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    matching = [each for each in of_kind(found, kind) if each["metadata"]["name"] == name]
    assert len(matching) == 1, [(each["kind"], each["metadata"]["name"]) for each in found]
    return matching[0]


def pods(found: Sequence[Object]) -> dict[str, Object]:
    """What pods are made of (PodTemplateSpec), by the name of what makes them."""
    specs = [(each["metadata"]["name"], each.get("spec", {})) for each in found]
    jobs = [(name, spec["jobTemplate"]["spec"]) for name, spec in specs if "jobTemplate" in spec]
    return {name: spec["template"] for name, spec in specs + jobs if "template" in spec}


def containers(pod: Object) -> list[Object]:
    """Those of a pod that run before it and in it."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def gateway(found: Sequence[Object], name: str = RELEASE) -> Object:
    """The gateway's container."""
    container: Object = pods(found)[name]["spec"]["containers"][0]
    return container


def settings_text(found: Sequence[Object], name: str = RELEASE) -> str:
    """What the gateway finds as tightlip.yaml."""
    return str(one(found, "ConfigMap", f"{name}-config")["data"]["tightlip.yaml"])
