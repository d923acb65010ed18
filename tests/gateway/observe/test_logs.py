"""Records hold metadata only, whatever is put into them, and other libraries' words are never rendered."""

from __future__ import annotations

import io
import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from filters.events import Decided, Origin, Verdict
from gateway.audit_log import Action, AuditRecord, By, OfRevocation, Outcome
from gateway.auth.revocation import Kind, Revocation
from gateway.errors import (
    EncryptionFault,
    EncryptionRequired,
    GatewayError,
    LeakBudgetSpent,
    NotAllowed,
    NotAuthenticated,
    NotDecrypted,
    Reason,
    TokenExpired,
    UpstreamBroken,
    UpstreamTimeout,
)
from gateway.observe.logs import HOLD_BACKS, KEYS, Logs, RequestRecord
from gateway.observe.pseudonyms import Pseudonyms
from gateway.refusals import MINUTE, MOST, MOST_OF_ONE
from gateway.types import Principal, RequestId
from tests.gateway.support import CANARY

SENTENCE = f"{CANARY} said so."


def record(**values: Any) -> RequestRecord:
    return RequestRecord(RequestId("req_1"), 1_700_000_000.0, 5.0, **values)


def principal(subject: str = "alice", tenant: str = "acme") -> Principal:
    return Principal("https://issuer.test", tenant, subject, "jti", "customer", 0.0)


@pytest.fixture
def sink() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def logs(sink: io.BytesIO) -> Logs:
    return Logs(sink, Pseudonyms(b"k" * 32), now=lambda: 1_700_000_000.0)


def lines(sink: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.getvalue().splitlines()]


# ---- records ---------------------------------------------------------------------------------------------------------


def test_a_log_that_can_t_be_written_stops_nobody_and_is_counted() -> None:
    failures: list[None] = []
    with Path("/dev/full").open("ab") as sink:
        logs = Logs(sink, Pseudonyms(b"k" * 32), failed=lambda: failures.append(None))
        logs.process("ready")
        logs.request(record())
        assert len(failures) == 2
        with suppress(OSError):
            sink.close()  # tries once more what is left


def test_a_finaliser_that_fails_while_a_line_is_being_written_is_told_of() -> None:
    class Collecting(io.BytesIO):
        failing = True

        def write(self, raw: Any, /) -> int:
            if self.failing:
                self.failing = False
                logs.uncaught(ValueError, "finaliser")
            return super().write(raw)

    sink = Collecting()
    logs = Logs(sink, Pseudonyms(b"k" * 32))
    writing = threading.Thread(target=logs.process, args=("ready",), daemon=True)
    writing.start()
    writing.join(60)
    assert not writing.is_alive()
    assert sorted(line["event"] for line in lines(sink)) == ["process", "uncaught"]


def test_a_record_is_one_line_of_known_keys(logs: Logs, sink: io.BytesIO) -> None:
    filled = record(route="/v1/chat/completions", status=200, model="assistant", principal=principal(), tokens_in=3)
    filled.decided(Decided(0, "EMAIL", Verdict.MASK, Origin.TUNED))
    filled.decided(Decided(0, "EMAIL", Verdict.FALL_BACK, Origin.TUNED, 20.0))
    filled.held(0.5)
    filled.held(0.2)
    logs.request(filled)
    (line,) = lines(sink)
    assert line.keys() <= KEYS
    assert line["format"] == 1, "as docs/records.md says"
    assert (line["time"], line["request_id"]) == ("2023-11-14T22:13:20.000+00:00", "req_1")
    assert (line["findings"], line["verdicts"]) == ({"EMAIL": 2}, {"mask": 1, "fall_back": 1})
    assert (line["hold_back_p50"], line["hold_back_max"]) == (0.35, 0.5)
    assert (line["role"], line["tenant"], line["model"], line["tokens_in"]) == ("customer", "acme", "assistant", 3)


def test_all_that_a_record_may_say_of_a_request(logs: Logs, sink: io.BytesIO) -> None:
    filled = record(
        route="/v1/chat/completions",
        address="203.0.113.77",
        status=200,
        error="upstream_timeout",
        reason="stall",
        principal=principal(),
        model="assistant",
        release="blue",
        policy="0123456789abcdef",
        upstream="gpu-1.test:8000",
        tokens_in=3,
        tokens_out=4,
        first_token=0.1,
        duration=0.2,
        base_questions=1,
        fallback=True,
    )
    filled.decided(Decided(0, "EMAIL", Verdict.FALL_BACK, Origin.TUNED, 20.0))
    filled.held(0.5)
    logs.request(filled)
    said = {"event", "format", "time", "request_id", "status", "error", "reason", "route", "address", "subject", "role"}
    said |= {"tenant", "model", "release", "policy", "upstream", "tokens_in", "tokens_out", "first_token", "duration"}
    said |= {"hold_back_p50", "hold_back_max", "findings", "verdicts", "base_questions", "fallback", "cancelled"}
    assert lines(sink)[0].keys() == said


def security_events(sink: io.BytesIO) -> list[dict[str, Any]]:
    return [line for line in lines(sink) if line["event"] == "security"]


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (NotAuthenticated(Reason.SIGNATURE), "token_refused", "signature"),
        (NotAuthenticated(Reason.REVOKED_SUBJECT), "token_refused", "revoked_subject"),
        (TokenExpired(Reason.EXPIRED), "token_refused", "expired"),
        (NotDecrypted(EncryptionFault.REPLAYED), "not_decrypted", "replayed"),
    ],
)
def test_a_refused_token_is_a_security_event(
    logs: Logs, sink: io.BytesIO, error: GatewayError, code: str, detail: str
) -> None:
    refused = record(route="/v1/models", status=401, address="203.0.113.77", principal=principal())
    refused.failed(error)
    logs.request(refused)
    (event,) = security_events(sink)
    assert (event["code"], event["detail"], event["request_id"]) == (code, detail, "req_1")
    assert (event["address"], event["role"], event["tenant"]) == ("203.0.113.0/24", "customer", "acme")
    assert event["subject"] == lines(sink)[1]["subject"]
    assert len(lines(sink)) == 2


@pytest.mark.parametrize("error", [NotAllowed(), EncryptionRequired(), LeakBudgetSpent(), UpstreamTimeout("stall")])
def test_what_alarms_and_what_does_not(logs: Logs, sink: io.BytesIO, error: GatewayError) -> None:
    refused = record(status=error.status)
    refused.failed(error)
    logs.request(refused)
    assert len(security_events(sink)) == (not isinstance(error, UpstreamTimeout))


def test_an_administrative_call_is_a_security_event_that_quotes_nothing(logs: Logs, sink: io.BytesIO) -> None:
    about = OfRevocation(Revocation(Kind.SUBJECT, CANARY, "https://issuer.test", CANARY))
    logs.administered(
        AuditRecord(
            Action.REVOKE,
            Outcome.REFUSED,
            By.TOKEN,
            RequestId("req_2"),
            principal=principal(CANARY),
            address="203.0.113.77",
            target=about,
            code="not_allowed",
        )
    )
    (event,) = security_events(sink)
    assert (event["code"], event["action"], event["outcome"], event["detail"]) == (
        "administration",
        "revoke",
        "refused",
        "not_allowed",
    )
    assert (event["by"], event["request_id"], event["count"]) == ("token", "req_2", 1)
    assert CANARY not in sink.getvalue().decode()


def refused(address: str, who: Principal | None = None) -> RequestRecord:
    told = record(status=401, address=address, principal=who)
    told.failed(NotAuthenticated(Reason.MISSING))
    return told


def test_who_floods_the_gateway_floods_no_security_events(sink: io.BytesIO) -> None:
    """Each request has its line; events are counted beyond so many a minute, and one with a good token is not lost
    among those of others."""
    own, clock = io.BytesIO(), [0.0]
    logs = Logs(sink, Pseudonyms(b"k" * 32), security=own, clock=lambda: clock[0])
    for at in range(500):
        logs.request(refused(f"203.0.113.{at % 250}"))
    logs.request(refused("203.0.113.1", principal()))
    assert len(lines(sink)) == 501
    told = lines(own)
    assert [line["code"] for line in told].count("token_refused") == MOST + 1
    assert told[-1]["subject"] == logs.pseudonyms.subject(principal(), 1_700_000_000.0)
    assert [(line["detail"], line["count"]) for line in told if line["code"] == "refusals"] == [
        ("too_many", 500 - MOST)
    ]
    clock[0] += MINUTE
    for _ in range(30):
        logs.request(refused("203.0.113.1"))
    logs.close()
    told = lines(own)[len(told) :]
    assert [line["code"] for line in told] == ["token_refused"] * MOST_OF_ONE + ["refusals"]
    assert told[-1]["count"] == 30 - MOST_OF_ONE


def test_security_events_go_to_a_stream_of_their_own(sink: io.BytesIO) -> None:
    own = io.BytesIO()
    logs = Logs(sink, Pseudonyms(b"k" * 32), security=own)
    refused = record(status=401)
    refused.failed(NotAuthenticated(Reason.MISSING))
    logs.request(refused)
    logs.security("policy", "refused")
    logs.process("ready")
    assert [line["event"] for line in lines(sink)] == ["request", "process"]
    assert [line["code"] for line in lines(own)] == ["token_refused", "policy"]


def test_a_stream_of_security_events_that_can_t_be_written_stops_nobody(sink: io.BytesIO) -> None:
    failures: list[None] = []
    with Path("/dev/full").open("ab", buffering=0) as full:
        logs = Logs(sink, Pseudonyms(b"k" * 32), security=full, failed=lambda: failures.append(None))
        refused = record(status=401)
        refused.failed(NotAuthenticated(Reason.MISSING))
        logs.request(refused)
    assert [line["event"] for line in lines(sink)] == ["request"]
    assert len(failures) == 1


def test_the_median_of_a_long_answer_takes_bounded_memory() -> None:
    filled = record()
    for at in range(HOLD_BACKS * 2):
        filled.held(float(at < HOLD_BACKS))
    assert (len(filled.hold_backs), filled.hold_back_p50, filled.hold_back_max) == (HOLD_BACKS, 1.0, 1.0)
    assert record().hold_back_p50 is None


def test_what_is_switched_off_is_not_there(sink: io.BytesIO) -> None:
    logs = Logs(sink, Pseudonyms(b"k" * 32, subject="off", address="off"))
    logs.request(record(address="203.0.113.77", principal=principal()))
    (line,) = lines(sink)
    assert not line.keys() & {"subject", "address"}
    assert (line["tenant"], line["role"]) == ("acme", "customer")


def test_text_in_any_field_is_not_written(logs: Logs, sink: io.BytesIO) -> None:
    texts = dict.fromkeys(("route", "error", "reason", "model", "policy", "upstream"), SENTENCE)
    filled = record(**texts, address=SENTENCE, principal=Principal(SENTENCE, SENTENCE, SENTENCE, SENTENCE, SENTENCE, 0))
    filled.findings[SENTENCE] += 1
    filled.verdicts["中文"] += 1
    logs.request(filled)
    logs.process(SENTENCE)
    logs.security(SENTENCE, SENTENCE, policy=SENTENCE)
    logs.foreign(SENTENCE, SENTENCE, SENTENCE)
    assert CANARY not in sink.getvalue().decode()
    assert "unprintable" in sink.getvalue().decode()


@pytest.mark.parametrize("text", ["a b", "a\nb", "x" * 65, "jane@example.com", "电话", "", "+1 555", '"', "a{b"])
def test_what_is_not_shaped_like_a_name_is_unprintable(logs: Logs, sink: io.BytesIO, text: str) -> None:
    logs.request(record(model=text))
    assert lines(sink)[0]["model"] == "unprintable"


def test_another_key_is_a_mistake_in_our_code(logs: Logs) -> None:
    with pytest.raises(TypeError) as refused:
        logs._write("request", **{CANARY: 1})
    assert CANARY not in str(refused.value)


def test_the_first_failure_stays() -> None:
    filled = record()
    filled.failed(UpstreamTimeout("stall"))
    filled.failed(UpstreamBroken("cut"))
    assert (filled.error, filled.reason) == ("upstream_timeout", "stall")
