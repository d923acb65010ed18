"""Keys, tokens and policies for the gateway's tests. Keys are made anew for each run."""

from __future__ import annotations

import base64
import functools
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, get_default_algorithms

from filters.profile import Profile
from gateway.auth.keys import Key, KeySet
from gateway.auth.tokens import USUAL_TYPES, Issuer, Issuers
from gateway.policy.schema import Classification
from gateway.types import Endpoint, FieldAction, Grant, Principal

NOW: Final = 1_700_000_000
ISSUER: Final = "https://issuer.test"
OTHER_ISSUER: Final = "https://other.test"
CANARY: Final = "zqCanaryWordxv"

HEADER: Final = {"alg": "ES256", "typ": "JWT", "kid": "ES256"}
CLAIMS: Final = {
    "iss": ISSUER,
    "aud": "tightlip",
    "sub": "alice",
    "iat": NOW - 60,
    "exp": NOW + 600,
    "jti": "token-1",
    "role": "customer",
}


@functools.cache
def private_key(name: str) -> Any:
    """The key that signs with the algorithm of this name; `NAME/other` is another one of the same kind."""
    kind = name.partition("/")[0]
    if kind == "RSshort":
        return rsa.generate_private_key(65537, 1024)
    if kind[:2] in ("RS", "PS"):
        return rsa.generate_private_key(65537, 2048)
    curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    return ed448.Ed448PrivateKey.generate() if kind == "Ed448" else ed25519.Ed25519PrivateKey.generate()


def public_pem(name: str) -> bytes:
    return private_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def part(content: bytes | str) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(signed: str, name: str, algorithm: str) -> bytes:
    """`name` is a key's name, or one of `SECRETS` for HMAC with something that everybody has (RFC 8725, 2.1)."""
    if name in SECRETS:
        return hmac.new(SECRETS[name](), signed.encode(), f"sha{algorithm[2:]}").digest()
    return get_default_algorithms()[algorithm].sign(signed.encode(), private_key(name))


def _public(form: Encoding, content: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return private_key("ES256").public_key().public_bytes(form, content)


SECRETS: Final[Mapping[str, Callable[[], bytes]]] = {
    "public-as-secret": lambda: public_pem("ES256"),
    "public-as-secret/stripped": lambda: public_pem("ES256").strip(),
    "public-as-secret/der": lambda: _public(Encoding.DER),
    "public-as-secret/point": lambda: _public(Encoding.X962, PublicFormat.UncompressedPoint),
    "public-as-secret/jwk": lambda: ECAlgorithm.to_jwk(private_key("ES256").public_key()).encode(),
    "empty-secret": lambda: b"",
    "weak-secret": lambda: b"secret",
}


def make_token(
    header: Mapping[str, Any] | str = HEADER,
    claims: Mapping[str, Any] | str = CLAIMS,
    *,
    key: str = "ES256",
    algorithm: str = "ES256",
) -> str:
    """A signed token; header and claims may be given as JSON text, which is then signed as it is."""
    texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in (header, claims)]
    signed = ".".join(map(part, texts))
    return f"{signed}.{part(sign(signed, key, algorithm))}"


def key_of(name: str, *algorithms: str, kid: str | None = None) -> Key:
    return Key(private_key(name).public_key(), frozenset(algorithms or (name,)), kid)


def make_issuer(**changes: Any) -> Issuer:
    defaults: dict[str, Any] = {
        "name": ISSUER,
        "audiences": frozenset({"tightlip"}),
        "algorithms": frozenset({"ES256", "EdDSA", "RS256"}),
        "keys": KeySet((key_of("ES256", kid="ES256"), key_of("EdDSA", kid="EdDSA"), key_of("RS256", kid="RS256"))),
        "max_life": 3600.0,
        "token_id_claim": "jti",
        "types": USUAL_TYPES,
        "role_path": ("role",),
        "roles": frozenset({"customer", "support"}),
        "tenant": "acme",
        "tenant_claim": None,
        "tenants": frozenset(),
    }
    return Issuer(**{**defaults, **changes})


def make_issuers() -> Issuers:
    other = make_issuer(name=OTHER_ISSUER, keys=KeySet((key_of("ES256/other", "ES256"),)), roles=frozenset({"admin"}))
    return {ISSUER: make_issuer(), OTHER_ISSUER: other}


def forwarded(*names: str) -> dict[str, FieldAction]:
    """What a role says that was given these fields."""
    return dict.fromkeys(names, FieldAction.FORWARD)


def make_grant(**changes: Any) -> Grant:
    principal = Principal(ISSUER, "acme", "alice", "token-1", "customer", NOW + 600.0)
    defaults: dict[str, Any] = {
        "principal": principal,
        "endpoint": Endpoint.CHAT,
        "model": "assistant",
        "profile": Profile("strict"),
        "policy_version": "v1",
        "max_output_tokens": 100,
        "max_choices": 2,
        "clearance": Classification().clearance(None),
    }
    return Grant(**{**defaults, **changes})


POLICY: Final = """\
version: 1
issuers:
  - issuer: https://issuer.test
    audience: [tightlip]
    algorithms: [ES256]
    keys: [{file: key.pem}]
    roles: [customer, support, idle]
    tenant: {fixed: acme}
roles:
  customer:
    models: [assistant]
    endpoints: [chat, models]
    max_output_tokens: 100
  support:
    models: [assistant, second]
    endpoints: [chat, completions, models]
    fields: {logit_bias: forward}
    profile: off
  idle: {}
profiles:
  off: {detect: false, compare: false, reason: raw answers for the tests, expires: 2099-01-01}
"""


def write_policy(folder: Path, text: str = POLICY) -> Path:
    (folder / "key.pem").write_bytes(public_pem("ES256"))
    path = folder / "policy.yaml"
    path.write_text(text)
    return path
