"""When each grant and each caller was last of use, for reviews: `tightlip review`.

Noted when a request that was granted has ended, at most once a minute for each name, and told to the store in batches
beside the event loop. No request waits for it or fails because of it. A caller is noted under a mark that stays, unlike
those that records have for him.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import Pseudonyms
from gateway.policy.load import Rules
from gateway.policy.schema import ENDPOINTS
from gateway.state import StateUnavailable, Store

EVERY: Final = 20.0  # seconds between two batches
MOST: Final = 100_000  # names that may wait while the store is away; what is beyond is not noted
GOOD: Final = range(200, 300)

_NAMES: Final = {endpoint.value: name for name, endpoint in ENDPOINTS.items()}


class Grant(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A role may use an endpoint, as the policy calls it, with a model; the list of models is no model's."""

    role: str
    endpoint: str
    model: str | None


class Caller(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Somebody in a role, under his mark."""

    tenant: str
    role: str
    mark: str


Name = Grant | Caller
_DECODER: Final = msgspec.json.Decoder(Grant | Caller)


class LastUses:
    """One per process, for one event loop."""

    def __init__(
        self, store: Store, pseudonyms: Pseudonyms, metrics: Metrics, now: Callable[[], float] = time.time
    ) -> None:
        self._store, self._pseudonyms, self._metrics, self._now = store, pseudonyms, metrics, now
        self._minute = 0
        self._noted: set[tuple[str | None, ...]] = set()  # within the minute
        self._untold: dict[str, float | None] = {}
        self._telling = asyncio.Lock()

    def note(self, record: RequestRecord) -> None:
        """A request has ended."""
        principal = record.principal
        endpoint = _NAMES.get(record.route or "")
        if principal is None or endpoint is None or not _was_granted(record, endpoint):
            return
        now = self._now()
        if self._is_new(now, principal.role, endpoint, record.model):
            self._put(Grant(principal.role, endpoint, record.model), now)
        if self._is_new(now, principal.issuer, principal.tenant, principal.subject, principal.role):
            mark = self._pseudonyms.lasting(principal)
            if mark is not None:
                self._put(Caller(principal.tenant, principal.role, mark), now)

    def introduce(self, rules: Rules) -> None:
        """What this policy grants is there from now on, if it was not before."""
        for grant in grants(rules):
            self._untold.setdefault(written(grant), None)

    async def watch(self) -> None:
        """Tell the store for ever."""
        while True:
            await self.tell()
            await asyncio.sleep(EVERY)

    async def tell(self) -> None:
        """Tell the store what it does not know; what it does not take is told again. One at a time, so that who waits
        for this knows that nothing is on its way."""
        async with self._telling:
            await self._tell()

    async def _tell(self) -> None:
        telling, self._untold = self._untold, {}
        if not telling:
            return
        try:
            await self._store.used(telling, self._now())
        except StateUnavailable:
            self._metrics.last_use_failed()
            self._tell_again(telling)
        except asyncio.CancelledError:
            self._tell_again(telling)
            raise

    def _tell_again(self, telling: Mapping[str, float | None]) -> None:
        """With what came meanwhile; that something is there takes nothing from when it was used."""
        came = {name: at for name, at in self._untold.items() if at is not None or name not in telling}
        self._untold = {**telling, **came}

    def _is_new(self, now: float, *name: str | None) -> bool:
        minute = int(now // 60)
        if minute != self._minute:
            self._minute = minute
            self._noted.clear()
        if name in self._noted:
            return False
        self._noted.add(name)
        return True

    def _put(self, name: Name, now: float) -> None:
        if len(self._untold) < MOST:
            self._untold[written(name)] = now
        else:
            self._metrics.last_use_failed()


def _was_granted(record: RequestRecord, endpoint: str) -> bool:
    """A model stands in the record once its use was granted; whatever became of the answer, it was asked for."""
    return record.status in GOOD if endpoint == "models" else record.model is not None


def grants(rules: Rules) -> Iterator[Grant]:
    """All that a policy grants, in its order."""
    for role, rights in rules.roles.items():
        for endpoint in sorted(rights.endpoints):
            models: Iterable[str | None] = [None] if endpoint == "models" else sorted(rights.models)
            for model in models:
                yield Grant(role, endpoint, model)


def written(name: Name) -> str:
    """As a store keeps it."""
    return msgspec.json.encode(name).decode()


def read(text: str) -> Name | None:
    """None: a newer version's."""
    try:
        name: Name = _DECODER.decode(text)
    except msgspec.MsgspecError:
        return None
    return name
