"""Moving windows and leases: what every store counts alike, and exactly, from however many processes."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.state import Store
from gateway.state.memory import MemoryCounters
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.state.windows import STEPS, Lease, Window, standing
from tests.support.patience import IN_A_CHILD
from tests.support.redis import needs_redis, redis

NOW = 1_700_000_000.0
MINUTE = Window("m", 60, 10, 1)
TOKENS = Window("t", 86_400, 1000, 400)
PLACE = Lease("p", 2, "first", NOW + 30)


async def test_so_much_passes_and_is_there_again_when_the_window_is_over(store: Store) -> None:
    for used in range(10):
        taken = await store.take([MINUTE], [], NOW + used)
        assert (taken.granted, taken.windows[0].used) == (True, used)
    full = await store.take([MINUTE], [], NOW + 10)
    assert not full.granted
    assert full.windows[0].fits_at(MINUTE, NOW + 10) == NOW + 61
    assert full.windows[0].clear_at(MINUTE, NOW + 10) == NOW + 70
    assert not (await store.take([MINUTE], [], NOW + 60.9)).granted
    assert (await store.take([MINUTE], [], NOW + 61)).granted
    assert not (await store.take([MINUTE], [], NOW + 61)).granted


async def test_all_of_it_is_taken_or_nothing(store: Store) -> None:
    assert (await store.take([MINUTE, TOKENS], [PLACE], NOW)).granted
    assert (await store.take([MINUTE, TOKENS], [replace(PLACE, id="second")], NOW)).granted
    refused = await store.take([MINUTE, TOKENS], [replace(PLACE, id="third")], NOW)
    assert not refused.granted
    assert [found.used for found in refused.windows] == [2, 800]
    assert list(refused.held) == [2]
    again = await store.take([MINUTE], [], NOW)
    assert again.windows[0].used == 2, "what was refused cost nothing"
    await store.settle([], [PLACE], NOW)
    assert not (await store.take([TOKENS], [replace(PLACE, id="third")], NOW)).granted
    assert (await store.take([MINUTE], [replace(PLACE, id="third")], NOW)).granted, "nor did it hold a place"


async def test_what_never_fits_is_known(store: Store) -> None:
    taken = await store.take([replace(TOKENS, amount=1001)], [], NOW)
    assert taken.windows[0].fits_at(replace(TOKENS, amount=1001), NOW) == math.inf


async def test_what_was_reserved_is_settled_in_the_part_it_was_taken_in(store: Store) -> None:
    assert (await store.take([TOKENS], [], NOW)).granted
    await store.settle([replace(TOKENS, amount=-390)], [], NOW)
    assert (await store.take([TOKENS], [], NOW + 4000)).windows[0].used == 10
    gone = NOW + 86_400 * 2
    await store.settle([replace(TOKENS, amount=-390)], [], NOW - 86_400 * 2)
    assert (await store.take([TOKENS], [], gone)).windows[0].used == 0
    await store.settle([replace(TOKENS, amount=-390)], [], NOW)
    assert (await store.take([TOKENS], [], gone)).windows[0].used == 400, "a part that is over gives no credit"


async def test_a_place_comes_back_when_its_lease_ends_unless_it_is_renewed(store: Store) -> None:
    others = [replace(PLACE, id=name, ends=NOW + 60) for name in ("second", "third", "fourth")]
    assert (await store.take([], [PLACE], NOW)).granted
    assert (await store.take([], [others[0]], NOW)).granted
    assert not (await store.take([], [others[1]], NOW + 29)).granted
    await store.renew([replace(PLACE, ends=NOW + 40)])
    assert not (await store.take([], [others[1]], NOW + 39)).granted
    assert (await store.take([], [others[1]], NOW + 41)).granted


async def test_a_clock_that_was_far_ahead_keeps_nobody_out_once_it_is_put_right(store: Store) -> None:
    """What it has counted and lent lies in a future that may be years away."""
    ahead = NOW + 400 * 86_400
    full, lent = replace(MINUTE, amount=10), replace(PLACE, most=1, ends=ahead + 45)
    assert (await store.take([full, replace(TOKENS, amount=900)], [lent], ahead)).granted
    taken = await store.take([MINUTE, TOKENS], [replace(lent, id="second", ends=NOW + 45)], NOW)
    assert taken.granted
    assert ([found.used for found in taken.windows], list(taken.held)) == ([0, 0], [0])
    again = await store.take([full], [replace(lent, id="third", ends=NOW + 45)], NOW)
    assert not again.granted
    assert again.windows[0].fits_at(full, NOW) == NOW + 61
    assert list(again.held) == [1]


async def test_clocks_that_differ_by_seconds_count_the_same(store: Store) -> None:
    assert (await store.take([replace(MINUTE, amount=10)], [replace(PLACE, most=1, ends=NOW + 55)], NOW + 10)).granted
    behind = await store.take([MINUTE], [replace(PLACE, most=1, id="second", ends=NOW + 45)], NOW)
    assert (behind.granted, behind.windows[0].used, list(behind.held)) == (False, 10, [1])


async def test_counting_stays_exact_whoever_takes_at_once(store: Store) -> None:
    window = replace(MINUTE, most=25)
    taken = await asyncio.gather(*(store.take([window], [], NOW) for _ in range(60)))
    assert sum(each.granted for each in taken) == 25


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 9)), max_size=120), st.integers(5, 30))
async def test_in_no_stretch_of_the_windows_length_is_more_taken_than_the_limit(
    steps: list[tuple[float, int]], most: int
) -> None:
    counters, now, passed = MemoryCounters(), NOW, list[tuple[float, int]]()
    for wait, amount in steps:
        now += wait
        if (await counters.take([Window("k", 20, most, amount)], [], now)).granted:
            passed.append((now, amount))
    for at, _ in passed:
        assert sum(amount for when, amount in passed if at <= when <= at + 20) <= most


@given(st.dictionaries(st.integers(-200, STEPS), st.integers(0, 9)), st.integers(1, 40), st.integers(1, 40))
def test_what_is_in_the_way_is_just_enough(sums: dict[int, int], amount: int, most: int) -> None:
    window = Window("k", 60, most, amount)
    now = 70.5
    sums = {part + 10: count for part, count in sums.items()}
    found = standing(window, sums, now)
    fits = found.fits_at(window, now)
    if amount > most:
        assert fits == math.inf
    else:
        assert standing(window, sums, fits).in_the_way is None
        assert fits == now or standing(window, sums, fits - 0.5).in_the_way is not None


PROCESS = (
    IN_A_CHILD
    + """
import asyncio, sys
from pathlib import Path
from gateway.state import StateUnavailable
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.state.windows import Lease, Window

async def main(where):
    redis = where.isdigit() and RedisStore.at(Server("127.0.0.1", int(where), False), Access())
    store = redis or SqliteStore(Path(where))
    await store.prepare()
    print("ready", flush=True)
    sys.stdin.readline()
    now, counts = 1700000000.0, []
    for at in range(50):
        name = f"{sys.argv[2]}-{at}"
        one = await store.take([Window("m", 60, 101, 1), Window("d", 86400, 5000, 1)], [], now + at / 10)
        many = await store.take([Window("t", 60, 997, 5 + at % 7)], [], now + at / 10)
        place = await store.take([], [Lease("p", 33, name, now + 900)], now)
        counts.append((one.granted, many.granted * (5 + at % 7), place.granted))
    print(*map(sum, zip(*counts)), flush=True)
    await store.aclose()

asyncio.run(main(sys.argv[1]))
"""
)


def _counted_by_four(where: str) -> list[int]:
    """Requests, tokens and places that four processes were given."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, where, str(at)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for at in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        told = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            out, _ = process.communicate(timeout=120)
            told.append([int(number) for number in out.split()])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [sum(numbers) for numbers in zip(*told, strict=True)]


def _is_exact(counted: list[int]) -> None:
    requests, tokens, places = counted
    assert (requests, places) == (101, 33)
    assert 997 - 5 < tokens <= 997, "the smallest request would have fitted otherwise"


def test_four_processes_on_one_file_count_exactly(tmp_path: Path) -> None:
    _is_exact(_counted_by_four(str(tmp_path / "state.db")))


@needs_redis
def test_four_processes_on_one_redis_count_exactly(tmp_path: Path) -> None:
    with redis(tmp_path) as server:
        _is_exact(_counted_by_four(str(server.port)))


HOLDER = (
    IN_A_CHILD
    + """
import asyncio, sys
from pathlib import Path
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.state.windows import Lease

async def main(where):
    redis = where.isdigit() and RedisStore.at(Server("127.0.0.1", int(where), False), Access())
    store = redis or SqliteStore(Path(where))
    for at in range(3):
        print((await store.take([], [Lease("p", 3, f"held-{at}", 1700000030.0)], 1700000000.0)).granted, flush=True)
    sys.stdin.read()

asyncio.run(main(sys.argv[1]))
"""
)


def _killed_with_all_places(where: str) -> None:
    command = [sys.executable, "-c", HOLDER, where]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert [holder.stdout.readline() for _ in range(3)] == ["True\n"] * 3
    holder.kill()
    holder.communicate()


async def _places_of_one_that_was_killed(store: Store, where: str) -> None:
    _killed_with_all_places(where)
    wish = replace(PLACE, most=3, id="new", ends=NOW + 60)
    assert list((await store.take([], [wish], NOW + 29)).held) == [3]
    assert (await store.take([], [wish], NOW + 31)).granted
    await store.aclose()


async def test_places_of_a_killed_process_are_free_when_their_leases_end_in_a_file(tmp_path: Path) -> None:
    await _places_of_one_that_was_killed(SqliteStore(tmp_path / "state.db"), str(tmp_path / "state.db"))


@needs_redis
async def test_places_of_a_killed_process_are_free_when_their_leases_end_in_redis(tmp_path: Path) -> None:
    with redis(tmp_path) as server:
        store = RedisStore.at(Server("127.0.0.1", server.port, tls=False), Access())
        await _places_of_one_that_was_killed(store, str(server.port))
