"""The vectors, which anybody may add to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).parents[2] / "vectors/people"


def _read(name: str) -> list[Any]:
    file = json.loads((_FOLDER / name).read_text(encoding="utf-8"))
    return [*file["en"], *file["zh"]]


SPECIAL, STATED, BENIGN = _read("special.json"), _read("attributes.json"), _read("benign.json")


@pytest.fixture(scope="session")
def unseen() -> Any:
    return json.loads((_FOLDER / "unseen.json").read_text(encoding="utf-8"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "special" in metafunc.fixturenames:
        metafunc.parametrize("special", SPECIAL, ids=[f"{v['type']}-{v['text'][:20]}" for v in SPECIAL])
    if "stated" in metafunc.fixturenames:
        metafunc.parametrize("stated", STATED, ids=[v["text"][:24] for v in STATED])
    if "benign" in metafunc.fixturenames:
        metafunc.parametrize("benign", BENIGN, ids=[text[:24] for text in BENIGN])
