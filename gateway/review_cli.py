"""`tightlip review`: what the policy grants and nobody uses, from the last uses in the configured store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.config_file import ConfigError, Problem

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.review import Line, Review
    from gateway.settings import Settings
    from gateway.state import Use

EXIT_PROBLEMS: Final = 1  # the store does not answer


def review(
    config: Annotated[Path, typer.Option(help="The configuration, with its `state`.", metavar="FILE")],
    idle_days: Annotated[float, typer.Option(min=0, help="Idle is what was not used for so many days.")] = 90.0,
    idle_only: Annotated[bool, typer.Option("--idle-only", help="Leave out what is in use.")] = False,
) -> None:
    """Show each grant (role, endpoint, model) and each caller with the last use, and what can be removed."""
    from rich.console import Console

    from gateway.policy import load as policies
    from gateway.review import review as look
    from gateway.secrets import opening
    from gateway.state import StateUnavailable

    loaded = opening.load(config).settings
    if loaded.state is None:
        raise ConfigError(Problem(str(config), None, "state", "is not configured: nothing is known of last uses"))
    rules = policies.load(loaded.policy)
    try:
        uses = asyncio.run(_uses(loaded))
    except StateUnavailable as error:
        typer.echo(f"tightlip: {error}", err=True)
        raise typer.Exit(EXIT_PROBLEMS) from None
    found = look(rules, uses, time.time(), idle_days)
    console = Console(width=None if Console().is_terminal else 160)
    for table in _tables(found, idle_only=idle_only):
        console.print(table)
    _say_removable(found, idle_days)
    if loaded.log.key_file is None and loaded.log.subject == "hashed":
        typer.echo("callers' marks change with each start of a gateway: log.key_file keeps them", err=True)


async def _uses(settings: Settings) -> Mapping[str, Use]:
    from gateway.state.opening import prepared

    async with prepared(settings.state, lambda advice: None) as store:
        return await store.uses()


def _tables(found: Review, *, idle_only: bool) -> Iterable[Table]:
    from gateway.last_use import Caller, Grant

    of_grants = _table("grants", ("role", "endpoint", "model", "last use", "known since", ""))
    for line in _shown(found.grants, idle_only=idle_only):
        if isinstance(line.what, Grant):
            _add(of_grants, line.what.role, line.what.endpoint, line.what.model or "-", *_times(line))
    yield of_grants
    of_callers = _table("callers", ("tenant", "role", "caller", "last use", "known since", ""))
    for line in _shown(found.callers, idle_only=idle_only):
        if isinstance(line.what, Caller):
            _add(of_callers, line.what.tenant, line.what.role, line.what.mark, *_times(line))
    yield of_callers


def _table(title: str, columns: Iterable[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    """As they are: what stands in brackets is no markup."""
    from rich.text import Text

    table.add_row(*map(Text, cells))


def _shown(lines: Iterable[Line], *, idle_only: bool) -> Iterable[Line]:
    return (line for line in lines if line.idle or not idle_only)


def _times(line: Line) -> tuple[str, str, str]:
    return _day(line.last, "never"), _day(line.since, "not yet"), "idle" if line.idle else ""


def _day(moment: float | None, otherwise: str) -> str:
    if moment is None:
        return otherwise
    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")


def _say_removable(found: Review, idle_days: float) -> None:
    typer.echo(f"not used for {idle_days:g} days, ready to remove from the policy:")
    for entry in found.removable or ("nothing",):
        typer.echo(f"  {entry}")
