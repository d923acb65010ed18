"""From the settings to an audit log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit_log.opening import open_audit_log, own_instance
from gateway.config_file import ConfigError
from gateway.settings import AuditSettings, LogSettings
from gateway.state.memory import MemoryStore
from tests.gateway.audit_log.support import Heard, lines, record


def test_none_is_configured_by_default() -> None:
    assert open_audit_log(None, LogSettings(), MemoryStore(), Heard()) is None


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    settings = AuditSettings(directory=tmp_path / "audit", key_file=tmp_path / "key")
    with pytest.raises(ConfigError, match="must hold 32 bytes"):
        open_audit_log(settings, LogSettings(), MemoryStore(), Heard())


@pytest.mark.parametrize("log_key", [None, "log"])
async def test_marks_stay_over_restarts(tmp_path: Path, log_key: str | None) -> None:
    (tmp_path / "key").write_text("a" * 32)
    (tmp_path / "log").write_text("l" * 32)
    settings = AuditSettings(directory=tmp_path / "audit", key_file=tmp_path / "key", subject="hashed")
    log_settings = LogSettings(key_file=tmp_path / log_key if log_key else None)
    for _ in range(2):
        log = open_audit_log(settings, log_settings, MemoryStore(), Heard())
        assert log is not None
        await log.begin()
        await log.write(record())
        await log.aclose()
    first, second = (raw for raw in lines(tmp_path) if b'"kind":"call"' in raw)
    mark = b'"target_mark":"'
    assert first.partition(mark)[2][:16] == second.partition(mark)[2][:16] != b""


def test_instances_are_names_and_differ() -> None:
    assert own_instance() != own_instance()
