"""Which of a model's releases answers whom, and which are withdrawn. Pure: no clock, no store, no server.

1. A choice says which releases of a model answer, and which part of the callers each: for everybody, for a role, for a
   tenant, or for a tenant's callers in a role. The narrowest that was made counts (tenant and role, tenant, role,
   everybody); where none was made, the configuration's `serving`.
2. Of several releases a caller gets one by a hash of who he is and not by chance: his conversation stays on one, and
   one whose part only grows keeps the callers that it has.
3. A withdrawn release answers nobody, whatever any choice says, in whatever order the two were said. Nor does one that
   this gateway does not have. Whoever was to get it is refused until somebody chooses: that another release may say
   what he will hear is nothing that a program should decide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.errors import GatewayError, ReleaseWithdrawn
from gateway.framing import framed
from gateway.observe.logs import RequestRecord
from gateway.types import Principal, Release

MOST_SHARE: Final = 10_000  # parts of one release: a hundredth of a percent is fine enough
ID_PREFIX: Final = "release-"  # no revocation's id begins so: who may withdraw those may not withdraw these
ID_CHARS: Final = 16  # of a hash: 64 bits name an entry well enough


class Scope(NamedTuple):
    """Whose requests a choice is about; None: everybody's."""

    issuer: str | None = None
    tenant: str | None = None
    role: str | None = None


EVERYBODY: Final = Scope()
_IN_ORDER: Final = ((True, True), (True, False), (False, True), (False, False))  # tenant and role, … everybody


class Choice(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="choice", forbid_unknown_fields=True):
    """Who answers. Raises ValueError, with a text for an operator, where it means nothing. One with a condition that
    only a newer version knows is not understood: it would be about more than it says."""

    model: str
    shares: Mapping[str, int]  # parts of the callers, by release
    # More than that of the choice whose place it takes, and than that of one that was taken back before: milliseconds
    # since the epoch, as far as clocks agree.
    revision: int = 1
    issuer: str | None = None
    tenant: str | None = None
    role: str | None = None

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share <= MOST_SHARE for share in self.shares.values()):
            raise ValueError(f"needs one release or more, each with a share from 1 to {MOST_SHARE}")
        if (self.tenant is None) != (self.issuer is None):
            raise ValueError("a tenant is one of an issuer, and goes with it")

    @property
    def scope(self) -> Scope:
        return Scope(self.issuer, self.tenant, self.role)

    @property
    def id(self) -> str:
        """The same for every choice about the same requests, so that a later one takes its place."""
        return choice_id(self.model, self.scope)

    def written(self) -> str:
        """As a store keeps it."""
        return msgspec.json.encode(self, order="deterministic").decode()

    def part(self, name: str) -> float:
        """Of the callers, that this release gets: 0 to 1."""
        return self.shares.get(name, 0) / sum(self.shares.values())

    def drawn(self, principal: Principal) -> str:
        """The release that this caller gets."""
        caller = framed(self.model, principal.issuer, principal.tenant, principal.subject)
        point = int.from_bytes(hashlib.sha256(caller).digest()[:8]) * sum(self.shares.values()) >> 64
        for name, share in sorted(self.shares.items()):
            point -= share
            if point < 0:
                return name
        raise AssertionError("a point lies within the sum")


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="withdrawal"):
    """This release answers nobody. What else a newer version may say of it is left out: more is refused, never less."""

    model: str
    release: str

    @property
    def id(self) -> str:
        """The same for the same release."""
        return _id("withdrawal", self.model, self.release)

    def written(self) -> str:
        """As a store keeps it."""
        return msgspec.json.encode(self, order="deterministic").decode()


def told(shares: Mapping[str, int]) -> str:
    """Releases in one word: a name, or names with their shares (`blue=9+green=1`)."""
    if len(shares) == 1:
        return next(iter(shares))
    return "+".join(f"{name}={share}" for name, share in sorted(shares.items()))


def choice_id(model: str, scope: Scope) -> str:
    """Of the choice about these requests."""
    return _id("choice", model, *(part or "" for part in scope))


def _id(*parts: str) -> str:
    return ID_PREFIX + hashlib.sha256(framed(*parts)).hexdigest()[:ID_CHARS]


_DECODER: Final[msgspec.json.Decoder[Choice | Withdrawal]] = msgspec.json.Decoder(Choice | Withdrawal)


def understood(text: str) -> Choice | Withdrawal | None:
    """None: something else, or a newer version wrote it."""
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError:
        return None


class Standing:
    """All that is said of releases: the full copy that every replica holds. Fulfils `gateway.revocations.OtherBook`."""

    def __init__(self) -> None:
        self._known: dict[str, Choice | Withdrawal] = {}
        self._choices: dict[tuple[str, Scope], Choice] = {}
        self._withdrawn: set[Release] = set()

    # ---- asked -------------------------------------------------------------------------------------------------------

    def choice(self, model: str, principal: Principal) -> Choice | None:
        """The one that counts for his requests."""
        for of_tenant, of_role in _IN_ORDER:
            issuer, tenant = (principal.issuer, principal.tenant) if of_tenant else (None, None)
            found = self._choices.get((model, Scope(issuer, tenant, principal.role if of_role else None)))
            if found is not None:
                return found
        return None

    def choices(self, model: str) -> list[Choice]:
        """All that were made, those for everybody first."""
        return sorted(
            (choice for (of, _), choice in self._choices.items() if of == model),
            key=lambda choice: [part or "" for part in choice.scope],
        )

    @property
    def models(self) -> list[str]:
        """All of which something is said."""
        return sorted({said.model for said in self._known.values()})

    def is_withdrawn(self, release: Release) -> bool:
        return release in self._withdrawn

    def withdrawn(self, model: str) -> list[str]:
        """The names of those that are, of this model."""
        return sorted(release.name for release in self._withdrawn if release.model == model)

    def objection(self, record: RequestRecord) -> GatewayError | None:
        """As `OtherBook.objection`: it may not go on with the release that it was given."""
        if record.model is None or record.release is None:
            return None
        return ReleaseWithdrawn("withdrawn") if self.is_withdrawn(Release(record.model, record.release)) else None

    # ---- fed ---------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[str]:
        """The ids of the entries."""
        return iter(self._known)

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._known

    def learn(self, entry_id: str, text: str, expires_at: float | None) -> bool:
        """As `Book.learn`. What is said of releases is never forgotten by itself."""
        said = understood(text)
        if said is None or said.id != entry_id:
            return False
        self.drop(entry_id)
        self._known[entry_id] = said
        if isinstance(said, Choice):
            self._choices[said.model, said.scope] = said
        else:
            self._withdrawn.add(Release(said.model, said.release))
        return True

    def is_ahead(self, entry_id: str, text: str) -> bool:
        """As `Book.is_ahead`."""
        known, said = self._known.get(entry_id), understood(text)
        return isinstance(known, Choice) and isinstance(said, Choice) and known.revision > said.revision

    def drop(self, entry_id: str) -> None:
        """As `Book.drop`."""
        said = self._known.pop(entry_id, None)
        if isinstance(said, Choice):
            del self._choices[said.model, said.scope]
        elif said is not None:
            self._withdrawn.discard(Release(said.model, said.release))

    def written(self, entry_id: str) -> tuple[str, float | None]:
        """As `Book.written`."""
        return self._known[entry_id].written(), None

    def expire(self, now: float) -> None:
        """As `Book.expire`: nothing does."""
