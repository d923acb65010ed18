"""From policy to issuers; and the cache, which must obey expiry."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.auth import issuers
from gateway.auth.issuers import Verifier
from gateway.auth.tokens import LEEWAY
from gateway.config_file import ConfigError
from gateway.errors import NotAuthenticated, TokenExpired
from gateway.policy.load import load
from tests.gateway.support import CLAIMS, ISSUER, NOW, make_issuers, make_token, write_policy


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def test_a_policys_issuers_verify_tokens(tmp_path: Path) -> None:
    found = issuers.load(load(write_policy(tmp_path)))
    principal = Verifier(found, now=Clock()).verify(make_token({"alg": "ES256"}))
    assert (principal.issuer, principal.tenant, principal.role) == (ISSUER, "acme", "customer")


def test_a_missing_key_file_stops_the_start(tmp_path: Path) -> None:
    path = write_policy(tmp_path)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(ConfigError, match=r"key\.pem"):
        issuers.load(load(path))


def test_a_known_token_is_not_verified_again_and_expires_all_the_same() -> None:
    clock, token = Clock(), make_token()
    known = dict(make_issuers())
    verifier = Verifier(known, now=clock)
    first = verifier.verify(token)
    known.clear()  # so that a second verification would fail
    assert verifier.verify(token) is first
    clock.now = first.expires_at + LEEWAY - 1
    assert verifier.verify(token) is first
    clock.now = first.expires_at + LEEWAY
    with pytest.raises(NotAuthenticated):
        verifier.verify(token)


def test_an_expired_token_is_named_so() -> None:
    clock, token = Clock(), make_token()
    verifier = Verifier(make_issuers(), now=clock)
    verifier.verify(token)
    clock.now = CLAIMS["exp"] + 3600
    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_refused_tokens_are_not_remembered_and_good_ones_up_to_a_bound() -> None:
    verifier = Verifier(make_issuers(), now=Clock(), size=2)
    for number in range(5):
        verifier.verify(make_token(claims={**CLAIMS, "jti": str(number)}))
    with pytest.raises(NotAuthenticated):
        verifier.verify("a.b.c")
    with pytest.raises(NotAuthenticated):
        verifier.verify("\udcff")
    assert len(verifier._known) == 2
