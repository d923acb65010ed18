"""What the operator hears of a running gateway: metrics, a record, and plain words where something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway import deny_list
from gateway.audit_log import AuditUnavailable
from gateway.audit_log.lines import Head
from gateway.auth.development import DEVELOPMENT_ISSUER
from gateway.config_file import ConfigError
from gateway.errors import PolicyChanged
from gateway.http import tls
from gateway.http.lifecycle import Lifecycle
from gateway.in_force import InForce
from gateway.last_use import LastUses
from gateway.observe.logs import Logs
from gateway.observe.metrics import Metrics
from gateway.release.check import Fault
from gateway.secrets.references import VaultRef
from gateway.secrets.store import Looked
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.types import Release
from gateway.upstream.replicas import Replica
from gateway.version import own_version


@dataclass(frozen=True, slots=True)
class Operator:
    """Who watches over the process, and the three ways to tell him. `warn` takes a line of plain words."""

    metrics: Metrics
    logs: Logs
    warn: Callable[[str], None]

    def release(self, release: Release, faults: Sequence[Fault]) -> None:
        """What is wrong with one; nothing where all is well."""
        self.metrics.release(release, good=not faults)
        for fault in faults:
            self.logs.security("release_refused", fault.name.lower())
            self.warn(f"model {release}: {fault.value}")

    def replica(self, release: Release, upstream: str, replica: Replica, faults: Sequence[Fault]) -> None:
        """One of a model server's replicas is not what the release says, and gets nothing. `upstream` is the server's
        name for the model."""
        for fault in faults:
            self.logs.security("replica_refused", fault.name.lower())
            self.warn(f"model {release}: replica {replica.slot} of {replica.url} ({upstream}): {fault.value}")

    def keyless(self, server: str, path: str) -> None:
        """A model server, at this address, has answered a call of this path without a key."""
        self.metrics.keyless_upstream()
        self.logs.security("upstream_without_key", server)
        self.warn(
            f"model server {server} answers {path} without a key: whoever reaches it reads what no filter has seen"
        )

    def deny_list(self, release: Release, changed: deny_list.Reloaded) -> None:
        self.metrics.deny_list(release, changed.entries, failed=changed.refused is not None)
        self.logs.security("deny_list", "reloaded" if changed.refused is None else "refused")
        if changed.refused is not None:
            self.warn(f"model {release}: {changed.refused}; the deny list before it stays in force")

    def certificate(self, listener: str, changed: tls.Reloaded) -> None:
        self.metrics.certificate(listener, changed.ends, failed=changed.refused is not None)
        if changed.refused is not None:
            self.logs.security("certificate_refused", listener)
            self.warn(f"certificate of {listener}: {changed.refused}; the one before stays")

    def encryption_keys(self, refused: str | None) -> None:
        """They have been read again; `refused` says why they can't be used."""
        self.logs.security("encryption_keys", "reloaded" if refused is None else "refused")
        self.metrics.encryption_keys(refused=refused is not None)
        if refused is not None:
            self.warn(f"encryption keys: {refused}; those before stay")

    def state(self, code: str, words: str) -> None:
        """Something about the store."""
        self.logs.security(code)
        self.warn(f"state: {words}")


@dataclass(frozen=True, slots=True)
class PolicyNews:
    """Fulfils `gateway.reload.Hear`: metrics, a record, and in plain words to the operator what is wrong."""

    operator: Operator
    lifecycle: Lifecycle
    uses: LastUses | None
    audiences: Mapping[Release, Sequence[str]]  # of the index of each

    def changed(self, before: InForce | None, now: InForce) -> None:
        """As `Hear.changed`. What an urgent policy ends are the answers that began under another one."""
        version = now.rules.version
        self.operator.metrics.running(version=own_version(), policy=version, roles=now.rules.roles)
        self.operator.metrics.policy(refused=False)
        if self.uses is not None:
            self.uses.introduce(now.rules)
        if any(issuer.issuer == DEVELOPMENT_ISSUER for issuer in (*now.rules.issuers, *now.rules.administrators)):
            self.operator.warn(f"the policy takes development tokens, of {DEVELOPMENT_ISSUER!r}: not for production")
        self.operator.metrics.exemptions({each.profile: each.until for each in now.rules.exemptions()})
        for release, audiences in self.audiences.items():
            self._tell_unmapped(release, audiences, now)
        if before is None:
            return
        self.operator.logs.security("policy", "reloaded", policy=version)
        if now.rules.policy.urgent and before.rules.version != version:
            self.lifecycle.end(lambda record: PolicyChanged() if record.policy != version else None)

    def _tell_unmapped(self, release: Release, audiences: Sequence[str], now: InForce) -> None:
        known, warn = now.rules.policy.classification.clearance(None).audiences, self.operator.warn
        for audience in audiences:
            if audience not in known:
                warn(f"model {release}: the policy's classification has no level for the audience {audience!r}")

    def refused(self, error: ConfigError) -> None:
        """As `Hear.refused`."""
        self.operator.metrics.policy(refused=True)
        self.operator.logs.security("policy", "refused")
        for problem in error.problems:
            self.operator.warn(f"{problem}; the policy before it stays in force")


class VaultNews:
    """What the operator hears of Vault: at each look in metrics, in a record and plain words when something changes."""

    def __init__(self, operator: Operator, once: frozenset[VaultRef] = frozenset()) -> None:
        """`once`: what is read at the start, and then no more."""
        self._operator, self._once = operator, once
        self._told: Trouble | None = None
        operator.metrics.vault(None)

    def waiting(self, trouble: VaultTrouble) -> None:
        """There is nothing to serve with yet."""
        self._operator.metrics.vault(trouble.trouble)
        self._operator.logs.security("vault", trouble.trouble)
        self._operator.warn(f"{trouble}; not ready, and waiting for it")

    def __call__(self, looked: Looked) -> None:
        trouble, warn = looked.trouble, self._operator.warn
        self._operator.metrics.vault(trouble.trouble if trouble else None, len(looked.changed))
        for ref in looked.changed:
            self._operator.logs.security("vault", "changed")
            until = "it is read once, at the start, and stays as it was until the next one"
            warn(f"{ref} has changed: {until if ref in self._once else 'it is read again, without a restart'}")
        if (code := trouble.trouble if trouble else None) is not self._told:
            self._told = code
            self._operator.logs.security("vault", code or "back")
            warn(f"{trouble}; what was read before stays in use" if trouble else "vault: is back")


class AuditNews:
    """Fulfils `gateway.audit_log.log.Hear`: a record, and plain words for what is wrong."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._away = False

    def head(self, head: Head) -> None:
        """As `Hear.head`."""
        self._operator.logs.security("audit_head", str(head))

    def lost(self, remembered: Head) -> None:
        """As `Hear.lost`."""
        self._operator.logs.security("audit_lost", str(remembered))
        self._operator.warn(f"audit log: the store remembers line {remembered.n} of it, which is not there: verify it")

    def available(self) -> None:
        """As `Hear.available`."""
        if self._away:
            self._away = False
            self._operator.logs.security("audit_back")

    def unavailable(self, error: AuditUnavailable) -> None:
        """As `Hear.unavailable`."""
        if not self._away:
            self._away = True
            self._operator.logs.security("audit_unavailable")
            self._operator.warn(f"audit log: {error}; nothing can be administrated until it can be written")
