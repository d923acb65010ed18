"""Keys for encryption: the gateway's own, of which it has the private halves, and its callers', of which it has not.

1. The gateway's are one secret (a JWKS document with private keys), looked at every second by content. The first key is
   the one that callers are told to use; all of them decrypt. What can't be used is refused whole: those before stay.
2. A caller's stand in the file that his issuer's policy names, by tenant and subject; the file belongs to the policy
   and is read again with it. Answers go to one of them and to nothing else, so that a stolen token reads none.
3. P-256 and X25519, each with a `kid`. A key of another kind, a private key where a public one belongs, and a member
   that is not known are refused: they are typing errors, or worse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.config_file import ConfigError, Document, Problem, check, read
from gateway.encryption.compact import AGREEMENT, Key
from gateway.jose import NotCanonical, encoded, json_object
from gateway.secrets.references import EnvRef, VaultRef, secret_text

EVERY: Final = 1.0  # seconds between two looks at our own keys
MOST_KEYS: Final = 16  # of ours, and of one caller
_POINTS: Final = {"P-256": ("x", "y"), "X25519": ("x",)}
_KINDS: Final = {"P-256": "EC", "X25519": "OKP"}
_TOLERATED: Final = frozenset({"kid", "use", "alg", "kty", "crv"})  # beside the point, and of ours `d`
_NO_KEY: Final = "is not a key on P-256 or X25519 in the form of a JWK (RFC 7517)"

KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]


def read_key(entry: Mapping[str, Any], *, private: bool) -> Key:
    """One JWK. Raises ValueError, which does not quote it."""
    curve = str(entry.get("crv"))
    if curve not in _POINTS or entry.get("kty") != _KINDS[curve]:
        raise ValueError(_NO_KEY)
    if not private and "d" in entry:
        raise ValueError("is a private key; give the gateway the public one")
    if private and "d" not in entry:
        raise ValueError("is a public key; this needs the private one")
    if entry.get("use", "enc") != "enc" or entry.get("alg", AGREEMENT) != AGREEMENT:
        raise ValueError(f"is for something else than {AGREEMENT}")
    members = {*_POINTS[curve], *(["d"] if private else [])}
    if entry.keys() - members - _TOLERATED or not all(isinstance(entry.get(name), str) for name in members):
        raise ValueError(_NO_KEY)
    return _imported({name: entry[name] for name in (*members, "kty", "crv")})


def _imported(jwk: dict[str, Any]) -> Key:
    try:
        key: Key = ECKey.import_key(jwk) if jwk["kty"] == "EC" else OKPKey.import_key(jwk)
        _usable(key, jwk)
    except (JoseError, ValueError, TypeError, LookupError):
        raise ValueError(_NO_KEY) from None
    return key


def _usable(key: Key, jwk: Mapping[str, Any]) -> None:
    """A point of low order agrees with nobody, and the library does not compare a private key's two halves."""
    if isinstance(key, OKPKey):
        if encoded(key.public_key.public_bytes_raw()) != jwk["x"]:
            raise ValueError
        OKPKey.generate_key("X25519").exchange_derive_key(key)


# ---- our own ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """What one version of the secret holds; the first is the one to use."""

    keys: Mapping[str, Key] = field(repr=False)

    @property
    def first(self) -> str:
        return next(iter(self.keys))

    def public(self, kid: str) -> dict[str, Any]:
        """One of them as a public JWK."""
        return {"kid": kid, "use": "enc", "alg": AGREEMENT, **public_members(self.keys[kid])}

    def jwks(self) -> dict[str, Any]:
        """All of them, for callers."""
        return {"keys": [self.public(kid) for kid in self.keys]}


def public_members(key: Key) -> dict[str, Any]:
    """What a JWK's thumbprint is made of (RFC 7638)."""
    told = key.as_dict(private=False)
    return {name: told[name] for name in ("crv", "kty", "x", "y") if name in told}


def parse_own(text: str, where: str) -> OwnKeys:
    """Raises ConfigError, which never quotes the text; `where` is what it calls it."""

    def wrong(what: str) -> ConfigError:
        return ConfigError(Problem(where, None, "", what))

    try:
        entries = json_object(text.encode("utf-8", "surrogatepass")).get("keys")
    except NotCanonical:
        raise wrong("is not a JSON document") from None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_KEYS:
        raise wrong(f"is not a JWKS document with one to {MOST_KEYS} keys")
    found: dict[str, Key] = {}
    for number, entry in enumerate(entries):
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str) or not 1 <= len(kid) <= 64 or not kid.isascii() or kid in found:
            raise wrong(f"keys[{number}]: needs a 'kid' of its own, of at most 64 letters")
        try:
            found[kid] = read_key(entry, private=True)
        except ValueError as error:
            raise wrong(f"keys[{number}]: {error}") from None
    return OwnKeys(found)


class KeyRing:
    """Our own keys as the secret has them now."""

    def __init__(self, ref: Path | EnvRef | VaultRef, tell: Callable[[str | None], None]) -> None:
        """`tell` hears of each change: None, or why the keys before it stay. Raises ConfigError."""
        self._ref, self._tell = ref, tell
        self._text = read_own(ref)
        self.now = parse_own(self._text, str(ref))
        self._refused: str | None = None  # what was told

    def key(self, kid: str) -> Key | None:
        """The private key of this id."""
        return self.now.keys.get(kid)

    def refresh(self) -> None:
        """Take over what has changed. What can't be used is tried again, and told of once."""
        try:
            text = read_own(self._ref)
            if text == self._text and self._refused is None:
                return
            self.now, self._text = parse_own(text, str(self._ref)), text
        except ConfigError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not be the last look at the keys
            self._refuse(f"{self._ref}: failed ({type(error).__name__})")
        else:
            self._refused = None
            self._tell(None)

    async def watch(self) -> None:
        """Refresh for ever, beside the event loop."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.refresh)

    def _refuse(self, why: str) -> None:
        if why != self._refused:
            self._refused = why
            self._tell(why)


def read_own(ref: Path | EnvRef | VaultRef) -> str:
    """What `parse_own` takes. Raises ConfigError."""
    try:
        return secret_text(ref)
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(ref), None, "", "is not text")) from None


# ---- callers' --------------------------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Jwk(_Strict):
    kid: KeyName
    kty: Literal["EC", "OKP"]
    crv: Literal["P-256", "X25519"]
    x: Annotated[str, Field(max_length=64)]
    y: Annotated[str, Field(max_length=64)] | None = None
    use: Literal["enc"] = "enc"
    alg: Literal["ECDH-ES+A256KW"] = "ECDH-ES+A256KW"
    d: Annotated[str, Field(max_length=64)] | None = None  # so that it is refused for what it is


class _Client(_Strict):
    subject: str = Field(min_length=1, max_length=256)
    tenant: str | None = None
    keys: tuple[_Jwk, ...] = Field(min_length=1, max_length=MOST_KEYS)


class _Clients(_Strict):
    clients: tuple[_Client, ...]


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """Whom answers can be encrypted to: public keys by issuer, tenant, subject and key id."""

    keys: Mapping[tuple[str, str, str], Mapping[str, Key]] = field(default_factory=dict)

    def key(self, issuer: str, tenant: str, subject: str, kid: str) -> Key | None:
        return self.keys.get((issuer, tenant, subject), {}).get(kid)


NO_CLIENTS: Final = ClientKeys()


def load_clients(path: Path, issuer: str, fixed_tenant: str | None, tenants: frozenset[str]) -> ClientKeys:
    """The callers of one issuer. Raises ConfigError with every problem."""
    document = read(path)
    found: dict[tuple[str, str, str], Mapping[str, Key]] = {}
    problems: list[Problem] = []
    for index, client in enumerate(check(_Clients, document).clients):
        tenant = client.tenant if client.tenant is not None else fixed_tenant
        at = ("clients", index)
        if tenant is None or (tenant != fixed_tenant and tenant not in tenants):
            problems.append(document.problem((*at, "tenant"), "is not a tenant of this issuer"))
        elif (name := (issuer, tenant, client.subject)) in found:
            problems.append(document.problem((*at, "subject"), "stands here twice"))
        else:
            found[name] = _keys_of(client, index, document, problems)
    if problems:
        raise ConfigError(*problems)
    return ClientKeys(found)


def _keys_of(client: _Client, index: int, document: Document, problems: list[Problem]) -> Mapping[str, Key]:
    """By key id; what is wrong with one is put to the problems."""
    found: dict[str, Key] = {}
    seen: set[str] = set()
    for number, entry in enumerate(client.keys):
        at = ("clients", index, "keys", number)
        if entry.kid in seen:
            problems.append(document.problem(at, "has the 'kid' of another key"))
        seen.add(entry.kid)
        try:
            found[entry.kid] = read_key(entry.model_dump(exclude_none=True), private=False)
        except ValueError as error:
            problems.append(document.problem(at, str(error)))
    return found
