"""How callers appear in records: for a period, and then as somebody else, unless one knows the secret."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NotAuthenticated, Reason
from gateway.observe.logs import Logs, RequestRecord
from gateway.observe.opening import open_logs
from gateway.observe.pseudonyms import RECORD_DAYS, SECURITY_DAYS, Pseudonyms
from gateway.settings import LogSettings
from gateway.types import Principal, RequestId

DAY = 86_400.0
PERIOD = RECORD_DAYS * DAY
EDGE = 2900 * PERIOD  # 2025-07-31T00:00:00Z
ONE = Pseudonyms(b"k" * 32)


def principal(subject: str = "alice", tenant: str = "acme") -> Principal:
    return Principal("https://issuer.test", tenant, subject, "jti", "customer", 0.0)


# ---- subjects --------------------------------------------------------------------------------------------------------


def test_a_mark_depends_on_key_issuer_and_tenant() -> None:
    for of in (lambda who, by=ONE: by.lasting(who), lambda who, by=ONE: by.subject(who, EDGE)):
        marks = {of(principal()), of(principal(tenant="other")), of(principal("bob"))}
        marks.add(of(principal(), Pseudonyms(b"l" * 32)))
        assert len(marks) == 4
        assert of(principal()) == of(principal())
        assert all(mark and len(mark) == 16 for mark in marks)


def test_marks_stay_as_they_are_derived() -> None:
    """Others would be those of nobody."""
    assert ONE.subject(principal(), EDGE) == "0b15c8c32022d97e"
    assert ONE.lasting(principal()) == "ad22729d582b523c"
    assert Pseudonyms(b"k" * 32, address="hashed").address("203.0.113.77", EDGE) == "0e9c6d594aad7543"


def test_after_the_period_s_edge_everybody_has_another_mark() -> None:
    before, after = ONE.subject(principal(), EDGE - 0.001), ONE.subject(principal(), EDGE)
    assert before == ONE.subject(principal(), EDGE - PERIOD)
    assert after == ONE.subject(principal(), EDGE + PERIOD - 0.001)
    assert len({before, after, ONE.lasting(principal())}) == 3


def test_a_clock_that_steps_back_over_the_edge_gives_the_mark_of_its_time() -> None:
    times = [EDGE + 1, EDGE - 1, EDGE + 2, EDGE - 2]
    marks = [ONE.subject(principal(), at) for at in times]
    assert marks[0] == marks[2] != marks[1] == marks[3]


@given(st.floats(0, 4e9), st.integers(1, 3650))
def test_replicas_agree_and_the_gateway_finds_what_it_wrote(at: float, days: int) -> None:
    one, other = (Pseudonyms(b"k" * 32, period_days=days, kept_days=max(days, SECURITY_DAYS)) for _ in range(2))
    mark = one.subject(principal(), at)
    found = [each for each in other.own_subjects(principal(), at, alone=True) if each.mark == mark]
    assert len(found) == 1


@pytest.mark.parametrize(("days", "kept"), [(7, 180), (1, 180), (30, 30), (3650, 3650)])
def test_all_periods_that_may_be_kept_are_looked_for(days: int, kept: int) -> None:
    one = Pseudonyms(b"k" * 32, period_days=days, kept_days=kept)
    marks = list(one.own_subjects(principal(), EDGE, alone=True))
    for ago in (0.0, kept / 2, kept + 1.0):  # a file is kept until its last moment is so old, and then some
        assert one.subject(principal(), EDGE - ago * DAY) in {each.mark for each in marks}
    assert len(marks) <= kept / days + 4
    assert all(one.last is not None and other.first is not None for one, other in pairwise(marks))
    assert all(str(one.last) < str(other.first) for one, other in pairwise(marks))


def test_a_period_is_told_by_its_days() -> None:
    last = list(ONE.own_subjects(principal(), EDGE, alone=True))[-1]
    assert (last.first, last.last) == ("2025-07-31", "2025-08-06")


def test_periods_of_another_length_have_other_marks() -> None:
    assert Pseudonyms(b"k" * 32, period_days=1).subject(principal(), 0.0) != ONE.subject(principal(), 0.0)


def test_with_another_root_nobody_is_found_any_more() -> None:
    other = Pseudonyms(b"l" * 32)
    written = {ONE.subject(principal(), EDGE - ago * DAY) for ago in range(SECURITY_DAYS)}
    assert not written & {each.mark for each in other.own_subjects(principal(), EDGE, alone=True)}


def test_a_plain_subject_is_cut_and_printable() -> None:
    plain = Pseudonyms(b"k" * 32, subject="plain")
    told = plain.subject(principal("a\nb\udcff" + "x" * 500), EDGE)
    assert told is not None
    assert (told[:4], len(told)) == ("a?b?", 256)
    assert [(each.mark, each.first) for each in plain.own_subjects(principal(), EDGE, alone=True)] == [("alice", None)]
    assert list(plain.own_subjects(principal(), EDGE, alone=False)) == []


def test_off_is_nowhere() -> None:
    off = Pseudonyms(b"k" * 32, subject="off")
    assert (off.subject(principal(), EDGE), off.lasting(principal())) == (None, None)
    assert list(off.own_subjects(principal(), EDGE, alone=True)) == []


# ---- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "address", "told"),
    [
        ("truncated", "203.0.113.77", "203.0.113.0/24"),
        ("truncated", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("truncated", "/run/socket", None),
        ("full", "203.0.113.77", "203.0.113.77"),
        ("off", "203.0.113.77", None),
        ("truncated", None, None),
    ],
)
def test_addresses(form: Any, address: str | None, told: str | None) -> None:
    one = Pseudonyms(b"k" * 32, address=form)
    assert one.address(address, EDGE) == one.lasting_address(address) == told


def test_a_hashed_address_is_another_one_after_the_edge() -> None:
    one = Pseudonyms(b"k" * 32, address="hashed")
    marks = {one.address("203.0.113.77", EDGE - 1), one.address("203.0.113.77", EDGE)}
    marks.add(one.lasting_address("203.0.113.77"))
    assert [len(mark or "") for mark in marks] == [16] * 3


# ---- lines -----------------------------------------------------------------------------------------------------------


def test_both_lines_of_a_request_that_was_refused_after_the_edge_have_one_mark() -> None:
    """They have one id: two periods' marks would be joined by it."""
    sink, hashed = io.BytesIO(), Pseudonyms(b"k" * 32, address="hashed")
    logs = Logs(sink, hashed, now=lambda: EDGE + 1)
    record = RequestRecord(RequestId("r"), EDGE - 1, 0.0, address="203.0.113.77", principal=principal(), status=401)
    record.failed(NotAuthenticated(Reason.REVOKED_TOKEN))
    logs.request(record)
    event, line = map(json.loads, sink.getvalue().splitlines())
    assert (event["event"], line["event"]) == ("security", "request")
    assert event["subject"] == line["subject"] == hashed.subject(principal(), EDGE - 1)
    assert event["address"] == line["address"]


def test_the_period_is_as_long_as_records_are_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 32)
    logs = open_logs(LogSettings(directory=tmp_path / "logs", key_file=tmp_path / "key", keep_days=30))
    assert logs.pseudonyms.subject(principal(), EDGE) == Pseudonyms(b"k" * 32, period_days=30).subject(
        principal(), EDGE
    )
