"""What the chart repeats from elsewhere is what it is there."""

from __future__ import annotations

import re
import runpy
import tomllib
from typing import Any

import yaml
from pydantic import BaseModel

from gateway.policy.schema import Policy
from gateway.settings import Settings
from tests.support.chart import CHART

MADE: dict[str, Any] = runpy.run_path(str(CHART.parent / "make_chart.py"))


def test_its_files_are_what_the_script_makes() -> None:
    for path, text in MADE["files"]().items():
        assert path.read_text("utf-8") == text, f"{path.name}: run python helm/make_chart.py"


def test_it_is_the_chart_of_this_version() -> None:
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == project["version"]


def test_every_value_is_explained() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    spoken = {path for path, _ in MADE["commented"]()}
    silent = [path for path in _leaves(values, ()) if not any(path[:end] in spoken for end in range(1, len(path) + 1))]
    assert not silent


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for name, each in value.items() for leaf in _leaves(each, (*path, name))]
    return [path]


def test_what_the_gateway_calls_stands_under_keys_that_network_policies_are_made_of() -> None:
    found = {name for name in _fields(Settings) | _fields(Policy) if re.search("url|endpoint$|address|host", name)}
    called = {"url", "urls", "endpoint"}
    # Of a listener, of callers in records, of what answers must not name.
    others = {"host", "address", "connections_per_address", "internal_hosts"}
    assert found <= called | others


def _fields(model: type[BaseModel]) -> set[str]:
    """The keys of a model and of all that it is made of."""
    shape = model.model_json_schema()
    return set(shape["properties"]).union(*(each.get("properties", ()) for each in shape["$defs"].values()))
