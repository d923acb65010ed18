"""How this process is: whether callers are served now, and if not, why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.admin.shapes import ModelStatus, Status
from gateway.http.lifecycle import Lifecycle
from gateway.releases import Releases
from gateway.reload import Policies
from gateway.revocations import RevocationFeed
from gateway.version import own_version


@dataclass(frozen=True, slots=True)
class Condition:
    """`shared`: other processes see the store too."""

    lifecycle: Lifecycle
    policies: Policies
    revocations: RevocationFeed
    releases: Releases
    shared: bool

    def not_ready(self) -> list[str]:
        """Why callers are not served now; nothing where they are."""
        reasons = {
            "draining" if self.lifecycle.leaving else "starting": self.lifecycle.ready,
            "issuer_keys": self.policies.now.verifier.ready,
            "revocations": self.revocations.ready,
            "releases": self.releases.ready,
        }
        return [reason for reason, good in reasons.items() if not good]

    def ready(self) -> bool:
        """What the readiness probe is told."""
        return not self.not_ready()

    def status(self) -> Status:
        """What administrators are told."""
        reasons, age, releases = self.not_ready(), self.revocations.age, self.releases
        return Status(
            version=own_version(),
            ready=not reasons,
            not_ready=reasons,
            policy=self.policies.now.rules.version,
            revocations=self.revocations.count,
            revocations_age=age if math.isfinite(age) else None,
            shared=self.shared,
            models={name: ModelStatus(releases.answers(name), releases.released(name)) for name in releases.models},
        )
