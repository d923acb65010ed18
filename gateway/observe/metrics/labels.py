"""The closed sets of the labels. Whatever is not in its set counts as "other"."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from gateway.audit_log import Action
from gateway.errors import EncryptionFault, Fault, Reason, RevocationsUnknown, error_codes
from gateway.policy.limits import RateLimits
from gateway.secrets.trouble import Trouble
from gateway.types import Release

NONE: Final = "none"  # not known at that point of the request
OTHER: Final = "other"  # not in the closed set

REASONS: Final = frozenset(Reason)
ENCRYPTION_FAULTS: Final = frozenset(EncryptionFault)
REVOKED_REASONS: Final = frozenset(name for name in Reason if name.startswith("revoked_")) | {
    str(RevocationsUnknown.code)
}
ERROR_CODES: Final = error_codes()
FAULTS: Final = frozenset(Fault)
UPSTREAM_KINDS: Final = frozenset({"unavailable", "timeout", "busy", "broken", "refused", "error", "cut"})
# Drafted and kept; drawn from the base instead; said by the base alone when the answer's budget was spent.
BOUNDED_SOURCES: Final = frozenset({"tuned", "base", "alone"})
LINKS: Final = frozenset({"state", "vault", "traces"})
# "over_limit": its deadline passed before it got a place at the base server.
QUESTION_OUTCOMES: Final = frozenset({"answered", "late", "failed", "over_limit"})
LEAK_BUDGET_STEPS: Final = frozenset({"answer", "strict", "moved", "refused"})
PREFILL_PURPOSES: Final = frozenset({"question", "opening", "fallback", "bounded", "sample"})
REVOKED_WHAT: Final = frozenset({"request", "stream"})
SAMPLE_OUTCOMES: Final = frozenset({"scored", "skipped", "failed"})
# Everything in it could be judged; something was hidden, or the answer ended, because it could not be.
CHECKS: Final = frozenset({"checked", "failed_closed"})
# Of spans: the collector took them; it never will; they found no room, or the process ended.
SPAN_OUTCOMES: Final = frozenset({"delivered", "refused", "dropped"})
VAULT_FAILURES: Final = frozenset(Trouble)
LIMITS: Final = frozenset(RateLimits.model_fields)
# Of each caller, of all of a tenant in a role, of each end user of a caller.
LIMIT_SCOPES: Final = frozenset({"caller", "role", "end_user"})
ADMIN_ACTIONS: Final = frozenset(Action)
# Done; not let in, not allowed, or wrong; allowed and not done, or not known to be.
ADMIN_RESULTS: Final = frozenset({"done", "refused", "failed"})
LISTENERS: Final = frozenset({"public", "management"})
# Too many in all or from an address; no header of the PROXY protocol; no handshake; neither in time.
CONNECTION_REFUSALS: Final = frozenset({"total", "address", "proxy_header", "handshake", "late"})


class Known:
    """The names that the settings and the policy give: models, roles, routes, finding types."""

    def __init__(
        self,
        *,
        models: Mapping[str, Collection[str]] | None = None,
        roles: Collection[str] = (),
        routes: Collection[str] = (),
        kinds: Collection[str] = (),
    ) -> None:
        """`models` are the names of their releases by model."""
        self._models, self._roles = frozenset(models or ()), frozenset(roles)
        self._releases = frozenset(Release(model, name) for model, names in (models or {}).items() for name in names)
        self._routes, self._kinds = frozenset(routes), frozenset(kinds)

    def add_roles(self, roles: Collection[str]) -> None:
        """Those of a later policy; those before stay, since answers that began under it end later."""
        self._roles |= frozenset(roles)

    def served(self, model: str | None, release: str | None) -> tuple[str, str]:
        """The labels of a model and its release, either of which may not be known yet."""
        if release is None or model is None:
            return closed(model, self._models), NONE
        return self.release(Release(model, release))

    def release(self, release: Release) -> tuple[str, str]:
        """The labels of a model and its release."""
        known = release in self._releases
        return closed(release.model, self._models), release.name if known else OTHER

    def role(self, name: str | None) -> str:
        return closed(name, self._roles)

    def route(self, name: str | None) -> str:
        return closed(name, self._routes)

    def kind(self, name: str) -> str:
        return closed(name, self._kinds)


def closed(value: str | None, known: frozenset[str]) -> str:
    """The label for a value."""
    if value is None:
        return NONE
    return str(value) if value in known else OTHER
