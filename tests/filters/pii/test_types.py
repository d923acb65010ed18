"""The table of types."""

from __future__ import annotations

import re

from filters.pii.types import TYPES


def test_types_fit_into_a_placeholder_and_a_metric_label() -> None:
    for kind, meaning in TYPES.items():
        assert re.fullmatch(r"[A-Z][A-Z_]*[A-Z]|QQ", kind)
        assert meaning
        assert not meaning.endswith(".")
