"""The password for Redis is what its reference gives at each connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.secrets.references import VaultRef
from gateway.state import StateUnavailable
from gateway.state.redis import Access, _Credentials


@dataclass
class Held:
    """Fulfils `gateway.secrets.references.Held`."""

    secret: str

    def value(self, ref: VaultRef) -> str:
        return self.secret


def test_a_password_that_has_changed_in_vault_is_used_from_then_on() -> None:
    held = Held("first")
    credentials = _Credentials(Access("gateway", VaultRef("redis", "password", held=held)))
    assert credentials.get_credentials() == ("gateway", "first")
    held.secret = "second one"
    assert credentials.get_credentials() == ("gateway", "second one")


@pytest.mark.parametrize("written", [None, b"\xff\xfe"])
def test_a_password_that_can_not_be_read_is_unavailable(tmp_path: Path, written: bytes | None) -> None:
    if written is not None:
        (tmp_path / "password").write_bytes(written)
    with pytest.raises(StateUnavailable, match="password"):
        _Credentials(Access(None, tmp_path / "password")).get_credentials()
