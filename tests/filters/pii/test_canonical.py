"""When two spellings are one value."""

from __future__ import annotations

import pytest

from filters.pii.canonical import canonical


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("PHONE", "138 1234-5678", "１３８１２３４５６７８"),
        ("CARD", "4111 1111 1111 1111", "4111-1111-1111-1111"),
        ("EMAIL", "Vexlo@Example.com", "vexlo@example.com"),
        ("IBAN", "gb82 west 1234 5698 7654 32", "GB82WEST12345698765432"),
        ("RESIDENT_ID", "11010519491231002x", "110105 19491231 002X"),
        ("PLATE", "京A·12345", "京a12345"),
        ("ADDRESS", "221  Baker Street", "221 baker street"),
        ("PHONE", "+1 415 555 2671 ext. 12", "+1 (415) 555-2671x12"),
        ("SOMETHING_ELSE", "Two  Words", "two words"),
    ],
)
def test_equal(kind: str, one: str, other: str) -> None:
    assert canonical(kind, one) == canonical(kind, other)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("PHONE", "13812345678", "13812345679"),
        ("PHONE", "+8613812345678", "13812345678"),
        ("SECRET", "hunter2-Vexlo", "hunter2-vexlo"),
        ("EMAIL", "vexlo@example.com", "vexlo@example.co"),
        ("PHONE", "一三八一二三四五六七八", "一三九八七六五四三二一"),
        ("PHONE", "one three eight one two three", "one three nine four five six"),
        ("PHONE", "bXkgbnVtYmVyIDEzOA==", "bxkgbnVtYmVyIDEzOA=="),
        ("PHONE", "", "一三八一二三四五六七八"),
    ],
)
def test_different(kind: str, one: str, other: str) -> None:
    assert canonical(kind, one) != canonical(kind, other)
