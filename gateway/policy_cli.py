"""`tightlip policy`: check a policy file, show what it grants, compare two, test one against a table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.config_file import ConfigError
from gateway.terminal import complain

if TYPE_CHECKING:
    from gateway.policy.load import Rules

EXIT_PROBLEMS: Final = 1  # the file was read and is wrong, weaker, or not what the table says

app = typer.Typer(help="Work with policy files.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE")]


@app.command()
def check(
    file: File,
    config: Annotated[
        Path | None, typer.Option(help="The server's configuration, which it has to fit.", metavar="FILE")
    ] = None,
) -> None:
    """Say what is wrong with a policy file, by line and key. Exit code 0: nothing, 1: something. A weaker profile that
    expires within 14 days is told of, and is no problem."""
    from gateway.policy.shown import expiring

    rules = _load(file)
    if config is not None:
        _check_fit(rules, config)
    for line in expiring(rules, time.time()):
        complain(line)
    typer.echo(f"{file}: ok, version {rules.version}, roles: {', '.join(sorted(rules.roles))}")


@app.command()
def show(
    file: File,
    role: Annotated[str | None, typer.Option(help="This role alone.")] = None,
) -> None:
    """Print what each role may do: its models, endpoints, fields, bounds and how its answers are filtered."""
    from rich.console import Console

    from gateway.policy.shown import grants

    rules = _load(file)
    if role is not None and role not in rules.roles:
        raise typer.BadParameter("is not a role of this policy", param_hint="--role")
    Console().print(grants(rules, [role] if role else sorted(rules.roles), time.time()))


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD")],
    new: Annotated[Path, typer.Argument(metavar="NEW")],
) -> None:
    """Say what a change of policy changes, and whether any of it weakens. Exit code 1: it does, or nobody can tell."""
    from gateway.policy.diff import compare

    changes = compare(_load(old), _load(new))
    for change in changes:
        typer.echo(f"{'WEAKER  ' if change.weakens else '        '}{change.key}: {change.text}")
    weaker = sum(change.weakens for change in changes)
    typer.echo(f"{len(changes)} changes, {weaker} of them weaken")
    if weaker:
        raise typer.Exit(EXIT_PROBLEMS)


@app.command("test")
def run_table(file: File, table: Annotated[Path, typer.Argument(metavar="TABLE")]) -> None:
    """Ask a policy what a table of requests asks, and compare the answers. Exit code 1: one came out otherwise."""
    from gateway.policy.table import run

    rules = _load(file)
    count, failures = run(rules, table)
    for failure in failures:
        row = failure.row
        more = row.param or row.profile
        wanted = f"{row.expect} ({more})" if more else row.expect
        typer.echo(
            f"{table}:{failure.line}: {row.role}, {row.endpoint}, {row.model}: {wanted} expected, {failure.came} came"
        )
    typer.echo(f"{count - len(failures)} of {count} as expected")
    if failures:
        raise typer.Exit(EXIT_PROBLEMS)


def _load(file: Path) -> Rules:
    from gateway.policy.load import load

    with _explained():
        return load(file)


def _check_fit(rules: Rules, config: Path) -> None:
    from gateway import settings
    from gateway.policy.load import check_fit

    with _explained():
        check_fit(rules, settings.load(config))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            complain(str(problem))
        raise typer.Exit(EXIT_PROBLEMS) from None
