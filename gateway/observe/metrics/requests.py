"""What was asked, what came back and how soon; who was refused, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.observe.metrics.labels import (
    ADMIN_ACTIONS,
    ADMIN_RESULTS,
    CONNECTION_REFUSALS,
    ENCRYPTION_FAULTS,
    ERROR_CODES,
    FAULTS,
    LIMIT_SCOPES,
    LIMITS,
    LISTENERS,
    OTHER,
    REASONS,
    REVOKED_REASONS,
    REVOKED_WHAT,
    Known,
    closed,
)
from gateway.observe.metrics.make import SHORT_BUCKETS, Maker
from gateway.types import Release


class Requests:
    """Requests and their answers."""

    def __init__(self, make: Maker, known: Known) -> None:
        self._known = known
        self._requests = make.counter(
            "tightlip_requests", "Requests answered.", "route", "role", "model", "release", "status"
        )
        self._errors = make.counter(
            "tightlip_errors",
            "Requests that ended with an error, in a stream that had begun too, by whose fault it was.",
            "route",
            "code",
            "fault",
        )
        self._tokens = make.counter("tightlip_tokens", "Tokens by direction.", "model", "release", "direction")
        self._active = make.gauge("tightlip_active_streams", "Requests under way.")
        self._make_times(make)

    def _make_times(self, make: Maker) -> None:
        self._duration = make.histogram(
            "tightlip_request_duration_seconds", "From the request's first byte to the answer's last.", "route"
        )
        self._first_token = make.histogram(
            "tightlip_time_to_first_token_seconds", "From the request to the first released text.", "model", "release"
        )
        self._gap = make.histogram(
            "tightlip_inter_token_gap_seconds",
            "Between two pieces of released text of one answer.",
            "model",
            "release",
            buckets=SHORT_BUCKETS,
        )
        self._overhead = make.histogram(
            "tightlip_gateway_overhead_seconds",
            "What the gateway itself adds to an answer: until a model server is asked, and the filters' work.",
            "model",
            "release",
            buckets=SHORT_BUCKETS,
        )

    def request(
        self, route: str | None, role: str | None, model: str | None, release: str | None, status: int, seconds: float
    ) -> None:
        """One request has ended; `status` is what the caller saw first (an in-band error keeps 200)."""
        labels = self._known.route(route), self._known.role(role), *self._known.served(model, release)
        self._requests.labels(*labels, str(status) if 100 <= status < 600 else OTHER).inc()
        self._duration.labels(labels[0]).observe(seconds)

    def failed(self, route: str | None, code: str, fault: str | None) -> None:
        """One request has ended with an error, whatever its caller had seen by then; `fault` is of FAULTS."""
        self._errors.labels(self._known.route(route), closed(code, ERROR_CODES), closed(fault, FAULTS)).inc()

    def first_token(self, release: Release, seconds: float) -> None:
        """Seconds from the request's arrival to the first released text."""
        self._first_token.labels(*self._known.release(release)).observe(seconds)

    def gap(self, release: Release, seconds: float) -> None:
        """Seconds between two pieces of released text of one answer."""
        self._gap.labels(*self._known.release(release)).observe(seconds)

    def overhead(self, release: Release, seconds: float) -> None:
        """Seconds of one answer in which the gateway worked and no model server was waited for."""
        self._overhead.labels(*self._known.release(release)).observe(seconds)

    def tokens(self, release: Release, prompt: int, released: int, generated: int) -> None:
        """True counts; what a caller's `usage` says is `prompt` and `released`."""
        names = self._known.release(release)
        for direction, count in (("prompt", prompt), ("released", released), ("generated", generated)):
            self._tokens.labels(*names, direction).inc(count)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A request is under way while inside."""
        with self._active.track_inprogress():
            yield


class Refusals:
    """Those who were not let in, and those who administrate."""

    def __init__(self, make: Maker, known: Known) -> None:
        self._known = known
        self._auth_failures = make.counter("tightlip_auth_failures", "Refused tokens.", "reason")
        self._not_decrypted = make.counter(
            "tightlip_requests_not_decrypted", "Encrypted requests that were refused.", "reason"
        )
        self._revoked = make.counter(
            "tightlip_revocation_refusals",
            "Requests refused and streams ended for a revocation, or because the store's are not known.",
            "reason",
            "what",
        )
        self._limit_refusals = make.counter(
            "tightlip_limit_refusals",
            "Requests refused because a limit of their role's policy was reached.",
            "role",
            "limit",
            "scope",
        )
        self._administration = make.counter(
            "tightlip_administration_calls", "Calls of the administration API.", "action", "result"
        )
        self._limits_unknown = make.counter(
            "tightlip_limits_unavailable", "Requests of callers with limits that came while the store did not answer."
        )
        self._connections_refused = make.counter(
            "tightlip_connections_refused",
            "Connections that ended before there was HTTP on them.",
            "listener",
            "reason",
        )

    def auth_failure(self, reason: str) -> None:
        self._auth_failures.labels(closed(reason, REASONS)).inc()

    def not_decrypted(self, fault: str) -> None:
        """An encrypted request was refused; `fault` is an EncryptionFault."""
        self._not_decrypted.labels(closed(fault, ENCRYPTION_FAULTS)).inc()

    def administration(self, action: str, result: str) -> None:
        """A call of the administration API has ended; `action` is of ADMIN_ACTIONS, `result` of ADMIN_RESULTS."""
        self._administration.labels(closed(action, ADMIN_ACTIONS), closed(result, ADMIN_RESULTS)).inc()

    def revocation_refusal(self, reason: str, what: str) -> None:
        """A token that is revoked, or of which nobody can tell; `what` is of REVOKED_WHAT."""
        self._revoked.labels(closed(reason, REVOKED_REASONS), closed(what, REVOKED_WHAT)).inc()

    def limits_unknown(self) -> None:
        """The store did not say what a caller has asked."""
        self._limits_unknown.inc()

    def limit_refused(self, role: str, limit: str, scope: str) -> None:
        """A request was refused by a limit; `limit` is of LIMITS, `scope` of LIMIT_SCOPES."""
        labels = self._known.role(role), closed(limit, LIMITS), closed(scope, LIMIT_SCOPES)
        self._limit_refusals.labels(*labels).inc()

    def connection_refused(self, listener: str, why: str) -> None:
        """A connection ended before there was HTTP on it; `why` is of CONNECTION_REFUSALS."""
        self._connections_refused.labels(closed(listener, LISTENERS), closed(why, CONNECTION_REFUSALS)).inc()
