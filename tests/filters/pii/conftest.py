"""One detector for all tests of this folder: it is stateless and takes a second to build."""

from __future__ import annotations

import pytest

from filters.pii.detector import PatternDetector, build_detector


@pytest.fixture(scope="session")
def detector() -> PatternDetector:
    return build_detector()
