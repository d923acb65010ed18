"""Which requests a trace is made of, and that it reaches the collector without anybody waiting for it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from prometheus_client import CollectorRegistry

from gateway.config_file import ConfigError
from gateway.observe import traces
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.opening import open_traces
from gateway.observe.steps import Kind, Step
from gateway.observe.traces import MOST_AT_ONCE, MOST_WAITING, Refused, Traces, Undelivered
from gateway.settings import TraceSettings
from gateway.types import RequestId
from tests.gateway.support import CANARY
from tests.support.clock import leap
from tests.support.collector import Collected, check_trace, collector
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE_S, until_async

EVERY = 1.0  # seconds, if nothing is said
OURS, THEIRS = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7
PARENT = f"00-{OURS:032x}-{THEIRS:016x}-01".encode()


class Deliveries:
    """Takes what comes, or says what the test wants; a delivery waits until `go` is set."""

    def __init__(self) -> None:
        self.taken: list[ExportTraceServiceRequest] = []
        self.tried = 0
        self.why: Exception | None = None
        self.rejects = 0
        self.go = asyncio.Event()
        self.go.set()
        self.closed = False

    async def deliver(self, raw: bytes) -> int:
        self.tried += 1
        await self.go.wait()
        if self.why is not None:
            raise self.why
        self.taken.append(ExportTraceServiceRequest.FromString(raw))
        return self.rejects

    async def aclose(self) -> None:
        self.closed = True

    @property
    def requests(self) -> list[str]:
        """The ids of the requests whose traces have come, in their order."""
        spans = [span for each in self.taken for span in each.resource_spans[0].scope_spans[0].spans]
        return [
            pair.value.string_value for span in spans for pair in span.attributes if pair.key == "tightlip.request_id"
        ]


class Made:
    """Traces to such a collector, and what was counted."""

    def __init__(self, **more: object) -> None:
        self.registry, self.to, self.made = CollectorRegistry(), Deliveries(), 0
        self.traces = Traces(self.to, "tightlip", "1.0", Metrics(self.registry), **more)  # type: ignore[arg-type]

    def request(self, *headers: tuple[bytes, bytes], steps: int = 0) -> RequestRecord:
        """One that has come and gone."""
        self.made += 1
        record = RequestRecord(RequestId(f"req_{self.made}"), 1_700_000_000.0, 5.0, duration=1.0)
        self.traces.begin(record, headers)
        for _ in range(steps):
            record.steps.step(Kind.QUESTION)
        self.traces.end(record, {"request_id": record.request_id})
        return record

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("tightlip_trace_spans_total", {"outcome": outcome}) or 0.0

    @property
    def failures(self) -> float:
        return self.registry.get_sample_value("tightlip_trace_delivery_failures_total") or 0.0


@asynccontextmanager
async def watched(made: Made) -> AsyncIterator[None]:
    watch = asyncio.create_task(made.traces.watch())
    await asyncio.sleep(0)
    yield
    watch.cancel()
    await asyncio.wait([watch])


# ---- which ones ------------------------------------------------------------------------------------------------------


async def test_a_request_has_the_id_of_its_trace_and_one_that_has_none_has_none() -> None:
    made = Made()
    ids = {made.request().trace for _ in range(50)}
    assert len(ids) == 50
    assert {len(each or "") for each in ids} == {32}
    none = Made(sample=0.0)
    assert {none.request().trace for _ in range(50)} == {None}
    await none.traces.aclose()
    assert none.to.tried == 0


async def test_a_part_of_the_requests_is_sampled() -> None:
    made = Made(sample=0.25)
    traced = sum(made.request().trace is not None for _ in range(4000))
    assert 800 < traced < 1200  # seven standard deviations


async def test_a_caller_s_trace_is_not_looked_at() -> None:
    made = Made()
    record = made.request((b"traceparent", PARENT), (b"tracestate", b"a=" + CANARY.encode()))
    assert record.trace != f"{OURS:032x}"
    none = Made(sample=0.0)
    assert none.request((b"traceparent", PARENT)).trace is None


async def test_a_trusted_caller_s_is_gone_on_from_and_says_whether_it_is_sampled() -> None:
    made = Made(sample=0.0, trust_callers=True)
    record = made.request((b"traceparent", PARENT), (b"tracestate", b"a=" + CANARY.encode()))
    assert record.trace == f"{OURS:032x}"
    assert made.request((b"traceparent", PARENT[:-2] + b"00")).trace is None
    await made.traces.aclose()
    (message,) = made.to.taken
    (span,) = message.resource_spans[0].scope_spans[0].spans
    assert (span.trace_id, span.parent_span_id) == (OURS.to_bytes(16, "big"), THEIRS.to_bytes(8, "big"))
    assert CANARY.encode() not in message.SerializeToString()


@pytest.mark.parametrize(
    "lines",
    [
        [b""],
        [PARENT, PARENT],
        [b"ff" + PARENT[2:]],
        [PARENT.upper()],
        [PARENT[:-1]],
        [PARENT + b"-" + b"x" * 100],
        [b"00-" + b"0" * 32 + PARENT[35:]],
        [PARENT[:36] + b"0" * 16 + b"-01"],
        [PARENT.replace(b"-", b"_")],
    ],
)
async def test_what_is_no_traceparent_begins_a_new_trace(lines: list[bytes]) -> None:
    record = Made(trust_callers=True).request(*((b"traceparent", line) for line in lines))
    assert record.trace is not None
    assert record.trace != f"{OURS:032x}"


async def test_a_later_version_is_read_as_this_one() -> None:
    assert Made(trust_callers=True).request((b"traceparent", b"01" + PARENT[2:] + b"-more")).trace == f"{OURS:032x}"


@given(line=st.binary(max_size=80) | st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,3}"))
def test_no_line_breaks_anything(line: bytes) -> None:
    record = RequestRecord(RequestId("req_1"), 1_700_000_000.0, 5.0)
    Traces(None, "s", "1", Metrics(CollectorRegistry()), trust_callers=True).begin(record, [(b"traceparent", line)])  # type: ignore[arg-type]
    assert record.trace is None or (len(record.trace) == 32 and int(record.trace, 16))


# ---- to the collector ------------------------------------------------------------------------------------------------


async def test_what_has_ended_is_delivered_and_counted() -> None:
    made = Made()
    async with watched(made):
        made.request(steps=2)
        made.request()
        assert made.to.tried == 0, "no request waits"
        leap(EVERY)
        await until_async(lambda: made.count("delivered") == 4)
    (message,) = made.to.taken
    (resource,) = message.resource_spans
    says = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (says["service.name"], says["service.version"]) == ("tightlip", "1.0")
    assert says.keys() == {"service.name", "service.version", "service.instance.id"}
    assert resource.scope_spans[0].scope.name == "tightlip"
    for_each = [resource.scope_spans[0].spans[:3], resource.scope_spans[0].spans[3:]]
    for spans in for_each:
        check_trace(spans)


async def test_what_could_not_be_taken_is_tried_again_in_growing_pauses() -> None:
    made = Made()
    made.request()
    made.to.why = Undelivered()
    async with watched(made):
        for failures, pause in enumerate((EVERY, 2 * EVERY), start=1):
            leap(pause)
            await until_async(lambda failures=failures: made.failures == failures)  # type: ignore[misc]
        made.request()
        made.to.why = None
        leap(4 * EVERY)
        await until_async(lambda: made.count("delivered") == 2)
    assert made.to.requests == ["req_1", "req_2"]
    assert (made.count("refused"), made.count("dropped")) == (0, 0)


async def test_what_is_refused_is_not_tried_again() -> None:
    made = Made()
    made.request()
    made.to.why = Refused()
    async with watched(made):
        leap(EVERY)
        await until_async(lambda: made.count("refused") == 1)
    made.to.why = None
    await made.traces.aclose()
    assert (made.to.tried, made.to.taken) == (1, [])


@pytest.mark.parametrize(("rejects", "refused"), [(1, 1), (-5, 0), (99, 3)])
async def test_a_part_may_be_refused(rejects: int, refused: int) -> None:
    made = Made()
    made.request(steps=2)
    made.to.rejects = rejects
    await made.traces.aclose()
    assert (made.count("refused"), made.count("delivered")) == (refused, 3 - refused)


async def test_a_trace_that_finds_no_room_is_dropped_as_a_whole() -> None:
    made = Made()
    for _ in range(MOST_WAITING // 100 + 1):
        made.request(steps=99)
    assert made.count("dropped") == 100
    await made.traces.aclose()
    assert made.count("delivered") == MOST_WAITING // 100 * 100
    sizes = [len(each.resource_spans[0].scope_spans[0].spans) for each in made.to.taken]
    assert {size % 100 for size in sizes} == {0}
    assert max(sizes) <= MOST_AT_ONCE


async def test_at_the_end_what_is_left_goes_and_nothing_goes_twice() -> None:
    """A watch that is cancelled in the middle of a delivery leaves it to its end."""
    made = Made()
    made.request()
    made.to.go.clear()
    async with watched(made):
        leap(EVERY)
        await until_async(lambda: made.to.tried == 1)
    made.request()
    made.to.go.set()
    await made.traces.aclose()
    assert made.to.requests == ["req_1", "req_2"]
    assert made.to.closed


async def test_a_collector_that_hangs_holds_up_the_end_for_a_moment_only() -> None:
    made = Made()
    made.request()
    made.to.go.clear()
    ending = asyncio.create_task(made.traces.aclose())
    await until_async(lambda: made.to.tried == 1)
    leap(2.0)
    await ending
    assert (made.count("dropped"), made.to.closed) == (1, True)


async def test_a_request_s_steps_are_noted_from_its_arrival() -> None:
    record = Made().request()
    assert isinstance(record.steps, Step)
    assert record.steps.begun == record.clock


# ---- over HTTP -------------------------------------------------------------------------------------------------------


async def delivered(settings: TraceSettings) -> CollectorRegistry:
    """One trace is made, and all of it said that can be until the process ends."""
    registry = CollectorRegistry()
    patient = settings.model_copy(update={"last_seconds": PATIENCE_S, "timeout_seconds": PATIENCE_S})
    made = open_traces(patient, Metrics(registry))
    record = RequestRecord(RequestId("req_1"), 1_700_000_000.0, 5.0, duration=1.0)
    made.begin(record, [])
    made.end(record, {"request_id": record.request_id})
    await made.aclose()
    return registry


def outcome(registry: CollectorRegistry) -> str:
    outcomes = ("delivered", "refused", "dropped")
    (found,) = (each for each in outcomes if registry.get_sample_value("tightlip_trace_spans_total", {"outcome": each}))
    return found


@pytest.fixture
def there() -> AsyncIterator[Collected]:
    with collector() as collected:
        yield collected  # type: ignore[misc]


async def test_it_is_otlp_with_the_headers_of_the_configuration(
    there: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "header").write_text("Bearer of-the-collector\n")
    monkeypatch.setenv("COLLECTOR_TEAM", "team 7")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    secrets = {"authorization": str(tmp_path / "header"), "X-Team": "env:COLLECTOR_TEAM"}
    assert outcome(await delivered(TraceSettings(endpoint=there.url, headers=secrets))) == "delivered"
    (headers,) = there.headers
    assert there.paths == ["/v1/traces"]
    assert headers.pop("host") in there.url
    assert int(headers.pop("content-length")) == len(there.bodies[0])
    assert headers == {
        "content-type": "application/x-protobuf",
        "accept-encoding": "identity",
        "authorization": "Bearer of-the-collector",
        "x-team": "team 7",
    }
    assert len(there.spans) == 1


@pytest.mark.parametrize(
    ("status", "became"),
    [(429, "dropped"), (503, "dropped"), (400, "refused"), (401, "refused"), (500, "refused"), (302, "refused")],
)
async def test_its_answer_says_whether_it_is_worth_another_try(there: Collected, status: int, became: str) -> None:
    there.status, there.answer, there.more = status, CANARY.encode(), {"location": there.url + "/elsewhere"}
    registry = await delivered(TraceSettings(endpoint=there.url))
    assert outcome(registry) == became
    failed = registry.get_sample_value("tightlip_trace_delivery_failures_total")
    assert failed == (1 if became == "dropped" else 0)
    assert there.paths == ["/v1/traces"], "a redirect is not followed"


@pytest.mark.parametrize("answer", [b"\xff\xff\xff", b"\x00" * (traces.MOST_ANSWER_BYTES + 1)])
async def test_an_answer_that_is_none_is_a_refusal(there: Collected, answer: bytes) -> None:
    there.answer = answer
    assert outcome(await delivered(TraceSettings(endpoint=there.url))) == "refused"


async def test_what_it_says_of_a_part_is_counted(there: Collected) -> None:
    partly = ExportTracePartialSuccess(rejected_spans=1, error_message=CANARY)
    there.answer = ExportTraceServiceResponse(partial_success=partly).SerializeToString()
    assert outcome(await delivered(TraceSettings(endpoint=there.url))) == "refused"


async def test_nobody_is_there() -> None:
    with collector() as gone:
        pass
    assert outcome(await delivered(TraceSettings(endpoint=gone.url))) == "dropped"


async def test_it_is_known_by_its_authority_and_knows_us_by_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine, ours = authority.server(), authority.server("gateway")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(mine)
    tls.load_verify_locations(authority.ca_file)
    tls.verify_mode = ssl.CERT_REQUIRED
    known = {"client_certificate": ours, "client_key_file": str(ours)}
    with collector(tls) as there:
        assert outcome(await delivered(TraceSettings(endpoint=there.url, **known))) == "dropped"  # not the system's
        assert outcome(await delivered(TraceSettings(endpoint=there.url, ca_file=authority.ca_file))) == "dropped"
        assert there.bodies == []
        good = TraceSettings(endpoint=there.url, ca_file=authority.ca_file, **known)
        assert outcome(await delivered(good)) == "delivered"


@pytest.mark.parametrize("content", ["", "two\nlines", "Bürger", b"\xff\xfe"])
async def test_a_header_that_is_none_stops_the_start_and_is_not_quoted(tmp_path: Path, content: str | bytes) -> None:
    secret = tmp_path / "header"
    secret.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as refused:
        open_traces(
            TraceSettings(endpoint="http://127.0.0.1:1", headers={"authorization": secret}),
            Metrics(CollectorRegistry()),
        )
    assert str(refused.value) == f"{secret}: must hold one line of ASCII"
