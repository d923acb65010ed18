"""A raw token to a Principal, or NotAuthenticated. Pure: keys and time are parameters.

RFC 7515 and 7519, under the restrictions of RFC 8725: asymmetric algorithms only, taken from the issuer's list; keys
from the issuer's own set and never from the token; every claim that we rely on must be there and have its type.
Outside, all refusals look the same; inside, each has a Reason.

PyJWT verifies the signature, with one key that we chose and the one algorithm that this key and the issuer agree to.
What stands before it is stricter than PyJWT: no padding, no key twice in an object, bounded numbers, no header that
names a key. The claims are ours too, since PyJWT takes the time from the clock, a number from a string, and checks no
longest life.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jwt.api_jws import PyJWS
from jwt.exceptions import InvalidSignatureError, PyJWTError

from gateway import jose
from gateway.auth import binding
from gateway.auth.keys import ALGORITHMS, Key, Keys
from gateway.errors import NotAuthenticated, Reason, TokenExpired
from gateway.types import CertificateBinding, EndUser, Principal

MAX_TOKEN_CHARS: Final = 8192  # what common servers take as one header line
LEEWAY: Final = 10.0  # seconds that two well-kept clocks may differ
MAX_TIME: Final = 2.0**40  # seconds, in 36,000 years; beyond it floats lose their fractions
MAX_SUBJECT_CHARS: Final = 256
MAX_ID_CHARS: Final = 256

_PART: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters; half a character has no bytes to hash
# Header parameters that name a key, or change what is signed. None of our issuers needs one.
_REFUSED_HEADERS: Final = frozenset({"crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "enc", "cty"})
_JWS: Final = PyJWS(algorithms=sorted(ALGORITHMS))
# What access tokens call themselves (RFC 7519, RFC 9068); many do not. An issuer's proofs, logout tokens and events are
# signed with the same keys, and are none.
USUAL_TYPES: Final[frozenset[str | None]] = frozenset({"jwt", "at+jwt", None})

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are good, and what they may say. One without roles gives none: what it signs says who somebody is,
    and lets nobody in."""

    name: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    keys: Keys
    max_life: float
    token_id_claim: str | None
    types: frozenset[str | None]  # as `type_name` writes them; None: it has no type
    role_path: tuple[str, ...]  # empty: no claim says a role
    roles: frozenset[str]
    tenant: str | None  # fixed for the issuer, or
    tenant_claim: str | None  # read from a claim
    tenants: frozenset[str]
    role_of_subject: Mapping[str, str] = field(default_factory=dict)
    group_path: tuple[str, ...] = ()
    role_of_group: Mapping[str, str] = field(default_factory=dict)
    certificate_binding: CertificateBinding = "checked"
    takes_actors: bool = False  # `sub` is an end user where `act` names the application that acts for him
    end_user_claim: str | None = None  # that names the application's end user
    foreign_audiences: frozenset[str] = frozenset()  # a token that names one is for somewhere else, whatever it names
    role_prefix: str = ""  # of the roles that its principals have


NO_ROLE: Final = ""  # of what an issuer without roles has signed

Issuers = Mapping[str, Issuer]


def verify(raw_token: str, issuers: Issuers, now: float) -> Principal:
    """Who calls. `now` is seconds since the epoch. Raises NotAuthenticated with a Reason, TokenExpired among them."""
    header_part, payload_part, signature_part = _parts(raw_token)
    unverified_header = _json(header_part)
    unverified_claims = _json(payload_part)
    issuer = _issuer(unverified_claims, issuers)
    algorithm = _algorithm(unverified_header, issuer)
    _decoded(signature_part)
    _verify_signature(raw_token, unverified_header, algorithm, issuer.keys)
    return _principal(unverified_claims, issuer, now)


def unverified_issuer(raw_token: str) -> object:
    """Whose token it says that it is. Raises NotAuthenticated."""
    return _json(_parts(raw_token)[1]).get("iss")


def can_be(value: str, longest: int) -> bool:
    """Whether a token may have this text as its subject or its id."""
    return 1 <= len(value) <= longest and not _UNFIT.search(value)


def bearer(authorization: Sequence[bytes]) -> str:
    """The token in the one Authorization header. Raises NotAuthenticated: none, several, another scheme."""
    if len(authorization) != 1:
        raise NotAuthenticated(Reason.MALFORMED if authorization else Reason.MISSING)
    scheme, _, token = authorization[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated(Reason.MALFORMED)
    return token.lstrip(" ")


# ---- the token's form ------------------------------------------------------------------------------------------------


def _parts(raw_token: str) -> tuple[str, str, str]:
    if len(raw_token) > MAX_TOKEN_CHARS:
        raise NotAuthenticated(Reason.MALFORMED)
    parts = raw_token.split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise NotAuthenticated(Reason.MALFORMED)
    return parts[0], parts[1], parts[2]


def _decoded(part: str) -> bytes:
    try:
        return jose.decoded(part)
    except jose.NotCanonical:
        raise NotAuthenticated(Reason.MALFORMED) from None


def _json(part: str) -> _Json:
    try:
        return jose.json_part(part)
    except jose.NotCanonical:
        raise NotAuthenticated(Reason.MALFORMED) from None


# ---- issuer, algorithm, key ------------------------------------------------------------------------------------------


def _issuer(unverified_claims: _Json, issuers: Issuers) -> Issuer:
    name = unverified_claims.get("iss")
    if name is None:
        raise NotAuthenticated(Reason.CLAIM_MISSING)
    issuer = issuers.get(name) if type(name) is str else None
    if issuer is None:
        raise NotAuthenticated(Reason.UNKNOWN_ISSUER)
    return issuer


def _algorithm(unverified_header: _Json, issuer: Issuer) -> str:
    if not _REFUSED_HEADERS.isdisjoint(unverified_header):
        raise NotAuthenticated(Reason.MALFORMED)
    if _type(unverified_header) not in issuer.types:
        raise NotAuthenticated(Reason.MALFORMED)
    name = unverified_header.get("alg")
    if type(name) is not str or name not in issuer.algorithms or name not in ALGORITHMS:
        raise NotAuthenticated(Reason.ALGORITHM)
    return name


def type_name(text: str) -> str:
    """A media type as it is compared: without case, and "application/" is understood (RFC 7515, 4.1.9)."""
    return text.lower().removeprefix("application/")


def _type(unverified_header: _Json) -> str | None:
    value = unverified_header.get("typ")
    if value is not None and type(value) is not str:
        raise NotAuthenticated(Reason.MALFORMED)
    return None if value is None else type_name(value)


def _verify_signature(raw_token: str, unverified_header: _Json, algorithm: str, keys: Keys) -> None:
    kid = unverified_header.get("kid")
    candidates = keys.candidates(kid, algorithm) if kid is None or type(kid) is str else ()
    if not candidates:
        raise NotAuthenticated(Reason.UNKNOWN_KEY)
    if not any(_signed_with(key, raw_token, algorithm) for key in candidates):
        raise NotAuthenticated(Reason.SIGNATURE)


def _signed_with(key: Key, raw_token: str, algorithm: str) -> bool:
    """`algorithm` is one of the key's and of the issuer's. Raises NotAuthenticated for what PyJWT finds malformed."""
    try:
        _JWS.decode(raw_token, key.public_key, algorithms=[algorithm])
    except InvalidSignatureError:
        return False
    except PyJWTError:
        raise NotAuthenticated(Reason.MALFORMED) from None
    return True


# ---- claims, read only after the signature held ----------------------------------------------------------------------


def _principal(claims: _Json, issuer: Issuer, now: float) -> Principal:
    issued, expires = _life(claims, issuer, now)
    _audience(claims, issuer)
    subject, end_user = _persons(claims, issuer)
    return Principal(
        issuer=issuer.name,
        tenant=_tenant(claims, issuer),
        subject=subject,
        token_id=_token_id(claims, issuer),
        role=issuer.role_prefix + _role(claims, issuer, subject),
        expires_at=expires,
        issued_at=issued,
        bound_to=_bound_to(claims, issuer),
        end_user=None if end_user is None else EndUser(issuer.name, end_user, issued),
    )


def _persons(claims: _Json, issuer: Issuer) -> tuple[str, str | None]:
    """The subject that calls, and who sits before it. Two that are named as that are refused unless they are one."""
    subject = _text(claims, "sub", Reason.CLAIM_MISSING, MAX_SUBJECT_CHARS)
    named = set()
    if issuer.end_user_claim is not None and issuer.end_user_claim in claims:
        named.add(_text(claims, issuer.end_user_claim, Reason.END_USER, MAX_SUBJECT_CHARS))
    if issuer.takes_actors and "act" in claims:
        named.add(subject)
        subject = _actor(claims["act"], issuer)
    if len(named) > 1:
        raise NotAuthenticated(Reason.END_USER)
    return subject, next(iter(named), None)


def _actor(act: Any, issuer: Issuer) -> str:
    """Who acts now (RFC 8693, 4.1): the outermost. Those that acted before him are history, of which nothing follows.
    One that another issuer knows can't be told from our issuer's of the same name."""
    if type(act) is not dict or act.get("iss", issuer.name) != issuer.name:
        raise NotAuthenticated(Reason.END_USER)
    return _text(act, "sub", Reason.END_USER, MAX_SUBJECT_CHARS)


def _life(claims: _Json, issuer: Issuer, now: float) -> tuple[float, float]:
    """When it was issued and when it expires. A life that is too long is refused, not shortened: its issuer does not
    do as agreed."""
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if expires + LEEWAY <= now:
        raise TokenExpired(Reason.EXPIRED)
    starts = max(issued, _time(claims, "nbf")) if "nbf" in claims else issued
    if starts - LEEWAY > now:
        raise NotAuthenticated(Reason.NOT_YET)
    if not 0 < expires - issued <= issuer.max_life:
        raise NotAuthenticated(Reason.TOO_LONG_LIVED)
    return issued, expires


def _time(claims: _Json, name: str) -> float:
    value: Any = claims.get(name)
    if type(value) not in (int, float):  # true is not 1
        raise NotAuthenticated(Reason.CLAIM_MISSING if value is None else Reason.MALFORMED)
    if not math.isfinite(value) or not 0 < value < MAX_TIME:
        raise NotAuthenticated(Reason.MALFORMED)
    return float(value)


def _audience(claims: _Json, issuer: Issuer) -> None:
    value = claims.get("aud")
    if value is None:
        raise NotAuthenticated(Reason.CLAIM_MISSING)
    named = [value] if type(value) is str else value
    if type(named) is not list or not all(type(name) is str for name in named):
        raise NotAuthenticated(Reason.MALFORMED)
    if issuer.audiences.isdisjoint(named) or not issuer.foreign_audiences.isdisjoint(named):
        raise NotAuthenticated(Reason.AUDIENCE)


def _token_id(claims: _Json, issuer: Issuer) -> str | None:
    if issuer.token_id_claim is None:
        return None
    return _text(claims, issuer.token_id_claim, Reason.TOKEN_ID, MAX_ID_CHARS)


def _bound_to(claims: _Json, issuer: Issuer) -> bytes | None:
    """The certificate that the caller has to show (RFC 8705, 3.1)."""
    if issuer.certificate_binding == "ignored":
        return None
    if "cnf" in claims:
        return binding.thumbprint(claims["cnf"])
    if issuer.certificate_binding == "required":
        raise NotAuthenticated(Reason.NOT_BOUND)
    return None


def _role(claims: _Json, issuer: Issuer, subject: str) -> str:
    """Exactly one of the roles that this issuer may give; two would make us choose, and the caller would know how."""
    if not issuer.roles:
        return NO_ROLE
    table = _roles_by_table(claims, issuer, subject)
    said = _texts_at(claims, issuer.role_path, None if table else Reason.ROLE) if issuer.role_path else []
    given = table.union(said)
    known = issuer.roles & given
    if len(known) != 1:
        raise NotAuthenticated(Reason.ROLE)
    return next(iter(known))


def _roles_by_table(claims: _Json, issuer: Issuer, subject: str) -> set[str]:
    """Of issuers that name nobody's role: a Kubernetes service account has a subject, and groups at the most."""
    given = {issuer.role_of_subject[subject]} if subject in issuer.role_of_subject else set()
    if issuer.role_of_group:
        groups = _texts_at(claims, issuer.group_path, None)
        given |= {issuer.role_of_group[group] for group in groups if group in issuer.role_of_group}
    return given


def _texts_at(claims: _Json, path: Sequence[str], missing: Reason | None) -> list[str]:
    """The text, or the texts of the list, at a path of nested claims; none where there is nothing and that may be."""
    value: Any = claims
    for name in path:
        value = value.get(name) if type(value) is dict else None
    if value is None and missing is None:
        return []
    named = [value] if type(value) is str else value
    if type(named) is not list or not all(type(name) is str for name in named):
        raise NotAuthenticated(Reason.ROLE)
    return named


def _tenant(claims: _Json, issuer: Issuer) -> str:
    if issuer.tenant is not None:
        return issuer.tenant
    value = claims.get(issuer.tenant_claim or "")
    if type(value) is not str or value not in issuer.tenants:
        raise NotAuthenticated(Reason.TENANT)
    return value


def _text(claims: _Json, name: str, missing: Reason, longest: int) -> str:
    value = claims.get(name)
    if value is None:
        raise NotAuthenticated(missing)
    if type(value) is not str or not can_be(value, longest):
        raise NotAuthenticated(Reason.MALFORMED)
    return value
