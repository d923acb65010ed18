"""`tightlip release`: propose and approve a pair's house phrases, make and check its release; and, as a client of the
administration API, which of a model's releases answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.admin_cli import Reach, obeyed, reaching
from gateway.config_file import ConfigError, Problem, read_bytes
from gateway.terminal import complain

if TYPE_CHECKING:
    from filters.evidence import Detector
    from filters.specificity.proposals import Proposal
    from gateway.admin.shapes import ModelReleases
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


# ---- while gateways run ----------------------------------------------------------------------------------------------

Model = Annotated[str, typer.Argument(help="A model of the configuration.", metavar="MODEL")]
OfIssuer = Annotated[str | None, typer.Option(help="For callers of this issuer's tenant alone.")]
OfTenant = Annotated[str | None, typer.Option(help="For callers of this tenant alone.")]
OfRole = Annotated[str | None, typer.Option(help="For callers in this role alone.")]


@app.command()
@reaching
def switch(
    reach: Reach,
    model: Model,
    releases: Annotated[
        list[str], typer.Argument(help="One, or several with parts of the callers.", metavar="NAME[=SHARE]…")
    ],
    issuer: OfIssuer = None,
    tenant: OfTenant = None,
    role: OfRole = None,
) -> None:
    """Have another release of a model answer, on every gateway of a store, or several a part of the callers each. Who
    has begun stays where he is. Exit code 1: it can't be switched to, and nothing has changed."""
    _switch(reach, model, _shares(releases), issuer, tenant, role)


@app.command()
@reaching
def unswitch(reach: Reach, model: Model, issuer: OfIssuer = None, tenant: OfTenant = None, role: OfRole = None) -> None:
    """Take a choice back: the next wider one counts again, at last the configuration's `serving`."""
    _switch(reach, model, None, issuer, tenant, role)


@app.command()
@reaching
def withdraw(reach: Reach, model: Model, release: str) -> None:
    """Take a release out: no request goes to it any more, answers that are running end, and nobody can switch to it
    until it is reinstated. Callers who were to get it are refused until somebody switches."""
    _about(reach, "withdraw", model, release)


@app.command()
@reaching
def reinstate(reach: Reach, model: Model, release: str) -> None:
    """Take a withdrawal back: the release answers again where it is chosen."""
    _about(reach, "reinstate", model, release)


@app.command("status")
@reaching
def show_releases(reach: Reach) -> None:
    """Show, as every gateway that is named knows it, which releases there are, which answer whom, and which are
    withdrawn. Exit code 1: one of them does not have what is chosen, or can't be asked."""
    from gateway.admin.shapes import Releases

    found, code = reach().each("GET", "/releases", Releases)
    for gateway, its in found:
        for model in its.models:
            _show(gateway, model)
    ours = [model for _, its in found for model in its.models if model.releases]  # others on the store may have more
    missing = any(choice.unknown for model in ours for choice in model.choices)
    raise typer.Exit(max(code, EXIT_REFUSED if missing else 0))


def _switch(
    reach: Reach,
    model: str,
    shares: Mapping[str, int] | None,
    issuer: str | None,
    tenant: str | None,
    role: str | None,
) -> None:
    from gateway.admin.shapes import ReleaseDone

    named = {"issuer": issuer, "tenant": tenant, "role": role}
    body = {"model": model, "shares": shares, **{name: text for name, text in named.items() if text is not None}}
    done = reach().one("POST", "/releases/switch", ReleaseDone, body=body)
    typer.echo(f"acknowledged; {obeyed(shared=done.shared)}")


def _about(reach: Reach, what: str, model: str, release: str) -> None:
    from gateway.admin.shapes import ReleaseDone

    body = {"model": model, "release": release}
    done = reach().one("POST", f"/releases/{what}", ReleaseDone, body=body)
    typer.echo(f"acknowledged; {obeyed(shared=done.shared)}")


def _shares(given: Sequence[str]) -> dict[str, int]:
    """Raises typer.BadParameter."""
    pairs = [each.partition("=") for each in given]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise typer.BadParameter("name each release once", param_hint="NAME[=SHARE]")
    try:
        return {name: int(share) if sign else 1 for name, sign, share in pairs}
    except ValueError:
        raise typer.BadParameter("a share is a whole number", param_hint="NAME[=SHARE]") from None


def _show(gateway: str, model: ModelReleases) -> None:
    typer.echo(f"{gateway}: model {model.model}")
    for each in model.releases:
        state = "withdrawn" if each.withdrawn else "ok" if each.open else "does not check out"
        signed = f", released as {each.released_as}" if each.released_as else ""
        typer.echo(f"  {each.name}: {state}, {each.part:.0%} of everybody else's callers{signed}")
    for choice in model.choices:
        whose = " / ".join(name for name in (choice.issuer, choice.tenant, choice.role) if name) or "everybody else"
        parts = ", ".join(f"{name} {share}" for name, share in choice.shares.items())
        unknown = f" (not here: {', '.join(choice.unknown)})" if choice.unknown else ""
        typer.echo(f"  {whose}: {parts}{unknown}")
    for name in sorted(set(model.withdrawn) - {each.name for each in model.releases}):
        typer.echo(f"  {name}: withdrawn, and not here")


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
