"""One key per tenant and purpose, derived from the one secret that the operator keeps."""

from __future__ import annotations

import base64
import enum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.types import Principal

MIN_MASTER_BYTES = 32  # as strong as the HMAC-SHA-256 that it ends up in
_KEY_BYTES = 32


class Purpose(enum.StrEnum):
    """A key serves one purpose, so that what one of them shows says nothing about another."""

    REPLACEMENTS = "replacements"  # pseudonyms and surrogates
    SAMPLES = "samples"  # which harmless text is scored
    CACHES = "caches"  # which prefix cache of a model server is read


class TenantKeys:
    """HKDF-SHA-256 (RFC 5869) over a master secret."""

    def __init__(self, master: bytes) -> None:
        """Raises ValueError under MIN_MASTER_BYTES."""
        if len(master) < MIN_MASTER_BYTES:
            raise ValueError(f"a master key needs {MIN_MASTER_BYTES} bytes or more")
        self._master = master

    def key(self, purpose: Purpose, issuer: str, tenant: str) -> bytes:
        """Two issuers that name a tenant alike have different keys."""
        parts = (part.encode() for part in ("tightlip", purpose, issuer, tenant))
        info = b"".join(len(part).to_bytes(4) + part for part in parts)
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(self._master)

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
