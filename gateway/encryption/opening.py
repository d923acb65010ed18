"""From what a caller sent encrypted to its body, and to who seals the answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.encryption.answers import AnswerSealer
from gateway.encryption.compact import OpenedRequest, credentials_hash, open_request
from gateway.encryption.keys import ClientKeys, KeyRing
from gateway.errors import EncryptionFault, NotDecrypted, ReplaysUnknown, StaleRequest, UnknownAnswerKey
from gateway.framing import framed
from gateway.state import PATIENCE, Counters, StateUnavailable
from gateway.state.windows import Window
from gateway.types import Principal

FRESH_SECONDS: Final = 120  # that a request may be old, or two clocks may differ
REMEMBERED_SECONDS: Final = 3 * FRESH_SECONDS  # longer than a request can be good, on replicas whose clocks differ
MOST_INLINE_BYTES: Final = 64 * 1024  # of a request; decrypting them takes half a millisecond


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is, by the tokens that came with it, and to which path."""

    principal: Principal
    credentials: str  # the access token, and behind a line end an assertion of who sits before the application
    path: str


class Opener:
    """Reads encrypted requests. For one event loop."""

    def __init__(self, ring: KeyRing, counters: Counters, now: Callable[[], float] = time.time) -> None:
        """`counters` remember requests for all replicas; `now` gives seconds since the epoch."""
        self.ring, self._counters, self._now = ring, counters, now

    async def open(self, message: bytes, caller: Caller, clients: ClientKeys) -> tuple[OpenedRequest, AnswerSealer]:
        """Decrypt a request that was made for this token and path. Raises NotDecrypted."""
        inline = len(message) <= MOST_INLINE_BYTES
        opened = self._read(message) if inline else await asyncio.to_thread(self._read, message)
        if not hmac.compare_digest(opened.head.credentials, credentials_hash(caller.credentials)):
            raise NotDecrypted(EncryptionFault.TOKEN)
        if opened.head.path != caller.path:
            raise NotDecrypted(EncryptionFault.PATH)
        who, kid = caller.principal, opened.head.answer_kid
        recipient = clients.key(who.issuer, who.tenant, who.subject, kid)
        if recipient is None:
            raise UnknownAnswerKey(EncryptionFault.ANSWER_KEY)
        own = self.ring.now
        newest = own.public(own.first) if opened.head.kid != own.first else None
        return opened, AnswerSealer(opened, recipient, newest)

    async def take(self, opened: OpenedRequest, principal: Principal) -> None:
        """It is of now, and the first of its id. Raises StaleRequest, ReplaysUnknown."""
        now = self._now()
        if abs(now - opened.head.issued) > FRESH_SECONDS:
            raise StaleRequest(EncryptionFault.STALE)
        who = framed("encrypted request", principal.issuer, principal.tenant, principal.subject, opened.head.id)
        window = Window(hashlib.sha256(who).hexdigest(), REMEMBERED_SECONDS, most=1, amount=1)
        try:
            async with asyncio.timeout(PATIENCE):
                taken = await self._counters.take([window], [], now)
        except (StateUnavailable, TimeoutError):
            raise ReplaysUnknown from None
        if not taken.granted:
            raise StaleRequest(EncryptionFault.REPLAYED)

    def _read(self, message: bytes) -> OpenedRequest:
        return open_request(message, self.ring.key)
