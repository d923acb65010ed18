"""What follows from one policy: built whole from its files, put in force by one assignment, never changed afterwards.

A request keeps the `InForce` that it began with, so that what it was admitted under is also what it is filtered by.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filters.detectors import ProfileDetectors
from filters.evidence import Detector
from filters.profile import Profile
from filters.specificity.attributes import AttributeFinder
from filters.specificity.described import Describing
from gateway.auth import issuers
from gateway.auth.end_users import EndUsers, asserting_of
from gateway.auth.jwks import PageFetcher, RemoteKeys
from gateway.encryption.keys import NO_CLIENTS, ClientKeys, load_clients
from gateway.observe.metrics import Metrics
from gateway.policy import load as policies
from gateway.policy.load import Rules
from gateway.relay import Relay
from gateway.settings import Settings

MakeRelay = Callable[[Callable[[Profile], Detector], Describing], Relay]


@dataclass(frozen=True, slots=True)
class InForce:
    """One version of the policy, and all that depends on it. `files` are those that it was read from."""

    rules: Rules
    verifier: issuers.Verifier
    end_users: EndUsers
    relay: Relay
    detectors: Mapping[str, Detector]  # by the profile's name
    persons: Describing
    files: frozenset[Path]
    administrators: issuers.Verifier | None = None  # of their tokens; None: nobody administrates
    clients: ClientKeys = NO_CLIENTS  # to whom answers can be encrypted

    @property
    def remote(self) -> list[RemoteKeys]:
        """All keys that have to be fetched."""
        own = self.administrators.remote if self.administrators else []
        return [*self.verifier.remote, *self.end_users.verifier.remote, *own]

    def carry_over(self, before: InForce) -> None:
        """Take the keys that have been fetched for another policy."""
        self.verifier.carry_over(before.verifier)
        self.end_users.verifier.carry_over(before.end_users.verifier)
        if self.administrators and before.administrators:
            self.administrators.carry_over(before.administrators)

    def detector_of(self, profile: Profile) -> Detector:
        """All that this profile looks for."""
        return self.detectors[profile.name]


class Loader:
    """From the policy file of the settings to what follows from it."""

    def __init__(
        self,
        settings: Settings,
        detectors: ProfileDetectors,
        fetcher: PageFetcher,
        metrics: Metrics,
        make_relay: MakeRelay,
    ) -> None:
        self._settings, self._detectors, self._fetcher = settings, detectors, fetcher
        self._metrics, self._make_relay = metrics, make_relay

    def load(self, before: InForce | None = None) -> InForce:
        """All of it, detectors too: what a role needs is there before it is asked for. Takes up to seconds, and can be
        called in a thread. Of `before` is used again what has not changed. Raises ConfigError."""
        rules = self._rules()
        told = self._metrics.keys_fetched
        verifier = issuers.Verifier(issuers.load(rules, self._fetcher, told), now=time.time)
        asserting = issuers.Verifier(issuers.load_asserting(rules, self._fetcher, told), now=time.time)
        profiles = [*rules.profiles.values(), *rules.expired.values()]
        detectors = {profile.name: self._detectors.of(profile) for profile in profiles}
        persons = self._persons(rules, before)
        made = InForce(
            rules=rules,
            verifier=verifier,
            end_users=EndUsers(asserting, asserting_of(rules)),
            relay=self._make_relay(lambda profile: detectors[profile.name], persons),
            detectors=detectors,
            persons=persons,
            files=frozenset(_files(rules)),
            administrators=self._administrators(rules),
            clients=_clients(rules),
        )
        self._fetcher.know(issuers.pages(rules))  # last: the policy in force fetches with it too
        return made

    def _administrators(self, rules: Rules) -> issuers.Verifier | None:
        if not rules.administrators:
            return None
        known = issuers.load_administrators(rules, self._fetcher, self._metrics.keys_fetched)
        return issuers.Verifier(known, now=time.time)

    def _rules(self) -> Rules:
        rules = policies.load(self._settings.policy)
        policies.check_fit(rules, self._settings)
        return rules

    def _persons(self, rules: Rules, before: InForce | None) -> Describing:
        if before and before.rules.crowds is rules.crowds and before.rules.persons == rules.persons:
            return before.persons
        return Describing(
            AttributeFinder(rules.crowds), self._detectors.names, rules.persons.k, rules.persons.countries
        )


def _clients(rules: Rules) -> ClientKeys:
    """Raises ConfigError."""
    folder = rules.document.path.parent
    found = [
        load_clients(folder / issuer.client_keys, issuer.issuer, issuer.tenant.fixed, issuer.tenant.allowed).keys
        for issuer in rules.issuers
        if issuer.client_keys is not None
    ]
    return ClientKeys({name: keys for each in found for name, keys in each.items()})


def _files(rules: Rules) -> Iterator[Path]:
    folder = rules.document.path.parent
    yield rules.document.path
    for issuer in rules.issuers:
        if issuer.client_keys is not None:
            yield folder / issuer.client_keys
    for signer in (*rules.signers, *rules.administrators):
        for source in signer.keys:
            yield from (folder / name for name in (source.file, source.ca_file) if name is not None)
    if rules.persons.tables is not None:
        tables = folder / rules.persons.tables
        yield from (tables, *tables.glob("*.json"))
