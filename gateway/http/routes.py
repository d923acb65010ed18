"""The public surface: three paths. A request is read downwards here; each stop has a type that the next asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.addresses import NO_PROXIES, Proxies
from gateway.auth import rbac, tokens
from gateway.errors import CallerError, GatewayError, MethodNotAllowed, NotAuthenticated, NotFound
from gateway.http import inbound
from gateway.http.accounting import record_of
from gateway.http.arrivals import caller_certificate
from gateway.http.headers import error_response, json_response
from gateway.in_force import InForce
from gateway.limits import Admission, Limiter
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.policy import parameters
from gateway.revocations import RevocationFeed
from gateway.types import Endpoint, Plan, Principal

MODEL_CREATED: Final = 0  # when a model was made is nobody's business; clients want a number
OWNER: Final = "tightlip"

# FastAPI would hand exceptions, with their texts, to any OpenTelemetry that it finds, and looks for one per request.
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}

Answer = Callable[[InForce, Plan, RequestRecord, Mapping[str, str]], ASGIApp]


@dataclass(frozen=True, slots=True)
class Surface:
    """What the routes work with. `in_force` is the policy of the moment, of which each request keeps the one that it
    began with; `answer` makes the response that runs a plan, with headers that tell of the caller's limits."""

    in_force: Callable[[], InForce]
    revocations: RevocationFeed
    answer: Answer
    limits: inbound.BodyLimits
    limiter: Limiter
    metrics: Metrics
    proxies: Proxies = NO_PROXIES

    async def chat(self, request: Request) -> ASGIApp:
        return await self._complete(request, Endpoint.CHAT)

    async def completions(self, request: Request) -> ASGIApp:
        return await self._complete(request, Endpoint.COMPLETIONS)

    async def models(self, request: Request) -> Response:
        policy, record = self._open(request, Endpoint.MODELS)
        principal = await self._authenticate(request, inbound.read_head(request.scope["headers"]), policy, record)
        names = rbac.visible_models(principal, policy.rules)
        return json_response({"object": "list", "data": [_model(name) for name in names]}, record.request_id)

    async def _complete(self, request: Request, endpoint: Endpoint) -> ASGIApp:
        policy, record = self._open(request, endpoint)
        head = inbound.read_head(request.scope["headers"])
        principal = await self._authenticate(request, head, policy, record)
        raw_body = await inbound.read_body(head, request.receive, self.limits)
        asked = parameters.read(raw_body, endpoint, self.limits.json)
        grant = rbac.authorize(principal, policy.rules, endpoint, asked.model, time.time())
        record.model = grant.model
        plan = parameters.admit(asked, grant)
        admission = await self.limiter.take(plan)
        return _settling(self.answer(policy, plan, record, admission.told), admission, record)

    def _open(self, request: Request, endpoint: Endpoint) -> tuple[InForce, RequestRecord]:
        policy, record = self.in_force(), record_of(request.scope)
        record.route, record.policy = endpoint.value, policy.rules.version
        return policy, record

    async def _authenticate(
        self, request: Request, head: inbound.Head, policy: InForce, record: RequestRecord
    ) -> Principal:
        inbound.refuse_token_in_query(request.scope["query_string"])
        principal = await policy.verifier.authenticate(tokens.bearer(head.authorization))
        rbac.check_certificate(principal, policy.rules, caller_certificate(request.scope, self.proxies), time.time())
        principal = await policy.end_users.named(principal, head.end_user)
        record.principal = principal  # from here on a revocation ends the request
        self.revocations.check(principal)
        rbac.check_address(principal, policy.rules, record.address)
        return principal


def create_app(surface: Surface) -> FastAPI:
    """The public application. Its paths are those added here; everything else is 404 in OpenAI's shape.

    Plain routes: FastAPI's own would resolve dependencies and models for each request, at several times the cost of all
    that is done here, and would quote the caller's text in their errors.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY)
    app.add_route(Endpoint.CHAT.value, surface.chat, methods=["POST"])  # type: ignore[arg-type]
    app.add_route(Endpoint.COMPLETIONS.value, surface.completions, methods=["POST"])  # type: ignore[arg-type]
    app.add_route(Endpoint.MODELS.value, surface.models, methods=["GET"])
    for kind, handle in _handlers(surface.metrics):
        app.add_exception_handler(kind, handle)
    return app


def _settling(answer: ASGIApp, admission: Admission, record: RequestRecord) -> ASGIApp:
    """The answer, whose end is told to whoever counts."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await answer(scope, receive, send)
        finally:
            prompt = record.tokens_in or (admission.prompt if record.sent else 0)
            admission.end(prompt + (record.tokens_out or 0))

    return run


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": MODEL_CREATED, "owned_by": OWNER}


# ---- errors ----------------------------------------------------------------------------------------------------------

Handler = Callable[[Request, Exception], Response]


def _handlers(metrics: Metrics) -> list[tuple[type[Exception], Handler]]:
    """Every error becomes one of ours; the texts of others are not looked at."""

    def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        if isinstance(error, NotAuthenticated):
            metrics.auth_failure(error.reason)
        return _refuse(request, error)

    return [
        (GatewayError, ours),
        (HTTPException, lambda request, error: _refuse(request, _from_status(error))),
        (RequestValidationError, lambda request, _error: _refuse(request, CallerError())),
        (Exception, lambda request, error: _refuse(request, GatewayError(type(error).__name__))),
    ]


def _from_status(error: Exception) -> GatewayError:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        return MethodNotAllowed((getattr(error, "headers", None) or {}).get("Allow", ""))
    return NotFound() if status == 404 else CallerError()


def _refuse(request: Request, error: GatewayError) -> Response:
    record = record_of(request.scope)
    record.failed(error)
    return error_response(error, record.request_id)
