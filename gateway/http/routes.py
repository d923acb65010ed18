"""The public surface: four paths. A request is read downwards here; each stop has a type that the next asks for."""

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
from gateway.encryption.opening import Caller, Opener
from gateway.errors import (
    BodyTooLarge,
    CallerError,
    EncryptionFault,
    GatewayError,
    MethodNotAllowed,
    NotAuthenticated,
    NotDecrypted,
    NotFound,
)
from gateway.http import inbound
from gateway.http.accounting import record_of
from gateway.http.arrivals import caller_certificate
from gateway.http.envelope import Sealed, envelope_of, seal
from gateway.http.headers import error_response, json_response
from gateway.in_force import InForce
from gateway.limits import Admission, Limiter
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.steps import Kind
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
    opener: Opener | None = None  # None: no role encrypts

    async def chat(self, request: Request) -> ASGIApp:
        return await self._complete(request, Endpoint.CHAT)

    async def completions(self, request: Request) -> ASGIApp:
        return await self._complete(request, Endpoint.COMPLETIONS)

    async def models(self, request: Request) -> Response:
        policy, record = self._open(request, Endpoint.MODELS)
        head = inbound.read_head(request.scope["headers"])
        principal = await self._authenticate(request, head, policy, record)
        await self._read_bodiless(request, head, principal, policy)
        names = rbac.visible_models(principal, policy.rules)
        listed = {"object": "list", "data": [_model(name) for name in names]}
        return json_response(listed, record.request_id, envelope_of(request.scope))

    async def keys(self, request: Request) -> Response:
        """Our public keys, for those whose role encrypts: to whoever asks in the plain, too, since they are public."""
        policy, record = self._open(request, Endpoint.KEYS)
        head = inbound.read_head(request.scope["headers"])
        principal = await self._authenticate(request, head, policy, record)
        rbac.check_keys_wanted(principal, policy.rules)
        if head.encrypted:
            await self._read_bodiless(request, head, principal, policy)
        assert self.opener is not None, "a policy with roles that encrypt is refused without keys"
        return json_response(self.opener.ring.now.jwks(), record.request_id, envelope_of(request.scope))

    async def _complete(self, request: Request, endpoint: Endpoint) -> ASGIApp:
        policy, record = self._open(request, endpoint)
        head = inbound.read_head(request.scope["headers"])
        principal = await self._authenticate(request, head, policy, record)
        with record.steps.step(Kind.READ):
            raw_body = await self._read_body(request, head, principal, policy)
        with record.steps.step(Kind.ADMIT):
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
        with record.steps.step(Kind.AUTHENTICATE):
            inbound.refuse_token_in_query(request.scope["query_string"])
            principal = await policy.verifier.authenticate(tokens.bearer(head.authorization))
            certificate = caller_certificate(request.scope, self.proxies)
            rbac.check_certificate(principal, policy.rules, certificate, time.time())
            principal = await policy.end_users.named(principal, head.end_user)
            record.principal = principal  # from here on a revocation ends the request
            self.revocations.check(principal)
            rbac.check_address(principal, policy.rules, record.address)
        return principal

    async def _read_body(self, request: Request, head: inbound.Head, principal: Principal, policy: InForce) -> bytes:
        encrypted = inbound.media_of(head) is inbound.Media.JOSE
        rbac.check_encryption(principal, policy.rules, encrypted=encrypted)
        raw = await inbound.read_body(head, request.receive, self.limits)
        return await self._decrypt(request, head, principal, policy, raw) if encrypted else raw

    async def _read_bodiless(self, request: Request, head: inbound.Head, principal: Principal, policy: InForce) -> None:
        """A request without a body is encrypted in a header line: what it asks stands in its path, and the message says
        to whom and to what the answer belongs."""
        rbac.check_encryption(principal, policy.rules, encrypted=bool(head.encrypted))
        if len(head.encrypted) > 1:
            raise NotDecrypted(EncryptionFault.MALFORMED)
        for message in head.encrypted:
            await self._decrypt(request, head, principal, policy, message)

    async def _decrypt(
        self, request: Request, head: inbound.Head, principal: Principal, policy: InForce, message: bytes
    ) -> bytes:
        """Its plain text. Once it is known to be this caller's, whatever he is told is sealed."""
        assert self.opener is not None, "a policy with roles that encrypt is refused without keys"
        caller = Caller(principal, _credentials(head), request.scope["path"])
        opened, sealer = await self.opener.open(message, caller, policy.clients)
        seal(request.scope, Sealed(sealer))
        await self.opener.take(opened, principal)
        if len(opened.body) > self.limits.size:
            raise BodyTooLarge
        return opened.body


def create_app(surface: Surface) -> FastAPI:
    """The public application. Its paths are those added here; everything else is 404 in OpenAI's shape.

    Plain routes: FastAPI's own would resolve dependencies and models for each request, at several times the cost of all
    that is done here, and would quote the caller's text in their errors.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY)
    app.add_route(Endpoint.CHAT.value, surface.chat, methods=["POST"])  # type: ignore[arg-type]
    app.add_route(Endpoint.COMPLETIONS.value, surface.completions, methods=["POST"])  # type: ignore[arg-type]
    app.add_route(Endpoint.MODELS.value, surface.models, methods=["GET"])
    app.add_route(Endpoint.KEYS.value, surface.keys, methods=["GET"])
    for kind, handle in _handlers(surface.metrics):
        app.add_exception_handler(kind, handle)
    return app


def _credentials(head: inbound.Head) -> str:
    """All that says whose request it is: the access token, and an assertion of who sits before the application."""
    assertions = [line.decode("latin-1") for line in head.end_user]
    return "\n".join([tokens.bearer(head.authorization), *assertions])


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
        if isinstance(error, NotDecrypted):
            metrics.not_decrypted(error.reason)
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
    return error_response(error, record.request_id, envelope_of(request.scope))
