"""How many answers of a tenant's role are under way, by model: what holds it back where servers know no priority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import RoleBusy
from gateway.types import Grant


class Streams:
    """All answers of the process. For one event loop."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str, str, str]] = Counter()

    @contextmanager
    def one(self, grant: Grant) -> Iterator[None]:
        """An answer, for as long as the block lasts. Raises RoleBusy where the role has as many as it may have."""
        who = grant.principal
        key = who.issuer, who.tenant, who.role, grant.model
        if grant.max_streams is not None and self._open[key] >= grant.max_streams:
            raise RoleBusy
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
