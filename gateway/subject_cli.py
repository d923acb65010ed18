"""`tightlip subject`: what is kept of a person, shown or erased, with a receipt; a client of the administration API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from gateway.admin_cli import Reach, reaching
from gateway.config_file import ConfigError, Problem
from gateway.terminal import warn

if TYPE_CHECKING:
    from gateway.admin.shapes import Receipt

RECORDS: Final = "records"
EVENTS: Final = {"request": RECORDS, "security": "security_events"}  # a receipt's places, by what lines tell of
UNREAD: Final = "encrypted, compressed, of a newer version, or somebody else's"
MOST_LINE_BYTES: Final = 1 << 16  # a record of a request is far shorter

app = typer.Typer(help="Show or erase what is kept of a caller or an end user.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="As tokens name him.")]
Issuer = Annotated[str | None, typer.Option(help="Of this issuer; needed where the policy has several.")]
Tenant = Annotated[str | None, typer.Option(help="Of this tenant; needed where the issuer has several.")]
EndUser = Annotated[
    str | None, typer.Option(help="Not the subject itself, but who sits before that application.", metavar="NAME")
]
EndUserIssuer = Annotated[
    str | None, typer.Option(help="That signed who he is; else all that may have are looked at.", metavar="ISSUER")
]
Records = Annotated[
    list[Path] | None,
    typer.Option(help="Look through these records as well: files, directories, or - for standard input."),
]


@app.command()
@reaching
def export(
    reach: Reach,
    subject: Subject,
    issuer: Issuer = None,
    tenant: Tenant = None,
    end_user: EndUser = None,
    end_user_issuer: EndUserIssuer = None,
    records: Records = None,
) -> None:
    """Print all that is kept of a person as JSON: what was looked at, what was found with its values, and why and how
    long it stays. Exit code 1: nobody could tell; 2: it means nobody."""
    named = _named(subject, issuer, tenant, end_user, end_user_issuer)
    _print("export", reach, named, records or [], values=True)


@app.command()
@reaching
def erase(
    reach: Reach,
    subject: Subject,
    issuer: Issuer = None,
    tenant: Tenant = None,
    end_user: EndUser = None,
    end_user_issuer: EndUserIssuer = None,
    records: Records = None,
) -> None:
    """Erase what is kept of a person, and print the receipt as JSON: what was erased, what stays, why and how long.
    His limits and his leak budget begin anew. Exit code 1: not done, or not known to be; 2: it means nobody."""
    named = _named(subject, issuer, tenant, end_user, end_user_issuer)
    _print("erase", reach, named, records or [], values=False)


def _named(
    subject: str, issuer: str | None, tenant: str | None, end_user: str | None, end_user_issuer: str | None
) -> dict[str, str]:
    given = {"subject": subject, "issuer": issuer, "tenant": tenant}
    given |= {"end_user": end_user, "end_user_issuer": end_user_issuer}
    return {name: text for name, text in given.items() if text is not None}


def _print(call: str, reach: Reach, named: dict[str, str], records: list[Path], *, values: bool) -> None:
    """Raises ConfigError."""
    import msgspec

    from gateway.admin.shapes import Receipt

    with ExitStack() as opened:
        files = [_opened(file, opened) for path in records for file in _files(path)]  # before anything is erased
        receipt = reach().one("POST", f"/subjects/{call}", Receipt, body=named)
        found: dict[str, Any] = msgspec.to_builtins(receipt)
        if files:
            _add(found, files, receipt, values=values)
    typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    _remark(receipt)


def _files(path: Path) -> list[Path]:
    """Raises ConfigError."""
    from gateway.observe.files import listed

    try:
        found = [path] if str(path) == "-" else listed(path)
    except OSError as error:
        raise _unfit(path, f"can't be read ({error.strerror})") from None
    if not found:
        raise _unfit(path, "has no files of records")
    return found


def _opened(file: Path, opened: ExitStack) -> BinaryIO:
    """Raises ConfigError."""
    from gateway.observe.sealed import is_sealed

    if str(file) == "-":
        return sys.stdin.buffer
    try:
        stream = opened.enter_context(file.open("rb"))
        sealed = is_sealed(stream.readline(MOST_LINE_BYTES))
        stream.seek(0)
    except OSError as error:
        raise _unfit(file, f"can't be read ({error.strerror})") from None
    if sealed:
        raise _unfit(file, "is encrypted: tightlip logs read prints it, and --records - reads that")
    return stream


def _unfit(path: Path, why: str) -> ConfigError:
    return ConfigError(Problem(str(path), None, "", why))


def _add(found: dict[str, Any], files: list[BinaryIO], receipt: Receipt, *, values: bool) -> None:
    """Requests and security events with one of the caller's marks. A line that is none of both is told of: a search
    that could not read what it was given has not looked."""
    marks, lines, unread = _marks(receipt), 0, 0
    his: dict[str, list[dict[str, Any]]] = {place: [] for place in EVENTS.values()}
    for record in (each for file in files for each in _lines(file)):
        lines += 1
        if record is None:
            unread += 1
        elif _is_of(record, marks, receipt.tenant):
            his[EVENTS.get(record["event"], RECORDS)].append(record)
    for place in found["places"]:
        if (mine := his.get(place["place"])) is not None:
            place |= {"searched": bool(marks) and unread < lines, "found": len(mine)}
            place |= {"values": mine if values else []}
    found["lines_read"], found["lines_not_read"] = lines - unread, unread
    if unread:
        warn(f"{unread} of {lines} lines are no records ({UNREAD}): not looked at")
    if not marks:
        warn("he has no mark of his own in records: not looked for there")


def _marks(receipt: Receipt) -> set[str]:
    """All that records may have for him; before there were periods they had the one that lasts."""
    return {each.mark for each in receipt.record_marks} | ({receipt.mark} if receipt.mark is not None else set())


def _is_of(record: dict[str, Any], marks: set[str], tenant: str) -> bool:
    mark = record.get("subject")
    return isinstance(mark, str) and mark in marks and record.get("tenant") == tenant


def _lines(file: BinaryIO) -> Iterator[dict[str, Any] | None]:
    """None: what is no record."""
    import msgspec

    while line := file.readline(MOST_LINE_BYTES):
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            record = None
        yield record if isinstance(record, dict) and _is_read(record) else None


def _is_read(record: dict[str, Any]) -> bool:
    """Whether it is a record of a format that this version knows; before there was a number it was the first."""
    from gateway.observe.logs import FORMAT

    return isinstance(record.get("event"), str) and record.get("format", FORMAT) in range(1, FORMAT + 1)


def _remark(receipt: Receipt) -> None:
    if not receipt.known:
        warn("the policy does not have this issuer or tenant: is it spelled as tokens have it?")
    if not receipt.marks_kept:
        warn("marks change with each start of a gateway: records from before can't be found (log.key_file keeps them)")
    if not receipt.shared:
        warn("this process shares no state with others: ask each of them")
    for each in receipt.left:
        warn(each)
