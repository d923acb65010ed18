"""An audit log of whose records another one hears: whoever watches over security events hears of calls at once, also of
those that could not be written down."""

from __future__ import annotations

from collections.abc import Callable

from gateway.audit_log import AuditLog, AuditRecord


class Witnessed:
    """Fulfils `AuditLog`."""

    def __init__(self, log: AuditLog, hear: Callable[[AuditRecord], None]) -> None:
        self._log, self._hear = log, hear

    async def write(self, record: AuditRecord) -> None:
        """As `AuditLog.write`."""
        self._hear(record)
        await self._log.write(record)
