"""How callers and their addresses appear: in records for a while, elsewhere for good.

1. In records a mark is good for one period: as many days as records are kept, counted in UTC from 1970-01-01. Each
   period's key is derived from the root, so that replicas agree without a word, and after the edge everybody has
   another mark: who reads records alone can't tell that two of different periods are the same person's.
2. What must not change with a period (last uses in the store, the audit log) has a mark of its own, under a key of its
   own: records can't be joined with it by marks.
3. Who has the root can make all marks of everybody whose name he knows or guesses, of every period. Without the root
   nobody can, so with another root, and the old one destroyed, what is kept still is nobody's.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from gateway.tenant_keys import TenantKeys
from gateway.types import Principal

SubjectForm = Literal["hashed", "plain", "off"]
AddressForm = Literal["truncated", "hashed", "full", "off"]

RECORD_DAYS: Final = 7  # that records are kept
SECURITY_DAYS: Final = 180  # and security events
HASH_CHARS: Final = 16  # 64 bits: two callers in a million collide with a chance of 3e-8
V4_KEPT_BITS: Final = 24
V6_KEPT_BITS: Final = 48
PLAIN_CHARS: Final = 256  # a plain subject is cut here
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Recorded:
    """Somebody's mark in records from the first of these days to the last, in UTC; None: whenever they were."""

    mark: str
    first: str | None
    last: str | None


class Pseudonyms:
    """`root` is secret; without it a hash says nothing. Each tenant has keys of its own."""

    def __init__(
        self,
        root: bytes,
        *,
        subject: SubjectForm = "hashed",
        address: AddressForm = "truncated",
        period_days: int = RECORD_DAYS,
        kept_days: int = SECURITY_DAYS,
    ) -> None:
        """`kept_days`: for how long any record is kept. Raises ValueError for a root that is too short."""
        self._keys, self._subject, self._address = TenantKeys(root), subject, address
        self._period_days, self._kept_days = period_days, kept_days

    # ---- in records --------------------------------------------------------------------------------------------------

    def subject(self, principal: Principal, at: float) -> str | None:
        """The caller's mark in a record of that moment, in seconds since the epoch."""
        return self._subject_under(principal, self._period(at))

    def address(self, address: str | None, at: float) -> str | None:
        """A caller's address in a record of that moment."""
        return self._address_under(address, self._period(at))

    def own_subjects(self, principal: Principal, now: float, *, alone: bool) -> Iterator[Recorded]:
        """All marks that he has in records that may be kept still, if they are nobody else's (`own_lasting`)."""
        if self._subject != "hashed":
            mark = self.own_lasting(principal, alone=alone)
            yield from [Recorded(mark, None, None)] if mark is not None else []
            return
        # A day's file goes when the day has been over for so long; an answer's record has the time when it began.
        oldest = now - (self._kept_days + 2) * _DAY
        for number in range(self._number(oldest), self._number(now) + 1):
            first, after = (each * self._period_days * _DAY for each in (number, number + 1))
            mark = _mark(self._keys.subjects(principal, self._named(number)), principal.subject)
            yield Recorded(mark, _day(first), _day(after - _DAY))

    # ---- elsewhere ---------------------------------------------------------------------------------------------------

    def lasting(self, principal: Principal) -> str | None:
        """The caller's mark in the store and in the audit log."""
        return self._subject_under(principal, None)

    def own_lasting(self, principal: Principal, *, alone: bool) -> str | None:
        """The same, if it is nobody else's: a plain one that was cut or lost something may be another's too, and so may
        any plain one unless his issuer is `alone` in calling a tenant like this."""
        mark = self.lasting(principal)
        return mark if self._subject != "plain" or (alone and mark == principal.subject) else None

    def lasting_address(self, address: str | None) -> str | None:
        """A caller's address in the audit log."""
        return self._address_under(address, None)

    # ------------------------------------------------------------------------------------------------------------------

    def _period(self, at: float) -> str:
        return self._named(self._number(at))

    def _number(self, at: float) -> int:
        return int(at // (self._period_days * _DAY))

    def _named(self, number: int) -> str:
        """With its length: periods of another length have other keys."""
        return f"{self._period_days}:{number}"

    def _subject_under(self, principal: Principal, period: str | None) -> str | None:
        """A plain one is cut and loses what is not printable ASCII."""
        if self._subject == "off":
            return None
        if self._subject == "plain":
            return re.sub(r"[^\x21-\x7e]", "?", principal.subject[:PLAIN_CHARS])
        return _mark(self._keys.subjects(principal, period), principal.subject)

    def _address_under(self, address: str | None, period: str | None) -> str | None:
        if address is None or self._address == "off":
            return None
        if self._address == "hashed":
            return _mark(self._keys.addresses(period), address)
        return _truncated(address) if self._address == "truncated" else address


def _mark(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:HASH_CHARS]


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _truncated(address: str) -> str | None:
    """The network an address is in. What is not an address (a Unix socket's name) is left out."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    bits = V4_KEPT_BITS if ip.version == 4 else V6_KEPT_BITS
    return str(ipaddress.ip_network((ip, bits), strict=False))
