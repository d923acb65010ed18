"""From the policy's issuers to those that `tokens.verify` takes, with a cache of what it found out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from gateway.auth import keys, tokens
from gateway.auth.jwks import Fetch, Page, Place, RemoteKeys, VaultPage
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.load import Rules
from gateway.policy.schema import ADMIN_PREFIX, EndUserIssuer, IssuerPolicy, KeySource, SignerPolicy
from gateway.secrets.references import parse_vault
from gateway.types import Principal

CACHED_TOKENS: Final = 4096  # about 2 MB; a verification costs a tenth of a millisecond, a look-up a thousandth


Tell = Callable[[str, str | None], None]


def load(rules: Rules, fetch: Fetch | None = None, tell: Tell = lambda issuer, fault: None) -> tokens.Issuers:
    """Reads every key file, relative to the policy; pages are read by `fetch`, later. `tell` hears of each fetch for
    an issuer: None, or what went wrong in one word. What is an assertion as well is no access token. Raises
    ConfigError."""
    read = partial(_issuer, folder=rules.document.path.parent, fetch=fetch, tell=tell)
    foreign = audiences(rules.administrators)
    asserting = {each.issuer: each.audience for each in rules.policy.end_user_issuers}
    return {
        each.issuer: replace(read(each), foreign_audiences=foreign | asserting.get(each.issuer, frozenset()))
        for each in rules.issuers
    }


def load_administrators(
    rules: Rules, fetch: Fetch | None = None, tell: Tell = lambda issuer, fault: None
) -> tokens.Issuers:
    """As `load`, of those whose tokens let administrate. No token is good for both."""
    read = partial(_issuer, folder=rules.document.path.parent, fetch=fetch, tell=tell)
    foreign = audiences(rules.signers)
    return {
        each.issuer: replace(read(each), foreign_audiences=foreign, role_prefix=ADMIN_PREFIX)
        for each in rules.administrators
    }


def audiences(issuers: Iterable[SignerPolicy]) -> frozenset[str]:
    """All that what they sign is for."""
    return frozenset().union(*(issuer.audience for issuer in issuers))


def load_asserting(rules: Rules, fetch: Fetch | None = None, tell: Tell = lambda issuer, fault: None) -> tokens.Issuers:
    """As `load`, those that only say who an end user is. No token is good for both."""
    folder = rules.document.path.parent
    foreign = audiences(rules.administrators)
    letting_in = {each.issuer: each.audience for each in rules.issuers}
    return {
        each.issuer: replace(
            _asserting(each, folder, fetch, tell),
            foreign_audiences=foreign | letting_in.get(each.issuer, frozenset()),
        )
        for each in rules.policy.end_user_issuers
    }


def pages(rules: Rules) -> list[Place]:
    """Every page of keys that the policy names."""
    folder = rules.document.path.parent
    everybody = (*rules.signers, *rules.administrators)
    return [_page(source, folder) for signer in everybody for source in signer.keys if source.file is None]


@dataclass(frozen=True, slots=True)
class _Known:
    """A principal, and the generation of its issuer's keys that vouched for it."""

    principal: Principal
    generation: int


class Verifier:
    """`tokens.verify` that remembers good tokens until they expire, by hash: a token itself is never kept.

    Belongs to one set of issuers: a new policy means a new verifier, new keys a new generation of theirs.
    """

    def __init__(self, issuers: tokens.Issuers, *, now: Callable[[], float], size: int = CACHED_TOKENS) -> None:
        self._issuers, self._now, self._size = issuers, now, size
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def authenticate(self, raw_token: str) -> Principal:
        """As `verify`; a key id that nobody knows is fetched for first. Raises NotAuthenticated."""
        try:
            return self.verify(raw_token)
        except NotAuthenticated as refused:
            if refused.reason is not Reason.UNKNOWN_KEY or not await self._renewed(raw_token):
                raise
        return self.verify(raw_token)

    def verify(self, raw_token: str) -> Principal:
        """Raises NotAuthenticated."""
        name = hashlib.sha256(raw_token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(name)
        if known is not None and self._holds(known):
            self._known.move_to_end(name)
            return known.principal
        return self._remember(name, tokens.verify(raw_token, self._issuers, self._now()))

    def carry_over(self, before: Verifier) -> None:
        """Take the keys that another one has fetched for the same issuers from the same pages."""
        for name, issuer in self._issuers.items():
            known = before._issuers.get(name)
            if known and isinstance(issuer.keys, RemoteKeys) and isinstance(known.keys, RemoteKeys):
                issuer.keys.carry_over(known.keys)

    @property
    def remote(self) -> list[RemoteKeys]:
        """The keys that have to be fetched."""
        return [issuer.keys for issuer in self._issuers.values() if isinstance(issuer.keys, RemoteKeys)]

    @property
    def ready(self) -> bool:
        """Whether any issuer has keys."""
        return any(issuer.keys.ready for issuer in self._issuers.values())

    async def _renewed(self, raw_token: str) -> bool:
        issuer = self._issuers[str(tokens.unverified_issuer(raw_token))]  # it was known, or the reason were another
        return isinstance(issuer.keys, RemoteKeys) and await issuer.keys.renewed()

    def _holds(self, known: _Known) -> bool:
        issuer = self._issuers.get(known.principal.issuer)
        generation = issuer.keys.generation if issuer else known.generation
        return self._now() < known.principal.expires_at + tokens.LEEWAY and generation == known.generation

    def _remember(self, name: bytes, principal: Principal) -> Principal:
        issuer = self._issuers[principal.issuer]
        self._known[name] = _Known(principal, issuer.keys.generation)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return principal


def _issuer(policy: IssuerPolicy, folder: Path, fetch: Fetch | None, tell: Tell) -> tokens.Issuer:
    return replace(
        _asserting(policy, folder, fetch, tell),
        role_path=policy.role_path,
        role_of_subject=policy.role_of_subject,
        group_path=policy.group_path,
        role_of_group=policy.role_of_group,
        roles=policy.roles,
        certificate_binding=policy.certificate_binding,
        takes_actors=policy.end_user is not None and policy.end_user.act,
        end_user_claim=policy.end_user.claim if policy.end_user is not None else None,
    )


def _asserting(policy: IssuerPolicy | EndUserIssuer, folder: Path, fetch: Fetch | None, tell: Tell) -> tokens.Issuer:
    """Without roles."""
    return tokens.Issuer(
        name=policy.issuer,
        audiences=policy.audience,
        algorithms=frozenset(policy.algorithms),
        keys=_keys(policy, folder, fetch, tell),
        max_life=policy.max_life_seconds,
        token_id_claim=policy.token_id_claim,
        types=frozenset(map(tokens.type_name, policy.types)) or tokens.USUAL_TYPES,
        role_path=(),
        roles=frozenset(),
        tenant=policy.tenant.fixed,
        tenant_claim=policy.tenant.claim,
        tenants=policy.tenant.allowed,
    )


def _keys(policy: SignerPolicy, folder: Path, fetch: Fetch | None, tell: Tell) -> keys.Keys:
    files = [(folder / source.file, source.kid) for source in policy.keys if source.file is not None]
    found = [key for path, kid in files for key in keys.load(path, kid)]
    own = keys.collect(found, files[0][0] if files else policy.issuer)
    own_pages = [_page(source, folder) for source in policy.keys if source.file is None]
    if not own_pages or fetch is None:
        return own
    return RemoteKeys(own.keys, own_pages, fetch, partial(tell, policy.issuer))


def _page(source: KeySource, folder: Path) -> Place:
    if source.vault is not None:
        return VaultPage(parse_vault(source.vault), source.kid, source.refresh_seconds, source.keep_seconds)
    assert source.url is not None
    return Page(
        url=source.url,
        ca_file=folder / source.ca_file if source.ca_file else None,
        token_file=folder / source.token_file if source.token_file else None,
        refresh_seconds=source.refresh_seconds,
        keep_seconds=source.keep_seconds,
    )
