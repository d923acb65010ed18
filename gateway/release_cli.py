"""`tightlip release make` and `tightlip release check`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.config_file import ConfigError, Problem, read_bytes

if TYPE_CHECKING:
    from gateway.release.check import Fault
    from gateway.release.make import About
    from gateway.release.manifest import DenyListPin, Manifest
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
    index: Annotated[
        Path | None, typer.Option(help="The tuning index that belongs to it: else the configuration's.", metavar="FILE")
    ] = None,
    deny_list: Annotated[
        Path | None, typer.Option(help="The deny list, which may grow later: else the configuration's.", metavar="FILE")
    ] = None,
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
    if model not in loaded.models:
        raise typer.BadParameter("is not a model of the configuration", param_hint="--model")
    files = _with_files(loaded.models[model], index, deny_list)
    about = maker.About(name, model, question, answer, _lines(benign), *_hashes(files))
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

    model = loaded.models[about.model]
    async with aclosing(served.client(loaded.upstream)) as client:
        servers = served.server(model.tuned), served.server(model.base)
        return await make_release(client, *servers, served.vocabulary(model.tokenizer), about, scored=model.is_scored)


async def _check(loaded: Settings) -> Mapping[str, Sequence[Fault]]:
    from gateway import served

    async with aclosing(served.client(loaded.upstream)) as client:
        return {name: await _faults(model, client) for name, model in loaded.models.items()}


async def _faults(model: ModelSettings, client: UpstreamClient) -> Sequence[Fault]:
    from gateway import knowledge, served
    from gateway.errors import GatewayError
    from gateway.release.check import Fault

    known = knowledge.load(model, lambda _changed: None)
    check = served.pair_check(model, client, served.vocabulary(model.tokenizer), known)
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


def _with_files(model: ModelSettings, index: Path | None, deny_list: Path | None) -> ModelSettings:
    """The model with these files in place of its own. Raises ConfigError."""
    changed = model.model_copy(update={"index": index or model.index, "deny_list": deny_list or model.deny_list})
    if model.index_key is None and (changed.index or changed.deny_list):
        raise ConfigError(Problem("--index and --deny-list", None, "", "need the model's 'index_key'"))
    return changed


def _hashes(model: ModelSettings) -> tuple[str | None, DenyListPin | None]:
    """What a release keeps of a model's files, all of which are read. Raises ConfigError."""
    from gateway import knowledge

    unreleased = model.model_copy(update={"release": None, "release_key": None})
    known = knowledge.load(unreleased, lambda _changed: None)
    return known.index_sha256, known.deny_list.pin() if known.deny_list else None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a gateway may be reading it, as another user."""
    from filters.index.files import replace_file

    try:
        replace_file(path, [data])
        path.chmod(0o644)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None
