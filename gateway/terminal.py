"""What commands say beside their results, and how they read and write moments."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import typer


def complain(text: str) -> None:
    """To standard error, where results are not."""
    typer.echo(f"tightlip: {text}", err=True)


def warn(text: str) -> None:
    """To standard error, so that it is seen. A terminal that is gone stops nobody."""
    with suppress(OSError):
        typer.echo(warning(text, coloured=True), err=True)  # which takes the colour out where it is no terminal


def warning(text: str, *, coloured: bool) -> str:
    """The line for it."""
    return typer.style(f"tightlip: {text}", fg=typer.colors.YELLOW) if coloured else f"tightlip: {text}"


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
