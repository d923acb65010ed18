"""A deny list that changes on disk is taken over; one that can't be used changes nothing and is told of once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from filters.index.public import ListError
from gateway import deny_list
from gateway.deny_list import DenyList, Reloaded
from tests.support.knowledge import SECRET, deny

CANARY = "zlavundo"
KEY = SECRET.encode()


def listening(path: Path, *, pinned: bool = False) -> tuple[DenyList, list[Reloaded]]:
    told: list[Reloaded] = []
    pin = DenyList(path, KEY, None, told.append).pin() if pinned else None
    return DenyList(path, KEY, pin, told.append), told


def hides(values: DenyList, text: str = f"about {CANARY}") -> bool:
    return bool(values.find(text))


def test_what_is_denied_now_is_found_now(tmp_path: Path) -> None:
    values, told = listening(deny(tmp_path, ["Vexlo Tamber"]))
    assert not hides(values)
    deny(tmp_path, ["Vexlo Tamber", CANARY])
    assert not hides(values)
    values.refresh()
    values.refresh()
    assert hides(values)
    assert values.open_from("about zlavu") == 6
    assert told == [Reloaded(2)]


def test_without_a_release_a_value_may_be_taken_off(tmp_path: Path) -> None:
    values, told = listening(deny(tmp_path, ["Vexlo Tamber", CANARY]))
    deny(tmp_path, ["Vexlo Tamber"])
    values.refresh()
    assert (hides(values), told) == (False, [Reloaded(1)])


def test_a_broken_list_keeps_the_old_one_and_is_told_of_once(tmp_path: Path) -> None:
    path = deny(tmp_path, [CANARY])
    values, told = listening(path)
    whole = path.read_bytes()
    for broken, reason in [
        (whole[:-9], "is no line"),
        (b"", "is empty"),
        (whole.replace(b'"characters":8', b'"characters":9'), "is not as it was written"),
        (deny(tmp_path, ["Vexlo Tamber"], SECRET[::-1]).read_bytes(), "another key"),
        (None, "No such file"),
    ]:
        path.unlink(missing_ok=True)
        if broken is not None:
            path.write_bytes(broken)
        told.clear()
        values.refresh()
        values.refresh()
        (reloaded,) = told
        assert (reloaded.entries, reason in str(reloaded.refused)) == (1, True), reloaded
        assert CANARY not in str(reloaded.refused)
        assert hides(values)
    path.write_bytes(whole)
    values.refresh()
    assert told[-1] == Reloaded(1)


def test_a_list_that_lost_what_the_release_has_is_not_taken_over(tmp_path: Path) -> None:
    values, told = listening(deny(tmp_path, [CANARY]), pinned=True)
    assert values.is_released
    for later in ([], ["Vexlo Tamber"], ["Vexlo Tamber", CANARY]):
        deny(tmp_path, later)
        values.refresh()
        assert hides(values)
        assert "does not begin with" in str(told[-1].refused)
    deny(tmp_path, [CANARY, "Vexlo Tamber"])
    values.refresh()
    assert (hides(values, "Vexlo Tamber"), told[-1]) == (True, Reloaded(2))


def test_one_of_another_release_is_known_as_that(tmp_path: Path) -> None:
    pin = DenyList(deny(tmp_path, [CANARY]), KEY, None, print).pin()
    assert not DenyList(deny(tmp_path, ["Vexlo Tamber"]), KEY, pin, print).is_released


def test_a_list_that_can_not_be_used_is_none_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ListError):
        DenyList(tmp_path / "none", KEY, None, print)


async def test_it_watches_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deny_list, "EVERY", 0.005)
    told: asyncio.Queue[Reloaded] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    path = deny(tmp_path, ["Vexlo Tamber"])
    values = DenyList(path, KEY, None, lambda changed: loop.call_soon_threadsafe(told.put_nowait, changed))
    watch = asyncio.ensure_future(values.watch())
    async with asyncio.timeout(60):
        for later in (["Vexlo Tamber", CANARY], [CANARY]):
            deny(tmp_path, later)
            assert await told.get() == Reloaded(len(later))
            assert hides(values)
        os.truncate(path, 10)
        assert (await told.get()).refused
    assert hides(values)
    watch.cancel()
