"""Stores that are waited for however long the machine stands still: the product's few seconds are for a store that
hangs, and tests of them set their own.

Processes that a test starts with a store of their own begin with IN_A_CHILD.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Final

from gateway.state import redis, sqlite
from tests.support.waiting import PATIENCE_S

# How long Sentinels are waited for is left as it is: who it is for says so where two of three hang.
_SECONDS: Final = (
    (redis, "TIMEOUT", PATIENCE_S),
    (redis, "TURN_SECONDS", PATIENCE_S),
    (redis, "WAIT_MILLISECONDS", int(PATIENCE_S * 1000)),
    (sqlite, "BUSY_SECONDS", PATIENCE_S),
    (sqlite, "QUEUE_SECONDS", PATIENCE_S),
)
IN_A_CHILD: Final = "from tests.support.patience import be_patient\nbe_patient()\n"


def be_patient(set_: Callable[[ModuleType, str, float], None] = setattr) -> None:
    """With every store of this process, from now on; a test hands over its monkeypatch's `setattr`."""
    for module, name, value in _SECONDS:
        set_(module, name, value)
