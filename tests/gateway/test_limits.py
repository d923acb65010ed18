"""What a role's callers may ask: what is taken, what is refused and told, and what happens without the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from filters.specificity.described import Speaker, Turn
from gateway import limits
from gateway.errors import LimitReached, LimitsUnavailable, TokenLimitReached
from gateway.limits import LEASE_SECONDS, Limiter, duration
from gateway.observe.metrics import Metrics
from gateway.policy.limits import RateLimits
from gateway.policy.parameters import admit, read
from gateway.state import StateUnavailable
from gateway.state.memory import MemoryCounters
from gateway.state.windows import Lease, Taken, Window
from gateway.types import EndUser, Plan
from tests.gateway.support import CANARY, make_grant

NOW = 1_700_000_000.0
BODY = b'{"model": "assistant", "max_tokens": 50, "messages": [{"role": "user", "content": "one two three four"}]}'


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Seen(MemoryCounters):
    """A store that can be switched off, and remembers the keys that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.broken = False
        self.go_on = asyncio.Event()  # what is asked of it is answered when this is set
        self.go_on.set()
        self.keys: set[str] = set()

    async def take(self, windows: Sequence[Window], leases: Sequence[Lease], now: float) -> Taken:
        self._look()
        self.keys |= {each.key for each in (*windows, *leases)}
        taken = await super().take(windows, leases, now)
        await self.go_on.wait()
        return taken

    async def settle(self, windows: Sequence[Window], leases: Sequence[Lease], taken_at: float) -> None:
        self._look()
        if self.broken:
            raise RuntimeError("broken")
        await super().settle(windows, leases, taken_at)

    async def renew(self, leases: Sequence[Lease]) -> None:
        self._look()
        await self.go_on.wait()
        await super().renew(leases)

    def _look(self) -> None:
        if self.away:
            raise StateUnavailable("away")


class Made:
    def __init__(self, on_failure: Any = "refuse", store: Seen | None = None, grace: float = 30.0) -> None:
        self.registry, self.store, self.clock = CollectorRegistry(), store or Seen(), Clock()
        metrics = Metrics(self.registry, roles=["customer"])
        count = lambda _grant: lambda text: len(text.split())  # noqa: E731
        self.limiter = Limiter(self.store, metrics, count, on_failure, self.clock, grace)

    def refusals(self, limit: str, scope: str = "caller") -> float | None:
        labels = {"role": "customer", "limit": limit, "scope": scope}
        return self.registry.get_sample_value("tightlip_limit_refusals_total", labels)


def plan(subject: str = "alice", tenant: str = "acme", total: RateLimits | None = None, **own: int) -> Plan:
    grant = make_grant(limits=RateLimits(**own), total_limits=total or RateLimits())
    principal = replace(grant.principal, subject=subject, tenant=tenant)
    return admit(read(BODY, grant.endpoint), replace(grant, principal=principal))


RESERVED = 4 + 8 + 50  # the prompt's words, what stands around its message, the answer


async def test_who_has_no_limits_asks_no_store() -> None:
    made = Made()
    made.store.away = True
    assert (await made.limiter.take(plan())).told == {}


async def test_requests_of_a_caller_are_counted_and_he_is_told() -> None:
    made = Made()
    for left in (2, 1, 0):
        told = (await made.limiter.take(plan(requests_per_minute=3, requests_per_day=50))).told
        assert told == {
            "x-ratelimit-limit-requests": "3",
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": "1m1s",
        }
    made.clock.now += 20
    with pytest.raises(LimitReached) as refused:
        await made.limiter.take(plan(requests_per_minute=3, requests_per_day=50))
    assert (refused.value.status, refused.value.type, refused.value.code) == (429, "requests", "rate_limit_exceeded")
    assert refused.value.told["x-ratelimit-remaining-requests"] == "0"
    assert refused.value.retry == {"retry-after": "41"}
    assert made.refusals("requests_per_minute") == 1
    made.clock.now += 41
    await made.limiter.take(plan(requests_per_minute=3, requests_per_day=50))


async def test_one_who_would_wait_for_hours_is_told_not_to_try() -> None:
    made = Made()
    await made.limiter.take(plan(requests_per_day=1))
    with pytest.raises(LimitReached) as refused:
        await made.limiter.take(plan(requests_per_day=1))
    assert refused.value.retry["x-should-retry"] == "false"
    assert int(refused.value.retry["retry-after"]) > 86_000


async def test_a_request_that_can_never_fit_is_not_to_be_tried_again() -> None:
    made = Made()
    with pytest.raises(TokenLimitReached) as refused:
        await made.limiter.take(plan(tokens_per_minute=RESERVED - 1))
    assert refused.value.retry == {"x-should-retry": "false"}
    assert refused.value.told["x-ratelimit-remaining-tokens"] == str(RESERVED - 1)
    await made.limiter.take(plan(tokens_per_minute=RESERVED))


async def test_tokens_are_reserved_and_settled_to_what_the_caller_was_told() -> None:
    made = Made()
    first = await made.limiter.take(plan(tokens_per_minute=100))
    assert first.told["x-ratelimit-remaining-tokens"] == str(100 - RESERVED)
    with pytest.raises(TokenLimitReached):
        await made.limiter.take(plan(tokens_per_minute=100))
    first.end(12)
    first.end(12)
    await made.limiter.aclose()
    second = await made.limiter.take(plan(tokens_per_minute=100))
    assert second.told["x-ratelimit-remaining-tokens"] == str(100 - 12 - RESERVED)


async def test_what_a_template_may_put_into_the_prompt_is_reserved_too() -> None:
    made, long = Made(), plan(tokens_per_minute=10_000)
    turns, tools = (Turn(Speaker.CALLER, "word " * 2000),), [{"name": "a b c"}]
    long = replace(long, turns=turns, body={**long.body, "tools": tools}, n=2)
    told = (await made.limiter.take(long)).told
    assert told["x-ratelimit-remaining-tokens"] == str(10_000 - (2000 + 8 + 3 + 8 + 100))


async def test_a_place_is_given_back_at_the_end_however_the_answer_ends() -> None:
    made = Made()
    first = await made.limiter.take(plan(streams=1))
    with pytest.raises(LimitReached) as refused:
        await made.limiter.take(plan(streams=1))
    assert refused.value.retry == {"retry-after": "1"}
    assert made.refusals("streams") == 1
    first.end(0)
    await made.limiter.aclose()
    await made.limiter.take(plan(streams=1))


async def test_places_are_renewed_while_answers_run_and_a_dead_process_loses_its_own() -> None:
    store = Seen()
    alive, dead = Made(store=store), Made(store=store)
    await alive.limiter.take(plan(streams=2))
    await dead.limiter.take(plan(streams=2))
    for made in (alive, dead):
        made.clock.now += LEASE_SECONDS - 5
    await alive.limiter.renew()
    alive.clock.now += 10
    await alive.limiter.take(plan(streams=2))
    with pytest.raises(LimitReached):
        await alive.limiter.take(plan(streams=2))


@pytest.mark.parametrize("grace", [1.0, 30.0, 300.0])
async def test_a_place_is_held_for_longer_than_a_store_may_be_away_before_answers_end(grace: float) -> None:
    """Or another process would lend it while its answer still runs."""
    store = Seen()
    one, other = Made(store=store, grace=grace), Made(store=store, grace=grace)
    await one.limiter.take(plan(streams=1))
    other.clock.now += limits.RENEW_EVERY + grace
    with pytest.raises(LimitReached):
        await other.limiter.take(plan(streams=1))
    other.clock.now += LEASE_SECONDS
    await other.limiter.take(plan(streams=1))


async def test_a_renewal_that_failed_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RENEW_EVERY", 0.0)
    waits: list[float] = []
    tried = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            tried.set()
            await asyncio.Event().wait()
        made.store.away = len(waits) in (1, 2)

    made = Made()
    await made.limiter.take(plan(streams=1))
    monkeypatch.setattr(limits.asyncio, "sleep", sleep)
    watching = asyncio.ensure_future(made.limiter.watch())
    await tried.wait()
    watching.cancel()
    assert waits == [0.0, limits.RENEW_AGAIN, limits.RENEW_AGAIN, 0.0]


async def test_the_end_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LAST_WORDS", 0.01)
    made = Made()
    made.store.go_on.clear()
    gone = asyncio.ensure_future(made.limiter.take(plan(streams=1)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    async with asyncio.timeout(30):
        await made.limiter.aclose()
    made.store.go_on.set()


async def test_the_total_is_of_one_tenant_s_role_and_its_numbers_are_not_told() -> None:
    made, total = Made(), RateLimits(requests_per_minute=2)
    assert (await made.limiter.take(plan("alice", total=total))).told == {}
    await made.limiter.take(plan("bob", total=total))
    with pytest.raises(LimitReached) as refused:
        await made.limiter.take(plan("carol", total=total))
    assert refused.value.told == {}
    assert made.refusals("requests_per_minute", "role") == 1
    await made.limiter.take(plan("alice", tenant="other", total=total))


async def test_callers_and_tenants_do_not_touch_each_other() -> None:
    made = Made()
    for subject, tenant in (("alice", "acme"), ("bob", "acme"), ("alice", "other"), ("aliceb", "acm"), ("ob", "acmeb")):
        await made.limiter.take(plan(subject, tenant, requests_per_minute=1, streams=1, tokens_per_day=RESERVED))


async def test_keys_say_nothing_of_anybody() -> None:
    made = Made()
    await made.limiter.take(plan(CANARY, CANARY, RateLimits(streams=5), requests_per_minute=1, tokens_per_day=500))
    assert made.store.keys
    assert not any(CANARY in key or "customer" in key for key in made.store.keys)


async def test_without_the_store_nobody_with_limits_is_let_in() -> None:
    made = Made()
    made.store.away = True
    with pytest.raises(LimitsUnavailable) as refused:
        await made.limiter.take(plan(requests_per_minute=1))
    assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")
    assert made.registry.get_sample_value("tightlip_limits_unavailable_total") == 1


async def test_without_the_store_a_process_may_count_for_itself() -> None:
    made = Made("allow")
    made.store.away = True
    own = await made.limiter.take(plan(requests_per_minute=2, streams=1))
    with pytest.raises(LimitReached):
        await made.limiter.take(plan(requests_per_minute=2, streams=1))
    own.end(0)
    await made.limiter.aclose()
    await made.limiter.take(plan(requests_per_minute=2, streams=1))
    with pytest.raises(LimitReached):
        await made.limiter.take(plan(requests_per_minute=2))
    made.store.away = False
    await made.limiter.take(plan(requests_per_minute=2))


async def test_a_store_that_goes_away_meanwhile_ends_nothing_and_frees_nothing() -> None:
    made = Made()
    first = await made.limiter.take(plan(tokens_per_minute=100, streams=1))
    made.store.away = True
    await made.limiter.renew()
    first.end(1)
    await made.limiter.aclose()
    made.store.away = False
    with pytest.raises(TokenLimitReached):
        await made.limiter.take(plan(tokens_per_minute=100))
    with pytest.raises(LimitReached):
        await made.limiter.take(plan(streams=1))
    made.clock.now += LEASE_SECONDS + 1
    await made.limiter.take(plan(streams=1))


async def test_what_is_reserved_for_the_prompt_is_known_at_the_end() -> None:
    made = Made()
    assert (await made.limiter.take(plan(tokens_per_minute=100))).prompt == 4 + 8
    assert (await made.limiter.take(plan(requests_per_minute=1))).prompt == 0


ALL = {"requests_per_minute": 1, "tokens_per_minute": RESERVED, "streams": 1}


async def refused_late(made: Made, asked: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    made.store.go_on.clear()
    with monkeypatch.context() as patched:
        patched.setattr(limits, "PATIENCE", 0.01)
        async with asyncio.timeout(60):
            with pytest.raises(LimitsUnavailable):
                await made.limiter.take(asked)
    made.store.go_on.set()


async def test_who_waits_too_long_for_the_store_is_refused_and_what_it_grants_then_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made()
    await refused_late(made, plan(**ALL), monkeypatch)
    assert made.registry.get_sample_value("tightlip_limits_unavailable_total") == 1
    await made.limiter.aclose()
    await made.limiter.take(plan(**ALL))


async def test_a_late_refusal_gives_nothing_back_and_a_store_that_is_gone_by_then_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made()
    await made.limiter.take(plan(**ALL))
    await refused_late(made, plan(**ALL), monkeypatch)
    await made.limiter.aclose()
    with pytest.raises(LimitReached):
        await made.limiter.take(plan(**ALL))
    await refused_late(made, plan("bob", **ALL), monkeypatch)
    made.store.away = True
    await made.limiter.aclose()
    made.store.away = False
    with pytest.raises(LimitReached):
        await made.limiter.take(plan("bob", **ALL))


async def test_who_goes_while_the_store_is_asked_leaves_nothing_behind() -> None:
    made = Made()
    made.store.go_on.clear()
    gone = asyncio.ensure_future(made.limiter.take(plan(**ALL)))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.wait({gone})
    assert gone.cancelled()
    made.store.go_on.set()
    await made.limiter.aclose()
    await made.limiter.take(plan(**ALL))


async def test_an_answer_that_ends_while_places_are_renewed_leaves_no_place_behind() -> None:
    made = Made()
    first = await made.limiter.take(plan(streams=1))
    made.store.go_on.clear()
    renewing = asyncio.ensure_future(made.limiter.renew())
    await asyncio.sleep(0)
    first.end(0)
    await made.limiter.aclose()
    made.store.go_on.set()
    await renewing
    await made.limiter.take(plan(streams=1))


async def test_one_settlement_that_breaks_does_not_keep_the_others_from_closing() -> None:
    made = Made()
    first = await made.limiter.take(plan(streams=1))
    made.store.broken = True
    first.end(0)
    await made.limiter.aclose()


async def test_parallel_requests_never_pass_a_limit() -> None:
    made = Made()
    taken = await asyncio.gather(
        *(made.limiter.take(plan(tokens_per_minute=10 * RESERVED + 1, streams=7)) for _ in range(40)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, BaseException) for each in taken) == 7


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.2, "1s"), (59.5, "1m0s"), (60, "1m0s"), (86_400, "24h0m0s"), (-3, "0s")]
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def behind(end_user: EndUser | None, subject: str = "app", tenant: str = "acme", **own: int) -> Plan:
    """A request for one end user, of whom one a minute may come."""
    made = plan(subject, tenant, **own)
    grant = replace(made.grant, end_user_limits=RateLimits(requests_per_minute=1))
    return replace(made, grant=grant, end_user=end_user)


async def test_each_end_user_has_limits_of_his_own_and_the_application_s_hold_beside_them() -> None:
    made = Made()
    told = (await made.limiter.take(behind(EndUser("users", "bob"), requests_per_minute=3))).told
    assert told["x-ratelimit-remaining-requests"] == "0", "his own, which has less left"
    with pytest.raises(LimitReached):
        await made.limiter.take(behind(EndUser("users", "bob"), requests_per_minute=3))
    assert made.refusals("requests_per_minute", "end_user") == 1
    await made.limiter.take(behind(EndUser("users", "carol"), requests_per_minute=3))
    await made.limiter.take(behind(None, requests_per_minute=3))
    for invented in ("dora", "erin"):
        with pytest.raises(LimitReached):
            await made.limiter.take(behind(EndUser(None, invented), requests_per_minute=3))
    assert made.refusals("requests_per_minute") == 2


async def test_no_two_end_users_meet() -> None:
    made = Made()
    for end_user, subject, tenant in (
        (EndUser("users", "bob"), "app", "acme"),
        (EndUser(None, "bob"), "app", "acme"),
        (EndUser("other", "bob"), "app", "acme"),
        (EndUser("users", "bob"), "kiosk", "acme"),
        (EndUser("users", "bob"), "app", "other"),
        (EndUser("user", "sbob"), "app", "acme"),
        (EndUser("users", "b"), "ob", "acme"),
    ):
        await made.limiter.take(behind(end_user, subject, tenant))
    await made.limiter.take(behind(EndUser(CANARY, CANARY)))
    assert not any(CANARY in key for key in made.store.keys)
