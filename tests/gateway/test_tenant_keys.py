"""Keys of tenants."""

from __future__ import annotations

import re

import pytest

from gateway import tenant_keys
from gateway.tenant_keys import MIN_MASTER_BYTES, Purpose, TenantKeys
from gateway.types import Principal

KEYS = TenantKeys(b"m" * MIN_MASTER_BYTES)


def principal(issuer: str, tenant: str, subject: str = "s") -> Principal:
    return Principal(issuer, tenant, subject, None, "customer", 0.0)


def test_a_tenant_has_one_key_whoever_calls() -> None:
    assert KEYS.replacements(principal("a", "x")) == KEYS.replacements(principal("a", "x", "another"))
    assert len(KEYS.replacements(principal("a", "x"))) == 32


def test_tenants_issuers_and_masters_differ() -> None:
    other = TenantKeys(b"n" * MIN_MASTER_BYTES)
    principals = [
        principal("a", "x"),
        principal("a", "y"),
        principal("b", "x"),
        principal("ax", ""),
        principal("", "ax"),
    ]
    keys = {keys.replacements(who) for keys in (KEYS, other) for who in principals}
    assert len(keys) == 10


def test_the_derivation_stays_as_it_is() -> None:
    """Another one would rename everybody."""
    derived = KEYS.key(Purpose.REPLACEMENTS, "issuer", "tenant")
    assert derived.hex() == "2dbcb1ad38cd36995c9328729705eaaef6de825c3b2a29eb19a6464366be177b"


def test_a_salt_is_a_tenants_own_and_what_engines_take() -> None:
    salts = {KEYS.cache_salt(who) for who in (principal("a", "x"), principal("a", "y"), principal("b", "x"))}
    assert len(salts) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", salt) for salt in salts)  # vLLM: 128 characters at most, no @ / \\
    assert KEYS.cache_salt(principal("a", "x")) in salts


def test_purposes_have_nothing_in_common_even_under_one_root() -> None:
    assert len({KEYS.key(purpose, "a", "x") for purpose in Purpose}) == len(Purpose)
    assert KEYS.subjects(principal("a", "x"), None) != KEYS.subjects(principal("a", "y"), None)
    assert KEYS.addresses("7:1") == TenantKeys(b"m" * MIN_MASTER_BYTES).addresses("7:1")


def test_each_period_has_keys_of_its_own_and_so_has_what_is_for_good() -> None:
    periods = (None, "", "7:1", "7:2", "1:7")
    assert len({KEYS.subjects(principal("a", "x"), period) for period in periods}) == len(periods)
    assert len({KEYS.addresses(period) for period in periods}) == len(periods)


def test_keys_are_the_same_after_more_tenants_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_keys, "REMEMBERED", 2)
    keys = TenantKeys(b"m" * MIN_MASTER_BYTES)
    for _ in range(2):
        for tenant in "xyz":
            assert keys.replacements(principal("a", tenant)) == KEYS.replacements(principal("a", tenant))


def test_a_short_master_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TenantKeys(b"m" * (MIN_MASTER_BYTES - 1))
