"""Audit logs for tests: a key, a clock that can be set, records that hold everything that a record may."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit_log import Action, AuditRecord, AuditUnavailable, By, OfRevocation, Outcome
from gateway.audit_log.files import Folder
from gateway.audit_log.lines import AuditKey, Head
from gateway.audit_log.written import AuditSubject, Marks, written
from gateway.auth.revocation import Kind, Revocation
from gateway.types import Principal, RequestId

ROOT = b"r" * 32
KEY = AuditKey(ROOT)
DAY = 86_400.0
NOON = 1_764_072_000.0  # 2025-11-25T12:00:00Z
ADMIN = Principal("https://issuer.test", "acme", "vexlo", "t-1", "security", NOON + 600)
MARKS = Marks.of(ROOT, "plain", "truncated")


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Heard:
    """Fulfils `Hear`."""

    heads: list[Head] = field(default_factory=list)
    lost_heads: list[Head] = field(default_factory=list)
    errors: list[AuditUnavailable] = field(default_factory=list)

    def head(self, head: Head) -> None:
        self.heads.append(head)

    def lost(self, remembered: Head) -> None:
        self.lost_heads.append(remembered)

    def available(self) -> None:
        self.errors.clear()

    def unavailable(self, error: AuditUnavailable) -> None:
        self.errors.append(error)


def record(outcome: Outcome = Outcome.ASKED, call: int = 1, code: str | None = None) -> AuditRecord:
    target = OfRevocation(Revocation(Kind.SUBJECT, "kipmora", "https://issuer.test", "acme"))
    return AuditRecord(
        Action.REVOKE,
        outcome,
        By.TOKEN,
        RequestId(f"req_{call:04d}"),
        principal=ADMIN,
        address="192.0.2.77",
        target=target,
        code=code,
    )


def call(at: int = 1, outcome: Outcome = Outcome.ASKED, subject: AuditSubject = "plain") -> dict[str, object]:
    marks = MARKS if subject == "plain" else Marks.of(ROOT, subject, "truncated")
    return written(record(outcome, at), marks)


def folder(path: Path, clock: Clock | None = None, key: AuditKey = KEY, keep_days: int = 180) -> Folder:
    return Folder(path / "audit", key, "gw-1", keep_days, clock or Clock())


def files(path: Path) -> list[Path]:
    return sorted((path / "audit").glob("audit-*.jsonl"))


def lines(path: Path) -> list[bytes]:
    return [line for file in files(path) for line in file.read_bytes().splitlines()]
