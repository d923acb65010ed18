"""From a request's record and its steps to the spans of its trace (OTLP's messages).

1. The record's line is the source: the request's own span says what stands there and no more, under OpenTelemetry's
   names where those have one (ATTRIBUTES). So what no record tells (special categories, plain callers where those are
   hashed) no trace tells either.
2. Attributes are the sets of this file: numbers, booleans, and texts that are shaped like names. None of those that the
   conventions have for content (messages, instructions, tools, arguments) is among them; neither are events, where
   exceptions and their texts would stand, descriptions of a status, links, or anything of a header, path or query.
3. An answer that fell back for a special category alone looks like one that did not: the steps of the fallback are
   left out, and the call to the tuned model lasts until they were over. Where several choices fell back, one for such a
   category, one is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import (
    GEN_AI_OPERATION_NAME,
    GEN_AI_PROVIDER_NAME,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_RESPONSE_FINISH_REASONS,
    GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
    GEN_AI_USAGE_INPUT_TOKENS,
    GEN_AI_USAGE_OUTPUT_TOKENS,
    GenAiOperationNameValues,
)
from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT

from gateway.addresses import port_of
from gateway.errors import Fault
from gateway.observe.logs import RequestRecord, Value, name
from gateway.observe.steps import CANCELLED, Called, Kind, Step
from gateway.types import Endpoint

Attribute = str | int | float | bool | Sequence[str]

OWN: Final = "tightlip."  # before names that the conventions do not have
# Keys of a record's line that the conventions have a name for; every other key is ours, less UNSAID.
ATTRIBUTES: Final[Mapping[str, str]] = {
    "route": HTTP_ROUTE,
    "status": HTTP_RESPONSE_STATUS_CODE,
    "error": ERROR_TYPE,
    "address": CLIENT_ADDRESS,
    "model": GEN_AI_REQUEST_MODEL,
    "tokens_in": GEN_AI_USAGE_INPUT_TOKENS,
    "tokens_out": GEN_AI_USAGE_OUTPUT_TOKENS,
    "first_token": GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
}
UNSAID: Final = frozenset({"time", "duration", "trace"})  # a span has them by itself
FILTER_CPU: Final = OWN + "filter.cpu_seconds"
LEFT_OUT: Final = OWN + "steps_left_out"

PROVIDER: Final = "vllm"  # the conventions have no name for who serves open models; these are vLLM's own
_OPERATIONS: Final[Mapping[str, str]] = {
    Endpoint.CHAT: GenAiOperationNameValues.CHAT.value,
    Endpoint.COMPLETIONS: GenAiOperationNameValues.TEXT_COMPLETION.value,
}
_METHODS: Final[Mapping[str, str]] = {
    Endpoint.CHAT: "POST",
    Endpoint.COMPLETIONS: "POST",
    Endpoint.MODELS: "GET",
    Endpoint.KEYS: "GET",
}
_UNKNOWN_METHOD: Final = "_OTHER"  # what the conventions call one that may be anything
_SAMPLED: Final = 1
_LOCAL: Final = _SAMPLED | SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


def spans(record: RequestRecord, said: Mapping[str, Value], root: Step) -> list[Span]:
    """The request's own first. `said` is its record's line."""
    if record.fell_back_shyly:
        _hide_fallbacks(root, shown=1 if record.told_fallback else 0)
    clock = _Clock(record)
    first = _span(root, root.trace.parent, clock)
    first.name, first.kind = _request_name(record.route), Span.SPAN_KIND_SERVER
    first.attributes.extend(_pairs(_of_request(record, said, root)))
    if record.fault is not None and record.fault is not Fault.CALLER:
        first.status.code = Status.STATUS_CODE_ERROR
    return [first, *_below(root, clock)]


class _Clock:
    """The record's two clocks put the steps' times into the one of the others."""

    def __init__(self, record: RequestRecord) -> None:
        self._ahead = record.arrived - record.clock
        self._end = record.clock + (record.duration or 0.0)

    def nanoseconds(self, moment: float | None) -> int:
        """Since the epoch. What has not ended has with the request, and nothing did later."""
        return int(((self._end if moment is None else min(moment, self._end)) + self._ahead) * 1e9)


def _below(step: Step, clock: _Clock) -> Iterator[Span]:
    for each in step.within:
        span = _span(each, step.id, clock)
        span.name = each.kind.value
        if each.called is not None:
            span.kind, span.name = Span.SPAN_KIND_CLIENT, _call_name(each.called)
            span.attributes.extend(_pairs(_of_call(each.called)))
        if each.error is not None:
            span.attributes.extend(_pairs({ERROR_TYPE: name(each.error)}))
            if each.error != CANCELLED:
                span.status.code = Status.STATUS_CODE_ERROR
        yield span
        yield from _below(each, clock)


def _span(step: Step, parent: int | None, clock: _Clock) -> Span:
    remote = step.kind is Kind.REQUEST and parent is not None
    return Span(
        trace_id=step.trace.id.to_bytes(16, "big"),
        span_id=step.id.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent is not None else b"",
        flags=_REMOTE if remote else _LOCAL,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=clock.nanoseconds(step.begun),
        end_time_unix_nano=clock.nanoseconds(step.ended),
    )


def _hide_fallbacks(root: Step, *, shown: int) -> None:
    """All but so many. The last call of the tuned model, which they go on from, ends when they do."""
    hidden = [each for each in root.within if each.kind is Kind.FALL_BACK][shown:]
    root.within[:] = [each for each in root.within if each not in hidden]
    calls = [each for each in root.within if each.kind is Kind.CALL]
    if hidden and calls:
        last, ends = calls[-1], [each.ended for each in (*hidden, calls[-1]) if each.ended is not None]
        last.ended, last.error = max(ends) if len(ends) > len(hidden) else None, None


# ---- what they say ---------------------------------------------------------------------------------------------------


def _request_name(route: str | None) -> str:
    return f"{_METHODS[route]} {route}" if route is not None and route in _METHODS else "HTTP"


def _of_request(record: RequestRecord, said: Mapping[str, Value], root: Step) -> dict[str, Attribute | None]:
    attributes: dict[str, Attribute | None] = {
        HTTP_REQUEST_METHOD: _METHODS.get(record.route or "", _UNKNOWN_METHOD),
        GEN_AI_OPERATION_NAME: _OPERATIONS.get(record.route or ""),
        GEN_AI_RESPONSE_FINISH_REASONS: [ending for _, ending in sorted(record.endings.items())] or None,
        FILTER_CPU: round(record.filter_cpu, 4) or None,
        LEFT_OUT: root.trace.left_out or None,
    }
    for key, value in said.items():
        if key not in UNSAID:
            attributes |= _of_key(key, value)
    return attributes


def _of_key(key: str, value: Value) -> dict[str, Attribute | None]:
    if isinstance(value, Mapping):
        return {f"{OWN}{key}.{kind}": count for kind, count in value.items()}
    if key == "status" and not value:  # the caller went before there was one
        return {}
    return {ATTRIBUTES.get(key, OWN + key): value}


def _call_name(called: Called) -> str:
    operation = _OPERATIONS.get(called.path)
    return f"{operation} {name(called.model)}" if operation else f"HTTP {called.path}"


def _of_call(called: Called) -> dict[str, Attribute | None]:
    at = urlsplit(called.at)
    return {
        GEN_AI_OPERATION_NAME: _OPERATIONS.get(called.path),
        GEN_AI_PROVIDER_NAME: PROVIDER,
        GEN_AI_REQUEST_MODEL: name(called.model),
        SERVER_ADDRESS: at.hostname,
        SERVER_PORT: port_of(at),
    }


def _pairs(attributes: Mapping[str, Attribute | None]) -> Iterator[KeyValue]:
    return (KeyValue(key=key, value=_any(value)) for key, value in attributes.items() if value is not None)


def _any(value: Attribute) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[_any(each) for each in value]))
