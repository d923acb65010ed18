"""What every store does alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.state import (
    KEEP_ANCHORS,
    KEEP_USES,
    Anchor,
    Entry,
    Kept,
    Names,
    Position,
    StateUnfit,
    Store,
    Use,
    check_format,
)
from gateway.state.holds import Draw, Drawn, Hold
from gateway.state.windows import Lease, Window
from tests.support.totals import added

NOW = 1_700_000_000.0
FIRST, SECOND, THIRD = (Entry(f"id-{at}", f'{{"at": {at}}}', None) for at in range(3))


async def test_a_new_store_is_fit_and_empty(store: Store) -> None:
    assert list(await store.prepare()) == []
    assert list(await store.prepare()) == []
    changes = await store.changes(None)
    assert (list(changes.entries), list(changes.withdrawn), changes.whole) == ([], [], True)


async def test_a_reader_learns_what_is_new_to_him_and_nothing_twice(store: Store) -> None:
    await store.put(FIRST, NOW)
    first = await store.changes(None)
    assert list(first.entries) == [FIRST]
    nothing = await store.changes(first.position)
    assert (list(nothing.entries), nothing.whole, nothing.position) == ([], False, first.position)
    await store.put(SECOND, NOW)
    await store.put(THIRD, NOW)
    assert await store.withdraw(SECOND.id, NOW)
    second = await store.changes(first.position)
    assert (list(second.entries), list(second.withdrawn), second.whole) == ([THIRD], [SECOND.id], False)
    whole = await store.changes(None)
    assert {entry.id for entry in whole.entries} == {FIRST.id, THIRD.id}


async def test_what_is_not_there_can_t_be_withdrawn(store: Store) -> None:
    assert not await store.withdraw("id-9", NOW)
    await store.put(FIRST, NOW)
    assert await store.withdraw(FIRST.id, NOW)
    assert not await store.withdraw(FIRST.id, NOW)


async def test_what_was_withdrawn_can_be_said_again(store: Store) -> None:
    await store.put(FIRST, NOW)
    await store.withdraw(FIRST.id, NOW)
    seen = (await store.changes(None)).position
    await store.put(FIRST, NOW)
    again = await store.changes(seen)
    assert (list(again.entries), list(again.withdrawn)) == ([FIRST], [])


async def test_an_entry_goes_after_its_time_and_its_number_stays_taken(store: Store) -> None:
    await store.put(Entry("short", "{}", NOW + 10), NOW)
    seen = (await store.changes(None)).position
    await store.put(FIRST, NOW + 11)
    assert {entry.id for entry in (await store.changes(None)).entries} == {FIRST.id}
    assert {entry.id for entry in (await store.changes(seen)).entries} == {FIRST.id}


@pytest.mark.parametrize("number", [1, 2, 9])
async def test_a_reader_who_knows_writes_that_were_lost_is_told_everything(shared: Store, number: int) -> None:
    await shared.put(FIRST, NOW)
    await shared.put(SECOND, NOW)
    changes = await shared.changes(Position(number, "0123456789abcdef"))
    assert changes.whole
    assert {entry.id for entry in changes.entries} == {FIRST.id, SECOND.id}


async def test_totals_are_those_of_an_hour(store: Store) -> None:
    assert await added(store, "a", 5.0, NOW) == 5.0
    assert await added(store, "a", 2.5, NOW + 1800) == 7.5
    assert await added(store, "b", 0.0, NOW + 1800) == 0.0
    assert await added(store, "a", 0.0, NOW + 3599) == 7.5
    assert await added(store, "a", 1.0, NOW + 3661) == 3.5
    assert await added(store, "a", 0.0, NOW + 9000) == 0.0


async def test_totals_stay_exact_whoever_adds_at_once(store: Store) -> None:
    await asyncio.gather(*(added(store, "a", 0.25, NOW) for _ in range(100)))
    assert await added(store, "a", 0.0, NOW) == 25.0


async def test_what_one_holds_no_other_is_given(store: Store) -> None:
    def draw(holder: str, amount: float, wish: float, now: float = NOW, most: float = 10.0) -> Awaitable[Drawn]:
        return _one(store, Draw("a", amount, Hold(holder, wish, most, now + 30)), now)

    assert await draw("one", 0.0, 4.0) == Drawn(0.0, 0.0, 4.0)
    assert await draw("two", 1.0, 7.5) == Drawn(1.0, 4.0, 5.0)
    assert await draw("three", 0.0, 1.0) == Drawn(1.0, 9.0, 0.0)
    assert await draw("three", 0.0, 1.0, most=20.0) == Drawn(1.0, 9.0, 1.0), "of another limit"
    assert await draw("three", 0.0, 0.0) == Drawn(1.0, 9.0, 0.0)
    assert await draw("one", 3.0, 4.0) == Drawn(4.0, 5.0, 1.0), "it holds its own no more"
    assert await draw("two", 0.0, 0.0) == Drawn(4.0, 1.0, 0.0)
    assert await _one(store, Draw("a", 0.5), NOW) == Drawn(4.5, 1.0, 0.0), "who holds nothing takes nothing from others"
    assert await draw("one", 0.0, 9.0, NOW + 29) == Drawn(4.5, 0.0, 5.5)
    assert await draw("two", 0.0, 9.0, NOW + 31) == Drawn(4.5, 5.5, 0.0), "it was renewed"
    assert await draw("two", 0.0, 9.0, NOW + 60) == Drawn(4.5, 0.0, 5.5)
    assert await draw("two", 20.0, 9.0, NOW + 61) == Drawn(24.5, 0.0, 0.0)
    assert await draw("two", 0.0, 9.0, NOW + 3650) == Drawn(20.0, 0.0, 0.0)


async def test_what_a_clock_far_ahead_has_added_and_held_is_in_nobody_s_way_once_it_is_put_right(store: Store) -> None:
    ahead = NOW + 400 * 86_400
    assert await _one(store, Draw("a", 9.0, Hold("one", 1.0, 10.0, ahead + 30)), ahead) == Drawn(9.0, 0.0, 1.0)
    assert await _one(store, Draw("a", 1.0, Hold("two", 4.0, 10.0, NOW + 30)), NOW) == Drawn(1.0, 0.0, 4.0)
    assert await _one(store, Draw("a", 2.0), NOW + 5) == Drawn(3.0, 4.0, 0.0)
    assert await _one(store, Draw("a", 0.0), NOW - 5) == Drawn(3.0, 4.0, 0.0), "one that is some seconds behind"


async def test_several_accounts_are_drawn_on_in_one_step(store: Store) -> None:
    draws = [Draw("a", 1.5, Hold("one", 2.0, 3.0, NOW + 30)), Draw("b", 0.0), Draw("c", 0.25)]
    assert await store.draw(draws, NOW) == [Drawn(1.5, 0.0, 1.5), Drawn(0.0, 0.0, 0.0), Drawn(0.25, 0.0, 0.0)]


async def test_however_many_draw_at_once_no_more_is_held_than_there_is(store: Store) -> None:
    drawn = await asyncio.gather(
        *(_one(store, Draw("a", 0.0, Hold(f"holder-{at}", 0.75, 10.0, NOW + 30)), NOW) for at in range(40))
    )
    assert sum(each.held for each in drawn) == 10.0


async def _one(store: Store, draw: Draw, now: float) -> Drawn:
    (drawn,) = await store.draw([draw], now)
    return drawn


async def test_a_last_use_only_moves_on_and_is_forgotten_after_a_year(store: Store) -> None:
    await store.used({"grant": None, "caller": NOW}, NOW)
    await store.used({"caller": NOW - 50, "grant": None}, NOW + 1)
    assert await store.uses() == {"grant": Use(NOW, None), "caller": Use(NOW, NOW)}
    await store.used({"caller": NOW + 60, "grant": NOW + 60}, NOW + 61)
    assert await store.uses() == {"grant": Use(NOW, NOW + 60), "caller": Use(NOW, NOW + 60)}
    later = NOW + KEEP_USES + 61
    await store.used({f"other-{at}": later for at in range(1200)}, later)
    assert len(await store.uses()) == 1200


@pytest.mark.parametrize(
    ("found", "oldest", "own", "fits"),
    [(1, 1, 1, True), (2, 1, 1, True), (1, 1, 2, True), (1, 1, 3, False), (2, 2, 1, False), (7, 7, 1, False)],
)
def test_a_version_reads_its_own_format_and_the_one_before_and_refuses_others_by_name(
    found: int, oldest: int, own: int, fits: bool
) -> None:
    if fits:
        check_format(found, oldest, own)
        return
    with pytest.raises(StateUnfit, match=f"format {found}"):
        check_format(found, oldest, own)


async def test_a_chain_s_head_is_the_furthest_that_was_told(store: Store) -> None:
    far, near = Anchor(7, "a" * 64, "gw-1", NOW), Anchor(3, "b" * 64, "gw-2", NOW + 1)
    assert await store.anchors() == {}
    await store.anchor("one", far)
    await store.anchor("one", near)
    await store.anchor("one", Anchor(7, "c" * 64, "gw-2", NOW + 2))
    await store.anchor("other", near)
    assert await store.anchors() == {"one": far, "other": near}
    await store.anchor("one", Anchor(8, "d" * 64, "gw-2", NOW + 3))
    assert (await store.anchors())["one"] == Anchor(8, "d" * 64, "gw-2", NOW + 3)


async def test_a_chain_that_moves_no_more_is_forgotten_in_the_end(store: Store) -> None:
    await store.anchor("old", Anchor(1, "a" * 64, "gw-1", NOW))
    await store.anchor("new", Anchor(1, "b" * 64, "gw-1", NOW + KEEP_ANCHORS))
    assert (await store.anchors()).keys() == {"old", "new"}
    await store.anchor("new", Anchor(2, "b" * 64, "gw-1", NOW + KEEP_ANCHORS + 1))
    assert (await store.anchors()).keys() == {"new"}


# ---- persons ---------------------------------------------------------------------------------------------------------

MINE, YOURS = (Names([f"{who}:requests"], [f"{who}:streams"], [f"{who}-bits"], [f"{who}-use"]) for who in "ab")
PART = int(NOW)  # of a window of a minute


async def fill(store: Store, names: Names) -> None:
    """Something of each kind."""
    windows = [Window(name, 60, 9, 2) for name in names.windows]
    leases = [Lease(name, 9, "lease", NOW + 30) for name in names.leases]
    assert (await store.take(windows, leases, NOW)).granted
    await store.draw([Draw(name, 2.5, Hold("holder", 1.5, 9.0, NOW + 20)) for name in names.totals], NOW)
    await store.used(dict.fromkeys(names.uses, NOW - 1), NOW)


def all_of(names: Names) -> set[Kept]:
    [window], [lease], [total], [use] = names.windows, names.leases, names.totals, names.uses
    return {
        Kept("window", window, PART, 2),
        Kept("lease", lease, NOW + 30),
        Kept("total", total, NOW // 60, 2.5),
        Kept("hold", total, NOW + 20, 1.5),
        Kept("use", use, NOW, NOW - 1),
    }


async def test_all_that_is_kept_under_somebody_s_names_is_found_and_nothing_else(store: Store) -> None:
    await fill(store, MINE)
    await fill(store, YOURS)
    assert set(await store.kept(MINE)) == all_of(MINE)
    assert list(await store.kept(Names())) == []
    assert list(await store.kept(Names(["c"], ["c"], ["c"], ["c"]))) == []


async def test_what_is_erased_is_gone_and_what_is_others_stays(store: Store) -> None:
    await store.put(FIRST, NOW)
    await fill(store, MINE)
    await fill(store, YOURS)
    assert set((await store.erase(MINE)).kept) == all_of(MINE)
    assert list(await store.kept(MINE)) == []
    assert list((await store.erase(MINE)).kept) == []
    assert set(await store.kept(YOURS)) == all_of(YOURS)
    assert list((await store.changes(None)).entries) == [FIRST]
    assert set(await store.uses()) == set(YOURS.uses)


async def test_who_is_erased_begins_anew_and_what_is_under_way_is_counted_again(store: Store) -> None:
    await fill(store, MINE)
    await store.erase(MINE)
    [window], [lease] = [Window(MINE.windows[0], 60, 2, 2)], [Lease(MINE.leases[0], 1, "lease", NOW + 40)]
    await store.settle([Window(window.key, 60, 2, -1)], [], NOW)
    assert list(await store.kept(MINE)) == [], "what ends later does not come back"
    await store.renew([lease])
    assert list(await store.kept(MINE)) == [Kept("lease", lease.key, NOW + 40)]
    assert [
        each.held for each in await store.draw([Draw(MINE.totals[0], 0.0, Hold("h", 9.0, 9.0, NOW + 20))], NOW)
    ] == [9.0]
    assert (await store.take([window], [], NOW)).granted


async def test_last_uses_are_found_by_what_stands_in_their_names(store: Store) -> None:
    await store.used({'["%","a"]': NOW, '["b","%a"]': None, "c": NOW}, NOW)
    assert sorted(await store.uses_with('"a"')) == ['["%","a"]']
    assert sorted(await store.uses_with("%")) == ['["%","a"]', '["b","%a"]']
    assert list(await store.uses_with("d")) == []
