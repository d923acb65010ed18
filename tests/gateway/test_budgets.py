"""A caller's hour over many answers: counted at once, told to the store later, careful where it is silent."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from filters.budget import MOST_BITS, Limits
from gateway.budgets import Budgets, account_key
from gateway.errors import LeakBudgetSpent
from gateway.observe.metrics import Metrics
from gateway.state import HourlyTotals, StateUnavailable
from gateway.state.memory import MemoryTotals
from gateway.types import Principal

CALLER = Principal("issuer", "acme", "alice", None, "customer", 0.0)
LIMITS = Limits(answer_bits=30.0, caller_bits_per_hour=50.0, refuse_bits_per_hour=100.0)
NOW = 1_700_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Failing(MemoryTotals):
    """A store that can be switched off."""

    off = False

    async def add(self, key: str, amount: float, now: float) -> float:
        await asyncio.sleep(0)
        if self.off:
            raise StateUnavailable
        return await super().add(key, amount, now)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def budgets(registry: CollectorRegistry, totals: HourlyTotals | None = None, clock: Clock | None = None) -> Budgets:
    return Budgets(totals or MemoryTotals(), Metrics(registry, roles=["customer"]), clock or Clock())


async def test_an_answer_has_its_own_budget(registry: CollectorRegistry) -> None:
    budget = await budgets(registry).admit(CALLER, Limits(answer_bits=30.0))
    budget.spend(29.0)
    assert not budget.spent
    budget.spend(1.0)
    assert budget.spent
    assert registry.get_sample_value("tightlip_leak_budget_bits_total", {"role": "customer"}) == 30


async def test_parallel_answers_see_each_other_s_findings_at_once(registry: CollectorRegistry) -> None:
    all_of_them = budgets(registry)
    answers = [await all_of_them.admit(CALLER, LIMITS) for _ in range(20)]
    answers[0].spend(25.0)
    assert not answers[1].spent
    answers[1].spend(25.0)
    assert all(answer.spent for answer in answers), "before the store has heard of it"
    other = await all_of_them.admit(replace(CALLER, subject="bob"), LIMITS)
    assert not other.spent


async def test_a_caller_is_moved_then_refused_and_comes_back(registry: CollectorRegistry) -> None:
    clock = Clock()
    all_of_them = budgets(registry, clock=clock)
    (await all_of_them.admit(CALLER, LIMITS)).spend(60.0)
    await all_of_them.aclose()
    moved = await all_of_them.admit(CALLER, LIMITS)
    assert moved.spent
    moved.spend(60.0)
    await all_of_them.aclose()
    with pytest.raises(LeakBudgetSpent):
        await all_of_them.admit(CALLER, LIMITS)
    assert registry.get_sample_value("tightlip_leak_budget_spent_total", {"role": "customer", "step": "refused"}) == 1
    clock.now += 3700
    assert not (await all_of_them.admit(CALLER, LIMITS)).spent


async def test_replicas_share_what_the_store_knows(registry: CollectorRegistry) -> None:
    totals = MemoryTotals()
    here, there = budgets(registry, totals), budgets(CollectorRegistry(), totals)
    running = await there.admit(CALLER, LIMITS)
    (await here.admit(CALLER, LIMITS)).spend(49.0)
    await here.aclose()
    assert not running.spent
    running.spend(1.0)
    await there.aclose()
    assert running.spent, "it learnt of the other when it told of itself"


async def test_a_silent_store_moves_callers_to_the_base_and_refuses_nobody(registry: CollectorRegistry) -> None:
    totals = Failing()
    all_of_them = budgets(registry, totals)
    totals.off = True
    budget = await all_of_them.admit(CALLER, LIMITS)
    assert budget.spent
    assert not (await all_of_them.admit(CALLER, Limits(answer_bits=5.0))).spent, "who has no hourly budget needs none"
    budget.spend(70.0)
    await all_of_them.aclose()
    totals.off = False
    assert (await all_of_them.admit(CALLER, LIMITS)).spent
    assert await totals.add(account_key(CALLER), 0.0, NOW) == 70.0, "told when it was back"


class Hanging(MemoryTotals):
    """One that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.asked = asyncio.Event(), 0

    async def add(self, key: str, amount: float, now: float) -> float:
        self.asked += 1
        await self.go_on.wait()
        return await super().add(key, amount, now)


async def test_nobody_waits_long_for_a_store_that_hangs_nor_does_it_get_many_questions(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.budgets.PATIENCE", 0.01)
    totals = Hanging()
    all_of_them = budgets(registry, totals)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(all_of_them.admit(CALLER, LIMITS) for _ in range(50)))
    assert all(answer.spent for answer in answers), "nobody knows what others have said to him"
    answers[0].spend(30.0)
    assert totals.asked == 1
    totals.go_on.set()
    await all_of_them.aclose()
    assert totals.asked == 2
    assert await totals.add(account_key(CALLER), 0.0, NOW) == 30.0
    assert not (await all_of_them.admit(CALLER, LIMITS)).spent


async def test_the_end_does_not_wait_for_a_store_that_hangs(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.budgets.PATIENCE", 0.01)
    monkeypatch.setattr("gateway.budgets.LAST_WORDS", 0.01)
    totals = Hanging()
    all_of_them = budgets(registry, totals)
    (await all_of_them.admit(CALLER, LIMITS)).spend(1.0)
    async with asyncio.timeout(30):
        await all_of_them.aclose()
    totals.go_on.set()


async def test_who_breaks_off_does_not_get_away_with_it(registry: CollectorRegistry) -> None:
    totals = Failing()
    all_of_them = budgets(registry, totals)

    told = asyncio.Event()

    async def answer() -> None:
        (await all_of_them.admit(CALLER, LIMITS)).spend(60.0)
        told.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(answer())
    await told.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await all_of_them.aclose()
    assert await totals.add(account_key(CALLER), 0.0, NOW) == 60.0


async def test_a_finding_without_bounds_costs_a_bounded_number_of_bits(registry: CollectorRegistry) -> None:
    budget = await budgets(registry).admit(CALLER, LIMITS)
    budget.spend(float("inf"))
    assert registry.get_sample_value("tightlip_leak_budget_bits_total", {"role": "customer"}) == MOST_BITS


def test_accounts_have_names_that_say_nothing_and_are_never_alike() -> None:
    shifted = replace(CALLER, tenant="acmea", subject="lice")
    keys = {account_key(CALLER), account_key(shifted), account_key(CALLER, "end"), account_key(CALLER, "")}
    assert len(keys) == 4
    assert not any("alice" in key or "acme" in key for key in keys)
    assert account_key(replace(CALLER, role="admin", token_id="t")) == account_key(CALLER)
