"""One detector for all tests of this folder (it holds no state), and the vectors, which anybody may add to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from filters.pii.detector import PatternDetector, build_detector

_FOLDER = Path(__file__).parents[2] / "vectors/pii"


@dataclass(frozen=True)
class Value:
    """`label` stands before a value that nothing but its label makes private."""

    type: str
    value: str
    label: str = ""


def _read(name: str, key: str) -> list[Any]:
    entries: list[Any] = json.loads((_FOLDER / name).read_text(encoding="utf-8"))[key]
    return entries


VALUES = [Value(**entry) for entry in _read("values.json", "values")]
BENIGN: list[str] = _read("benign.json", "texts")


@pytest.fixture(scope="session")
def detector() -> PatternDetector:
    return build_detector()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        metafunc.parametrize("vector", VALUES, ids=[f"{v.type}-{v.value[:16]}" for v in VALUES])
    if "benign" in metafunc.fixturenames:
        metafunc.parametrize("benign", BENIGN, ids=[text[:24] for text in BENIGN])
