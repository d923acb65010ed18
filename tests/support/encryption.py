"""Keys for encryption, made anew for each run, and a gateway's files that name them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from joserfc.jwk import ECKey, OKPKey

from gateway.encryption.keys import ClientKeys, KeyRing, public_members, read_key
from tightlip_client import GatewayKeys, PrivateKey


@cache
def _made(name: str, curve: str) -> dict[str, Any]:
    key = ECKey.generate_key(curve) if curve == "P-256" else OKPKey.generate_key("X25519")
    return dict(key.as_dict(private=True))


def private_jwk(kid: str, curve: str = "P-256") -> dict[str, Any]:
    """The same for the same name."""
    return _made(kid, curve) | {"kid": kid}


def public_jwk(kid: str, curve: str = "P-256") -> dict[str, Any]:
    return public_members(read_key(private_jwk(kid, curve), private=True)) | {"kid": kid}


def jwks(*jwk: Mapping[str, Any]) -> dict[str, Any]:
    return {"keys": list(jwk)}


def own(kid: str = "client-1", curve: str = "P-256") -> PrivateKey:
    """A client's key."""
    return PrivateKey.from_jwk(private_jwk(kid, curve))


def pinned(*kids: str) -> GatewayKeys:
    """What a client was given of the gateway's keys."""
    return GatewayKeys(jwks(*map(public_jwk, kids or ("gateway-1",))))


def ring(folder: Path, *kids: str) -> KeyRing:
    """The gateway's keys, in a file of this folder."""
    write_ring(folder, *kids or ("gateway-1",))
    return KeyRing(folder / "encryption.jwks", lambda refused: None)


def write_ring(folder: Path, *kids: str) -> None:
    path = folder / ".encryption.jwks"
    path.write_text(json.dumps(jwks(*map(private_jwk, kids))))
    path.replace(folder / "encryption.jwks")


def clients(issuer: str, tenant: str, **kids: Sequence[str]) -> ClientKeys:
    """The keys of each subject."""
    return ClientKeys(
        {
            (issuer, tenant, subject): {kid: read_key(public_jwk(kid), private=False) for kid in named}
            for subject, named in kids.items()
        }
    )


def write_clients(folder: Path, kids: Mapping[str, Sequence[str]], tenant: str | None = None) -> None:
    """The file of an issuer, by subject; without a tenant where the issuer's is fixed."""
    where = {"tenant": tenant} if tenant else {}
    found = [{"subject": subject, "keys": list(map(public_jwk, named)), **where} for subject, named in kids.items()]
    path = folder / ".clients.yaml"
    path.write_text(yaml.safe_dump({"clients": found}))
    path.replace(folder / "clients.yaml")
