"""Somebody's hour over many answers and processes: counted at once, told to the store later, never passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from filters.budget import MOST_BITS, Cost, Hour, Limits, Steps
from filters.profile import Profile
from gateway.budgets import BITS_OF_FINDING, LEASE_SECONDS, Admitted, Budgets, account_key
from gateway.errors import LeakBudgetSpent
from gateway.observe.metrics import Metrics
from gateway.policy.parameters import admit, read
from gateway.state import HourlyTotals, StateUnavailable, Store
from gateway.state.holds import Draw, Drawn
from gateway.state.memory import MemoryTotals
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.types import EndUser, Plan, Principal
from tests.gateway.support import CANARY, make_grant
from tests.support.redis import needs_redis, redis
from tests.support.totals import added
from tests.support.waiting import until_async

CALLER = Principal("issuer", "acme", "alice", None, "customer", 0.0)
NOW = 1_700_000_000.0
BODY = b'{"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}'
ENOUGH = 12.0
STRICT = Profile("weak (expired)")


def in_bits(strict: float | None, refuse: float | None = None, answer: float | None = None) -> Limits:
    return Limits(answer, Hour(bits=Steps(strict, refuse)), reserve=1)


def in_findings(strict: int | None, refuse: int | None = None, reserve: int = 1) -> Limits:
    return Limits(caller=Hour(findings=Steps(strict, refuse)), reserve=reserve)


BOTH_STEPS = in_bits(50.0, 100.0, 30.0)


def plan_of(
    limits: Limits, who: Principal = CALLER, end_user: EndUser | None = None, strict: Profile | None = None
) -> Plan:
    signed = end_user if end_user is not None and end_user.signed else None
    profile = Profile("weak", budget=limits, memorised_bits=ENOUGH)
    grant = make_grant(principal=replace(who, end_user=signed), profile=profile, strict=strict)
    return replace(admit(read(BODY, grant.endpoint), grant), end_user=end_user)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Failing(MemoryTotals):
    """A store that can be switched off."""

    off = False

    async def draw(self, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
        await asyncio.sleep(0)
        if self.off:
            raise StateUnavailable
        return await super().draw(draws, now)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def budgets(
    registry: CollectorRegistry | None = None, totals: HourlyTotals | None = None, clock: Clock | None = None
) -> Budgets:
    metrics = Metrics(registry or CollectorRegistry(), roles=["customer"])
    return Budgets(totals or MemoryTotals(), metrics, clock or Clock())


def bits_of(key: str) -> str:
    return f"leak-budget:{key}"


def findings_of(key: str) -> str:
    return f"leak-findings:{key}"


def find(answer: Admitted, count: int = 1, bits: float = 0.0) -> bool:
    """One segment: hidden in it is what costs so much, if the tuned model still speaks; whether it does."""
    if answer.budget.spent:
        return False
    answer.budget.spend(Cost(bits, count))
    return True


# ---- one process -----------------------------------------------------------------------------------------------------


async def test_an_answer_has_its_own_budget(registry: CollectorRegistry) -> None:
    budget = (await budgets(registry).admit(plan_of(Limits(answer_bits=30.0)))).budget
    budget.spend(Cost(29.0, 1))
    assert not budget.spent
    budget.spend(Cost(1.0, 2))
    assert budget.spent
    assert registry.get_sample_value("tightlip_leak_budget_bits_total", {"role": "customer"}) == 30
    assert registry.get_sample_value("tightlip_leak_budget_findings_total", {"role": "customer"}) == 3


async def test_parallel_answers_see_each_other_s_findings_at_once() -> None:
    all_of_them = budgets()
    answers = [await all_of_them.admit(plan_of(BOTH_STEPS)) for _ in range(20)]
    answers[0].budget.spend(Cost(25.0))
    assert not answers[1].budget.spent
    answers[1].budget.spend(Cost(25.0))
    assert all(answer.budget.spent for answer in answers), "before the store has heard of it"
    other = await all_of_them.admit(plan_of(BOTH_STEPS, replace(CALLER, subject="bob")))
    assert not other.budget.spent


@pytest.mark.parametrize(
    ("limits", "cost"), [(BOTH_STEPS, Cost(60.0, 1)), (in_findings(3, 6), Cost(0.0, 3))], ids=["bits", "findings"]
)
async def test_somebody_is_moved_then_refused_and_comes_back(
    registry: CollectorRegistry, limits: Limits, cost: Cost
) -> None:
    clock = Clock()
    all_of_them = budgets(registry, clock=clock)
    (await all_of_them.admit(plan_of(limits))).budget.spend(cost)
    await all_of_them.aclose()
    moved = await all_of_them.admit(plan_of(limits))
    assert moved.budget.spent
    moved.budget.spend(cost)
    await all_of_them.aclose()
    with pytest.raises(LeakBudgetSpent):
        await all_of_them.admit(plan_of(limits))
    assert registry.get_sample_value("tightlip_leak_budget_spent_total", {"role": "customer", "step": "refused"}) == 1
    clock.now += 3700
    assert not (await all_of_them.admit(plan_of(limits))).budget.spent


async def test_who_has_a_weaker_profile_is_served_by_the_strict_one_before_he_is_refused(
    registry: CollectorRegistry,
) -> None:
    all_of_them, plan = budgets(registry), plan_of(in_findings(2, 4), strict=STRICT)
    first = await all_of_them.admit(plan)
    assert first.plan.grant.profile.name == "weak"
    assert [find(first), find(first)] == [True, False], "the store has to be told of one before another is covered"
    await all_of_them.aclose()
    assert find(first)
    await all_of_them.aclose()
    assert first.budget.spent, "what is under way goes on from the base"
    second = await all_of_them.admit(plan)
    assert second.plan == replace(plan, grant=replace(plan.grant, profile=STRICT))
    assert find(second)
    await all_of_them.aclose()
    assert (await all_of_them.admit(plan)).plan.grant.profile is STRICT
    assert find(second)
    await all_of_them.aclose()
    assert second.budget.spent
    with pytest.raises(LeakBudgetSpent):
        await all_of_them.admit(plan)
    steps = {
        step: registry.get_sample_value("tightlip_leak_budget_spent_total", {"role": "customer", "step": step})
        for step in ("strict", "refused")
    }
    assert steps == {"strict": 2, "refused": 1}


async def test_under_the_strict_profile_without_a_second_limit_the_tuned_model_goes_on_speaking() -> None:
    all_of_them, plan = budgets(), plan_of(in_findings(1), strict=STRICT)
    assert find(await all_of_them.admit(plan))
    await all_of_them.aclose()
    strict = await all_of_them.admit(plan)
    assert strict.plan.grant.profile is STRICT
    assert all(find(strict) for _ in range(50))


async def test_where_others_hold_what_is_left_under_the_strict_profile_too_the_base_speaks(
    registry: CollectorRegistry,
) -> None:
    totals, plan = MemoryTotals(), plan_of(in_findings(1, 2), strict=STRICT)
    here, there = budgets(totals=totals), budgets(registry, totals)
    first = await here.admit(plan)
    assert find(first)
    first.end()
    await here.aclose()
    assert (await here.admit(plan)).plan.grant.profile is STRICT
    beside = await there.admit(plan)
    assert beside.budget.spent
    assert registry.get_sample_value("tightlip_leak_budget_spent_total", {"role": "customer", "step": "strict"}) is None
    assert not await findings_held(totals, there)


async def test_who_has_the_base_speak_for_one_measure_holds_nothing_of_the_other() -> None:
    totals, hour = MemoryTotals(), Hour(bits=Steps(50.0), findings=Steps(10))
    await added(totals, bits_of(account_key(CALLER)), 60.0, NOW)
    process = budgets(totals=totals)
    assert (await process.admit(plan_of(Limits(caller=hour, reserve=4)))).budget.spent
    assert not await findings_held(totals, process)


async def test_what_an_answer_under_a_higher_limit_holds_is_not_for_one_under_a_lower() -> None:
    totals = MemoryTotals()
    there, here = budgets(totals=totals), budgets(totals=totals)
    beside = await there.admit(plan_of(in_findings(3, reserve=2)))
    high, low = [await here.admit(plan_of(in_findings(most))) for most in (10, 3)]
    assert [find(low), find(low)] == [True, False], "the other two of three are held elsewhere"
    assert [find(beside), find(beside), find(high)] == [True, True, True]


async def test_each_answer_under_way_holds_as_much_as_the_policy_says() -> None:
    totals = MemoryTotals()
    process = budgets(totals=totals)
    answers = [await process.admit(plan_of(in_findings(10, reserve=2))) for _ in range(3)]
    (seen,) = await totals.draw([Draw(findings_of(account_key(CALLER)))], NOW)
    assert (len(answers), seen.others) == (3, 6.0)


async def findings_held(totals: MemoryTotals, by: Budgets) -> bool:
    """Whether one who has the base speak holds anything."""
    await by.aclose()
    return by._holder in totals._holds.get(findings_of(account_key(CALLER)), {})


async def test_an_answer_s_end_gives_back_what_was_held() -> None:
    totals, plan = MemoryTotals(), plan_of(in_findings(2, reserve=2))
    here, there = budgets(totals=totals), budgets(totals=totals)
    first = await here.admit(plan)
    assert (await there.admit(plan)).budget.spent, "all that is left is held"
    first.end()
    await here.aclose()
    assert not (await there.admit(plan)).budget.spent


async def test_who_is_refused_or_breaks_off_while_he_waits_holds_nothing() -> None:
    totals, plan = MemoryTotals(), plan_of(in_findings(2, 3, reserve=2))
    there = budgets(totals=totals)
    await added(totals, findings_of(account_key(CALLER)), 3.0, NOW)
    with pytest.raises(LeakBudgetSpent):
        await there.admit(plan)
    other = replace(plan, grant=replace(plan.grant, principal=replace(CALLER, subject="bob")))
    waiting = asyncio.ensure_future(there.admit(other))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await there.aclose()
    assert totals._holds.get(findings_of(account_key(CALLER)), {}) == {}
    assert not (await budgets(totals=totals).admit(other)).budget.spent


# ---- without the store -----------------------------------------------------------------------------------------------


async def test_a_silent_store_moves_callers_to_the_base_and_refuses_nobody() -> None:
    totals = Failing()
    all_of_them = budgets(totals=totals)
    totals.off = True
    answer = await all_of_them.admit(plan_of(BOTH_STEPS, strict=STRICT))
    assert answer.budget.spent
    assert answer.plan.grant.profile.name == "weak", "the base speaks, whatever the profile"
    free = await all_of_them.admit(plan_of(Limits(answer_bits=5.0)))
    assert not free.budget.spent, "who has no hourly budget needs none"
    answer.budget.spend(Cost(70.0, 1))
    answer.end()
    del answer
    await all_of_them.aclose()
    totals.off = False
    all_of_them.renew()
    await all_of_them.aclose()
    assert await added(totals, bits_of(account_key(CALLER)), 0.0, NOW) == 70.0, "told when it was back"
    assert (await all_of_them.admit(plan_of(BOTH_STEPS))).budget.spent


async def test_a_store_that_goes_away_hands_what_is_under_way_to_the_base() -> None:
    totals = Failing()
    all_of_them = budgets(totals=totals)
    answer = await all_of_them.admit(plan_of(in_findings(50, reserve=20)))
    totals.off = True
    assert find(answer)
    await all_of_them.aclose()
    assert answer.budget.spent, "whatever is left of what it holds"


class Hanging(MemoryTotals):
    """One that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.asked = asyncio.Event(), 0

    async def draw(self, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
        self.asked += 1
        await self.go_on.wait()
        return await super().draw(draws, now)


async def test_nobody_waits_long_for_a_store_that_hangs_nor_does_it_get_many_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.budgets.PATIENCE", 0.01)
    totals = Hanging()
    all_of_them = budgets(totals=totals)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(all_of_them.admit(plan_of(BOTH_STEPS)) for _ in range(50)))
    assert all(answer.budget.spent for answer in answers), "nobody knows what others have said to him"
    answers[0].budget.spend(Cost(30.0))
    assert totals.asked == 1
    totals.go_on.set()
    await all_of_them.aclose()
    assert totals.asked == 2
    assert await added(totals, bits_of(account_key(CALLER)), 0.0, NOW) == 30.0
    assert not (await all_of_them.admit(plan_of(BOTH_STEPS))).budget.spent


async def test_who_waits_in_vain_is_served_by_the_base_whatever_others_of_his_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.budgets.PATIENCE", 0.01)
    totals, plan = Hanging(), plan_of(in_findings(50, reserve=20))
    totals.go_on.set()
    all_of_them = budgets(totals=totals)
    async with asyncio.timeout(30):
        first = await all_of_them.admit(plan)
        totals.go_on.clear()
        answers = first, await all_of_them.admit(plan)
    assert [answer.budget.spent for answer in answers] == [True, True]
    totals.go_on.set()
    await all_of_them.aclose()


async def test_what_the_store_is_just_being_told_is_not_hidden_a_second_time() -> None:
    totals = Hanging()
    totals.go_on.set()
    all_of_them = budgets(totals=totals)
    answer = await all_of_them.admit(plan_of(in_findings(5)))
    totals.go_on.clear()
    assert find(answer)
    await until_async(lambda: totals.asked == 2)
    assert not find(answer), "it holds enough for one"
    totals.go_on.set()
    await all_of_them.aclose()
    assert find(answer)


async def test_the_end_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.budgets.PATIENCE", 0.01)
    monkeypatch.setattr("gateway.budgets.LAST_WORDS", 0.01)
    totals = Hanging()
    all_of_them = budgets(totals=totals)
    (await all_of_them.admit(plan_of(BOTH_STEPS))).budget.spend(Cost(1.0))
    async with asyncio.timeout(30):
        await all_of_them.aclose()
    totals.go_on.set()


async def test_who_breaks_off_does_not_get_away_with_it() -> None:
    totals = Failing()
    all_of_them = budgets(totals=totals)
    told = asyncio.Event()

    async def answer() -> None:
        (await all_of_them.admit(plan_of(BOTH_STEPS))).budget.spend(Cost(60.0))
        told.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(answer())
    await told.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await all_of_them.aclose()
    assert await added(totals, bits_of(account_key(CALLER)), 0.0, NOW) == 60.0


async def test_a_finding_without_bounds_costs_a_bounded_number_of_bits(registry: CollectorRegistry) -> None:
    (await budgets(registry).admit(plan_of(BOTH_STEPS))).budget.spend(Cost(float("inf"), 1))
    assert registry.get_sample_value("tightlip_leak_budget_bits_total", {"role": "customer"}) == MOST_BITS


# ---- end users -------------------------------------------------------------------------------------------------------

BOB, CAROL = EndUser("users", "bob"), EndUser("users", "carol")
SHARED = Limits(
    caller=Hour(findings=Steps(1, 2)), application=Hour(findings=Steps(4, 6)), reserve=1
)  # of an application whose end users nobody signs


async def spend(all_of_them: Budgets, plan: Plan) -> bool:
    """One answer with one finding; whether the tuned model came to it."""
    answer = await all_of_them.admit(plan)
    found = find(answer)
    answer.end()
    await all_of_them.aclose()
    return found


async def test_a_signed_end_user_who_spends_his_hour_locks_out_nobody_else() -> None:
    totals = MemoryTotals()
    all_of_them, limits = budgets(totals=totals), in_findings(None, 2)
    assert [await spend(all_of_them, plan_of(limits, end_user=BOB)) for _ in range(2)] == [True, True]
    with pytest.raises(LeakBudgetSpent):
        await all_of_them.admit(plan_of(limits, end_user=BOB))
    for end_user, who in (
        (CAROL, CALLER),
        (None, CALLER),
        (EndUser("other", "bob"), CALLER),
        (BOB, replace(CALLER, tenant="other")),
        (BOB, replace(CALLER, subject="kiosk")),
        (BOB, replace(CALLER, issuer="another")),
    ):
        assert not (await all_of_them.admit(plan_of(limits, who, end_user))).budget.spent
    assert await added(totals, findings_of(account_key(CALLER)), 0.0, NOW) == 0.0, "the application's is untouched"


async def test_who_is_only_said_to_be_somebody_has_his_own_hour_within_the_application_s() -> None:
    all_of_them = budgets()
    dora = plan_of(SHARED, end_user=EndUser(None, "dora"), strict=STRICT)
    assert [await spend(all_of_them, dora) for _ in range(2)] == [True, True]
    for _ in range(5):
        with pytest.raises(LeakBudgetSpent):
            await all_of_them.admit(dora)
    erin = await all_of_them.admit(plan_of(SHARED, end_user=EndUser(None, "erin"), strict=STRICT))
    assert erin.plan.grant.profile.name == "weak", "one alone locks out nobody"
    assert not erin.budget.spent


async def test_an_application_that_makes_up_end_users_gets_no_more_than_its_own_hour() -> None:
    all_of_them = budgets()
    profiles, refused = [], 0
    for number in range(10):
        try:
            answer = await all_of_them.admit(plan_of(SHARED, end_user=EndUser(None, f"user-{number}"), strict=STRICT))
        except LeakBudgetSpent:
            refused += 1
            continue
        profiles.append(answer.plan.grant.profile.name)
        assert find(answer)
        answer.end()
        await all_of_them.aclose()
    assert (profiles, refused) == (["weak"] * 4 + [STRICT.name] * 2, 4)
    with pytest.raises(LeakBudgetSpent):
        await all_of_them.admit(plan_of(SHARED))
    signed = await all_of_them.admit(plan_of(SHARED, end_user=BOB))
    assert not signed.budget.spent


async def test_however_many_answers_one_end_user_has_he_does_not_hold_what_all_have_together() -> None:
    totals = MemoryTotals()
    here, there = budgets(totals=totals), budgets(totals=totals)
    dora, erin = (plan_of(SHARED, end_user=EndUser(None, name), strict=STRICT) for name in ("dora", "erin"))
    answers = [await here.admit(dora) for _ in range(8)]
    await here.aclose()
    beside = await there.admit(erin)
    assert beside.plan.grant.profile.name == "weak", "nothing was found yet"
    assert find(beside)
    assert not any(answer.budget.spent for answer in answers), "nor does she have less for it"
    assert sum(find(answer) for answer in answers) == 1


async def test_without_limits_of_the_application_whom_nobody_signed_is_the_caller() -> None:
    all_of_them = budgets()
    assert await spend(all_of_them, plan_of(in_findings(None, 1), end_user=EndUser(None, "dora")))
    with pytest.raises(LeakBudgetSpent):
        await all_of_them.admit(plan_of(in_findings(None, 1), end_user=EndUser(None, "erin")))


NAMES = st.text(st.sampled_from("ab:\x00é王"), max_size=3)
WHO = st.tuples(NAMES, NAMES, NAMES, st.none() | st.tuples(st.none() | NAMES.filter(bool), NAMES))


@given(one=WHO, other=WHO)
def test_no_two_accounts_meet(
    one: tuple[str, str, str, tuple[str | None, str] | None], other: tuple[str, str, str, tuple[str | None, str] | None]
) -> None:
    def key(issuer: str, tenant: str, subject: str, end_user: tuple[str | None, str] | None) -> str:
        who = Principal(issuer, tenant, subject, None, "customer", 0.0)
        return account_key(who, EndUser(*end_user) if end_user is not None else None)

    assert (key(*one) == key(*other)) == (one == other)


def test_accounts_have_names_that_say_nothing() -> None:
    key = account_key(replace(CALLER, subject=CANARY, tenant=CANARY), EndUser(CANARY, CANARY))
    assert CANARY not in key
    assert account_key(replace(CALLER, role="admin", token_id="t")) == account_key(CALLER)


# ---- several processes -----------------------------------------------------------------------------------------------

ORDER = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["open", "find", "find", "end", "settle"])), max_size=60)


@given(order=ORDER, most=st.integers(1, 12), reserve=st.integers(1, 4), hidden=st.integers(1, 3))
def test_however_answers_of_four_processes_interleave_no_limit_is_passed(
    order: list[tuple[int, str]], most: int, reserve: int, hidden: int
) -> None:
    """Each finding is charged once; over by at most what each process's last segment hides beyond its first."""
    spent = asyncio.run(_interleaved(MemoryTotals(), order, most, reserve, hidden))
    assert spent <= most + 4 * (hidden - 1)


async def _interleaved(
    totals: HourlyTotals, order: Sequence[tuple[int, str]], most: int, reserve: int, hidden: int
) -> int:
    processes = [budgets(totals=totals) for _ in range(4)]
    running: list[list[Admitted]] = [[] for _ in processes]
    spent, plan = 0, plan_of(in_findings(most, reserve=reserve))
    for at, what in order:
        if what == "open":
            running[at].append(await processes[at].admit(plan))
        elif what == "find" and running[at]:
            spent += hidden * find(running[at][len(order) % len(running[at])], hidden)
        elif what == "end" and running[at]:
            running[at].pop().end()
        else:
            await asyncio.sleep(0)
    for process in processes:
        await process.aclose()
    assert await added(totals, findings_of(account_key(CALLER)), 0.0, NOW) == spent
    return spent


@asynccontextmanager
async def four(kind: str, folder: Path) -> AsyncIterator[list[Store]]:
    """As many processes have them: each a connection of its own to one store."""
    if kind == "sqlite":
        stores: list[Store] = [SqliteStore(folder / "state.db") for _ in range(4)]
        yield stores
    else:
        with redis(folder) as server:
            stores = [RedisStore.at(Server("127.0.0.1", server.port, tls=False), Access()) for _ in range(4)]
            yield stores
    for store in stores:
        await store.aclose()


REAL = ["sqlite", pytest.param("redis", marks=needs_redis)]


@pytest.mark.parametrize("kind", REAL)
async def test_parallel_streams_over_four_processes_on_one_store_never_pass_the_limit(
    kind: str, tmp_path: Path
) -> None:
    async with four(kind, tmp_path) as stores:
        processes = [budgets(totals=store) for store in stores]
        plan = plan_of(in_findings(23, reserve=2))

        async def stream(process: Budgets) -> int:
            answer, found = await process.admit(plan), 0
            for _ in range(10):
                found += find(answer)
                await asyncio.sleep(0)
            answer.end()
            return found

        found = sum(await asyncio.gather(*(stream(process) for process in processes for _ in range(10))))
        for process in processes:
            await process.aclose()
        key = findings_of(account_key(CALLER))
        assert await added(stores[0], key, 0.0, NOW) == found <= 23
        for _ in range(100):  # one after the other they come to exactly that
            answer = await processes[0].admit(plan)
            found += find(answer)
            answer.end()
            await processes[0].aclose()
        assert await added(stores[0], key, 0.0, NOW) == found == 23


@pytest.mark.parametrize("kind", REAL)
async def test_many_answers_that_begin_at_once_can_not_each_see_an_empty_account(kind: str, tmp_path: Path) -> None:
    async with four(kind, tmp_path) as stores:
        processes = [budgets(totals=store) for store in stores]
        answers = await asyncio.gather(
            *(process.admit(plan_of(in_findings(3, reserve=3), strict=STRICT)) for process in processes)
        )
        assert sorted(answer.plan.grant.profile.name for answer in answers) == ["weak"] + [STRICT.name] * 3
        bits = plan_of(in_bits(ENOUGH * BITS_OF_FINDING), replace(CALLER, subject="bits"))
        answers = await asyncio.gather(*(process.admit(bits) for process in processes))
        assert sorted(answer.budget.spent for answer in answers) == [False, True, True, True]


@pytest.mark.parametrize("kind", REAL)
async def test_what_a_process_held_that_died_is_free_again_and_what_one_renews_stays(kind: str, tmp_path: Path) -> None:
    async with four(kind, tmp_path) as stores:
        clock, plan = Clock(), plan_of(in_findings(2, reserve=2))
        dead, alive = (budgets(totals=store, clock=clock) for store in stores[:2])
        held = await dead.admit(plan)
        assert (await alive.admit(plan)).budget.spent
        clock.now += LEASE_SECONDS
        assert held.budget.spent, "it knows itself that it holds nothing any more"
        again = await alive.admit(plan)
        assert not again.budget.spent
        clock.now += LEASE_SECONDS - 1
        alive.renew()
        await alive.aclose()
        clock.now += 2
        assert not again.budget.spent
        other = await budgets(totals=stores[2], clock=clock).admit(plan)
        assert other.budget.spent


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    for refused in (False, True):
        store = SqliteStore(tmp_path / "state.db")
        all_of_them = budgets(totals=store)
        try:
            answer = await all_of_them.admit(plan_of(in_findings(None, 1), end_user=BOB))
            assert find(answer)
            answer.end()
            await all_of_them.aclose()
        except LeakBudgetSpent:
            assert refused
        else:
            assert not refused
        finally:
            await store.aclose()
