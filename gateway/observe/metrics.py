"""Prometheus metrics. Every label has a closed set of values: whatever is not in it counts as "other"."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from filters.events import Decided
from gateway.errors import Reason, RevocationsUnknown
from gateway.policy.limits import RateLimits
from gateway.secrets.trouble import Trouble

NONE: Final = "none"  # not known at that point of the request
OTHER: Final = "other"  # not in the closed set

UPSTREAM_KINDS: Final = frozenset({"unavailable", "timeout", "busy", "broken", "refused", "error", "cut"})
# Drafted and kept; drawn from the base instead; said by the base alone when the answer's budget was spent.
BOUNDED_SOURCES: Final = frozenset({"tuned", "base", "alone"})
# "over_limit": its deadline passed before it got a place at the base server.
QUESTION_OUTCOMES: Final = frozenset({"answered", "late", "failed", "over_limit"})
LEAK_BUDGET_STEPS: Final = frozenset({"answer", "moved", "refused"})
PREFILL_PURPOSES: Final = frozenset({"question", "opening", "fallback", "bounded", "sample"})
REVOKED_WHAT: Final = frozenset({"request", "stream"})
SAMPLE_OUTCOMES: Final = frozenset({"scored", "skipped", "failed"})
VAULT_FAILURES: Final = frozenset(Trouble)
LIMITS: Final = frozenset(RateLimits.model_fields)
# Of each caller, of all of a tenant in a role, of each end user of a caller.
LIMIT_SCOPES: Final = frozenset({"caller", "role", "end_user"})
LISTENERS: Final = frozenset({"public", "management"})
# Too many in all or from an address; no header of the PROXY protocol; no handshake; neither in time.
CONNECTION_REFUSALS: Final = frozenset({"total", "address", "proxy_header", "handshake", "late"})

# Seconds. The first bucket of each is about what the gateway itself costs; the last is past any deadline in use.
LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
HOLD_BACK_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """All that the process counts. One per process; `registry` is what the management listener shows."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        models: Collection[str] = (),
        roles: Collection[str] = (),
        routes: Collection[str] = (),
        kinds: Collection[str] = (),
        vault: bool = False,
    ) -> None:
        """`vault`: there is one, so that whether it answers is a series."""
        self.registry = registry
        self._models, self._roles = frozenset(models), frozenset(roles)
        self._routes, self._kinds = frozenset(routes), frozenset(kinds)
        self._make_traffic(registry)
        self._make_filters(registry)
        self._make_process(registry)
        if vault:
            registry.register(self._vault_ok)

    # ---- requests ----------------------------------------------------------------------------------------------------

    def request(self, route: str | None, role: str | None, model: str | None, status: int, seconds: float) -> None:
        """One request has ended; `status` is what the caller saw first (an in-band error keeps 200)."""
        labels = (_closed(route, self._routes), _closed(role, self._roles), _closed(model, self._models))
        self._requests.labels(*labels, str(status) if 100 <= status < 600 else OTHER).inc()
        self._duration.labels(labels[0]).observe(seconds)

    def first_token(self, model: str, seconds: float) -> None:
        """Seconds from the request's arrival to the first released text."""
        self._first_token.labels(_closed(model, self._models)).observe(seconds)

    def tokens(self, model: str, prompt: int, released: int, generated: int) -> None:
        """True counts; what a caller's `usage` says is `prompt` and `released`."""
        name = _closed(model, self._models)
        for direction, count in (("prompt", prompt), ("released", released), ("generated", generated)):
            self._tokens.labels(name, direction).inc(count)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A request is under way while inside."""
        with self._active.track_inprogress():
            yield

    def auth_failure(self, reason: str) -> None:
        self._auth_failures.labels(_closed(reason, _REASONS)).inc()

    def revocation_refusal(self, reason: str, what: str) -> None:
        """A token that is revoked, or of which nobody can tell; `what` is of REVOKED_WHAT."""
        self._revoked.labels(_closed(reason, _REVOKED_REASONS), _closed(what, REVOKED_WHAT)).inc()

    def limits_unknown(self) -> None:
        """The store did not say what a caller has asked."""
        self._limits_unknown.inc()

    def limit_refused(self, role: str, limit: str, scope: str) -> None:
        """A request was refused by a limit; `limit` is of LIMITS, `scope` of LIMIT_SCOPES."""
        labels = _closed(role, self._roles), _closed(limit, LIMITS), _closed(scope, LIMIT_SCOPES)
        self._limit_refusals.labels(*labels).inc()

    # ---- filters -----------------------------------------------------------------------------------------------------

    def decided(self, model: str, decided: Decided) -> None:
        labels = _closed(model, self._models), _closed(decided.kind, self._kinds), decided.verdict.value
        self._verdicts.labels(*labels).inc()
        if decided.excess_bits is not None:
            self._excess.labels(labels[0]).observe(decided.excess_bits)

    def hold_back(self, seconds: float) -> None:
        """How long a piece of text waited from its arrival until it was decided."""
        self._hold_back.observe(seconds)

    def question(self, model: str, outcome: str, seconds: float) -> None:
        """One question to the base model; `outcome` is of QUESTION_OUTCOMES."""
        name = _closed(model, self._models)
        self._questions.labels(name, _closed(outcome, QUESTION_OUTCOMES)).inc()
        self._question_seconds.labels(name).observe(seconds)

    def sample(self, model: str, outcome: str, bits_per_token: float | None = None) -> None:
        """A segment was picked to be scored for this metric alone; `outcome` is of SAMPLE_OUTCOMES."""
        name = _closed(model, self._models)
        self._samples.labels(name, _closed(outcome, SAMPLE_OUTCOMES)).inc()
        if bits_per_token is not None:
            self._specificity.labels(name).observe(bits_per_token)

    def benign_bits(self, model: str, median: float, p95: float) -> None:
        """What a model's release says of the same figure on benign traffic."""
        for quantile, bits in (("0.5", median), ("0.95", p95)):
            self._benign.labels(_closed(model, self._models), quantile).set(bits)

    def tuned_question(self, model: str, outcome: str) -> None:
        """One question to the tuned model, beside the same one to the base; `outcome` is of QUESTION_OUTCOMES."""
        self._tuned_questions.labels(_closed(model, self._models), _closed(outcome, QUESTION_OUTCOMES)).inc()

    def prefilled(self, model: str, purpose: str, tokens: int) -> None:
        """Tokens that a base server was given to read; `purpose` is of PREFILL_PURPOSES."""
        self._prefilled.labels(_closed(model, self._models), _closed(purpose, PREFILL_PURPOSES)).inc(tokens)

    def fallback(self, model: str) -> None:
        self._fallbacks.labels(_closed(model, self._models)).inc()

    def bounded(self, model: str, source: str, count: int) -> None:
        """Tokens of an answer in bounded mode; `source` is of BOUNDED_SOURCES."""
        self._bounded.labels(_closed(model, self._models), _closed(source, BOUNDED_SOURCES)).inc(count)

    def leak_bits(self, role: str, bits: float) -> None:
        """Excess bits of a hidden finding, which count against the budgets of its answer and its caller."""
        self._leak_bits.labels(_closed(role, self._roles)).inc(bits)

    def leak_budget(self, role: str, step: str) -> None:
        """A budget is spent; `step` is of LEAK_BUDGET_STEPS: the rest of an answer is the base's, a whole answer is, or
        there is none."""
        self._leak_budget.labels(_closed(role, self._roles), _closed(step, LEAK_BUDGET_STEPS)).inc()

    def upstream_error(self, model: str, kind: str) -> None:
        """`kind` is of UPSTREAM_KINDS."""
        self._upstream_errors.labels(_closed(model, self._models), _closed(kind, UPSTREAM_KINDS)).inc()

    # ---- the process -------------------------------------------------------------------------------------------------

    def running(self, *, version: str, policy: str, roles: Collection[str] = ()) -> None:
        """What is in force. Called again when the policy changes: the series of the one before goes. Its roles stay
        known, since answers that began under it end later; there are no more than operators have written."""
        self._roles |= frozenset(roles)
        self._info.clear()
        self._info.labels(version, policy).set(1)
        self._policy_at.set_to_current_time()

    def exemptions(self, until: Mapping[str, float]) -> None:
        """The profiles of the policy in force that are weaker than its strict one, and when that ends (seconds since
        the epoch)."""
        self._exemptions.clear()
        for profile, at in until.items():
            self._exemptions.labels(profile).set(at)

    def policy_refused(self) -> None:
        """A policy that changed on disk can't be used; the one before stays."""
        self._policy_failures.inc()

    def ready(self, state: bool) -> None:
        self._ready.set(1 if state else 0)

    def release(self, model: str, *, good: bool) -> None:
        """Whether a model is what its release says."""
        self._release.labels(model).set(1 if good else 0)

    def deny_list(self, model: str, entries: int, *, failed: bool) -> None:
        """What the deny list of a model holds now, and whether one that changed on disk could not be taken over."""
        self._denied.labels(model).set(entries)
        failures = self._deny_failures.labels(model)
        if failed:
            failures.inc()

    def keys_fetched(self, issuer: str, fault: str | None) -> None:
        """A page of keys was read, or not. `issuer` is the policy's name of it."""
        if fault is None:
            self._keys_at.labels(issuer).set_to_current_time()
        else:
            self._key_failures.labels(issuer).inc()

    def log_failed(self) -> None:
        """A record could not be written, or only later."""
        self._log_failures.inc()

    def last_use_failed(self) -> None:
        """When something was used last could not be noted in the store."""
        self._last_use_failures.inc()

    def revocations(self, age: Callable[[], float], count: Callable[[], int]) -> None:
        """Asked when the page is read: seconds since the store was last known in full, and how much it is."""
        self._revocations_age.set_function(age)
        self._revocations_known.set_function(count)

    def vault(self, trouble: Trouble | None, changed: int = 0) -> None:
        """One look at Vault: what went wrong, and how many secrets are not as they were."""
        self._vault_ok.set(trouble is None)
        self._vault_changes.inc(changed)
        if trouble is not None:
            self._vault_failures.labels(_closed(trouble, VAULT_FAILURES)).inc()

    def certificate(self, listener: str, ends: float, *, failed: bool) -> None:
        """When a listener's certificate ends, in seconds since the epoch, and whether one that changed on disk could
        not be taken over. `listener` is of LISTENERS."""
        self._certificate_ends.labels(_closed(listener, LISTENERS)).set(ends)
        failures = self._certificate_failures.labels(_closed(listener, LISTENERS))
        if failed:
            failures.inc()

    def connection_refused(self, listener: str, why: str) -> None:
        """A connection ended before there was HTTP on it; `why` is of CONNECTION_REFUSALS."""
        labels = _closed(listener, LISTENERS), _closed(why, CONNECTION_REFUSALS)
        self._connections_refused.labels(*labels).inc()

    def plaintext_upstreams(self, count: int) -> None:
        """Upstreams off loopback that are spoken to without TLS, which the settings had to allow."""
        self._plaintext.set(count)

    # ---- the series --------------------------------------------------------------------------------------------------

    def _make_traffic(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tightlip_requests", "Requests answered.", ("route", "role", "model", "status"), registry=registry
        )
        self._duration = Histogram(
            "tightlip_request_duration_seconds",
            "From the request's first byte to the answer's last.",
            ("route",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._first_token = Histogram(
            "tightlip_time_to_first_token_seconds",
            "From the request to the first released text.",
            ("model",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter("tightlip_tokens", "Tokens by direction.", ("model", "direction"), registry=registry)
        self._active = Gauge("tightlip_active_streams", "Requests under way.", registry=registry)
        self._auth_failures = Counter("tightlip_auth_failures", "Refused tokens.", ("reason",), registry=registry)
        self._revoked = Counter(
            "tightlip_revocation_refusals",
            "Requests refused and streams ended for a revocation, or because the store's are not known.",
            ("reason", "what"),
            registry=registry,
        )
        self._limit_refusals = Counter(
            "tightlip_limit_refusals",
            "Requests refused because a limit of their role's policy was reached.",
            ("role", "limit", "scope"),
            registry=registry,
        )
        self._limits_unknown = Counter(
            "tightlip_limits_unavailable",
            "Requests of callers with limits that came while the store did not answer.",
            registry=registry,
        )
        self._upstream_errors = Counter(
            "tightlip_upstream_errors", "Failures of model servers.", ("model", "kind"), registry=registry
        )

    def _make_filters(self, registry: CollectorRegistry) -> None:
        self._verdicts = Counter(
            "tightlip_verdicts",
            "Findings by type and what became of them.",
            ("model", "type", "verdict"),
            registry=registry,
        )
        self._excess = Histogram(
            "tightlip_excess_bits",
            "Bits by which the tuned model was surer than its base, per segment asked about.",
            ("model",),
            buckets=(0, 1, 2, 4, 8, 12, 16, 24, 32, 64, 128),
            registry=registry,
        )
        self._hold_back = Histogram(
            "tightlip_hold_back_seconds",
            "How long text waited until it was decided.",
            buckets=HOLD_BACK_BUCKETS,
            registry=registry,
        )
        self._questions = Counter(
            "tightlip_base_questions", "Questions to the base model.", ("model", "outcome"), registry=registry
        )
        self._tuned_questions = Counter(
            "tightlip_tuned_questions",
            "Questions to tuned models that send no log-probabilities with their text.",
            ("model", "outcome"),
            registry=registry,
        )
        self._question_seconds = Histogram(
            "tightlip_base_question_seconds",
            "How long the base model took to answer a question.",
            ("model",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._specificity = Histogram(
            "tightlip_specificity_bits_per_token",
            "Bits by which the tuned model was surer than its base of sampled text with nothing suspect in it.",
            ("model",),
            buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8),
            registry=registry,
        )
        self._benign = Gauge(
            "tightlip_specificity_benign_bits_per_token",
            "The same figure when the release was made, on benign traffic.",
            ("model", "quantile"),
            registry=registry,
        )
        self._samples = Counter(
            "tightlip_specificity_samples", "Segments picked for that figure.", ("model", "outcome"), registry=registry
        )
        self._prefilled = Counter(
            "tightlip_base_prefilled_tokens",
            "Tokens that the base model was given to read.",
            ("model", "purpose"),
            registry=registry,
        )
        self._bounded = Counter(
            "tightlip_bounded_tokens",
            "Tokens of answers in bounded mode by where they came from.",
            ("model", "source"),
            registry=registry,
        )
        self._fallbacks = Counter(
            "tightlip_fallbacks", "Answers handed to the base model.", ("model",), registry=registry
        )

        self._leak_bits = Counter(
            "tightlip_leak_budget_bits",
            "Excess bits of what was judged memorised and hidden.",
            ("role",),
            registry=registry,
        )
        self._leak_budget = Counter(
            "tightlip_leak_budget_spent", "What spent budgets led to.", ("role", "step"), registry=registry
        )

    def _make_process(self, registry: CollectorRegistry) -> None:
        self._info = Gauge("tightlip_info", "What is in force; always 1.", ("version", "policy"), registry=registry)
        self._policy_at = Gauge(
            "tightlip_policy_loaded_timestamp_seconds", "When the policy in force was read.", registry=registry
        )
        self._exemptions = Gauge(
            "tightlip_weaker_profile_expiry_timestamp_seconds",
            "When a profile that is weaker than the strict one expires, or has expired.",
            ("profile",),
            registry=registry,
        )
        self._policy_failures = Counter(
            "tightlip_policy_reload_failures",
            "Policies that changed on disk and could not be used; the one before stays.",
            registry=registry,
        )
        self._keys_at = Gauge(
            "tightlip_issuer_keys_timestamp_seconds",
            "When an issuer's page of keys was last read.",
            ("issuer",),
            registry=registry,
        )
        self._key_failures = Counter(
            "tightlip_issuer_key_failures", "Pages of keys that could not be read.", ("issuer",), registry=registry
        )
        self._log_failures = Counter(
            "tightlip_log_failures", "Records that could not be written at once.", registry=registry
        )
        self._last_use_failures = Counter(
            "tightlip_last_use_failures", "Last uses that could not be told to the store.", registry=registry
        )
        self._revocations_age = Gauge(
            "tightlip_revocations_age_seconds", "Since when the store's revocations are not known.", registry=registry
        )
        self._revocations_known = Gauge("tightlip_revocations", "Revocations in force.", registry=registry)
        self._ready = Gauge("tightlip_ready", "1 while the process takes requests.", registry=registry)
        self._release = Gauge(
            "tightlip_release_ok", "1 while a model is what its release says.", ("model",), registry=registry
        )
        self._denied = Gauge(
            "tightlip_deny_list_entries", "Values on a model's deny list.", ("model",), registry=registry
        )
        self._deny_failures = Counter(
            "tightlip_deny_list_reload_failures",
            "Deny lists that changed on disk and could not be used; the one before stays.",
            ("model",),
            registry=registry,
        )
        self._vault_ok = Gauge(
            "tightlip_vault_ok",
            "1 while Vault gives what it is asked for; without it what was read stays.",
            registry=None,  # only where there is one: it would be 0 everywhere else
        )
        self._vault_failures = Counter(
            "tightlip_vault_failures", "Looks at Vault that came to nothing.", ("reason",), registry=registry
        )
        self._vault_changes = Counter(
            "tightlip_vault_secret_changes", "Secrets in Vault that were not as before.", registry=registry
        )
        self._certificate_ends = Gauge(
            "tightlip_certificate_expiry_timestamp_seconds",
            "When a listener's certificate ends.",
            ("listener",),
            registry=registry,
        )
        self._certificate_failures = Counter(
            "tightlip_certificate_reload_failures",
            "Certificates that changed on disk and could not be used; the one before stays.",
            ("listener",),
            registry=registry,
        )
        self._connections_refused = Counter(
            "tightlip_connections_refused",
            "Connections that ended before there was HTTP on them.",
            ("listener", "reason"),
            registry=registry,
        )
        self._plaintext = Gauge(
            "tightlip_plaintext_upstreams", "Model servers off loopback spoken to without TLS.", registry=registry
        )


_REASONS: Final = frozenset(Reason)
_REVOKED_REASONS: Final = frozenset(name for name in Reason if name.startswith("revoked_")) | {
    str(RevocationsUnknown.code)
}


def _closed(value: str | None, known: frozenset[str]) -> str:
    if value is None:
        return NONE
    return str(value) if value in known else OTHER
