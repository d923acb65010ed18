"""From the policy's issuers to those that `tokens.verify` takes, with a cache of what it found out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.auth import keys, tokens
from gateway.policy.load import Rules
from gateway.policy.schema import IssuerPolicy
from gateway.types import Principal

CACHED_TOKENS: Final = 4096  # about 2 MB; a verification costs a tenth of a millisecond, a look-up a thousandth


def load(rules: Rules) -> tokens.Issuers:
    """Reads every key file, relative to the policy. Raises ConfigError."""
    folder = rules.document.path.parent
    return {issuer.issuer: _issuer(issuer, folder) for issuer in rules.issuers}


class Verifier:
    """`tokens.verify` that remembers good tokens until they expire, by hash: a token itself is never kept.

    Belongs to one set of issuers; new keys or a new policy mean a new verifier.
    """

    def __init__(self, issuers: tokens.Issuers, *, now: Callable[[], float], size: int = CACHED_TOKENS) -> None:
        self._issuers, self._now, self._size = issuers, now, size
        self._known: OrderedDict[bytes, Principal] = OrderedDict()

    def verify(self, raw_token: str) -> Principal:
        """Raises NotAuthenticated."""
        name = hashlib.sha256(raw_token.encode("utf-8", "surrogatepass")).digest()
        principal = self._known.get(name)
        if principal is not None and self._now() < principal.expires_at:
            self._known.move_to_end(name)
            return principal
        return self._remember(name, tokens.verify(raw_token, self._issuers, self._now()))

    def _remember(self, name: bytes, principal: Principal) -> Principal:
        self._known[name] = principal
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return principal


def _issuer(policy: IssuerPolicy, folder: Path) -> tokens.Issuer:
    files = [(folder / source.file, source.kid) for source in policy.keys]
    found = [key for path, kid in files for key in keys.load(path, kid)]
    return tokens.Issuer(
        name=policy.issuer,
        audiences=policy.audience,
        algorithms=frozenset(policy.algorithms),
        keys=keys.collect(found, files[0][0]),
        max_life=policy.max_life_seconds,
        token_id_claim=policy.token_id_claim,
        types=policy.types,
        role_path=policy.role_path,
        roles=policy.roles,
        tenant=policy.tenant.fixed,
        tenant_claim=policy.tenant.claim,
        tenants=policy.tenant.allowed,
    )
