"""A trace says what the record's line says, under names of a closed set, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from filters.events import Decided, Ending, Origin, Verdict
from gateway.errors import ContextTooLong, GatewayError, UpstreamTimeout
from gateway.observe.logs import KEYS, Logs, RequestRecord
from gateway.observe.pseudonyms import Pseudonyms
from gateway.observe.spans import ATTRIBUTES, FILTER_CPU, LEFT_OUT, OWN, UNSAID, spans
from gateway.observe.steps import Kind, Step, Trace
from gateway.types import Principal, RequestId
from tests.gateway.support import CANARY
from tests.support.collector import check_trace, told

SENTENCE = f"{CANARY} said so."
CHAT = "/v1/chat/completions"
OF_REQUESTS = {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "error.type",
    "client.address",
    "gen_ai.operation.name",
    "gen_ai.request.model",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.response.finish_reasons",
}
OF_CALLS = {
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "server.address",
    "server.port",
    "error.type",
}
CONTENT = {  # what the conventions have for what was said
    value
    for name, value in vars(gen_ai_attributes).items()
    if name.startswith("GEN_AI_")
    and any(word in name for word in ("MESSAGES", "PROMPT", "COMPLETION", "INSTR", "TOOL"))
} - {"gen_ai.usage.completion_tokens", "gen_ai.usage.prompt_tokens"}


class Request:
    """One under way, by a clock that the test holds: `at` is how many seconds it is old."""

    def __init__(self, parent: int | None = None, **record: Any) -> None:
        self.root = Step(Trace(7, parent), Kind.REQUEST, begun=5.0)
        self.record = RequestRecord(RequestId("req_1"), 1_700_000_000.0, 5.0, steps=self.root, **record)
        self.record.principal = Principal("https://issuer.test", "acme", "alice", "jti", "customer", 0.0)

    def noted(self, kind: Kind, begun: float, ended: float | None, below: Step | None = None, **more: Any) -> Step:
        step = (below or self.root).step(kind) if kind is not Kind.CALL else (below or self.root).call(**more)
        assert isinstance(step, Step)
        step.begun, step.ended = 5.0 + begun, None if ended is None else 5.0 + ended
        return step

    def call(self, begun: float, ended: float | None, below: Step | None = None, model: str = "tuned") -> Step:
        return self.noted(Kind.CALL, begun, ended, below, path=CHAT, model=model, at="https://gpu-1.internal:8000/v")

    def spans(self, duration: float = 3.0, **logs: Any) -> list[Span]:
        self.record.duration = duration
        said = Logs(io.BytesIO(), Pseudonyms(b"k" * 32, **logs)).request(self.record)
        made = spans(self.record, said, self.root)
        check_trace(made)
        return made


def answered() -> Request:
    request = Request(route=CHAT, status=200, model="assistant", tokens_in=3, tokens_out=5, first_token=0.5)
    request.record.endings = {1: Ending.LENGTH, 0: Ending.STOP}
    request.record.filter_cpu = 0.25
    request.record.decided(Decided(0, "EMAIL", Verdict.MASK, Origin.TUNED))
    return request


def test_the_request_s_span_says_what_its_line_says() -> None:
    (span,) = answered().spans()
    said = told(span)
    assert (span.name, span.kind) == ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER)
    assert said["http.response.status_code"] == 200
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == "assistant"
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (3, 5)
    assert said["gen_ai.response.finish_reasons"] == ["stop", "length"]
    assert said["gen_ai.response.time_to_first_chunk"] == 0.5
    assert said[FILTER_CPU] == 0.25
    assert (said["tightlip.request_id"], said["tightlip.role"]) == ("req_1", "customer")
    assert (said["tightlip.findings.EMAIL"], said["tightlip.verdicts.mask"]) == (1, 1)
    assert said["tightlip.cancelled"] is False
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert (span.end_time_unix_nano - span.start_time_unix_nano) == pytest.approx(3e9, rel=1e-6)


@pytest.mark.parametrize("form", ["hashed", "plain", "off"])
def test_callers_stand_there_as_in_the_record(form: str) -> None:
    (span,) = answered().spans(subject=form)
    subject = told(span).get("tightlip.subject")
    assert (subject == "alice", subject is None) == (form == "plain", form == "off")


def test_every_key_of_a_record_has_one_name_and_no_other_has_any() -> None:
    """A key that is added to the records is added here, by this test's failing."""
    request = answered()
    request.record.address, request.record.release, request.record.upstream = "192.0.2.7", "blue", "gpu-1:8000"
    request.record.policy, request.record.trace = "p1", "0" * 31 + "7"
    request.record.failed(UpstreamTimeout("total"))
    request.record.held(0.5)
    request.root.trace.left_out = 1
    said = told(request.spans()[0])
    line = Logs(io.BytesIO(), Pseudonyms(b"k" * 32)).request(request.record)
    assert line.keys() <= KEYS
    assert all(value is not None for value in line.values()), "the record is filled"
    own = {OWN + key for key in line.keys() - ATTRIBUTES.keys() - UNSAID - {"findings", "verdicts"}}
    assert said.keys() == OF_REQUESTS | own | {
        FILTER_CPU,
        LEFT_OUT,
        "tightlip.findings.EMAIL",
        "tightlip.verdicts.mask",
    }
    assert {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions", "gen_ai.prompt"} < CONTENT
    assert not said.keys() & CONTENT


@given(text=st.text(max_size=300), place=st.sampled_from(["route", "model", "release", "policy", "error", "reason"]))
def test_no_free_text_gets_into_a_span(text: str, place: str) -> None:
    request = answered()
    setattr(request.record, place, text + SENTENCE)
    request.call(0.1, 0.2, model=text + SENTENCE).failed(ValueError(text + SENTENCE))
    request.record.principal = Principal(SENTENCE, SENTENCE, SENTENCE, SENTENCE, SENTENCE, 0)
    raw = b"".join(span.SerializeToString() for span in request.spans())
    assert CANARY.encode() not in raw
    assert b"unprintable" in raw


def test_steps_are_spans_below_it_and_calls_name_who_was_called() -> None:
    request = answered()
    request.call(0.5, 2.0)
    question = request.noted(Kind.QUESTION, 1.0, 1.5)
    request.call(1.1, 1.4, question, "base")
    first, call, asked, below = request.spans()
    assert [span.name for span in (call, asked, below)] == ["chat tuned", "question", "chat base"]
    assert (call.parent_span_id, asked.parent_span_id) == (first.span_id, first.span_id)
    assert below.parent_span_id == asked.span_id
    assert (call.kind, asked.kind) == (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL)
    assert told(asked) == {}
    assert told(call) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "tuned",
        "server.address": "gpu-1.internal",
        "server.port": 8000,
    }


def test_a_failed_step_has_its_code_and_one_that_was_broken_off_is_no_error() -> None:
    request = answered()
    request.call(0.1, 0.2).failed(UpstreamTimeout(CANARY))
    request.call(0.2, 0.3).failed(GeneratorExit())
    _, failed, cancelled = request.spans()
    assert (told(failed)["error.type"], failed.status.code) == ("upstream_timeout", Status.STATUS_CODE_ERROR)
    assert (told(cancelled)["error.type"], cancelled.status.code) == ("cancelled", Status.STATUS_CODE_UNSET)
    assert told(failed).keys() <= OF_CALLS


@pytest.mark.parametrize(
    ("error", "status"),
    [(ContextTooLong(), Status.STATUS_CODE_UNSET), (UpstreamTimeout(), Status.STATUS_CODE_ERROR)],
)
def test_a_mistake_of_the_caller_s_is_no_error_of_ours(error: GatewayError, status: Status.StatusCode) -> None:
    request = answered()
    request.record.failed(error)
    assert request.spans()[0].status.code == status


def test_a_request_that_never_had_a_route_or_a_status() -> None:
    (span,) = Request().spans()
    assert span.name == "HTTP"
    assert told(span)["http.request.method"] == "_OTHER"
    assert not told(span).keys() & {"http.route", "http.response.status_code", "gen_ai.operation.name"}


def test_what_goes_on_when_the_request_ends_ends_with_it() -> None:
    request = answered()
    request.call(0.1, None)
    request.call(0.1, 99.0)
    first, *calls = request.spans()
    assert {call.end_time_unix_nano for call in calls} == {first.end_time_unix_nano}


def test_a_trusted_caller_s_span_is_the_parent() -> None:
    (span,) = Request(parent=9).spans()
    assert span.parent_span_id == (9).to_bytes(8, "big")


# ---- special categories ----------------------------------------------------------------------------------------------


def shape(made: list[Span], told_of: Callable[[Span], Mapping[str, Any]] = told) -> list[Any]:
    """All but the ids."""
    return [
        (span.name, span.kind, span.start_time_unix_nano, span.end_time_unix_nano, span.status.code, told_of(span))
        for span in made
    ]


def fell_back(kind: str | None, *, shy: bool) -> Request:
    """A tuned model that was stopped after a second; the base answered until the third, for this finding."""
    request = answered()
    request.call(0.5, 1.0)
    step = request.noted(Kind.FALL_BACK, 1.0, 2.5)
    request.call(1.0, 2.4, step, "base")
    request.record.fallback = True
    if shy:
        request.record.decided_shyly(Decided(0, "SPECIAL_HEALTH", Verdict.FALL_BACK, Origin.TUNED))
    if kind is not None:
        request.record.decided(Decided(0, kind, Verdict.FALL_BACK, Origin.TUNED))
    return request


def test_a_fallback_for_a_special_category_alone_looks_like_none() -> None:
    plain = answered()
    plain.call(0.5, 2.5)
    assert shape(fell_back(None, shy=True).spans()) == shape(plain.spans())


def test_so_it_does_if_it_has_not_ended() -> None:
    plain, request = answered(), fell_back(None, shy=True)
    plain.call(0.5, None)
    request.root.within[-1].ended = None
    assert shape(request.spans()) == shape(plain.spans())


def test_beside_another_reason_it_adds_nothing() -> None:
    assert shape(fell_back("EMAIL", shy=True).spans()) == shape(fell_back("EMAIL", shy=False).spans())
    assert "fall_back" in [span.name for span in fell_back("EMAIL", shy=False).spans()]


def test_one_of_two_choices_that_fell_back_is_shown() -> None:
    request = fell_back("EMAIL", shy=True)
    request.noted(Kind.FALL_BACK, 1.2, 2.8)
    assert [span.name for span in request.spans()].count("fall_back") == 1
