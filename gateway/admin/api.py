"""The administration API, below /admin/v1 on the management listener. A call is read downwards here.

1. Where the policy has no `administration`, nothing is here. On the public listener nothing ever is.
2. A token is one of administration's own issuers and audiences, and has one role. It is verified as callers' are; the
   same revocations hold, and while nobody can tell what is revoked nobody administrates.
3. What a call is about to do is worked out before anything is done, and is written down before (ASKED) and after. What
   can't be written down is not done.
4. A refused call is written down too, with what a good token proved and nothing else that it said
   (gateway/refusals.py: how many). A good token is not refused because others failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.addresses import NO_PROXIES
from gateway.admin.actions import ACTIONS, Action, Asked, Parts, Prepared
from gateway.audit_log import Action as Name
from gateway.audit_log import AuditLog, AuditRecord, AuditUnavailable, By, Outcome, Target, code_of
from gateway.auth import binding, rbac, tokens
from gateway.errors import (
    BadField,
    CallerError,
    GatewayError,
    MethodNotAllowed,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotRecordable,
    OutcomeNotRecorded,
    PolicyRefused,
    RequestTimeout,
    TooManyRefused,
    UnknownField,
)
from gateway.http import inbound
from gateway.http.accounting import new_request_id
from gateway.http.arrivals import caller_certificate, origin_of
from gateway.http.envelope import PLAIN
from gateway.http.headers import error_response, json_response
from gateway.in_force import InForce
from gateway.observe.metrics import Metrics
from gateway.policy.body import BodyBounds, parse_object
from gateway.policy.schema import ADMIN_PREFIX, AdministrationPolicy
from gateway.refusals import Refusals
from gateway.reload import Reload
from gateway.revocations import RevocationFeed
from gateway.types import Principal, RequestId

LIMITS: Final = inbound.BodyLimits(16 * 1024, 10.0, json=BodyBounds(depth=8, values=100))
MOST_AT_ONCE: Final = 8  # calls of one administrator; his others wait, so that the log's one thread is everybody's
TELL_EVERY: Final = 60.0  # seconds between two records of refused calls that were only counted


Turns = WeakValueDictionary[tuple[str, str], asyncio.Semaphore]


@dataclass(slots=True)
class Call:
    """One call, and how far it is known."""

    id: RequestId
    action: Name
    address: str | None
    policy: str
    administrator: Principal | None = None
    target: Target | None = None

    @property
    def who(self) -> str:
        """By whom refusals are counted."""
        return f"subject {self.administrator.subject}" if self.administrator else f"address {self.address}"

    def record(self, outcome: Outcome, code: str | None = None, policy_after: str | None = None) -> AuditRecord:
        by = By.TOKEN if self.administrator else By.NOBODY
        return AuditRecord(
            action=self.action,
            outcome=outcome,
            by=by,
            request_id=self.id,
            principal=self.administrator,
            address=self.address,
            target=self.target,
            code=code,
            policy_before=self.policy,
            policy_after=policy_after,
        )


@dataclass(frozen=True, slots=True)
class Administration:
    """What the API works with. `uncaught` hears of mistakes of ours, by the exception's type."""

    parts: Parts
    revocations: RevocationFeed
    audit: AuditLog
    metrics: Metrics
    uncaught: Callable[[type[BaseException]], None]
    clock: Callable[[], float] = time.monotonic
    refusals: Refusals = field(default_factory=Refusals)
    turns: Turns = field(default_factory=WeakValueDictionary)

    async def answer(self, action: Action, request: Request) -> Response:
        """One call, whatever becomes of it."""
        policy = self.parts.policies.now
        call = _call(action.name, request, policy)
        if policy.administrators is None:
            return error_response(NotFound(), call.id, PLAIN)
        try:
            prepared = await self._admitted(action, request, policy, call)
        except GatewayError as error:
            return await self._refuse(call, error)
        async with self._turn(call.administrator):
            return await self._do(prepared, call)

    def _turn(self, administrator: Principal | None) -> asyncio.Semaphore:
        """His, for as long as somebody has it or waits for it."""
        assert administrator is not None
        return self.turns.setdefault((administrator.issuer, administrator.subject), asyncio.Semaphore(MOST_AT_ONCE))

    async def strange(self, request: Request, error: GatewayError) -> Response:
        """A path or method that is not there."""
        policy = self.parts.policies.now
        call = _call(Name.UNKNOWN, request, policy)
        if policy.administrators is None:
            return error_response(NotFound(), call.id, PLAIN)
        return await self._refuse(call, error)

    # ---- may he ------------------------------------------------------------------------------------------------------

    async def _admitted(self, action: Action, request: Request, policy: InForce, call: Call) -> Prepared:
        """Raises GatewayError; nothing is done yet."""
        administration = policy.rules.policy.administration
        assert administration is not None
        head = inbound.read_head(request.scope["headers"])
        call.administrator = await self._authenticated(request, head, policy, administration)
        self.revocations.check(call.administrator)
        rbac.check_network(call.address, administration.networks)
        if call.administrator.role != ADMIN_PREFIX + action.role:
            raise NotAllowed
        body = await _body(action, head, request)
        query = _query(request.scope["query_string"], action.query)
        asked = Asked(call.administrator, policy, body, request.path_params, query)
        prepared = action.prepare(self.parts, asked)
        call.target = prepared.target
        return prepared

    async def _authenticated(
        self, request: Request, head: inbound.Head, policy: InForce, administration: AdministrationPolicy
    ) -> Principal:
        inbound.refuse_token_in_query(request.scope["query_string"])
        assert policy.administrators is not None
        principal = await policy.administrators.authenticate(tokens.bearer(head.authorization))
        certificate = caller_certificate(request.scope, NO_PROXIES)
        binding.check(principal.bound_to, certificate, time.time(), required=administration.certificate_bound)
        return principal

    # ---- written down, and done --------------------------------------------------------------------------------------

    async def _refuse(self, call: Call, error: GatewayError) -> Response:
        """A refusal stands whether it can be written down or not."""
        self.metrics.administration(call.action, "refused")
        if isinstance(error, NotAuthenticated):
            self.metrics.auth_failure(error.reason)
        if not self.refusals.take(call.who, self.clock(), known=call.administrator is not None):
            return error_response(TooManyRefused(), call.id, PLAIN)
        await self._tried(call.record(Outcome.REFUSED, code_of(error)))
        return error_response(error, call.id, PLAIN)

    async def _do(self, prepared: Prepared, call: Call) -> Response:
        try:
            await self.audit.write(call.record(Outcome.ASKED))
        except AuditUnavailable:
            self.metrics.administration(call.action, "failed")
            return error_response(NotRecordable(), call.id, PLAIN)
        try:
            answer = await prepared.run()
        except GatewayError as error:
            return await self._failed(call, error)
        except Exception as error:  # noqa: BLE001 - it is written down and told of, without its text
            self.uncaught(type(error))
            return await self._failed(call, GatewayError())
        self.metrics.administration(call.action, "done")
        now = self.parts.policies.now.rules.version
        if not await self._tried(call.record(Outcome.DONE, policy_after=now)):
            return error_response(OutcomeNotRecorded(), call.id, PLAIN)
        return json_response(answer, call.id, PLAIN)

    async def _failed(self, call: Call, error: GatewayError) -> Response:
        """The server's fault may have left it half done; the caller's did not."""
        self.metrics.administration(call.action, "failed")
        outcome = Outcome.FAILED if error.status >= 500 else Outcome.REFUSED
        await self._tried(call.record(outcome, code_of(error), self.parts.policies.now.rules.version))
        return error_response(error, call.id, PLAIN)

    async def _tried(self, record: AuditRecord) -> bool:
        """Whether it was written. What is beside the point by now stands without it."""
        try:
            await self.audit.write(record)
        except AuditUnavailable:
            return False
        return True

    # ---- beside calls ------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Write down for ever how many refused calls were only counted."""
        while True:
            await asyncio.sleep(TELL_EVERY)
            await self.tell()

    async def tell(self) -> None:
        """Write down how many refused calls were only counted; what can't be written is told the next time."""
        count = self.refusals.untold()
        if not count:
            return
        policy = self.parts.policies.now.rules.version
        call = Call(new_request_id(), Name.UNKNOWN, None, policy)
        record = replace(call.record(Outcome.REFUSED, TooManyRefused.code), count=count)
        if not await self._tried(record):
            self.refusals.tell_again(count)


async def note_reload(audit: AuditLog, reload: Reload) -> None:
    """Write down what a changed file, or a signal, brought about. It holds also where that can't be done: a policy that
    is stricter must not wait for a disk."""
    record = AuditRecord(
        action=Name.RELOAD_POLICY,
        outcome=Outcome.DONE if reload.done else Outcome.REFUSED,
        by=By.FILE,
        request_id=new_request_id(),
        code=None if reload.done else PolicyRefused.code,
        policy_before=reload.before,
        policy_after=reload.now,
    )
    with suppress(AuditUnavailable):  # the log tells of that itself
        await audit.write(record)


def create_app(administration: Administration, actions: Sequence[Action] = ACTIONS) -> Starlette:
    """What is below `shapes.PREFIX`. Its paths are those of the actions; everything else is 404 or 405."""
    by_path: dict[str, dict[str, Action]] = {}
    for action in actions:
        by_path.setdefault(action.path, {})[action.method] = action

    async def strange(request: Request, error: Exception) -> Response:
        return await administration.strange(request, _from_status(error))

    app = Starlette(
        routes=[_route(path, methods, administration) for path, methods in by_path.items()],
        exception_handlers={HTTPException: strange},
    )
    app.router.redirect_slashes = False
    return app


def _route(path: str, actions: Mapping[str, Action], administration: Administration) -> Route:
    async def answer(request: Request) -> Response:
        return await administration.answer(actions[request.method], request)

    route = Route(path, answer, methods=list(actions))
    route.methods = set(actions)  # without the HEAD that Starlette adds to every GET: it would be an action too
    return route


def _from_status(error: Exception) -> GatewayError:
    if isinstance(error, HTTPException) and error.status_code == 405:
        return MethodNotAllowed(", ".join(sorted((error.headers or {}).get("Allow", "").split(", "))))
    return NotFound()


# ---- what came in ----------------------------------------------------------------------------------------------------


def _call(action: Name, request: Request, policy: InForce) -> Call:
    return Call(new_request_id(), action, origin_of(request.scope).peer, policy.rules.version)


async def _body(action: Action, head: inbound.Head, request: Request) -> Mapping[str, object]:
    """Raises CallerError."""
    if action.takes_body:
        return parse_object(await inbound.read_body(head, request.receive, LIMITS), LIMITS.json)
    try:
        async with asyncio.timeout(LIMITS.seconds):
            await _no_body(request)
    except TimeoutError:
        raise RequestTimeout from None
    return {}


async def _no_body(request: Request) -> None:
    """Raises CallerError: there is one."""
    more = True
    while more:
        message = await request.receive()
        more = message.get("more_body", False)
        if message.get("body"):
            raise CallerError


def _query(raw: bytes, known: frozenset[str]) -> Mapping[str, str]:
    """Raises UnknownField, BadField: a name that stands twice."""
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if found.keys() - known:
        raise UnknownField
    if len(found) < len(pairs):
        raise BadField
    return found
