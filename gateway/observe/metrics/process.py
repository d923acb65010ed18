"""What the process works with: policy, releases, revocations, files, keys, secrets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from gateway.observe.metrics.labels import LISTENERS, SPAN_OUTCOMES, VAULT_FAILURES, Known, closed
from gateway.observe.metrics.make import Maker
from gateway.secrets.trouble import Trouble
from gateway.types import Release


class Process:
    """What is in force."""

    def __init__(self, make: Maker, known: Known) -> None:
        self._known = known
        self._info = make.gauge("tightlip_info", "What is in force; always 1.", "version", "policy")
        self._ready = make.gauge("tightlip_ready", "1 while the process takes requests.")
        self._policy_at = make.gauge("tightlip_policy_loaded_timestamp_seconds", "When the policy in force was read.")
        self._exemptions = make.gauge(
            "tightlip_weaker_profile_expiry_timestamp_seconds",
            "When a profile that is weaker than the strict one expires, or has expired.",
            "profile",
        )
        self._make_releases(make)
        self._make_revocations(make)
        self._log_failures = make.counter("tightlip_log_failures", "Records that could not be written at once.")
        self._last_use_failures = make.counter(
            "tightlip_last_use_failures", "Last uses that could not be told to the store."
        )
        self._spans = make.counter("tightlip_trace_spans", "Spans of traces, by what became of them.", "outcome")
        self._trace_failures = make.counter(
            "tightlip_trace_delivery_failures", "Deliveries of traces that the collector did not take, and may later."
        )

    def _make_releases(self, make: Maker) -> None:
        of = "model", "release"
        self._release = make.gauge("tightlip_release_ok", "1 while a model is what its release says.", *of)
        self._share = make.gauge(
            "tightlip_release_share",
            "The part of a model's callers that a release serves, of those whose role and tenant have no choice.",
            *of,
        )
        self._withdrawn = make.gauge("tightlip_release_withdrawn", "1 while a release is withdrawn.", *of)
        self._unknown_choices = make.gauge(
            "tightlip_release_choices_unknown",
            "Choices in force that name a release which this gateway does not have: their callers are refused.",
        )

    def _make_revocations(self, make: Maker) -> None:
        self._revocations_age = make.gauge(
            "tightlip_revocations_age_seconds", "Since when the store's revocations are not known."
        )
        self._revocations_known = make.gauge("tightlip_revocations", "Revocations in force.")
        self._revocations_grace = make.gauge(
            "tightlip_revocations_grace_seconds", "From which age of them on nobody is served."
        )

    def running(self, *, version: str, policy: str, roles: Collection[str] = ()) -> None:
        """What is in force. Called again when the policy changes: the series of the one before goes. Its roles stay
        known, since answers that began under it end later; there are no more than operators have written."""
        self._known.add_roles(roles)
        self._info.clear()
        self._info.labels(version, policy).set(1)
        self._policy_at.set_to_current_time()

    def exemptions(self, until: Mapping[str, float]) -> None:
        """The profiles of the policy in force that are weaker than its strict one, and when that ends (seconds since
        the epoch)."""
        self._exemptions.clear()
        for profile, at in until.items():
            self._exemptions.labels(profile).set(at)

    def ready(self, state: bool) -> None:
        self._ready.set(1 if state else 0)

    def release(self, release: Release, *, good: bool) -> None:
        """Whether a model is what its release says."""
        self._release.labels(*release).set(1 if good else 0)

    def standing(self, release: Release, share: Callable[[], float], withdrawn: Callable[[], bool]) -> None:
        """Asked when the page is read: the part of a model's callers that this release serves, of those about whom
        there is no choice of their own, and whether it is withdrawn."""
        self._share.labels(*release).set_function(share)
        self._withdrawn.labels(*release).set_function(lambda: float(withdrawn()))

    def unknown_choices(self, count: Callable[[], int]) -> None:
        """Asked when the page is read: how many choices name a release that is not configured here."""
        self._unknown_choices.set_function(count)

    def log_failed(self) -> None:
        """A record could not be written, or only later."""
        self._log_failures.inc()

    def spans(self, outcome: str, count: int) -> None:
        """What became of so many spans: of SPAN_OUTCOMES."""
        self._spans.labels(closed(outcome, SPAN_OUTCOMES)).inc(count)

    def trace_delivery_failed(self) -> None:
        """The collector of traces could not be reached, or had no time."""
        self._trace_failures.inc()

    def last_use_failed(self) -> None:
        """When something was used last could not be noted in the store."""
        self._last_use_failures.inc()

    def revocations(self, age: Callable[[], float], count: Callable[[], int], grace: float) -> None:
        """Asked when the page is read: seconds since the store was last known in full, and how much it is. `grace`:
        seconds from which on nobody is served."""
        self._revocations_age.set_function(age)
        self._revocations_known.set_function(count)
        self._revocations_grace.set(grace)


class Files:
    """What is read again when it changes on disk. Where that can't be used the one before stays, and a gauge says so
    until it is mended."""

    def __init__(self, make: Maker, known: Known) -> None:
        self._known = known
        self._make_policy(make)
        self._make_deny_lists(make)
        self._make_certificates(make)
        self._make_encryption(make)

    def _make_policy(self, make: Maker) -> None:
        self._policy_failures = make.counter(
            "tightlip_policy_reload_failures",
            "Policies that changed on disk and could not be used; the one before stays.",
        )
        self._policy_refused = make.gauge(
            "tightlip_policy_refused", "1 while the policy on disk can't be used, and one before it is in force."
        )

    def _make_deny_lists(self, make: Maker) -> None:
        self._denied = make.gauge("tightlip_deny_list_entries", "Values on a release's deny list.", "model", "release")
        self._deny_failures = make.counter(
            "tightlip_deny_list_reload_failures",
            "Deny lists that changed on disk and could not be used; the one before stays.",
            "model",
            "release",
        )
        self._deny_refused = make.gauge(
            "tightlip_deny_list_refused",
            "1 while a deny list on disk can't be used, and one before it is.",
            "model",
            "release",
        )

    def _make_certificates(self, make: Maker) -> None:
        self._certificate_ends = make.gauge(
            "tightlip_certificate_expiry_timestamp_seconds", "When a listener's certificate ends.", "listener"
        )
        self._certificate_failures = make.counter(
            "tightlip_certificate_reload_failures",
            "Certificates that changed on disk and could not be used; the one before stays.",
            "listener",
        )
        self._certificate_refused = make.gauge(
            "tightlip_certificate_refused",
            "1 while a certificate on disk can't be used, and one before it is shown.",
            "listener",
        )

    def _make_encryption(self, make: Maker) -> None:
        self._encryption_failures = make.counter(
            "tightlip_encryption_key_reload_failures",
            "Keys for encryption that changed and could not be used; those before stay.",
        )
        self._encryption_refused = make.gauge(
            "tightlip_encryption_keys_refused", "1 while the keys for encryption can't be used, and those before are."
        )

    def encryption_keys(self, *, refused: bool) -> None:
        """Our keys for encryption have changed: they are in use, or can't be and those before stay."""
        self._encryption_failures.inc(1 if refused else 0)
        self._encryption_refused.set(refused)

    def policy(self, *, refused: bool) -> None:
        """The policy was read: it is in force, or can't be used and the one before stays."""
        self._policy_failures.inc(1 if refused else 0)
        self._policy_refused.set(refused)

    def deny_list(self, release: Release, entries: int, *, failed: bool) -> None:
        """What the deny list of a release holds now, and whether one that changed on disk could not be taken over."""
        self._denied.labels(*release).set(entries)
        self._deny_failures.labels(*release).inc(1 if failed else 0)
        self._deny_refused.labels(*release).set(failed)

    def certificate(self, listener: str, ends: float, *, failed: bool) -> None:
        """When a listener's certificate ends, in seconds since the epoch, and whether one that changed on disk could
        not be taken over. `listener` is of LISTENERS."""
        name = closed(listener, LISTENERS)
        self._certificate_ends.labels(name).set(ends)
        self._certificate_failures.labels(name).inc(1 if failed else 0)
        self._certificate_refused.labels(name).set(failed)


class Secrets:
    """Keys of issuers, and Vault."""

    def __init__(self, make: Maker, known: Known, *, vault: bool) -> None:
        """`vault`: there is one; whether it answers would be 0 everywhere else."""
        self._known = known
        self._keys_at = make.gauge(
            "tightlip_issuer_keys_timestamp_seconds", "When an issuer's page of keys was last read.", "issuer"
        )
        self._key_failures = make.counter(
            "tightlip_issuer_key_failures", "Pages of keys that could not be read.", "issuer"
        )
        self._vault_ok = (
            make.gauge("tightlip_vault_ok", "1 while Vault gives what it is asked for; without it what was read stays.")
            if vault
            else None
        )
        self._vault_failures = make.counter("tightlip_vault_failures", "Looks at Vault that came to nothing.", "reason")
        self._vault_changes = make.counter("tightlip_vault_secret_changes", "Secrets in Vault that were not as before.")

    def keys_fetched(self, issuer: str, fault: str | None) -> None:
        """A page of keys was read, or not. `issuer` is the policy's name of it."""
        if fault is None:
            self._keys_at.labels(issuer).set_to_current_time()
        else:
            self._key_failures.labels(issuer).inc()

    def vault(self, trouble: Trouble | None, changed: int = 0) -> None:
        """One look at Vault: what went wrong, and how many secrets are not as they were."""
        if self._vault_ok is not None:
            self._vault_ok.set(trouble is None)
        self._vault_changes.inc(changed)
        if trouble is not None:
            self._vault_failures.labels(closed(trouble, VAULT_FAILURES)).inc()
