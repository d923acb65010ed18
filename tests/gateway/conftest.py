"""Who waits for a store or a body waits however long the machine stands still; tests of patience set their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway import budgets, limits, revocations
from gateway.encryption import opening
from gateway.http import inbound
from tests.support.patience import be_patient
from tests.support.waiting import PATIENCE_S


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    """With patches of its own: a test may take its back."""
    with pytest.MonkeyPatch.context() as patched:
        be_patient(patched.setattr)
        for module in (budgets, limits, opening, revocations):
            patched.setattr(module, "PATIENCE", PATIENCE_S)
        patched.setattr(inbound, "BODY_GRACE_SECONDS", PATIENCE_S)
        yield
