"""From the settings to an audit log."""

from __future__ import annotations

import re
import secrets
import socket
import sys
from functools import partial
from typing import Final

from gateway.audit_log.files import Folder
from gateway.audit_log.lines import AuditKey
from gateway.audit_log.log import ChainedAuditLog, Hear, Sink
from gateway.audit_log.stream import Stream, is_writable
from gateway.audit_log.written import Marks
from gateway.secrets.roots import master_key
from gateway.settings import AuditSettings, LogSettings
from gateway.state import Anchors

READ_SECONDS: Final = 1.0  # that a collector may take to make room


def open_audit_log(
    settings: AuditSettings | None, log: LogSettings, anchors: Anchors, hear: Hear
) -> ChainedAuditLog | None:
    """None where none is configured. Writes nothing yet. Raises ConfigError for a key that can't be used."""
    if settings is None:
        return None
    root, instance = master_key(settings.key_file), own_instance()
    # The marks of the store, so that both can be joined; where those change with each start, marks that stay.
    marks = Marks.of(master_key(log.key_file) if log.key_file else root, settings.subject, log.address)
    return ChainedAuditLog(_sink(settings, AuditKey(root), instance), marks, anchors, instance, hear)


def own_instance() -> str:
    """This process: its machine's name, and what is random."""
    machine = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[:40].lstrip(".-") or "gateway"
    return f"{machine}-{secrets.token_hex(4)}"


def _sink(settings: AuditSettings, key: AuditKey, instance: str) -> Sink:
    if settings.directory is None:
        has_room = partial(is_writable, sys.stdout.fileno(), READ_SECONDS)
        return Stream(sys.stdout.buffer, key, instance, has_room=has_room)
    return Folder(settings.directory, key, instance, settings.keep_days)
