"""Records of what happened, never of what was said.

By construction: a line is made from a typed record whose keys are a closed set, and a text value is written only if it
is shaped like a name (`_NAME`): no spaces, no "@", at most 64 characters. Whatever is not becomes "unprintable". What
other people's code has to say is reduced to where in code it was said (gateway/observe/libraries.py).

Security events (refused tokens, administration, what is reloaded or refused to be, alerts of the gateway's own) have an
event of their own, and a sink of their own where the operator wants one.

Findings of special categories (health, religion …) stand in no record: not by type, not among the verdicts, and not as
a fallback that nothing else explains.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Protocol

import msgspec
import structlog

from filters.events import Decided, Verdict
from gateway.audit_log import AuditRecord
from gateway.errors import (
    EncryptionNotAccepted,
    EncryptionRequired,
    Fault,
    GatewayError,
    LeakBudgetSpent,
    NotAllowed,
    NotAuthenticated,
    NotDecrypted,
)
from gateway.observe.pseudonyms import Pseudonyms
from gateway.observe.steps import NOTHING, Steps
from gateway.refusals import MINUTE, Refusals
from gateway.types import Principal, RequestId

Value = str | int | float | bool | None | Mapping[str, int]

FORMAT: Final = 1  # rises when a key that was there means something else, or is there no more
TIDY_SECONDS: Final = 3600  # between two looks at what is too old
RETRY_SECONDS: Final = 1  # between two tries to write what could not be written
HOLD_BACKS: Final = 4096  # of one answer, that its median is told from: 32 kB
MOST_WAITING: Final = 10_000  # lines that a sink keeps which can't be written: some megabytes

_NAME: Final = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_.:/+=~-]{0,63}", re.ASCII)
_UNPRINTABLE: Final = "unprintable"


# What somebody who watches over security wants to hear of a request that failed; its reason says more.
_ALARMING: Final[Mapping[type[GatewayError], str]] = {
    NotAuthenticated: "token_refused",
    NotAllowed: "not_allowed",
    EncryptionRequired: "not_allowed",
    EncryptionNotAccepted: "not_allowed",
    NotDecrypted: "not_decrypted",
    LeakBudgetSpent: "leak_budget",
}


# ---- what is written -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RequestRecord:
    """What is known of one request; filled on its way, written once at its end. Times are seconds."""

    request_id: RequestId
    arrived: float  # since the epoch
    clock: float  # the monotonic clock at the same moment
    route: str | None = None
    address: str | None = None
    status: int = 0  # 0: the caller went before there was one
    error: str | None = None
    reason: str | None = None
    fault: Fault | None = None  # for metrics
    alarm: str | None = None  # its code among security events
    principal: Principal | None = None
    model: str | None = None
    release: str | None = None
    policy: str | None = None
    upstream: str | None = None  # host and port of the server that was asked; the rest of its address may be a secret
    sent: bool = False  # a model server was given it to read
    tokens_in: int | None = None
    tokens_out: int | None = None  # released
    first_token: float | None = None
    duration: float | None = None
    hold_backs: array[float] = field(default_factory=lambda: array("d"))  # the first of them
    hold_back_max: float = 0.0
    findings: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    base_questions: int = 0
    fallback: bool = False
    fell_back_shyly: bool = False  # for a special category, which no record tells
    cancelled: bool = False  # the caller went away before the end
    trace: str | None = None  # the id of the trace that is made of it
    steps: Steps = NOTHING  # of that trace
    endings: dict[int, str] = field(default_factory=dict)  # how each choice ended, for that trace
    filter_cpu: float = 0.0  # likewise

    def failed(self, error: GatewayError) -> None:
        """Why it ended; the first failure stays."""
        if self.error is None:
            self.error, self.reason, self.fault = error.code or error.type, str(error.reason), error.fault
            self.alarm = next((code for kind, code in _ALARMING.items() if isinstance(error, kind)), None)

    def decided(self, decided: Decided) -> None:
        """A finding, of no special category."""
        self.findings[decided.kind] += 1
        self.verdicts[decided.verdict.value] += 1

    def decided_shyly(self, decided: Decided) -> None:
        """A finding of a special category: no record counts it."""
        self.fell_back_shyly |= decided.verdict is Verdict.FALL_BACK

    @property
    def told_fallback(self) -> bool:
        """Whether a record says that the answer fell back. Without a verdict that tells why, one that did for a special
        category says no: what is left when all other reasons are gone would name it."""
        return self.fallback and (not self.fell_back_shyly or self.verdicts[Verdict.FALL_BACK.value] > 0)

    def held(self, seconds: float) -> None:
        self.hold_back_max = max(self.hold_back_max, seconds)
        if len(self.hold_backs) < HOLD_BACKS:
            self.hold_backs.append(seconds)

    @property
    def hold_back_p50(self) -> float | None:
        """Of the first HOLD_BACKS times that text waited; None where none did."""
        return statistics.median(self.hold_backs) if self.hold_backs else None

    def elapsed(self) -> float:
        return time.monotonic() - self.clock


class Stream(Protocol):
    """Where lines go: any binary stream, for any number of threads. It is flushed after each line."""

    def write(self, raw: bytes, /) -> object:
        """Raises OSError."""
        ...

    def flush(self) -> object:
        """Raises OSError."""
        ...


class Kept(Protocol):
    """Files that are deleted in time."""

    def retry(self) -> None:
        """Write what could not be written. Raises OSError."""
        ...

    def tidy(self) -> None:
        """Delete what is too old. Raises OSError."""
        ...

    def close(self) -> None:
        """End what is being written; a line after that begins anew."""
        ...


class Logs:
    """Writes JSON lines. Where they can't be written (a full disk, a pipe that nobody reads) `failed` hears of it and
    everything goes on: who watches over something has to."""

    def __init__(
        self,
        stream: Stream,
        pseudonyms: Pseudonyms,
        *,
        security: Stream | None = None,
        kept: Sequence[Kept] = (),
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`security`: for security events; where there is none they go where the rest goes. `kept` are those streams
        that are files of ours."""
        self._clock, self._refusals = clock, Refusals()
        self._kept = kept
        self.pseudonyms, self._now, self._failed = pseudonyms, now, failed
        self._logger = _logger(stream)
        self._security = _logger(security) if security is not None else self._logger

    def request(self, record: RequestRecord) -> Mapping[str, Value]:
        """The one line of one request, and a security event where it was refused for one, unless there are too many.
        Gives what the line says."""
        if record.alarm is not None and self._may_alarm(record):
            self._tell_untold()
            self._alarming(record)
        said = self._told(record)
        self._write("request", **said)
        return said

    def _told(self, record: RequestRecord) -> dict[str, Value]:
        return {
            "time": stamp(record.arrived),
            "request_id": record.request_id,
            "route": name(record.route),
            "status": record.status,
            "error": name(record.error),
            "reason": name(record.reason),
            **self._who(record.principal, record.address, record.arrived),
            "model": name(record.model),
            "release": name(record.release),
            "policy": name(record.policy),
            "upstream": name(record.upstream),
            "tokens_in": record.tokens_in,
            "tokens_out": record.tokens_out,
            "first_token": _rounded(record.first_token),
            "duration": _rounded(record.duration),
            "hold_back_p50": _rounded(record.hold_back_p50),
            "hold_back_max": _rounded(record.hold_back_max),
            "findings": _counts(record.findings),
            "verdicts": _counts(record.verdicts),
            "base_questions": record.base_questions,
            "fallback": record.told_fallback,
            "cancelled": record.cancelled,
            "trace": name(record.trace),
        }

    def _may_alarm(self, record: RequestRecord) -> bool:
        """Security events are kept for long, and anybody can be refused as often as he likes; his requests have their
        lines all the same."""
        principal = record.principal
        who = repr((principal.issuer, principal.tenant, principal.subject)) if principal else record.address or ""
        return self._refusals.take(who, self._clock(), known=principal is not None)

    def _tell_untold(self) -> None:
        if untold := self._refusals.untold():
            self._tell("refusals", "too_many", count=untold)

    def _alarming(self, record: RequestRecord) -> None:
        """Under the marks of the request's own line, whose id it has: those of two periods would be joined by it."""
        self._tell(
            record.alarm,
            record.reason,
            request_id=record.request_id,
            route=name(record.route),
            status=record.status,
            **self._who(record.principal, record.address, record.arrived),
        )

    def administered(self, record: AuditRecord) -> None:
        """An administrative call, or what became of it: what it was about stands in the audit log alone."""
        self._tell(
            "administration",
            record.code,
            request_id=name(record.request_id),
            action=record.action.value,
            outcome=record.outcome.value,
            by=record.by.value,
            count=record.count,
            **self._who(record.principal, record.address, self._now()),
        )

    def _who(self, principal: Principal | None, address: str | None, at: float) -> dict[str, Value]:
        """As a line of that moment tells it, in seconds since the epoch."""
        return {
            "address": self.pseudonyms.address(address, at),
            "subject": self.pseudonyms.subject(principal, at) if principal else None,
            "role": name(principal.role) if principal else None,
            "tenant": name(principal.tenant) if principal else None,
        }

    def security(self, event: str, code: str | None = None, *, policy: str | None = None) -> None:
        """Something that a security officer would want to have heard of, by closed names."""
        self._tell(event, code, policy=name(policy))

    def _tell(self, code: str | None, detail: str | None, **values: Value) -> None:
        self._write("security", time=stamp(self._now()), code=name(code), detail=name(detail), **values)

    def process(self, event: str) -> None:
        """Something in the life of the process, by a closed name."""
        self._write("process", time=stamp(self._now()), code=name(event))

    def foreign(self, logger: str, level: str, code: str) -> None:
        """What another library had to say: only that it did, and where in its code."""
        self._write("library", time=stamp(self._now()), logger=name(logger), level=name(level), code=name(code))

    def uncaught(self, kind: type[BaseException], where: str) -> None:
        """An exception that nobody caught: its type's name, never its text."""
        self._write("uncaught", time=stamp(self._now()), code=name(kind.__name__), detail=name(where))

    async def watch(self) -> None:
        """Delete for ever what is too old, write what waits, and tell what was only counted."""
        for seconds in count(step=RETRY_SECONDS):
            if seconds % MINUTE == 0:
                self._tell_untold()
            for files in self._kept:
                with suppress(OSError):  # it was counted when it came
                    files.retry()
                if seconds % TIDY_SECONDS == 0:
                    await self._tidy(files)
            await asyncio.sleep(RETRY_SECONDS)

    async def _tidy(self, files: Kept) -> None:
        try:
            await asyncio.to_thread(files.tidy)
        except OSError:
            self._failed()

    def close(self) -> None:
        """Tell what was only counted, and end the files; a record after that begins others."""
        self._tell_untold()
        for files in self._kept:
            files.close()

    def _write(self, event: str, **values: Value) -> None:
        logger = self._security if event == "security" else self._logger
        try:
            logger._proxy_to_logger("msg", event, format=FORMAT, **values)
        except OSError:
            self._failed()


_OF_CALLERS: Final = frozenset({"subject", "role", "tenant", "hold_back_p50"})
_OF_ADMINISTRATION: Final = frozenset({"action", "outcome", "by", "count"})
# Of a record, what no line says in this form, and what is for metrics and traces.
_UNTOLD: Final = frozenset({"arrived", "clock", "principal", "fault", "alarm", "fell_back_shyly", "hold_backs", "sent"})
_OF_TRACES: Final = frozenset({"steps", "endings", "filter_cpu"})
KEYS: Final = (
    frozenset({"event", "format", "time", "code", "detail", "logger", "level"})
    | _OF_CALLERS
    | _OF_ADMINISTRATION
    | ({f.name for f in fields(RequestRecord)} - _UNTOLD - _OF_TRACES)
)


class _Lines:
    """Hands them on. Unlike structlog's own it takes no lock, since a finaliser that fails may log inside of another
    line: streams are for any number of threads."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def msg(self, line: bytes) -> None:
        """Raises OSError."""
        self._stream.write(line + b"\n")
        self._stream.flush()


def _logger(stream: Stream) -> structlog.BoundLoggerBase:
    logger: structlog.BoundLoggerBase = structlog.wrap_logger(
        _Lines(stream),
        processors=[_refuse_other_keys, structlog.processors.JSONRenderer(serializer=_encode)],
        wrapper_class=structlog.BoundLoggerBase,
    )
    return logger


def _refuse_other_keys(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A key that is not in the closed set is a mistake in our code. Raises TypeError, whose text names no value."""
    if not event.keys() <= KEYS:
        raise TypeError("a log record has a key outside the closed set")
    return event


def _encode(event: Mapping[str, Value], **_options: Any) -> bytes:
    return msgspec.json.encode({key: value for key, value in event.items() if value is not None})


def name(text: str | None) -> str | None:
    """The text if it is shaped like a name, and otherwise that it is not."""
    if text is None:
        return None
    return str(text) if _NAME.fullmatch(text) else _UNPRINTABLE


def _counts(counter: Counter[str]) -> Mapping[str, int] | None:
    return {name(kind) or _UNPRINTABLE: count for kind, count in counter.items()} or None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def stamp(now: float) -> str:
    """A moment in UTC. `now` is in seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
