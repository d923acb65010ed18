"""The dashboard that we ship: it is what its script makes, Grafana can read it, and it asks for what there is."""

from __future__ import annotations

import json
import re
import runpy
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.support.dashboard import EXPRESSIONS, FOLDER, make_dashboard, with_all
from tests.support.prometheus import known_labels, needs_prometheus, promtool

DASHBOARD: dict[str, Any] = json.loads((FOLDER / "tightlip.json").read_text("utf-8"))
PANELS = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
NO_SERIES = {"sum", "min", "max", "count", "by", "rate", "increase", "time", "topk", "histogram_quantile"}
SCRAPED = {"job", "instance"}  # labels that Prometheus itself gives


def test_the_file_is_what_the_script_makes() -> None:
    made: str = make_dashboard().text()
    assert made == (FOLDER / "tightlip.json").read_text("utf-8"), "run deploy/grafana/make_dashboard.py"


def test_grafana_10_and_later_take_it() -> None:
    assert DASHBOARD["schemaVersion"] >= 38  # that of Grafana 10.0
    assert DASHBOARD["uid"]
    assert DASHBOARD["title"]
    assert "id" not in DASHBOARD, "the number in somebody's database"
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    assert {panel["type"] for panel in PANELS} == {"row", "stat", "timeseries"}
    for panel in SHOWN:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(set(letters)) == len(letters)


def test_no_panel_lies_on_another_or_off_the_grid() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    for place in places:
        assert place["x"] >= 0
        assert place["y"] >= 0
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= 24
    assert not [(one, other) for one, other in combinations(places, 2) if _overlap(one, other)]


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def test_an_overlap_would_be_seen() -> None:
    place = {"x": 0, "y": 0, "w": 8, "h": 4}
    assert _overlap(place, place | {"x": 7, "y": 3})
    assert not _overlap(place, place | {"x": 8})
    assert not _overlap(place, place | {"y": 4})


def test_every_variable_is_used_and_every_one_used_is_there() -> None:
    used = {name for expression in EXPRESSIONS for name in re.findall(r"\$(\w+)", expression)} - {"__rate_interval"}
    assert used == {"job", "model", "release", "role"}
    assert VARIABLES.keys() == used | {"datasource"}
    assert all(VARIABLES[name]["includeAll"] for name in used)


@needs_prometheus
def test_every_expression_can_be_parsed(tmp_path: Path) -> None:
    asked = [*map(with_all, EXPRESSIONS), with_all(DASHBOARD["annotations"]["list"][0]["expr"])]
    rules = [{"record": f"tried:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert promtool("check", "rules", str(tmp_path / "rules.yaml")) == ""


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_series_and_labels_that_there_are(expression: str) -> None:
    _check(expression)


@pytest.mark.parametrize("name", sorted(VARIABLES.keys() - {"datasource"}))
def test_a_variable_reads_a_label_that_there_is(name: str) -> None:
    told = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["definition"])
    assert told is not None
    assert told[2] == name
    _check(f"max by ({told[2]}) ({told[1]})")


@pytest.mark.parametrize(
    "wrong",
    [
        "sum(tightlip_no_such_series)",
        'sum(tightlip_requests_total{colour="red"})',
        "sum by (colour) (tightlip_requests_total)",
        "sum(up)",
    ],
)
def test_a_series_or_label_that_is_not_there_would_be_seen(wrong: str) -> None:
    with pytest.raises(AssertionError):
        _check(wrong)


@pytest.mark.parametrize("target", [target for panel in SHOWN for target in panel["targets"]], ids=lambda t: t["expr"])
def test_a_legend_names_labels_that_its_series_have(target: dict[str, Any]) -> None:
    grouped = {name for names in re.findall(r"by \(([\w, ]+)\)", target["expr"]) for name in names.split(", ")}
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped | SCRAPED


def _check(expression: str) -> None:
    """Whatever stands in it is a series of ours, or one of a few words; each label is one of that series."""
    known = known_labels()
    plain = re.sub(r'"[^"]*"', '""', with_all(expression))
    selectors = re.findall(r"\b([a-z_][\w:]*)\b(?:\{([^}]*)\})?", re.sub(r"by \([^)]*\)|\[[^]]*\]|\{\}", "", plain))
    named = {name: inside for name, inside in selectors if name not in NO_SERIES and "=" not in name}
    grouped = {name for names in re.findall(r"by \(([\w, ]+)\)", plain) for name in names.split(", ")}
    assert named
    assert named.keys() <= known.keys(), expression
    for name, inside in named.items():
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)) | grouped
        assert labels <= known[name] | SCRAPED, expression


def test_every_series_is_shown_somewhere() -> None:
    """But for what others on the page tell better."""
    asked = {
        re.sub(r"_(bucket|total)$", "", name) for each in EXPRESSIONS for name in re.findall(r"\btightlip_\w+", each)
    }
    rows = re.findall(r"^\| `(tightlip_\w+)` \|", Path("docs/metrics.md").read_text("utf-8"), re.MULTILINE)
    assert set(rows) - asked == {"tightlip_specificity_samples", "tightlip_vault_secret_changes"}


# ---- the picture of it -----------------------------------------------------------------------------------------------

DRAWN = runpy.run_path("docs/draw_dashboard.py")


def test_the_picture_shows_panels_that_there_are() -> None:
    there = [(section.title, panel.title) for section in make_dashboard().SECTIONS for panel in section.panels]
    assert len(set(there)) == len(there)
    assert {(section, title) for section, titles in DRAWN["SHOWN"].items() for title in titles} <= set(there)


def test_the_picture_in_the_readme_is_light_and_for_light_and_dark_pages() -> None:
    file = Path("docs/dashboard.svg")
    text = file.read_text("utf-8")
    assert "(docs/dashboard.svg)" in Path("README.md").read_text("utf-8")
    assert file.stat().st_size < 150_000
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in text
    for title in (title for titles in DRAWN["SHOWN"].values() for title in titles):
        assert f">{title}<" in text


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("values", [[], [0.0, 0.0], [1.0, float("nan"), 3.0], [1e9], [1e-9, 0.5]])
def test_any_values_can_be_drawn(values: list[float], stacked: bool) -> None:
    series = [{"legend": "<a&b>", "points": [[5.0 * at, value] for at, value in enumerate(values)]}]
    told = {"unit": "s", "stacked": stacked, "most": None, "series": series}
    run = [
        told | {"section": section, "title": title} for section, titles in DRAWN["SHOWN"].items() for title in titles
    ]
    text = DRAWN["picture"](run)
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "nan" not in text
