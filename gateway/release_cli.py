"""`tightlip release`: propose and approve a pair's house phrases, make and check its release. Which one answers while
gateways run is said in release_switch_cli.py."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.config_file import ConfigError, Problem, read_bytes
from gateway.release_switch_cli import reinstate, show_releases, switch, unswitch, withdraw
from gateway.terminal import complain

if TYPE_CHECKING:
    from filters.evidence import Detector
    from filters.specificity.proposals import Proposal
    from gateway.release.check import Fault
    from gateway.release.make import About
    from gateway.release.manifest import DenyListPin, Manifest
    from gateway.settings import ReleaseSettings, Settings
    from gateway.types import Release
    from gateway.upstream.client import UpstreamClient

EXIT_REFUSED: Final = 1  # the servers answered, and are not what they should be
MAX_BENIGN_BYTES: Final = 16 << 20

app = typer.Typer(help="Make and check releases; switch and withdraw them while gateways run.", no_args_is_help=True)

ConfiguredRelease = Annotated[
    str | None, typer.Option(help="Which of the model's releases in the configuration: else the one that serves.")
]


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
    phrases: Annotated[
        Path | None, typer.Option(help="House phrases, as 'approve' writes them.", metavar="FILE")
    ] = None,
    create_key: Annotated[bool, typer.Option(help="Make the key pair first if there is none.")] = False,
    release: ConfiguredRelease = None,
) -> None:
    """Ask a running pair of models what it is, and sign that."""
    from gateway.auth import development
    from gateway.errors import UpstreamError
    from gateway.release import make as maker
    from gateway.release.check import Fault
    from gateway.release.manifest import signed
    from gateway.secrets import opening

    loaded = opening.load(config).settings
    if create_key and not key.exists():
        complain(f"made a private key, {key}, and its public half, {development.create_key(key)}")
    signer = development.read_key(key)
    configured = _configured(loaded, model, release)
    files = _with_files(configured, index, deny_list)
    about = maker.About(name, model, question, answer, _lines(benign), *_hashes(files), _approved(phrases))
    try:
        manifest = asyncio.run(_make(loaded, configured, about))
    except maker.NoRelease as refused:
        _say_faults(model, refused.faults)
        raise typer.Exit(EXIT_REFUSED) from None
    except UpstreamError as error:
        _say_faults(model, [Fault.NO_ANSWER])
        raise typer.Exit(EXIT_REFUSED) from error
    _write(out, signed(manifest, signer))
    typer.echo(f"{out}: {manifest.name}, style shift {manifest.style_shift_bits:.3f} bits a token")
    for phrase in manifest.house_phrases:
        typer.echo(f"house phrase: {phrase}")


@app.command("phrases")
def propose_phrases(
    config: Annotated[Path, typer.Option(help="The configuration; its servers must run.", metavar="FILE")],
    model: Annotated[str, typer.Option(help="The served model that is to be released.")],
    benign: Annotated[Path, typer.Option(help="Ordinary questions, one a line, about many matters.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="What to write; replaced whole.", metavar="FILE")],
    fewest: Annotated[int, typer.Option(min=3, help="In so many answers that differ in the rest.")] = 5,
    release: ConfiguredRelease = None,
) -> None:
    """List what the tuned model says whatever it is asked, for a person to delete what is not; then `approve`."""
    from gateway.errors import UpstreamError
    from gateway.release import phrases
    from gateway.release.benign import FEWEST_BENIGN
    from gateway.release.check import Fault
    from gateway.secrets import opening

    loaded, questions = opening.load(config).settings, tuple(dict.fromkeys(_lines(benign)))
    configured = _configured(loaded, model, release)
    if len(questions) < FEWEST_BENIGN:
        raise ConfigError(Problem(str(benign), None, "", f"holds fewer than {FEWEST_BENIGN} different questions"))
    with _explained(out):
        try:
            found = asyncio.run(_propose(loaded, configured, questions, fewest))
        except UpstreamError as error:
            _say_faults(model, [Fault.NO_ANSWER])
            raise typer.Exit(EXIT_REFUSED) from error
        phrases.write_proposals(out, found)
    typer.echo(f"{out}: {len(found)} phrases in at least {fewest} answers; read each before you approve the list")


@app.command("approve")
def approve_phrases(
    proposals: Annotated[Path, typer.Argument(metavar="FILE")],
    out: Annotated[Path, typer.Option(help="What to write; replaced whole.", metavar="FILE")],
    config: Annotated[
        Path | None, typer.Option(help="The configuration, if it names another name model.", metavar="FILE")
    ] = None,
) -> None:
    """Turn what a person left on a list of proposals into the house phrases that `make` takes."""
    from gateway import settings
    from gateway.release import phrases

    with _explained(proposals):
        approved = phrases.approve(proposals, out, _detector(settings.load(config) if config else None))
    for phrase in approved:
        typer.echo(f"house phrase: {phrase}")
    typer.echo(f"{out}: {len(approved)} house phrases")


@app.command()
def check(
    config: Annotated[Path, typer.Option(help="The configuration; its servers must run.", metavar="FILE")],
) -> None:
    """Say whether the models that a configuration names are what their releases say. Exit code 0: all are."""
    from gateway.secrets import opening

    loaded = opening.load(config).settings
    found = asyncio.run(_check(loaded))
    for release, configured in loaded.releases().items():
        _say_faults(release, found[release])
        if not found[release]:
            typer.echo(f"{release}: served without a release" if configured.unreleased else f"{release}: ok")
    if any(found.values()):
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def verify(
    config: Annotated[Path, typer.Option(help="The configuration.", metavar="FILE")],
) -> None:
    """Say whether each release is signed, and its tokenizer and index are the ones it names; asks no server, needs no
    secret. Exit code 0: all are."""
    from gateway import settings

    releases = settings.load(config).releases().items()
    found = {release: list(_faults_of_files(configured)) for release, configured in releases}
    for release, configured in releases:
        _say_faults(release, found[release])
        if not found[release]:
            typer.echo(f"{release}: served without a release" if configured.unreleased else f"{release}: as signed")
    if any(found.values()):
        raise typer.Exit(EXIT_REFUSED)


for command in (switch, unswitch, withdraw, reinstate):
    app.command()(command)
app.command("status")(show_releases)


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _configured(loaded: Settings, model: str, name: str | None) -> ReleaseSettings:
    """That release of a model, or the one that serves. Raises typer.BadParameter."""
    if model not in loaded.models:
        raise typer.BadParameter("is not a model of the configuration", param_hint="--model")
    found = loaded.models[model].releases.get(name or loaded.models[model].serving)
    if found is None:
        raise typer.BadParameter("is not a release of this model in the configuration", param_hint="--release")
    return found


async def _make(loaded: Settings, model: ReleaseSettings, about: About) -> Manifest:
    from gateway import served
    from gateway.release.make import make as make_release

    async with aclosing(served.client(loaded.upstream)) as client:
        servers = served.server(model.tuned), served.server(model.base)
        return await make_release(client, *servers, served.vocabulary(model.tokenizer), about, scored=model.is_scored)


async def _check(loaded: Settings) -> Mapping[Release, Sequence[Fault]]:
    from gateway import served

    async with aclosing(served.client(loaded.upstream)) as client:
        return {release: await _faults(each, client) for release, each in loaded.releases().items()}


async def _faults(model: ReleaseSettings, client: UpstreamClient) -> Sequence[Fault]:
    from gateway import knowledge, served
    from gateway.errors import GatewayError
    from gateway.release.check import Fault

    known = knowledge.load(model, lambda _changed: None)
    check = served.pair_check(model, client, served.vocabulary(model.tokenizer), known)
    try:
        return await check() if check else ()
    except GatewayError:
        return [Fault.NO_ANSWER]


def _faults_of_files(model: ReleaseSettings) -> Iterator[Fault]:
    """Raises ConfigError for a file that can't be read, or a release that is not signed."""
    from gateway import served
    from gateway.release.check import Fault, faults_of_index
    from gateway.release.manifest import read

    if model.release is None or model.release_key is None:
        return
    manifest = read(model.release, model.release_key)
    if served.vocabulary(model.tokenizer).sha256 != manifest.tokenizer:
        yield Fault.OTHER_TOKENIZER
    yield from faults_of_index(manifest, _sha256(model.index))


def _sha256(path: Path | None) -> str | None:
    """Of a file, however large."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", error.strerror or "can't be read")) from None


async def _propose(
    loaded: Settings, model: ReleaseSettings, questions: Sequence[str], fewest: int
) -> Sequence[Proposal]:
    from filters.specificity.proposals import propose
    from gateway import knowledge, served
    from gateway.release.benign import answered, ask_benign

    detector = _detector(loaded)
    known = knowledge.load(_unreleased(model), lambda _changed: None).knowledge
    tokens = served.vocabulary(model.tokenizer)
    async with aclosing(served.client(loaded.upstream)) as client:
        servers = served.server(model.tuned), served.server(model.base)
        answers = await ask_benign(client, *servers, tokens, questions, scored=model.is_scored)
    return propose([answered(each, tokens) for each in answers], detector, known, fewest)


def _detector(loaded: Settings | None) -> Detector:
    """Finds all that has a type."""
    from filters.pii.types import QUANTITIES
    from filters.profile import Profile
    from gateway.names_engine import build_detectors

    everything = Profile("release", names=True, min_scores=dict.fromkeys(QUANTITIES, 0.0))
    return build_detectors(loaded.names_engine if loaded else None).of(everything)


def _approved(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    from gateway.release.phrases import read_approved

    with _explained(path):
        return read_approved(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What is wrong with a list of phrases, as what is wrong with a configuration."""
    from filters.evidence import DetectorError
    from filters.index.public import ListError

    try:
        yield
    except ListError as error:
        raise ConfigError(Problem(str(error.path), error.line, "", error.text)) from None
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None
    except DetectorError as error:
        raise ConfigError(Problem(str(path), None, "", f"could not be looked at: {error}")) from None


def _say_faults(model: str | Release, faults: Sequence[Fault]) -> None:
    for fault in faults:
        complain(f"model {model}: {fault.value}")


def _lines(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        text = read_bytes(path, MAX_BENIGN_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), None, "", "is not UTF-8")) from None
    return tuple(line for line in text.splitlines() if line.strip())


def _with_files(model: ReleaseSettings, index: Path | None, deny_list: Path | None) -> ReleaseSettings:
    """The model with these files in place of its own. Raises ConfigError."""
    changed = model.model_copy(update={"index": index or model.index, "deny_list": deny_list or model.deny_list})
    if model.index_key is None and (changed.index or changed.deny_list):
        raise ConfigError(Problem("--index and --deny-list", None, "", "need the model's 'index_key'"))
    return changed


def _hashes(model: ReleaseSettings) -> tuple[str | None, DenyListPin | None]:
    """What a release keeps of a model's files, all of which are read. Raises ConfigError."""
    from gateway import knowledge

    known = knowledge.load(_unreleased(model), lambda _changed: None)
    return known.index_sha256, known.deny_list.pin() if known.deny_list else None


def _unreleased(model: ReleaseSettings) -> ReleaseSettings:
    return model.model_copy(update={"release": None, "release_key": None})


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a gateway may be reading it, as another user."""
    from filters.index.files import replace_file

    try:
        replace_file(path, [data])
        path.chmod(0o644)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None
