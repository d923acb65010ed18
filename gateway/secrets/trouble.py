"""What can go wrong between us and Vault: a closed set, since Vault's own words may hold what was asked for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Trouble(enum.StrEnum):
    """In a word, for records and metrics."""

    UNREACHABLE = "unreachable"
    SEALED = "sealed"
    LOGIN_REFUSED = "login_refused"
    CREDENTIAL = "credential"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    UNREADABLE = "unreadable"


_WORDS: Final[Mapping[Trouble, str]] = {
    Trouble.UNREACHABLE: "Vault does not answer",
    Trouble.SEALED: "Vault is sealed, or a standby without its leader",
    Trouble.LOGIN_REFUSED: "Vault refuses the login",
    Trouble.CREDENTIAL: "is no credential for Vault that can be read",
    Trouble.FORBIDDEN: "Vault's policy does not let this role read it",
    Trouble.MISSING: "is not in Vault",
    Trouble.UNREADABLE: "is not text in Vault",
}


class VaultTrouble(Exception):
    """Vault did not give what was asked for. `what`: the reference, if it was about one."""

    def __init__(self, trouble: Trouble, what: str = "") -> None:
        super().__init__(f"{what}: {_WORDS[trouble]}" if what else _WORDS[trouble])
        self.trouble, self.what = trouble, what

    @property
    def words(self) -> str:
        return _WORDS[self.trouble]

    @property
    def passes(self) -> bool:
        """Whether it may be over by itself."""
        return self.trouble in (Trouble.UNREACHABLE, Trouble.SEALED)
