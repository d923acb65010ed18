"""The script that makes the dashboard, and what the dashboard asks for."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"


@cache
def make_dashboard() -> Any:
    """`deploy/` is no package: the scripts there are run, not imported."""
    spec = importlib.util.spec_from_file_location("make_dashboard", FOLDER / "make_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_all(expression: str, rate_over: str = "1m") -> str:
    """As Grafana sends it where nothing is chosen."""
    for variable in make_dashboard().VARIABLES:
        expression = expression.replace(f"${variable.name}", ".*")
    return expression.replace("$__rate_interval", rate_over)


EXPRESSIONS: list[str] = sorted(
    {query.expression for section in make_dashboard().SECTIONS for panel in section.panels for query in panel.queries}
)
