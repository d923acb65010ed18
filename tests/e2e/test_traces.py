"""One gateway that sends its traces to a collector: whatever becomes of a request, it has one whole trace, which says
what its record says; and no variable of OpenTelemetry's has a say in that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support import scripted
from tests.support.collector import Collected, check_trace, collector, told
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.processes import stop
from tests.support.scripted import SURPRISED, Close, Engine, Error, Until
from tests.support.waiting import until

CANARY: Final = "zqvexlo"
HELD: Final = f"The e-mail on file is {CANARY}@kipmora.example. "
# Whatever OpenTelemetry's packages read that would load, add, send, cut or switch off something.
VARIABLES: Final = {
    "OTEL_SDK_DISABLED": "true",
    "OTEL_SERVICE_NAME": CANARY,
    "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment={CANARY},service.name={CANARY}",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process,os,host,otel",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "console",
    "OTEL_LOGS_EXPORTER": "console",
    "OTEL_EXPORTER_OTLP_HEADERS": f"x-canary={CANARY}",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"x-canary={CANARY}",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": f"/{CANARY}",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": f"/{CANARY}",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": f"/{CANARY}",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": CANARY,
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER": CANARY,
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_TRACES_SAMPLER_ARG": "0",
    "OTEL_PROPAGATORS": "tracecontext,baggage",
    "OTEL_BSP_SCHEDULE_DELAY": "3600000",
    "OTEL_BSP_MAX_QUEUE_SIZE": "1",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1",
    "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider",
    "OTEL_PYTHON_METER_PROVIDER": "sdk_meter_provider",
    "OTEL_PYTHON_CONTEXT": "no_such_context",
    "OTEL_PYTHON_ID_GENERATOR": CANARY,
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": ".*",
    "OTEL_CONFIG_FILE": f"/{CANARY}",
    "TRACEPARENT": "00-11111111111111111111111111111111-2222222222222222-01",
}
PATH: Final = "/v1/chat/completions"
CHAT: Final = {"model": MODEL, "messages": [{"role": "user", "content": f"Hello, {CANARY}?"}]}
THEIRS: Final = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class Trace:
    """Of one request: its record, its own span, and those below."""

    record: dict[str, Any]
    first: Span
    below: list[Span]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.below]

    def only(self, name: str) -> Span:
        (found,) = (span for span in self.below if span.name == name)
        return found


@dataclass(frozen=True)
class Traced:
    """`elsewhere` is where OpenTelemetry's variables say that traces go."""

    front: Gateway
    there: Collected
    elsewhere: Collected
    engine: Engine

    def ask(
        self, status: int = 200, path: str = "/v1/chat/completions", token: str | None = None, **more: Any
    ) -> Trace:
        """One request with a body of more fields than an ordinary one, and what came of it."""
        headers = {"authorization": f"Bearer {token or self.front.token(subject=CANARY)}", "x-canary": CANARY}
        headers |= {"traceparent": THEIRS, "tracestate": f"a={CANARY}", "baggage": f"a={CANARY}"}
        with httpx.Client(base_url=self.front.public, headers=headers, timeout=60, trust_env=False) as client:
            response = client.post(path, json=CHAT | more)
        assert response.status_code == status, response.text
        return self.of(response.headers["x-request-id"])

    def records(self, request: str) -> list[dict[str, Any]]:
        return [each for each in self.front.records if each["event"] == "request" and each["request_id"] == request]

    def of(self, request: str) -> Trace:
        until(lambda: self.records(request))
        (record,) = self.records(request)
        until(lambda: record["trace"] in self.there.traces)
        spans = self.there.traces[record["trace"]]
        first = check_trace(spans)
        assert told(first)["tightlip.request_id"] == request
        return Trace(record, first, spans[1:])


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    with (
        scripted.engine() as engine,
        collector() as there,
        collector() as elsewhere,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            patch.setenv(name, elsewhere.url)
        configuration = settings(
            server(engine.url, "tuned"),
            server(engine.url, "base"),
            scripted.tokenizer(folder),
            traces={"endpoint": there.url, "every_seconds": 0.1, "last_seconds": 60.0},
        )
        with gateway(folder, configuration) as front:
            yield Traced(front, there, elsewhere, engine)


@pytest.fixture
def engine(traced: Traced) -> Engine:
    traced.engine.reset()
    return traced.engine


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer(traced: Traced, engine: Engine, stream: bool) -> None:
    trace = traced.ask(stream=stream)
    assert trace.names == ["authenticate", "read", "admit", "budget", "prepare", "chat tuned"]
    assert trace.first.name == "POST /v1/chat/completions"
    says = told(trace.first)
    assert (says["http.response.status_code"], says["gen_ai.response.finish_reasons"]) == (200, ["stop"])
    assert says["gen_ai.usage.output_tokens"] == trace.record["tokens_out"] > 0
    assert says["tightlip.subject"] == trace.record["subject"]
    assert says["client.address"] == trace.record["address"] == "127.0.0.0/24"
    assert trace.first.status.code == Status.STATUS_CODE_UNSET
    call = told(trace.only("chat tuned"))
    assert engine.url == f"http://{call['server.address']}:{call['server.port']}"


def test_a_fallback_and_the_question_that_led_to_it(traced: Traced, engine: Engine) -> None:
    engine.tuned, engine.score = (HELD,), SURPRISED
    trace = traced.ask()
    question, fallback = trace.only("question"), trace.only("fall_back")
    parents = {trace.only("text_completion base").parent_span_id, trace.only("chat base").parent_span_id}
    assert parents == {question.span_id, fallback.span_id}
    assert (told(trace.first)["tightlip.fallback"], told(trace.first)["tightlip.findings.EMAIL"]) == (True, 1)


def test_a_refused_token_ends_with_its_code(traced: Traced, engine: Engine) -> None:
    trace = traced.ask(401, token=CANARY)
    assert trace.names == ["authenticate"]
    assert told(trace.only("authenticate"))["error.type"] == told(trace.first)["error.type"] == trace.record["error"]
    assert trace.first.status.code == Status.STATUS_CODE_UNSET, "it is the caller's mistake"
    assert not told(trace.first).keys() & {"tightlip.subject", "tightlip.role"}


@pytest.mark.parametrize(
    ("status", "more", "steps"),
    [
        (404, {"model": CANARY}, ["authenticate", "read", "admit"]),
        (400, {"messages": CANARY}, ["authenticate", "read", "admit"]),
        (404, {"path": f"/v1/{CANARY}"}, []),
        (403, {"path": "/v1/completions", "messages": None, "prompt": CANARY}, ["authenticate", "read", "admit"]),
    ],
)
def test_a_refused_request(traced: Traced, engine: Engine, status: int, more: dict[str, Any], steps: list[str]) -> None:
    trace = traced.ask(status, **more)
    assert trace.names == steps
    assert told(trace.first)["error.type"] == trace.record["error"]


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ((Error(500, CANARY.encode()),), 502, "upstream_error"),
        ((Error(503, CANARY.encode()),), 503, "upstream_unavailable"),
        ((HELD.rstrip(". "), Close()), 502, "upstream_error"),
    ],
)
def test_a_model_server_that_fails(traced: Traced, engine: Engine, said: Any, status: int, code: str) -> None:
    engine.tuned = said
    trace = traced.ask(status)
    assert told(trace.first)["error.type"] == told(trace.only("chat tuned"))["error.type"] == code
    assert {trace.first.status.code, trace.only("chat tuned").status.code} == {Status.STATUS_CODE_ERROR}


def test_a_base_that_fails_in_a_fallback(traced: Traced, engine: Engine) -> None:
    engine.tuned, engine.score, engine.base = (HELD,), SURPRISED, (Error(500, CANARY.encode()),)
    trace = traced.ask(502)
    assert (
        told(trace.only("fall_back"))["error.type"] == told(trace.only("chat base"))["error.type"] == "upstream_error"
    )


def test_a_caller_that_goes_away(traced: Traced, engine: Engine) -> None:
    engine.tuned = ("Good day. More of it. And mo", Until(go_on := threading.Event()))
    with (
        traced.front.client() as client,
        client.stream("POST", PATH, json=CHAT | {"stream": True}) as response,
    ):
        next(response.iter_text())
    trace = traced.of(response.headers["x-request-id"])
    go_on.set()
    assert told(trace.first)["tightlip.cancelled"] is trace.record["cancelled"] is True
    assert told(trace.only("chat tuned"))["error.type"] == "cancelled"
    assert trace.only("chat tuned").status.code == Status.STATUS_CODE_UNSET


def test_a_model_server_hears_of_no_trace(traced: Traced, engine: Engine) -> None:
    traced.ask()
    heads = "\n".join(engine.headers).lower()
    assert "x-request-id" in heads
    assert not [name for name in ("traceparent", "tracestate", "baggage") if name in heads]


def test_nothing_that_was_said_came_to_the_collector_and_nothing_went_elsewhere(traced: Traced, engine: Engine) -> None:
    """The last of the file: all that the others caused lies there by now, and what has ended when the process does."""
    with traced.front.client() as client:
        request = client.post(PATH, json=CHAT).headers["x-request-id"]
    assert stop(traced.front.child) == 0
    assert traced.of(request).first.name == f"POST {PATH}"
    everything = b"\n".join(traced.there.bodies) + repr(traced.there.headers).encode()
    theirs = bytes.fromhex(THEIRS.split("-")[1])
    assert not [word for word in (CANARY.encode(), b"kipmora", b"Hello", theirs) if word in everything]
    assert (traced.elsewhere.bodies, set(traced.there.paths)) == ([], {"/v1/traces"})
    assert {name for head in traced.there.headers for name in head} == {
        "host",
        "content-type",
        "content-length",
        "accept-encoding",
    }
    (says,) = {
        tuple((pair.key, pair.value.string_value) for pair in resource.resource.attributes)
        for message in traced.there.messages
        for resource in message.resource_spans
    }
    assert dict(says)["service.name"] == "tightlip"
    assert CANARY not in traced.front.output
