"""`tightlip audit-log`: whether the record of what was administrated is as it was written, and what it says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from gateway.admin_cli import Reach, reaching
from gateway.config_file import ConfigError, Problem
from gateway.terminal import complain, printable, stamp, zoned

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.audit_log.lines import AuditKey, Call, Head
    from gateway.audit_log.verify import Report
    from gateway.settings import Settings
    from gateway.state import Anchor

EXIT_PROBLEMS: Final = 1  # something is not as it was written, or could not be compared
EXIT_WRONG: Final = 2  # it can't be read

app = typer.Typer(help="Verify and read the record of what was administrated.", no_args_is_help=True)

Paths = Annotated[
    list[Path] | None, typer.Argument(help="The log's folder, or its files in their order.", metavar="[PATH]...")
]
Config = Annotated[
    Path | None,
    typer.Option(help="The configuration: where the log is, its key, and the store that remembers it.", metavar="FILE"),
]


@app.command("verify")
def verify_log(
    paths: Paths = None,
    config: Config = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="A key that it was sealed with: its file, or env:VARIABLE. Repeatable.", metavar="NAME"),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="How far it had come at least, as a gateway told it. Repeatable.", metavar="CHAIN:N:HASH"),
    ] = None,
    elsewhere: Annotated[
        list[str] | None,
        typer.Option(
            help="A chain that the store remembers and that is kept in another place. Repeatable.", metavar="CHAIN"
        ),
    ] = None,
    collected: Annotated[
        bool, typer.Option("--collected", help="The files are what processes printed, other lines among it.")
    ] = False,
) -> None:
    """Find what was removed, altered, inserted, swapped or cut off, and say where. Exit code 0: it is as it was
    written; 1: it is not, or that could not be told; 2: it can't be read."""
    from gateway.audit_log.verify import verify

    loaded = _loaded(config)
    where = _where(paths, loaded)
    keys = [*_named_keys(key or ()), *_own_key(loaded)]
    remembered = _remembered(loaded)  # before the log is read: it may be written meanwhile
    try:
        report = verify(
            where,
            keys,
            [*_heads(head or ())],
            remembered=remembered or {},
            elsewhere=elsewhere or (),
            collected=collected,
            progress=_progress,
        )
    except OSError as error:
        _fail(f"{error.filename}: can't be read ({error.strerror})")
    _print(report)
    if not keys:
        complain("seals were not checked: name the key with --key, or a configuration")
    if not report.whole or remembered is None:
        raise typer.Exit(EXIT_PROBLEMS)


@app.command()
def show(
    paths: Paths = None,
    config: Config = None,
    since: Annotated[str | None, typer.Option(help="From this time on: 2026-01-31, or 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this time.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only who has this subject, or is of this kind (file …).")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as revoke.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only this: asked, done, refused or failed.")] = None,
    last: Annotated[int, typer.Option(min=1, max=100_000, help="The last so many of them.")] = 100,
) -> None:
    """Show what was administrated, as a table. Nothing is checked: `verify` does that."""
    from rich.console import Console

    wanted = _Wanted(_moment(since, "--since"), _moment(until, "--until"), actor, action, outcome)
    try:
        found = deque(filter(wanted.has, _calls(_where(paths, _loaded(config)))), maxlen=last)
    except OSError as error:
        _fail(f"{error.filename}: can't be read ({error.strerror})")
    _show(found, Console(width=None if Console().is_terminal else 400))


@app.command("head")
@reaching
def print_head(reach: Reach) -> None:
    """Print how far the log of each gateway that is named has come; to be kept elsewhere, for `verify --head`."""
    from gateway.admin.shapes import AuditHead

    found, code = reach().each("GET", "/audit/head", AuditHead)
    for _, its in found:
        typer.echo(its.head or "not begun")
    raise typer.Exit(code)


# ---- what is verified ------------------------------------------------------------------------------------------------


def _loaded(config: Path | None) -> Settings | None:
    """Raises ConfigError, also for a configuration without an audit log."""
    from gateway.secrets import opening

    if config is None:
        return None
    settings = opening.load(config).settings
    if settings.audit is None:
        raise ConfigError(Problem(str(config), None, "audit", "is not configured"))
    return settings


def _where(paths: Sequence[Path] | None, loaded: Settings | None) -> Sequence[Path]:
    if paths:
        return paths
    if loaded is not None and loaded.audit is not None and loaded.audit.directory is not None:
        return [loaded.audit.directory]
    raise typer.BadParameter("name the log's folder or its files, or a configuration that does", param_hint="PATH")


def _named_keys(names: Iterable[str]) -> Iterator[AuditKey]:
    from gateway.audit_log.lines import AuditKey
    from gateway.secrets.references import parse
    from gateway.secrets.roots import master_key

    for name in names:
        try:
            ref = parse(name)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--key") from None
        yield AuditKey(master_key(ref))


def _own_key(loaded: Settings | None) -> Iterator[AuditKey]:
    from gateway.audit_log.lines import AuditKey
    from gateway.secrets.roots import master_key

    if loaded is not None and loaded.audit is not None:
        yield AuditKey(master_key(loaded.audit.key_file))


def _heads(texts: Iterable[str]) -> Iterator[Head]:
    from gateway.audit_log.lines import parse_head

    for text in texts:
        try:
            yield parse_head(text)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--head") from None


def _remembered(loaded: Settings | None) -> Mapping[str, Anchor] | None:
    """What the store knows of all chains. None: it should know, and does not answer."""
    from gateway.state import StateUnavailable

    if loaded is None:
        return {}
    if loaded.state is None:
        complain("no `state` is configured: nobody remembers how far the log had come")
        return {}
    try:
        return asyncio.run(_anchors(loaded))
    except StateUnavailable as error:
        complain(f"{error}: what is cut off at the end of the log can't be seen")
        return None


async def _anchors(loaded: Settings) -> Mapping[str, Anchor]:
    from gateway.state.opening import open_store

    store = open_store(loaded.state)
    try:
        await store.prepare()
        return await store.anchors()
    finally:
        await store.aclose()


def _progress(lines: int) -> None:
    complain(f"{lines} lines")


def _print(report: Report) -> None:
    for finding in report.findings:
        typer.echo(printable(f"{'note' if finding.fault is None else finding.fault}: {finding}"))
    if report.unsaid:
        typer.echo(f"and {report.unsaid} more")
    typer.echo(f"{report.lines} lines in {report.files} files: {'as written' if report.whole else 'NOT AS WRITTEN'}")
    for head in report.heads:
        typer.echo(f"head {head}")


# ---- what is shown ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wanted:
    since: datetime | None
    until: datetime | None
    actor: str | None
    action: str | None
    outcome: str | None

    def has(self, call: Call) -> bool:
        at = datetime.fromisoformat(call.time)
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at <= self.until)
            and self.actor in (None, call.subject, call.by)
            and self.action in (None, call.action)
            and self.outcome in (None, call.outcome)
        )


def _calls(paths: Sequence[Path]) -> Iterator[Call]:
    """Raises OSError."""
    from gateway.audit_log.lines import Call, NewerFormat, NotALine, read_line
    from gateway.audit_log.reading import pieces, sources

    for source in sources(paths):
        with source.path.open("rb") as file:
            for piece in pieces(file):
                if not isinstance(piece, bytes):
                    continue
                try:
                    line = read_line(piece)
                except (NotALine, NewerFormat):
                    continue
                if isinstance(line, Call):
                    yield line


def _show(calls: Iterable[Call], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="audit log", title_justify="left")
    for column in ("time", "who", "action", "outcome", "on what", "policy", "request"):
        table.add_column(column, overflow="fold")
    for call in calls:
        cells = (call.time[:19], _who(call), call.action, _outcome(call), _target(call), _policy(call), call.request_id)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)


def _who(call: Call) -> str:
    names = (call.subject, call.role, call.tenant, call.issuer, call.address)
    return " / ".join(name for name in names if name) or call.by


def _outcome(call: Call) -> str:
    times = f" ×{call.count}" if call.count > 1 else ""
    return f"{call.outcome} ({call.code}){times}" if call.code else f"{call.outcome}{times}"


def _target(call: Call) -> str:
    revoked = " ".join(part for part in (call.revokes, call.target_role, call.target_mark, call.revocation) if part)
    if call.issued_before is not None:
        revoked += f" issued before {stamp(call.issued_before)}"
    switched = " → ".join(name for name in (call.release_before, call.release) if name)
    parts = (call.model, switched, revoked.strip(), call.target_tenant, call.target_issuer)
    return " ".join(part for part in parts if part)


def _policy(call: Call) -> str:
    return " → ".join(version for version in (call.policy_before, call.policy_after) if version)


def _moment(text: str | None, option: str) -> datetime | None:
    """A day begins at 0:00 UTC."""
    if text is None:
        return None
    moment = zoned(text) or zoned(f"{text}T00:00Z")
    if moment is None:
        raise typer.BadParameter("must be 2026-01-31, or 2026-01-31T12:00:00Z (with its zone)", param_hint=option)
    return moment


def _fail(text: str) -> NoReturn:
    complain(printable(text))
    raise typer.Exit(EXIT_WRONG) from None
