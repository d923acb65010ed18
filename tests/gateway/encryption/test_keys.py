"""Keys of the gateway and of its clients: what is refused, by file and place and without a word of it; new ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config_file import ConfigError
from gateway.encryption.keys import KeyRing, load_clients, parse_own
from gateway.policy.load import check_sources, load
from gateway.secrets.references import VaultRef
from tests.gateway.support import CANARY, ISSUER, POLICY, write_policy
from tests.support.encryption import jwks, private_jwk, public_jwk, write_ring

GOOD = private_jwk("gateway-1")
ZERO = "A" * 43  # the point of low order on X25519


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([], "one to 16 keys"),
        ([GOOD] * 17, "one to 16 keys"),
        ([GOOD, GOOD], "keys[1]: needs a 'kid' of its own"),
        ([{**GOOD, "kid": None}], "keys[0]: needs a 'kid'"),
        ([CANARY], "keys[0]: needs a 'kid'"),
        ([public_jwk("gateway-1")], "is a public key"),
        ([{**GOOD, "kty": "RSA"}], "is not a key on P-256 or X25519"),
        ([{**GOOD, "crv": "P-384"}], "is not a key on P-256 or X25519"),
        ([{**GOOD, "x": CANARY}], "is not a key on P-256 or X25519"),
        ([{**GOOD, "d": private_jwk("gateway-2")["d"]}], "is not a key on P-256 or X25519"),
        ([{**private_jwk("x", "X25519"), "x": private_jwk("y", "X25519")["x"]}], "is not a key on P-256 or X25519"),
        ([{**GOOD, "use": "sig"}], "is for something else"),
        ([{**GOOD, "alg": "ECDH-ES"}], "is for something else"),
        ([{**GOOD, CANARY: "1"}], "is not a key on P-256 or X25519"),
    ],
)
def test_keys_of_ours_that_cant_be_used(entries: list[Any], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_own(json.dumps({"keys": entries}), "own.jwks")
    assert text in str(refused.value)
    assert str(refused.value).startswith("own.jwks: ")
    assert CANARY not in str(refused.value)
    assert GOOD["d"] not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": {}}', '{"keys": [], "keys": []}'])
def test_what_is_no_key_document(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_own(text, "own.jwks")


def test_what_is_published_is_public() -> None:
    keys = parse_own(json.dumps(jwks(GOOD, private_jwk("x", "X25519"))), "own.jwks")
    told = keys.jwks()["keys"]
    assert [key["kid"] for key in told] == ["gateway-1", "x"]
    assert not any("d" in key for key in told)
    assert keys.first == "gateway-1"
    assert GOOD["d"] not in repr(keys)


def test_new_keys_are_taken_over_and_bad_ones_are_not(tmp_path: Path) -> None:
    write_ring(tmp_path, "gateway-1")
    told: list[str | None] = []
    ring = KeyRing(tmp_path / "encryption.jwks", told.append)
    ring.refresh()
    assert told == []
    write_ring(tmp_path, "gateway-2", "gateway-1")
    ring.refresh()
    assert (told, list(ring.now.keys)) == ([None], ["gateway-2", "gateway-1"])
    (tmp_path / "encryption.jwks").write_text(f'{{"keys": ["{CANARY}"]}}')
    ring.refresh()
    ring.refresh()
    assert (len(told), list(ring.now.keys)) == (2, ["gateway-2", "gateway-1"])
    assert CANARY not in str(told)
    (tmp_path / "encryption.jwks").unlink()
    ring.refresh()
    assert (len(told), ring.key("gateway-1") is not None) == (3, True)
    write_ring(tmp_path, "gateway-2")
    ring.refresh()
    assert (told[-1], ring.key("gateway-1")) == (None, None)


def test_keys_in_vault_are_those_that_were_read_last() -> None:
    class Read:
        text = json.dumps(jwks(GOOD))

        def value(self, ref: VaultRef) -> str:
            return self.text

    read = Read()
    ring = KeyRing(VaultRef("tightlip/encryption", "jwks", held=read), lambda refused: None)
    assert ring.now.first == "gateway-1"
    read.text = json.dumps(jwks(private_jwk("gateway-2"), GOOD))
    ring.refresh()
    assert list(ring.now.keys) == ["gateway-2", "gateway-1"]


# ---- clients ---------------------------------------------------------------------------------------------------------


def clients(tmp_path: Path, *entries: Any, fixed: str | None = "acme", tenants: frozenset[str] = frozenset()) -> Any:
    path = tmp_path / "clients.yaml"
    path.write_text(yaml.safe_dump({"clients": list(entries)}))
    return load_clients(path, ISSUER, fixed, tenants)


def entry(subject: str = "alice", *keys: Any, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "keys": list(keys or [public_jwk("client-1")]), **more}


def test_each_client_has_his_own_keys(tmp_path: Path) -> None:
    known = clients(tmp_path, entry("alice"), entry("bob", public_jwk("client-1"), public_jwk("x", "X25519")))
    assert known.key(ISSUER, "acme", "bob", "x") is not None
    assert known.key(ISSUER, "acme", "alice", "x") is None
    assert known.key(ISSUER, "other", "alice", "client-1") is None
    assert known.key("https://other.test", "acme", "alice", "client-1") is None


def test_tenants_with_the_same_subject_are_two(tmp_path: Path) -> None:
    both = frozenset({"north", "south"})
    north, south = entry(tenant="north"), entry("alice", public_jwk("client-2"), tenant="south")
    known = clients(tmp_path, north, south, fixed=None, tenants=both)
    assert known.key(ISSUER, "north", "alice", "client-2") is None
    assert known.key(ISSUER, "south", "alice", "client-2") is not None


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([entry(), entry()], "clients[1].subject: stands here twice"),
        ([entry(tenant=CANARY)], "clients[0].tenant: is not a tenant of this issuer"),
        ([entry("alice", private_jwk("client-1"))], "clients[0].keys[0]: is a private key"),
        ([entry("alice", public_jwk("a"), public_jwk("a"))], "clients[0].keys[1]: has the 'kid' of another key"),
        ([entry("alice", {**public_jwk("a"), "x": CANARY})], "clients[0].keys[0]: is not a key"),
        ([entry("alice", {"kid": "a", "kty": "OKP", "crv": "X25519", "x": ZERO})], "clients[0].keys[0]: is not a key"),
        ([entry("alice", {**public_jwk("a"), "k": CANARY})], "clients[0].keys[0].k: is not a known key"),
        ([entry("alice", *[public_jwk("a")] * 17)], "clients[0].keys"),
        ([{"subject": "alice", "keys": []}], "clients[0].keys"),
    ],
)
def test_clients_that_cant_be_used(tmp_path: Path, entries: list[Any], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        clients(tmp_path, *entries)
    assert text in str(refused.value)
    assert CANARY not in str(refused.value)


def test_a_role_that_encrypts_needs_keys_on_both_sides(tmp_path: Path) -> None:
    role = "max_output_tokens: 100\n    encryption: required\n"
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, POLICY.replace("max_output_tokens: 100\n", role)))
    assert "issuers[0].client_keys: is missing: the role 'customer' encrypts" in str(refused.value)
    sealed = POLICY.replace("max_output_tokens: 100\n", role).replace(
        "    tenant: {fixed: acme}\n", "    client_keys: clients.yaml\n    tenant: {fixed: acme}\n"
    )
    rules = load(write_policy(tmp_path, sealed))
    with pytest.raises(ConfigError) as missing:
        check_sources(rules, addresses=True, certificates=True, vault=True, encryption=False)
    assert "roles.customer.encryption: needs the setting 'encryption_keys_file'" in str(missing.value)
    check_sources(rules, addresses=True, certificates=True, vault=True, encryption=True)
