"""Whole audit logs, and any one change to them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from gateway.audit_log import Outcome
from gateway.audit_log.lines import AuditKey, Head, read_line
from tests.gateway.audit_log.support import DAY, KEY, NOON, Clock, call, files, folder

OTHER = AuditKey(b"o" * 32)


def write(path: Path, days: list[int], key: AuditKey = KEY, keep_days: int = 180) -> Head:
    (path / "audit").mkdir(mode=0o700, exist_ok=True)
    clock = Clock()
    log = folder(path, clock, key=key, keep_days=keep_days)
    head = log.prepare()
    for day, calls in enumerate(days):
        clock.now = NOON + day * DAY
        for at in range(calls):
            head = log.append(call(day * 100 + at, Outcome.DONE))
    return head


@dataclass(frozen=True)
class Change:
    kind: str
    seed: int


def apply(change: Change, log: Path) -> bool:
    """Whether anything is different."""
    rng = random.Random(change.seed)
    chosen = files(log)
    before = [file.read_bytes() for file in chosen]
    at = rng.randrange(len(chosen))
    raw = before[at].splitlines(keepends=True)
    line, other = rng.randrange(len(raw)), rng.randrange(len(raw))
    if change.kind == "remove":
        raw.pop(line)
    elif change.kind == "alter":
        byte = rng.randrange(len(raw[line]))
        altered = bytes([raw[line][byte] ^ (1 << rng.randrange(8))])
        raw[line] = raw[line][:byte] + altered + raw[line][byte + 1 :]
    elif change.kind == "swap":
        raw[line], raw[other] = raw[other], raw[line]
    elif change.kind == "double":
        raw.insert(other, raw[line])
    elif change.kind == "insert":
        raw.insert(line, OTHER.seal(read_line(raw[line][:-1])) + b"\n")
    elif change.kind == "truncate":
        whole = b"".join(raw)
        raw = [whole[: rng.randrange(len(whole))]]
    else:
        chosen[at].unlink()
        return True
    chosen[at].write_bytes(b"".join(raw))
    return chosen[at].read_bytes() != before[at]


KINDS = ["remove", "alter", "swap", "double", "insert", "truncate", "remove a file"]
