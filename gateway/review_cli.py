"""`tightlip review`: what the policy grants and nobody uses; a client of the administration API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.admin_cli import Reach, reaching

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.admin.shapes import CallerUse, GrantUse, Reviewed

    Line = TypeVar("Line", GrantUse, CallerUse)


@reaching
def review(
    reach: Reach,
    idle_days: Annotated[
        float, typer.Option(min=0, max=400, help="Idle is what was not used for so many days.")
    ] = 90.0,
    idle_only: Annotated[bool, typer.Option("--idle-only", help="Leave out what is in use.")] = False,
) -> None:
    """Show each grant (role, endpoint, model) and each caller with the last use, and what can be removed."""
    from rich.console import Console

    from gateway.admin.shapes import Reviewed

    found = reach().one("GET", "/review", Reviewed, query={"idle_days": repr(idle_days)})
    console = Console(width=None if Console().is_terminal else 160)
    for table in _tables(found, idle_only=idle_only):
        console.print(table)
    _say_removable(found, idle_days)
    if not found.marks_kept:
        typer.echo("callers' marks change with each start of a gateway: log.key_file keeps them", err=True)


def _tables(found: Reviewed, *, idle_only: bool) -> Iterable[Table]:
    of_grants = _table("grants", ("role", "endpoint", "model", "last use", "known since", ""))
    for line in _shown(found.grants, idle_only=idle_only):
        _add(of_grants, line.role, line.endpoint, line.model or "-", *_times(line))
    yield of_grants
    of_callers = _table("callers", ("tenant", "role", "caller", "last use", "known since", ""))
    for each in _shown(found.callers, idle_only=idle_only):
        _add(of_callers, each.tenant, each.role, each.caller, *_times(each))
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


def _times(line: GrantUse | CallerUse) -> tuple[str, str, str]:
    return _day(line.last, "never"), _day(line.since, "not yet"), "idle" if line.idle else ""


def _day(moment: float | None, otherwise: str) -> str:
    if moment is None:
        return otherwise
    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")


def _say_removable(found: Reviewed, idle_days: float) -> None:
    typer.echo(f"not used for {idle_days:g} days, ready to remove from the policy:")
    for entry in found.removable or ("nothing",):
        typer.echo(f"  {entry}")
