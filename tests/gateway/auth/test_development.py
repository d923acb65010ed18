"""Development tokens are ordinary tokens, signed with a key that its owner alone can read."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from gateway.auth import development, keys
from gateway.auth.tokens import verify
from gateway.config_file import ConfigError
from tests.gateway.support import ISSUER, make_issuer


def test_a_made_key_signs_tokens_that_its_public_half_verifies(tmp_path: Path) -> None:
    private = tmp_path / "new" / "dev.pem"
    public = development.create_key(private)
    claims = development.Claims(ISSUER, "tightlip", "alice", "support", "north", 60)
    token = development.sign(development.read_key(private), claims)
    issuer = make_issuer(
        keys=keys.collect(keys.load(public), public), tenant=None, tenant_claim="tenant", tenants=frozenset({"north"})
    )
    principal = verify(token, {ISSUER: issuer}, time.time())
    assert (principal.subject, principal.role, principal.tenant) == ("alice", "support", "north")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    private = tmp_path / "dev.pem"
    development.create_key(private)
    before = private.read_bytes()
    with pytest.raises(ConfigError, match="can't be written"):
        development.create_key(private)
    assert private.read_bytes() == before


def test_a_key_that_others_may_read_signs_nothing(tmp_path: Path) -> None:
    private = tmp_path / "dev.pem"
    development.create_key(private)
    for mode in (0o640, 0o604, 0o660):
        private.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            development.read_own_key(private)
    private.chmod(0o400)
    assert development.read_own_key(private)


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        development.read_own_key(tmp_path / "dev.pem")


def test_what_is_no_private_key_is_refused_without_being_quoted(tmp_path: Path) -> None:
    path = tmp_path / "dev.pem"
    path.write_text("secretcanary")
    with pytest.raises(ConfigError) as refused:
        development.read_key(path)
    assert "secretcanary" not in str(refused.value)
