"""One detector for all tests of this folder (it holds no state), and the vectors as parameters."""

from __future__ import annotations

import pytest

from filters.pii.detector import PatternDetector, build_detector
from tests.support.values import BENIGN, VALUES


@pytest.fixture(scope="session")
def detector() -> PatternDetector:
    return build_detector()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        metafunc.parametrize("vector", VALUES, ids=[f"{v.type}-{v.value[:16]}" for v in VALUES])
    if "benign" in metafunc.fixturenames:
        metafunc.parametrize("benign", BENIGN, ids=[text[:24] for text in BENIGN])
