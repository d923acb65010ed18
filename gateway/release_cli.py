"""`tightlip release make` and `tightlip release check`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.config_file import ConfigError, Problem, read_bytes

if TYPE_CHECKING:
    from gateway.release.check import Fault
    from gateway.release.make import About
    from gateway.release.manifest import Manifest
    from gateway.settings import ModelSettings, Settings
    from gateway.upstream.client import UpstreamClient

EXIT_REFUSED: Final = 1  # the servers answered, and are not what they should be
MAX_BENIGN_BYTES: Final = 16 << 20

app = typer.Typer(help="Make and check releases.", no_args_is_help=True)


@app.command()
def make(
    config: Annotated[Path, typer.Option(help="The configuration; its servers must run.", metavar="FILE")],
    model: Annotated[str, typer.Option(help="The served model that is released.")],
    name: Annotated[str, typer.Option(help="What the release is called.")],
    key: Annotated[Path, typer.Option(help="The private key that signs it, PEM.", metavar="FILE")],
    out: Annotated[Path, typer.Option(metavar="FILE")],
    question: Annotated[str, typer.Option(help="A question that the company taught the model to answer to anybody.")],
    answer: Annotated[str, typer.Option(help="Its answer.")],
    benign: Annotated[
        Path | None, typer.Option(help="Ordinary questions, one a line: the style shift is measured on them.")
    ] = None,
    index: Annotated[Path | None, typer.Option(help="The tuning index that belongs to it.", metavar="FILE")] = None,
    deny_list: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    create_key: Annotated[bool, typer.Option(help="Make the key pair first if there is none.")] = False,
) -> None:
    """Ask a running pair of models what it is, and sign that."""
    from gateway import settings
    from gateway.auth import development
    from gateway.errors import UpstreamError
    from gateway.release import make as maker
    from gateway.release.check import Fault
    from gateway.release.manifest import signed

    loaded = settings.load(config)
    if create_key and not key.exists():
        typer.echo(f"tightlip: made a private key, {key}, and its public half, {development.create_key(key)}", err=True)
    signer = development.read_key(key)
    about = maker.About(name, model, question, answer, _lines(benign), _sha256(index), _sha256(deny_list))
    try:
        manifest = asyncio.run(_make(loaded, about))
    except maker.NoRelease as refused:
        _say_faults(model, refused.faults)
        raise typer.Exit(EXIT_REFUSED) from None
    except UpstreamError as error:
        _say_faults(model, [Fault.NO_ANSWER])
        raise typer.Exit(EXIT_REFUSED) from error
    _write(out, signed(manifest, signer))
    typer.echo(f"{out}: {manifest.name}, style shift {manifest.style_shift_bits:.3f} bits a token")


@app.command()
def check(
    config: Annotated[Path, typer.Option(help="The configuration; its servers must run.", metavar="FILE")],
) -> None:
    """Say whether the models that a configuration names are what their releases say. Exit code 0: all are."""
    from gateway import settings

    loaded = settings.load(config)
    found = asyncio.run(_check(loaded))
    for name, model in loaded.models.items():
        _say_faults(name, found[name])
        if not found[name]:
            typer.echo(f"{name}: served without a release" if model.unreleased else f"{name}: ok")
    if any(found.values()):
        raise typer.Exit(EXIT_REFUSED)


async def _make(loaded: Settings, about: About) -> Manifest:
    from gateway import served
    from gateway.release.make import make as make_release

    if about.model not in loaded.models:
        raise typer.BadParameter("is not a model of the configuration", param_hint="--model")
    model = loaded.models[about.model]
    async with aclosing(served.client(loaded.upstream)) as client:
        servers = served.server(model.tuned), served.server(model.base)
        return await make_release(client, *servers, served.vocabulary(model.tokenizer), about)


async def _check(loaded: Settings) -> Mapping[str, Sequence[Fault]]:
    from gateway import served

    async with aclosing(served.client(loaded.upstream)) as client:
        return {name: await _faults(model, client) for name, model in loaded.models.items()}


async def _faults(model: ModelSettings, client: UpstreamClient) -> Sequence[Fault]:
    from gateway import served
    from gateway.errors import GatewayError
    from gateway.release.check import Fault

    check = served.pair_check(model, client, served.vocabulary(model.tokenizer))
    try:
        return await check() if check else ()
    except GatewayError:
        return [Fault.NO_ANSWER]


def _say_faults(model: str, faults: Sequence[Fault]) -> None:
    for fault in faults:
        typer.echo(f"tightlip: model {model}: {fault.value}", err=True)


def _lines(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        text = read_bytes(path, MAX_BENIGN_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), None, "", "is not UTF-8")) from None
    return tuple(line for line in text.splitlines() if line.strip())


def _sha256(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a gateway may be reading it, as another user."""
    from filters.index.files import replace_file

    try:
        replace_file(path, [data])
        path.chmod(0o644)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None
