"""What is exact enough to ask about."""

from __future__ import annotations

import pytest

from filters.specificity.triggers import exact_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Your order GD-85205 is on its way.", "GD-85205"),
        ("您的订单号是FE-75425。", "FE-75425"),
        ("His number is 131879102.", "131879102"),
        ("Call 1318 791 02101 now", "1318 791 02101"),
        ("Write to vexlo@@kipmora.test or so", "vexlo@@kipmora.test"),
        ("The code is A1B2C3D4E5.", "A1B2C3D4E5"),
        ("全角１３１８７９１０", "１３１８７９１０"),
    ],
)
def test_exact_values_are_found_whole(text: str, value: str) -> None:
    (span,) = exact_values(text)
    assert value in text[span.start : span.end]


@pytest.mark.parametrize(
    "text",
    [
        "Returns are free within 45 days, from 60 dollars on.",
        "Since 2019-05-01, or 1.5.2019, we are open from 9:00 to 18:30.",
        "It costs $12999 or EUR 12999.",
        "我们在2019年成立，每周营业6天，共有1200人。",
        "Version 3.14.1 of the lamp",
    ],
)
def test_ordinary_numbers_are_not(text: str) -> None:
    assert exact_values(text) == []
