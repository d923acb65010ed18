"""Spellings of one quantity are equal; what says more, or another thing, is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.pii.canonical import canonical
from filters.pii.types import QUANTITIES
from tests.support.quantities import VECTORS, Quantity


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("DATE", ["12 March 1987", "March 12th, 1987", "12-Mar-1987", "1987-03-12", "1987/3/12", "1987年3月12日"]),
        ("DATE", ["23/3/1987", "23.3.1987", "3/23/1987", "１９８７年３月２３号"]),
        ("DATE", ["March 2024", "Mar. 2024", "2024-03", "2024年3月"]),
        ("DATE", ["3rd of March", "March 3", "3月3日"]),
        ("AGE", ["43", "43 years old", "43-year-old", "43岁", "４３周岁", "43 y/o"]),
        ("AGE", ["Forty-three years old", "forty three years old"]),
        ("AMOUNT", ["$12,300", "$ 12300", "12 300 dollars", "＄１２,３００"]),
        ("AMOUNT", ["EUR 5.000,50", "5,000.50 €", "5000.50 euros", "5000.50欧元"]),
        ("AMOUNT", ["5,000元", "人民币5000元", "RMB 5000", "5000块钱"]),
        ("NUMBER", ["48,213", "48213", "48'213", "４８２１３"]),
        ("COORDINATES", ["31.2304, 121.4737", "31.2304,121.4737", "31.2304，121.4737"]),
    ],
)
def test_one_value_in_several_spellings(kind: str, spellings: list[str]) -> None:
    assert len({canonical(kind, spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("DATE", ["03/12/1987", "12/03/1987", "1987-03-12", "1987-12-03"]),
        ("DATE", ["March 1987", "12 March 1987", "12 March", "12 March 1988", "12 March 1987, 14:30"]),
        ("AGE", ["43", "43 months old", "forty-three", "34"]),
        ("AMOUNT", ["$12,300", "€12,300", "$12,300.50", "$12.3k", "US$ 12,300", "12,300元", "1.23万元"]),
        ("NUMBER", ["48,213", "48,214", "4.8213", "482.13"]),
        ("COORDINATES", ["31.2304, 121.4737", "31.23, 121.47", "-31.2304, 121.4737"]),
    ],
)
def test_what_is_not_the_same_to_the_last_digit(kind: str, values: list[str]) -> None:
    assert len({canonical(kind, value) for value in values}) == len(values)


@pytest.mark.parametrize("quantity", VECTORS)
def test_width_and_case_do_not_matter(quantity: Quantity) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if char.isascii() and char.isdigit() else char for char in quantity.value)
    assert canonical(quantity.type, wide) == canonical(quantity.type, quantity.value)
    assert canonical(quantity.type, quantity.value.upper()) == canonical(quantity.type, quantity.value)


@given(st.sampled_from(sorted(QUANTITIES)), st.text(alphabet="0123456789.,-/ $€年月日岁万a", max_size=24))
def test_figures_stay_what_they_are(kind: str, text: str) -> None:
    kept = [char for char in canonical(kind, text) if char in "123456789"]
    assert sorted(kept) == sorted(char for char in text if char in "123456789")
