"""Whoever watches hears of each audit record, written or not."""

from __future__ import annotations

import pytest

from gateway.audit_log import NO_AUDIT_LOG, AuditRecord, AuditUnavailable, Outcome
from gateway.audit_log.witnessed import Witnessed
from tests.gateway.admin.support import Remembering
from tests.gateway.audit_log.support import record


async def test_a_record_is_heard_of_and_written() -> None:
    heard, log = list[AuditRecord](), Remembering()
    await Witnessed(log, heard.append).write(record(Outcome.ASKED))
    assert heard == log.records == [record(Outcome.ASKED)]


async def test_what_can_t_be_written_is_heard_of_and_still_not_done() -> None:
    heard = list[AuditRecord]()
    with pytest.raises(AuditUnavailable):
        await Witnessed(NO_AUDIT_LOG, heard.append).write(record())
    assert heard == [record()]
