"""Placeholders."""

from __future__ import annotations

import json

from filters.pii.actions import Placeholders
from filters.pii.detector import TYPES, PatternDetector


def test_one_value_has_one_placeholder() -> None:
    placeholders = Placeholders()
    assert placeholders.mask("PHONE", "13812345678") == "[PHONE_1]"
    assert placeholders.mask("PHONE", "13987654321") == "[PHONE_2]"
    assert placeholders.mask("EMAIL", "Vexlo@example.com") == "[EMAIL_1]"
    assert placeholders.mask("PHONE", "１３８-1234\u200b-5678") == "[PHONE_1]"
    assert placeholders.mask("EMAIL", "vexlo@EXAMPLE.com") == "[EMAIL_1]"


def test_another_answer_counts_anew() -> None:
    Placeholders().mask("PHONE", "13812345678")
    assert Placeholders().mask("PHONE", "13987654321") == "[PHONE_1]"


def test_no_detector_finds_one_and_json_holds_it_as_it_is(detector: PatternDetector) -> None:
    placeholders = Placeholders()
    for kind in TYPES:
        for number in range(12):
            placeholder = placeholders.mask(kind, f"value {number}")
            for text in (placeholder, f"QQ号{placeholder}", f"password: {placeholder} account number {placeholder}"):
                assert detector.find(text) == [], text
            assert json.dumps(placeholder) == f'"{placeholder}"'
