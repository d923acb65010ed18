"""What callers may ask: requests and tokens in a minute and in a day, and answers at once, as their role's policy says.

All limits of a request are taken in one step of the store, or none of them: what is refused costs nothing, and however
many processes share a store, no more passes than the limit (gateway/state/windows.py has the windows). A caller is an
issuer's tenant and subject in a role; `total_limits` are those of all callers of a tenant in that role together, and
`end_user_limits` those of each end user of a caller.

Tokens are reserved when a request is admitted: its prompt by the model's tokenizer, and all that it may be answered.
When the answer ends they become what its caller is told in `usage`, so that they count what was released, and a caller
can't read from them how much was hidden; true counts are in the metrics. Where a model server was given the prompt and
never said its tokens, those that were reserved for it stay: who breaks off early is not read for nothing. A process
that is killed leaves its tokens reserved until the window has passed, and its places until their leases end. A lease
outlasts the grace of revocations, so that while the store is away an answer ends before its place does.

The counting is the store's and not that of a library (`limits` 5.8 was looked at): of a request's limits it takes one
at a time, so that one that is refused has cost the others; nothing that was reserved can be given back; a moving window
keeps an entry for every token; and it has no storage in SQLite.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from gateway.errors import LimitReached, LimitsUnavailable, TokenLimitReached
from gateway.framing import framed
from gateway.observe.metrics import Metrics
from gateway.policy.limits import RateLimits
from gateway.state import LAST_WORDS, PATIENCE, Counters, StateUnavailable
from gateway.state.memory import MemoryCounters
from gateway.state.windows import Lease, Standing, Taken, Window
from gateway.types import EndUser, Grant, Plan, Principal

LEASE_SECONDS: Final = 45.0  # until the places of a killed process are free again, with the usual grace
BEYOND_GRACE: Final = 15.0  # seconds: a renewal every ten, and what one that fails may take
RENEW_EVERY: Final = 10.0  # seconds
RENEW_AGAIN: Final = 1.0  # seconds after one that failed
TOKENS_AROUND_MESSAGE: Final = 8  # that a chat template adds
MOST_INLINE_CHARACTERS: Final = 4096  # of a request; counting their tokens takes some milliseconds
MINUTE: Final = 60
DAY: Final = 86_400

OnFailure = Literal["allow", "refuse"]
CountTokens = Callable[[Grant], Callable[[str], int]]  # of a text, by the model that is asked
_TOLD_OF: Final = frozenset({"caller", "end_user"})  # a total is of others too
_SHAPES: Final = ("tools", "response_format", "structured_outputs")  # fields that a template may put into the prompt
_RATES: Final[Sequence[tuple[str, str, int]]] = (
    ("requests_per_minute", "requests", MINUTE),
    ("requests_per_day", "requests", DAY),
    ("tokens_per_minute", "tokens", MINUTE),
    ("tokens_per_day", "tokens", DAY),
)


@dataclass(frozen=True, slots=True)
class _Rate:
    """One window that a request is counted in."""

    name: str  # of the policy's key
    scope: str  # of the metrics' LIMIT_SCOPES
    unit: str  # "requests" or "tokens"
    window: Window


@dataclass(frozen=True, slots=True)
class _Place:
    scope: str
    lease: Lease


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that a request takes."""

    rates: Sequence[_Rate]
    places: Sequence[_Place]

    @property
    def windows(self) -> list[Window]:
        return [rate.window for rate in self.rates]

    @property
    def leases(self) -> list[Lease]:
        return [place.lease for place in self.places]


class Admission:
    """A request that was let in. `told` are the headers of its answer, by name; `prompt` are the tokens that were
    reserved for what it says itself."""

    def __init__(
        self,
        told: Mapping[str, str],
        asked: _Asked | None = None,
        end: Callable[[int], None] = lambda _tokens: None,
        prompt: int = 0,
    ) -> None:
        self.told, self.asked, self._end, self.prompt = told, asked, end, prompt

    def end(self, tokens: int) -> None:
        """The answer has ended; its caller was told of so many tokens. Does not wait."""
        self._end(tokens)


UNLIMITED: Final = Admission({})


class Limiter:
    """All callers of the process. For one event loop."""

    def __init__(
        self,
        store: Counters,
        metrics: Metrics,
        count: CountTokens,
        on_failure: OnFailure = "refuse",
        now: Callable[[], float] = time.time,
        grace: float = 0.0,
    ) -> None:
        """`on_failure`: while the store does not answer, "refuse" lets nobody in who has limits, and with "allow" this
        process counts for itself. `now` gives seconds since the epoch. `grace`: the seconds after which a store that
        does not answer ends what runs."""
        self._store, self._metrics, self._count, self._now = store, metrics, count, now
        self._lease = max(LEASE_SECONDS, grace + BEYOND_GRACE)
        self._own = MemoryCounters() if on_failure == "allow" else None
        self._running: dict[Admission, Counters] = {}
        self._settling: set[asyncio.Task[None]] = set()

    async def take(self, plan: Plan) -> Admission:
        """Let a request in. Raises LimitReached, LimitsUnavailable."""
        grant = plan.grant
        scopes = _scopes(plan)
        if not scopes:
            return UNLIMITED
        counts_tokens = any(scope.limits.of_tokens for scope in scopes)
        prompt, answer = await self._reserved(plan) if counts_tokens else (0, 0)
        tokens = prompt + answer
        now = self._now()
        asked = _asked(scopes, tokens, now + self._lease)
        taken, store = await self._take(asked, now)
        if not taken.granted:
            raise self._refusal(asked, taken, grant, now)
        told = _told(asked, taken, now, granted=True)
        admission = Admission(told, asked, lambda used: self._end(admission, store, used - tokens, now), prompt)
        self._running[admission] = store
        return admission

    async def watch(self) -> None:
        """Renew for ever the places of what is under way."""
        renewed = True
        while True:
            await asyncio.sleep(RENEW_EVERY if renewed else RENEW_AGAIN)
            renewed = await self.renew()

    async def renew(self) -> bool:
        """Once; whether every store took it. Where one does not answer the answers go on."""
        renewed = True
        for store in set(self._running.values()):
            held = [admission for admission, where in self._running.items() if where is store]
            ends = self._now() + self._lease
            try:
                await store.renew([replace(lease, ends=ends) for lease in _leases(held)])
                ended = _leases(admission for admission in held if admission not in self._running)
                if ended:  # meanwhile, and maybe given back before they were renewed
                    await store.settle([], ended, self._now())
            except StateUnavailable:
                renewed = False
        return renewed

    async def aclose(self) -> None:
        """Waits until the store knows what ended, if it answers."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=LAST_WORDS)

    async def _take(self, asked: _Asked, now: float) -> tuple[Taken, Counters]:
        try:
            return await self._in_time(asked, now), self._store
        except StateUnavailable:
            self._metrics.limits_unknown()
            if self._own is None:
                raise LimitsUnavailable from None
            return await self._own.take(asked.windows, asked.leases, now), self._own

    async def _in_time(self, asked: _Asked, now: float) -> Taken:
        """What is granted to one who no longer waits is given back. Raises StateUnavailable."""
        taking = asyncio.ensure_future(self._store.take(asked.windows, asked.leases, now))
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(taking)
        except TimeoutError:
            self._soon(_give_back(taking, asked, self._store, now))
            raise StateUnavailable("the store does not answer in time") from None
        except asyncio.CancelledError:
            self._soon(_give_back(taking, asked, self._store, now))
            raise

    def _refusal(self, asked: _Asked, taken: Taken, grant: Grant, now: float) -> LimitReached:
        """Says nothing of others: of the role's total only when it may fit."""
        full = [
            (rate, found)
            for rate, found in zip(asked.rates, taken.windows, strict=True)
            if found.used + rate.window.amount > rate.window.most
        ]
        told = _told(asked, taken, now, granted=False)
        if not full:
            scopes = [p.scope for p, held in zip(asked.places, taken.held, strict=True) if held >= p.lease.most]
            self._metrics.limit_refused(grant.principal.role, "streams", scopes[0])
            return LimitReached(1.0, told)
        latest, found = max(full, key=lambda each: each[1].fits_at(each[0].window, now))
        self._metrics.limit_refused(grant.principal.role, latest.name, latest.scope)
        kind = TokenLimitReached if latest.unit == "tokens" else LimitReached
        return kind(found.fits_at(latest.window, now) - now, told)

    def _end(self, admission: Admission, store: Counters, tokens: int, taken_at: float) -> None:
        """Not in the answer's own task: who breaks off must not keep his place."""
        if self._running.pop(admission, None) is None:
            return
        self._soon(_settle(admission.asked, store, tokens, taken_at))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _reserved(self, plan: Plan) -> tuple[int, int]:
        """What a request's prompt and its answer may come to. A long one is counted beside the event loop."""
        texts = [turn.raw_text for turn in plan.turns]
        texts += [msgspec.json.encode(plan.body[name]).decode() for name in _SHAPES if name in plan.body]
        count = self._count(plan.grant)

        def work() -> int:
            return sum(count(text) + TOKENS_AROUND_MESSAGE for text in texts)

        short = sum(map(len, texts)) <= MOST_INLINE_CHARACTERS
        prompt = work() if short else await asyncio.to_thread(work)
        return prompt, plan.n * (plan.max_tokens or plan.grant.max_output_tokens)


async def _settle(asked: _Asked | None, store: Counters, tokens: int, taken_at: float) -> None:
    """What the store does not hear of counts as it was reserved, and ends as leases do."""
    if asked is None:
        return
    windows = [replace(rate.window, amount=tokens) for rate in asked.rates if rate.unit == "tokens" and tokens]
    if windows or asked.places:
        try:
            await store.settle(windows, asked.leases, taken_at)
        except StateUnavailable:
            return


async def _give_back(taking: asyncio.Future[Taken], asked: _Asked, store: Counters, taken_at: float) -> None:
    """All that is granted late."""
    try:
        if (await taking).granted:
            windows = [replace(window, amount=-window.amount) for window in asked.windows]
            await store.settle(windows, asked.leases, taken_at)
    except StateUnavailable:
        return


def _leases(admissions: Iterable[Admission]) -> list[Lease]:
    return [lease for admission in admissions if admission.asked for lease in admission.asked.leases]


# ---- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose limits: `name` is of the metrics' LIMIT_SCOPES."""

    name: str
    key: str
    limits: RateLimits


def _scopes(plan: Plan) -> list[_Scope]:
    """Where there is a limit. The application's own hold whoever sits before it: names that nobody signed it could
    make up."""
    grant, who, end_user = plan.grant, plan.grant.principal, plan.end_user
    scopes = [_Scope("caller", _key_of(who), grant.limits), _Scope("role", _key(who), grant.total_limits)]
    if end_user is not None:
        scopes.append(_Scope("end_user", _key_of(who, end_user), grant.end_user_limits))
    return [scope for scope in scopes if scope.limits.any]


@dataclass(frozen=True, slots=True)
class Counted:
    """Where a store counts what somebody takes: his windows by their keys, each with the limit's name in the policy and
    its seconds, and the key of his places."""

    windows: Mapping[str, tuple[str, int]]
    places: str


def _asked(scopes: Sequence[_Scope], tokens: int, ends: float) -> _Asked:
    name = secrets.token_hex(8)
    return _Asked(
        [rate for scope in scopes for rate in _rates(scope, tokens)],
        [
            _Place(scope.name, Lease(_places(scope.key), most, name, ends))
            for scope in scopes
            if (most := scope.limits.streams)
        ],
    )


def _rates(scope: _Scope, tokens: int) -> Iterator[_Rate]:
    for name, unit, seconds in _RATES:
        most: int | None = getattr(scope.limits, name)
        if most is not None:
            amount = tokens if unit == "tokens" else 1
            yield _Rate(name, scope.name, unit, Window(_window(scope.key, unit, seconds), seconds, most, amount))


def counted(who: Principal, end_user: EndUser | None = None) -> Counted:
    """A caller's in his role, or an end user's behind him."""
    key = _key_of(who, end_user)
    return Counted({_window(key, unit, seconds): (name, seconds) for name, unit, seconds in _RATES}, _places(key))


def _window(key: str, unit: str, seconds: int) -> str:
    return f"{key}:{unit}:{seconds}"


def _places(key: str) -> str:
    return f"{key}:streams"


def _key_of(who: Principal, end_user: EndUser | None = None) -> str:
    behind = () if end_user is None else (end_user.issuer or "", end_user.name)
    return _key(who, who.subject, *behind)


def _key(who: Principal, *subject: str) -> str:
    """Says nothing of anybody, and no two are alike."""
    return hashlib.sha256(framed(who.issuer, who.tenant, who.role, *subject)).hexdigest()


# ---- what is told ----------------------------------------------------------------------------------------------------


def _told(asked: _Asked, taken: Taken, now: float, *, granted: bool) -> dict[str, str]:
    """OpenAI's headers, of the caller's own limits and his end user's: of all that there are, for the minute and the
    day, the one that is nearest to its end."""
    headers: dict[str, str] = {}
    for unit in ("requests", "tokens"):
        own = [
            (rate.window, found, found.used + (rate.window.amount if granted else 0))
            for rate, found in zip(asked.rates, taken.windows, strict=True)
            if rate.scope in _TOLD_OF and rate.unit == unit
        ]
        if own:
            window, found, used = min(own, key=lambda each: each[0].most - each[2])
            headers |= _three(unit, window, used, _clear_in(window, found, now, granted=granted))
    return headers


def _three(unit: str, window: Window, used: int, clear_in: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{unit}": str(window.most),
        f"x-ratelimit-remaining-{unit}": str(max(0, window.most - used)),
        f"x-ratelimit-reset-{unit}": duration(clear_in),
    }


def _clear_in(window: Window, found: Standing, now: float, *, granted: bool) -> float:
    return (window.over(window.part(now)) if granted else found.clear_at(window, now)) - now


def duration(seconds: float) -> str:
    """As OpenAI writes them, such as 6m0s; rounded up to the second."""
    left = max(0, math.ceil(seconds))
    hours, minutes, rest = left // 3600, left // 60 % 60, left % 60
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
