"""What `tightlip compare` does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from rich.console import Console

from filters.index.files import replace_file
from gateway.app import assemble
from gateway.compare.ask import Comparison, compare
from gateway.compare.show import page, terminal
from gateway.config_file import ConfigError, Problem
from gateway.secrets import opening


@dataclass(frozen=True, slots=True)
class Wish:
    """What is compared, and how it is shown. `raw_text`: hidden text is shown as it is."""

    config: Path
    prompt: str
    role: str
    model: str | None
    max_tokens: int
    html: Path | None
    raw_text: bool


async def run(wish: Wish, console: Console) -> None:
    """Raises ConfigError and GatewayError."""
    opened = await asyncio.to_thread(opening.load, wish.config)
    loaded = opened.settings
    model = wish.model or next(iter(loaded.models))

    def warn(line: str) -> None:
        console.print(line, style="yellow")

    async with assemble(loaded, CollectorRegistry(), warn, opened.vault) as gateway:
        for guard in gateway.guards:
            await guard.look()
        comparison = await compare(gateway, wish.prompt, wish.role, model, wish.max_tokens)
    console.print(terminal(comparison, raw_text=wish.raw_text))
    if wish.html is not None:
        write_page(wish.html, comparison, raw_text=wish.raw_text)
        console.print(f"written: {wish.html}")


def write_page(path: Path, comparison: Comparison, *, raw_text: bool) -> None:
    """For its owner only, whatever was there before. Raises ConfigError."""
    try:
        replace_file(path, [page(comparison, raw_text=raw_text).encode()])
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None
