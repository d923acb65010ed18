"""Numbers that their label makes private."""

from __future__ import annotations

import pytest

from filters.normalise import normalise
from filters.pii.labelled import KINDS, Labelled
from filters.pii.types import TYPES
from filters.pii.view import View


def test_kinds_are_types() -> None:
    assert set(KINDS) <= TYPES.keys()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("ACCOUNT", "account number is 83920184.", "83920184"),
        ("ACCOUNT", "Member ID: PL-839201", "PL-839201"),
        ("ACCOUNT", "会员编号：839201", "839201"),
        ("DRIVER_LICENCE", "driver's license number: D4821957", "D4821957"),
        ("PASSPORT", "Passport no. K4821957", "K4821957"),
        ("PASSPORT", "护照号码为K4821957", "K4821957"),
        ("NATIONAL_ID", "tax id 48 219 570", "48 219 570"),
        ("PLATE", "number plate: AB12 CDE 345", "AB12 CDE 345"),
    ],
)
def test_found(kind: str, text: str, value: str) -> None:
    assert value in {text[span.start : span.end] for span in Labelled(kind).find(View(normalise(text).text))}


@pytest.mark.parametrize("text", ["account for 45 days", "an account of 2", "passport required", "会员积分满100分"])
def test_not_found(text: str) -> None:
    assert [list(Labelled(kind).find(View(normalise(text).text))) for kind in KINDS] == [[]] * len(KINDS)
