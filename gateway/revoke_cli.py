"""`tightlip revoke`: take tokens back, list what is revoked, withdraw it. Works on the configured store, which every
running gateway watches."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer

from gateway.config_file import ConfigError, Problem

if TYPE_CHECKING:
    from gateway.auth.revocation import Revocation
    from gateway.policy.load import Rules
    from gateway.revoke import Listed
    from gateway.settings import Settings
    from gateway.state import Store

EXIT_PROBLEMS: Final = 1  # not acknowledged, or there is no such revocation
EXIT_WRONG: Final = 2  # it means nobody, or the configuration can't be used

app = typer.Typer(help="Revoke tokens; list and withdraw revocations.", invoke_without_command=True)

Config = Annotated[Path, typer.Option(help="The configuration, with its `state`.", metavar="FILE")]
T = TypeVar("T")


@app.callback()
def revoke(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="The configuration, with its `state`.", metavar="FILE")] = None,
    token_id: Annotated[str | None, typer.Option(help="The token with this id (`jti`, or as the policy says).")] = None,
    subject: Annotated[str | None, typer.Option(help="All tokens of this subject.")] = None,
    role: Annotated[str | None, typer.Option(help="All tokens of this role.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Of this issuer; needed where the policy has several.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant; needed where the issuer has several.")] = None,
    issued_before: Annotated[
        str | None,
        typer.Option(help="Only what was issued before: now, 2026-01-31T12:00:00Z, or seconds since the epoch."),
    ] = None,
) -> None:
    """Revoke tokens: one by its id, those of a subject or a role, or all that were issued before a time. A subject's or
    a role's are revoked until that is withdrawn, unless a time is named. Exit code 0: acknowledged; 1: not."""
    from gateway.revoke import NotAimed, Wish, aim
    from gateway.revoke import revoke as tell

    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise typer.BadParameter("is needed", param_hint="--config")
    settings, rules = _loaded(config)
    now = time.time()
    try:
        revocation = aim(Wish(token_id, subject, role, issuer, tenant, _moment(issued_before, now)), rules)
    except NotAimed as error:
        _fail(str(error), EXIT_WRONG)
    if revocation.issued_before is not None and revocation.issued_before > now:
        text = "that time is still to come: tokens that are issued until then are refused too"
        typer.secho(f"tightlip: {text}", err=True, fg=typer.colors.YELLOW)
    entry_id = _run(settings, lambda store: tell(store, revocation, now))
    typer.echo(f"revoked: {_described(revocation)}")
    typer.echo(f"acknowledged as {entry_id}; every gateway on this store obeys within a second")


@app.command("list")
def list_all(config: Config) -> None:
    """Print every revocation in force, with its id."""
    from gateway.revoke import listed

    settings, _ = _loaded(config)
    found = _run(settings, lambda store: listed(store, time.time()))
    for each in found:
        typer.echo(f"{each.id}  {_described(each.revocation)}{_end(each)}")
    typer.echo(f"{len(found)} in force")


@app.command()
def withdraw(revocation_id: Annotated[str, typer.Argument(metavar="ID")], config: Config) -> None:
    """Take a revocation back: tokens that live on are good again. Exit code 1: there is none with this id."""
    from gateway.revoke import withdraw as tell

    settings, _ = _loaded(config)
    known = revocation_id.isascii() and _run(settings, lambda store: tell(store, revocation_id, time.time()))
    if not known:
        _fail("there is no revocation with this id", EXIT_PROBLEMS)
    typer.echo("withdrawn and acknowledged; what it meant is good again within a second")


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _loaded(config: Path) -> tuple[Settings, Rules]:
    """Raises ConfigError, also for a configuration that shares nothing."""
    from gateway.policy import load as policies
    from gateway.secrets import opening

    loaded = opening.load(config).settings
    if loaded.state is None:
        text = "is not configured: each gateway keeps its own, which nobody else can reach"
        raise ConfigError(Problem(str(config), None, "state", text))
    return loaded, policies.load(loaded.policy)


def _run(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """What the store answers. Ends the command where it does not."""
    from gateway.state import StateUnavailable

    try:
        return asyncio.run(_with_store(settings, work))
    except StateUnavailable as error:
        _fail(f"not acknowledged: {error}", EXIT_PROBLEMS)


async def _with_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    from gateway.state.opening import prepared

    def advise(text: str) -> None:
        typer.secho(f"tightlip: {text}", err=True, fg=typer.colors.YELLOW)

    async with prepared(settings.state, advise) as store:
        return await work(store)


def _moment(text: str | None, now: float) -> float | None:
    """Seconds since the epoch. A time without its zone would be somebody else's noon."""
    if text is None or text == "now":
        return None if text is None else now
    if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # has no zone either
    if moment.tzinfo is None:
        raise typer.BadParameter("must be now, 2026-01-31T12:00:00Z (with its zone), or seconds since the epoch")
    return moment.timestamp()


def _described(revocation: Revocation | None) -> str:
    if revocation is None:
        return "of a newer version, which this one does not understand"
    what = f"{revocation.kind.value.replace('_', ' ')} {revocation.value}".strip()
    whose = " / ".join(name for name in (revocation.issuer, revocation.tenant) if name) or "every issuer"
    before = "" if revocation.issued_before is None else f", issued before {_stamp(revocation.issued_before)}"
    return f"{what} of {whose}{before}"


def _end(each: Listed) -> str:
    return "" if each.expires_at is None else f"  (until {_stamp(each.expires_at)})"


def _stamp(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return f"{moment:.0f}"


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"tightlip: {text}", err=True)
    raise typer.Exit(code) from None
