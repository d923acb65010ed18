"""The model servers: what they were asked, how they answered, and how the two models differ."""

from __future__ import annotations

from collections.abc import Callable

from gateway.observe.metrics.labels import (
    BOUNDED_SOURCES,
    LINKS,
    PREFILL_PURPOSES,
    QUESTION_OUTCOMES,
    SAMPLE_OUTCOMES,
    UPSTREAM_KINDS,
    Known,
    closed,
)
from gateway.observe.metrics.make import Maker
from gateway.types import Release
from gateway.upstream.replicas import Replica


class Upstreams:
    """Model servers, and whether they are well."""

    def __init__(self, make: Maker, known: Known) -> None:
        self._known = known
        self._upstream_errors = make.counter(
            "tightlip_upstream_errors", "Failures of model servers.", "model", "release", "kind"
        )
        self._up = make.gauge("tightlip_upstream_up", "1 while a model server's last call was answered.", "server")
        self._plaintext = make.gauge(
            "tightlip_plaintext_upstreams", "Model servers off loopback spoken to without TLS."
        )
        self._shown = make.gauge(
            "tightlip_client_certificate_expiry_timestamp_seconds",
            "When the certificate ends that a model server, or what else the gateway needs, is shown.",
            "server",
        )
        self._plain_links = make.gauge(
            "tightlip_plaintext_links", "1 where what else the gateway needs is off loopback and without TLS.", "to"
        )
        self._make_replicas(make)
        self._keyless = make.gauge(
            "tightlip_keyless_upstreams", "Model servers that answered a call without a key when the process began."
        )
        self._prefilled = make.counter(
            "tightlip_base_prefilled_tokens",
            "Tokens that the base model was given to read.",
            "model",
            "release",
            "purpose",
        )
        self._bounded = make.counter(
            "tightlip_bounded_tokens",
            "Tokens of answers in bounded mode by where they came from.",
            "model",
            "release",
            "source",
        )

    def _make_replicas(self, make: Maker) -> None:
        self._well = make.gauge(
            "tightlip_replica_well", "0 while a model server's replica is ejected.", "server", "replica"
        )
        self._outstanding = make.gauge(
            "tightlip_replica_outstanding", "Calls under way at a model server's replica.", "server", "replica"
        )
        self._refused = make.gauge(
            "tightlip_replicas_refused", "Replicas that get nothing, not being the release's.", "model", "release"
        )

    def replica(self, replica: Replica) -> None:
        """One has changed. Its address is of the settings, its slot one of MOST."""
        labels = replica.url, str(replica.slot)
        if replica.gone:
            self._well.remove(*labels)
            self._outstanding.remove(*labels)
            return
        self._well.labels(*labels).set(not replica.ejected)
        self._outstanding.labels(*labels).set(replica.outstanding)

    def refused_replicas(self, release: Release, count: Callable[[], int]) -> None:
        """Asked for at each scrape."""
        self._refused.labels(*self._known.release(release)).set_function(count)

    def upstream_error(self, release: Release, kind: str) -> None:
        """`kind` is of UPSTREAM_KINDS."""
        self._upstream_errors.labels(*self._known.release(release), closed(kind, UPSTREAM_KINDS)).inc()

    def upstream_up(self, server: str, answered: bool) -> None:
        """A call has ended: the server answered, with whatever status, or could not be reached or not in time.
        `server` is one of the settings' addresses."""
        self._up.labels(server).set(answered)

    def shown_certificate(self, server: str, ends: float) -> None:
        """When the certificate ends that this server is shown, in seconds since the epoch. `server` is one of the
        settings' addresses, or the key of another link."""
        self._shown.labels(server).set(ends)

    def plaintext_upstreams(self, count: int) -> None:
        """Upstreams off loopback that are spoken to without TLS, which the settings had to allow."""
        self._plaintext.set(count)

    def plaintext_link(self, to: str, *, plain: bool) -> None:
        """Whether it is spoken to without TLS off loopback, which the settings had to allow. `to` is of LINKS."""
        self._plain_links.labels(closed(to, LINKS)).set(plain)

    def keyless_upstream(self) -> None:
        """One more has answered without a key."""
        self._keyless.inc()

    def prefilled(self, release: Release, purpose: str, tokens: int) -> None:
        """Tokens that a base server was given to read; `purpose` is of PREFILL_PURPOSES."""
        self._prefilled.labels(*self._known.release(release), closed(purpose, PREFILL_PURPOSES)).inc(tokens)

    def bounded(self, release: Release, source: str, count: int) -> None:
        """Tokens of an answer in bounded mode; `source` is of BOUNDED_SOURCES."""
        self._bounded.labels(*self._known.release(release), closed(source, BOUNDED_SOURCES)).inc(count)


class Questions:
    """What the two models are asked for comparison."""

    def __init__(self, make: Maker, known: Known) -> None:
        self._known = known
        self._questions = make.counter(
            "tightlip_base_questions", "Questions to the base model.", "model", "release", "outcome"
        )
        self._tuned_questions = make.counter(
            "tightlip_tuned_questions",
            "Questions to tuned models that send no log-probabilities with their text.",
            "model",
            "release",
            "outcome",
        )
        self._question_seconds = make.histogram(
            "tightlip_base_question_seconds", "How long the base model took to answer a question.", "model", "release"
        )
        self._make_specificity(make)

    def _make_specificity(self, make: Maker) -> None:
        self._specificity = make.histogram(
            "tightlip_specificity_bits_per_token",
            "Bits by which the tuned model was surer than its base of sampled text with nothing suspect in it.",
            "model",
            "release",
            buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8),
        )
        self._benign = make.gauge(
            "tightlip_specificity_benign_bits_per_token",
            "The same figure when the release was made, on benign traffic.",
            "model",
            "release",
            "quantile",
        )
        self._samples = make.counter(
            "tightlip_specificity_samples", "Segments picked for that figure.", "model", "release", "outcome"
        )

    def question(self, release: Release, outcome: str, seconds: float) -> None:
        """One question to the base model; `outcome` is of QUESTION_OUTCOMES."""
        names = self._known.release(release)
        self._questions.labels(*names, closed(outcome, QUESTION_OUTCOMES)).inc()
        self._question_seconds.labels(*names).observe(seconds)

    def tuned_question(self, release: Release, outcome: str) -> None:
        """One question to the tuned model, beside the same one to the base; `outcome` is of QUESTION_OUTCOMES."""
        self._tuned_questions.labels(*self._known.release(release), closed(outcome, QUESTION_OUTCOMES)).inc()

    def sample(self, release: Release, outcome: str, bits_per_token: float | None = None) -> None:
        """A segment was picked to be scored for this metric alone; `outcome` is of SAMPLE_OUTCOMES."""
        names = self._known.release(release)
        self._samples.labels(*names, closed(outcome, SAMPLE_OUTCOMES)).inc()
        if bits_per_token is not None:
            self._specificity.labels(*names).observe(bits_per_token)

    def benign_bits(self, release: Release, median: float, p95: float) -> None:
        """What a model's release says of the same figure on benign traffic."""
        for quantile, bits in (("0.5", median), ("0.95", p95)):
            self._benign.labels(*self._known.release(release), quantile).set(bits)
