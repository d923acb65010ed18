"""What nobody has used for long: each grant of the policy and each caller, by their last use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.last_use import Caller, Grant, grants, read, written
from gateway.policy.load import Rules
from gateway.state import Use

DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Line:
    """One grant or caller. `last` is None for what was never used; `since` says how long that is known."""

    what: Grant | Caller
    since: float | None  # None: no gateway has told of it yet
    last: float | None
    idle: bool


@dataclass(frozen=True, slots=True)
class Review:
    """`grants` in the policy's order, `callers` longest idle first. `removable` are the entries of the policy without
    which nobody would miss anything, the largest that can go as a whole."""

    grants: Sequence[Line]
    callers: Sequence[Line]
    removable: Sequence[str]


def review(rules: Rules, uses: Mapping[str, Use], now: float, idle_days: float) -> Review:
    """`now` is seconds since the epoch. What is known for less than `idle_days` is idle by no means."""
    before = now - idle_days * DAY
    of_grants = [_line(grant, uses.get(written(grant)), before) for grant in grants(rules)]
    names = ((read(text), use) for text, use in uses.items())
    callers = [_line(name, use, before) for name, use in names if isinstance(name, Caller)]
    callers.sort(key=lambda line: line.last or 0.0)
    return Review(of_grants, callers, list(_removable(of_grants)))


def _line(what: Grant | Caller, use: Use | None, before: float) -> Line:
    if use is None:
        return Line(what, None, None, idle=False)
    return Line(what, use.since, use.last, idle=(use.since if use.last is None else use.last) < before)


def _removable(lines: Sequence[Line]) -> Iterator[str]:
    """Roles that are idle as a whole; of others the endpoints, and the models, that are idle wherever they stand."""
    by_role: dict[str, list[tuple[Grant, bool]]] = {}
    for line in lines:
        if isinstance(line.what, Grant):
            by_role.setdefault(line.what.role, []).append((line.what, line.idle))
    for role, found in by_role.items():
        if all(idle for _, idle in found):
            yield f"roles.{role}"
            continue
        yield from (f"roles.{role}.endpoints: {name}" for name in _all_idle((g.endpoint, idle) for g, idle in found))
        yield from (f"roles.{role}.models: {name}" for name in _all_idle((g.model, idle) for g, idle in found))


def _all_idle(found: Iterable[tuple[str | None, bool]]) -> list[str]:
    """The names of which every grant is idle."""
    idle: dict[str, bool] = {}
    for name, is_idle in found:
        if name is not None:
            idle[name] = idle.get(name, True) and is_idle
    return [name for name, is_idle in idle.items() if is_idle]
