"""Faults come one a second, each kind in its turn, and no two break the same thing; and the name server is one."""

from __future__ import annotations

import asyncio
import random
import socket
from itertools import islice

import pytest

from tests.soak import faults
from tests.soak.faults import CARDS, Breaking, Fault, cards
from tests.soak.names import answer
from tests.support.waiting import PATIENCE_S

QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05tuned\x04test\x00\x00%c\x00\x01"


def test_each_kind_comes_in_every_round_and_the_kill_first() -> None:
    size = sum(CARDS.values())
    drawn = list(islice(cards(set(CARDS), random.Random(1)), 2 * size))
    assert drawn[0] == "gateway killed"
    assert sorted(drawn[:size]) == sorted(drawn[size:]) == sorted(kind for kind in CARDS for _ in range(CARDS[kind]))


async def test_no_two_break_the_same_thing_and_all_are_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "EVERY", 0.001)
    broken, most = set[str](), 0

    def breaks(thing: str) -> Fault:
        def go() -> None:
            nonlocal most
            assert thing not in broken
            broken.add(thing)
            most = max(most, len(broken))

        return Fault("upstream killed", thing, go, lambda: broken.discard(thing), (0.0, 0.01))

    endless = Fault("client gone", "callers", lambda: None)
    breaking = Breaking([breaks("one"), breaks("other"), endless], random.Random(1))
    async with asyncio.timeout(PATIENCE_S):
        while most < 2:  # another thread mends
            await breaking.go_on(0.2)
    assert (broken, most, [each.failed for each in breaking.struck if each.failed]) == (set(), 2, [])
    assert all(each.mended >= each.began for each in breaking.struck)


async def test_what_can_t_be_mended_is_said_and_left_alone_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "EVERY", 0.001)
    monkeypatch.setattr(faults, "CARDS", {"Redis hangs": 1, "client gone": 1})

    def fail() -> None:
        raise TimeoutError("it does not come")

    possible = [Fault("Redis hangs", "Redis", lambda: None, fail), Fault("client gone", "callers", lambda: None)]
    breaking = Breaking(possible, random.Random(1))

    def others() -> int:
        return sum(each.kind == "client gone" for each in breaking.struck)

    async with asyncio.timeout(PATIENCE_S):
        while others() <= 10:
            await breaking.go_on(0.2)
    assert [each.failed for each in breaking.struck if each.failed] == ["TimeoutError: it does not come"]


def test_a_known_name_has_its_addresses_and_no_other_kind_of_record() -> None:
    zone = {"tuned.test": ["127.1.2.3", "127.1.2.4"]}
    found = answer(QUERY % 1, zone)
    assert found[:8] == b"\x12\x34\x85\x80\x00\x01\x00\x02"
    assert [socket.inet_ntoa(found[at : at + 4]) for at in (len(found) - 20, len(found) - 4)] == zone["tuned.test"]
    assert answer(QUERY % 28, zone)[:8] == b"\x12\x34\x85\x80\x00\x01\x00\x00"
    assert answer(QUERY % 1, {})[:8] == b"\x12\x34\x85\x83\x00\x01\x00\x00"
