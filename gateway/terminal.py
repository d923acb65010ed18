"""What commands say beside their results, and how they read and write moments."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

import typer

from gateway.writable import is_writable


def complain(text: str) -> None:
    """To standard error, where results are not."""
    typer.echo(f"tightlip: {text}", err=True)


def warn(text: str, file: TextIO | None = None) -> None:
    """To standard error, so that it is seen, or to that stream. A terminal that is gone, or that nobody reads, stops
    nobody: a gateway warns from its watches, and has records and metrics for the same."""
    with suppress(OSError):
        if file is None or is_writable(file.fileno()):
            typer.secho(f"tightlip: {text}", file, err=True, fg=typer.colors.YELLOW)


def printable(text: str) -> str:
    """One line in which nothing does anything to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def zoned(text: str) -> datetime | None:
    """A moment as ISO 8601 has it. None for what is none, or lacks its zone: it would be somebody else's noon."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def stamp(moment: float) -> str:
    """Seconds since the epoch, in UTC; as they are where no calendar has a day for them."""
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{moment:.0f}"
