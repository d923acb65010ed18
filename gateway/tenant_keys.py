"""One key per tenant and purpose, derived from a root: a secret that the operator keeps.

There may be one root for everything or several (docs/secrets.md): a purpose's keys say nothing about another's.
"""

from __future__ import annotations

import base64
import enum
from collections import OrderedDict
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.framing import framed
from gateway.types import Principal

MIN_MASTER_BYTES = 32  # as strong as the HMAC-SHA-256 that it ends up in
_KEY_BYTES = 32
REMEMBERED: Final = 4096  # keys; a policy names its tenants, and most have few


class Purpose(enum.StrEnum):
    """A key serves one purpose, so that what one of them shows says nothing about another."""

    REPLACEMENTS = "replacements"  # pseudonyms and surrogates
    SAMPLES = "samples"  # which harmless text is scored
    SUBJECTS = "subjects"  # how callers appear in records, in the store and in the audit log
    ADDRESSES = "addresses"  # and their addresses, which are of no tenant
    CACHES = "caches"  # which prefix cache of a model server is read
    AUDIT = "audit"  # that a line of the audit log is ours; of no tenant


class TenantKeys:
    """HKDF-SHA-256 (RFC 5869) over a master secret."""

    def __init__(self, master: bytes) -> None:
        """Raises ValueError under MIN_MASTER_BYTES."""
        if len(master) < MIN_MASTER_BYTES:
            raise ValueError(f"a master key needs {MIN_MASTER_BYTES} bytes or more")
        self._master = master

        self._known: OrderedDict[tuple[str, ...], bytes] = OrderedDict()

    def key(self, purpose: Purpose, issuer: str, tenant: str, period: str | None = None) -> bytes:
        """Two issuers that name a tenant alike have different keys; so has each period, and what is for good."""
        name = (purpose, issuer, tenant, *(() if period is None else (period,)))
        key = self._known.get(name)
        if key is None:
            key = self._known[name] = derive(self._master, *name)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return key

    def subjects(self, principal: Principal, period: str | None) -> bytes:
        """The key for the marks of this tenant's callers in records of a period; None: elsewhere."""
        return self.key(Purpose.SUBJECTS, principal.issuer, principal.tenant, period)

    def addresses(self, period: str | None) -> bytes:
        """Likewise for the marks of addresses: one for all tenants, since refused callers have none."""
        return self.key(Purpose.ADDRESSES, "", "", period)

    def replacements(self, principal: Principal) -> bytes:
        """The key of this caller's tenant for pseudonyms and surrogates."""
        return self.key(Purpose.REPLACEMENTS, principal.issuer, principal.tenant)

    def cache_salt(self, principal: Principal) -> str:
        """What keeps this tenant's prefix cache apart: 256 bits in base64url, which engines take."""
        key = self.key(Purpose.CACHES, principal.issuer, principal.tenant)
        return base64.urlsafe_b64encode(key).rstrip(b"=").decode()

    def samples(self, principal: Principal) -> bytes:
        """The key that picks among this tenant's harmless text."""
        return self.key(Purpose.SAMPLES, principal.issuer, principal.tenant)


def derive(master: bytes, purpose: str, issuer: str, tenant: str, *period: str) -> bytes:
    """The key of one purpose of one tenant, for good or for a period."""
    info = framed("tightlip", purpose, issuer, tenant, *period)
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(master)
