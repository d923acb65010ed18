"""The rules that we ship: promtool passes them and their cases, each alert has a page and cases, each series exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import RULES, known_labels, needs_prometheus, promtool

RUNBOOKS = Path("docs/runbooks")
FILES = {name: yaml.safe_load((RULES / name).read_text("utf-8")) for name in ("recording.yaml", "alerts.yaml")}
CASES = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in (RULES / "tests").glob("*.yaml")}
ALERTS = {rule["alert"]: rule for group in FILES["alerts.yaml"]["groups"] for rule in group["rules"]}
RECORDED = {rule["record"]: rule for group in FILES["recording.yaml"]["groups"] for rule in group["rules"]}
QUIET_HOURS = 5  # a good one, a rollout, no traffic, a restart, a burst of mistakes
SECTIONS = ["What it means", "First look", "Mend", "Silence"]


def cases(files: str, *, firing: bool) -> list[str]:
    """The alerts that these files expect to fire somewhere, or not to."""
    tests = [test for file, content in CASES.items() if file.startswith(files) for test in content["tests"]]
    expected = [case for test in tests for case in test["alert_rule_test"]]
    return [case["alertname"] for case in expected if bool(case.get("exp_alerts")) is firing]


@needs_prometheus
def test_promtool_passes_the_rules_and_the_example() -> None:
    assert promtool("check", "rules", *(str(RULES / name) for name in FILES)) == ""
    assert promtool("check", "config", str(RULES / "prometheus.yaml")) == ""


@needs_prometheus
def test_promtool_passes_the_cases() -> None:
    assert promtool("test", "rules", *(str(RULES / "tests" / file) for file in sorted(CASES))) == ""


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_grave_it_is_and_what_to_do(name: str) -> None:
    rule: dict[str, Any] = ALERTS[name]
    page = RUNBOOKS / f"{name}.md"
    text = page.read_text("utf-8")
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert "for" in rule
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == str(page)
    assert f"Severity: {rule['labels']['severity']}." in text
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_case_that_fires_a_near_one_that_does_not_and_the_quiet_hours(name: str) -> None:
    assert name in cases("fires", firing=True)
    assert name in cases("fires", firing=False)
    assert cases("quiet", firing=False).count(name) == 2 * QUIET_HOURS
    assert not cases("quiet", firing=True)


def test_no_page_is_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS.keys()


@pytest.mark.parametrize("name", [*ALERTS, *RECORDED])
def test_a_rule_asks_for_series_that_exist(name: str) -> None:
    expression = (ALERTS | RECORDED)[name]["expr"]
    named = set(re.findall(r"\btightlip[:\w]+", expression))
    assert named
    assert named <= known_labels().keys()
