"""Moments and lines for a terminal."""

from __future__ import annotations

import pytest

from gateway.terminal import printable, stamp, zoned


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "1970-01-01T00:00:00+00:00"), (1_700_000_000.9, "2023-11-14T22:13:20+00:00"), (2.0**40, "1099511627776")],
)
def test_a_moment_is_shown_though_no_calendar_has_it(seconds: float, shown: str) -> None:
    assert stamp(seconds) == shown


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T12:00", "noon", "", "2026-13-01T00:00Z"])
def test_a_moment_needs_its_zone(text: str) -> None:
    assert zoned(text) is None


def test_a_moment_is_the_same_in_every_zone() -> None:
    assert zoned("2026-01-31T12:00:00Z") == zoned("2026-01-31T13:00:00+01:00") is not None


def test_what_moves_a_cursor_is_not_printed() -> None:
    assert printable("a\x1b[2J\nb\u202ec, 王") == "a?[2J?b?c, 王"
