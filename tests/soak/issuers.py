"""Three issuers, whose keys are in a file, on a page and in Vault, and the tokens of their callers."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Final

from gateway.auth.development import Claims, create_key, read_key, sign
from tests.soak.said import CANARY
from tests.support.gateways import MODEL
from tests.support.outages import TENANTS, public_jwks
from tests.support.tls import Web
from tests.support.vault import Vault

TOKEN_SECONDS: Final = 3600.0  # as long as one may live
SUBJECTS: Final = 4  # in each role of each tenant
ROLES: Final[dict[str, Any]] = {
    "plain": {},
    "limited": {"limits": {"requests_per_minute": 100_000, "streams": 400}},
    "budgeted": {"profile": "budgeted"},
}


class Issuers:
    """Callers find their tokens in the folder's tokens.json. For any number of threads, as long as no two change one
    issuer."""

    def __init__(self, folder: Path, page: Web, ca_file: Path, keeper: Vault | None) -> None:
        self._folder, self._page, self._ca_file, self._keeper = folder, page, ca_file, keeper
        self._public, self._writing = folder / "issuer.pub.pem", threading.Lock()
        self._keys = {name: self._new_key(name) for name in ("file", "web", *(("vault",) if keeper else ()))}
        self._publish_file_key()
        self.end_old_page()
        if keeper is not None:
            self._publish_in_vault(keeper)

    def policy(self) -> dict[str, Any]:
        """Every role for both tenants of each."""
        sources: dict[str, dict[str, Any]] = {
            "file": {"file": str(self._public)},
            "web": {"url": f"{self._page.url}/jwks", "ca_file": str(self._ca_file), "refresh_seconds": 1},
            "vault": {"vault": "tightlip/issuer#jwks", "refresh_seconds": 1},
        }
        common = {"audience": ["tightlip"], "algorithms": ["EdDSA"], "roles": list(ROLES)}
        tenants = {"tenant": {"claim": "tenant", "allowed": list(TENANTS)}}
        return {
            "version": 1,
            "issuers": [{"issuer": name, "keys": [sources[name]], **common, **tenants} for name in self._keys],
            "roles": {name: {"models": [MODEL], "endpoints": ["chat"], **more} for name, more in ROLES.items()},
            "profiles": {"strict": {"sample": 0.02}, "budgeted": {"budget": {"caller_bits_per_hour": 1_000_000}}},
        }

    def write_tokens(self) -> None:
        """For callers, of all issuers, tenants and roles."""
        with self._writing:
            signing = {name: read_key(path) for name, path in self._keys.items()}
            tokens = [
                sign(key, Claims(name, "tightlip", f"{CANARY}-{number}", role, tenant, TOKEN_SECONDS))
                for name, key in signing.items()
                for tenant in TENANTS
                for role in ROLES
                for number in range(SUBJECTS)
            ]
            replaced(self._folder / "tokens.json", json.dumps(tokens))

    def new_file_key(self) -> None:
        """The one before is good no more; callers do not know yet."""
        self._keys["file"] = self._new_key("file")
        self._publish_file_key()

    def new_page(self) -> None:
        """With the key before beside the new one, as it should be done."""
        before, self._keys["web"] = self._keys["web"], self._new_key("web")
        self._page.body = public_jwks(before, self._keys["web"])
        self.write_tokens()

    def end_old_page(self) -> None:
        """Only the new key."""
        self._page.body = public_jwks(self._keys["web"])

    def new_key_in_vault(self) -> None:
        """The one before is good no more."""
        assert self._keeper is not None
        self._keys["vault"] = self._new_key("vault")
        self._publish_in_vault(self._keeper)
        self.write_tokens()

    def _publish_file_key(self) -> None:
        replaced(self._public, self._keys["file"].with_suffix(".pub.pem").read_text())

    def _publish_in_vault(self, keeper: Vault) -> None:
        keeper.put("issuer", {"jwks": public_jwks(self._keys["vault"]).decode()})

    def _new_key(self, name: str) -> Path:
        path = self._folder / "keys" / f"{name}-{time.monotonic_ns()}.pem"
        create_key(path)
        return path


def replaced(path: Path, text: str) -> None:
    """In place of the file, at once, as whoever is careful does it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
