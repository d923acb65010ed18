"""The command `tightlip`. Heavy imports stay inside the commands: `tightlip --help` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from gateway.admin_cli import reload, status
from gateway.audit_log_cli import app as audit_log_app
from gateway.config_file import ConfigError
from gateway.encryption_cli import app as encryption_app
from gateway.index_cli import app as index_app
from gateway.logs_cli import app as logs_app
from gateway.policy_cli import app as policy_app
from gateway.probe_cli import probe
from gateway.release_cli import app as release_app
from gateway.review_cli import review
from gateway.revoke_cli import app as revoke_app
from gateway.subject_cli import app as subject_app
from gateway.terminal import complain, warn, warning

if TYPE_CHECKING:
    from filters.evidence import Detector
    from gateway.embedded.server import ModelSource
    from gateway.offline import Options

EXIT_PROBLEMS: Final = 1  # it ran, and something was not as it should be
EXIT_CONFIG: Final = 2
EXIT_INTERRUPTED: Final = 130  # of `filter`: 128 and the signal's number, as shells have it

app = typer.Typer(
    name="tightlip",
    help="A gateway that holds back what a fine-tuned model should not say.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, texts and tokens among them
)
app.add_typer(policy_app, name="policy")
app.add_typer(release_app, name="release")
app.add_typer(index_app, name="index")
app.add_typer(revoke_app, name="revoke")
app.add_typer(subject_app, name="subject")
app.add_typer(audit_log_app, name="audit-log")
app.add_typer(logs_app, name="logs")
app.add_typer(encryption_app, name="encryption")
app.command()(review)
app.command()(reload)
app.command()(status)
app.command()(probe)


def main() -> None:
    """The console script. A wrong configuration ends with one line per problem and exit code 2."""
    try:
        app()
    except ConfigError as error:
        _fail(error)


@app.command()
def serve(
    config: Annotated[Path, typer.Option(help="The configuration, a YAML file.", metavar="FILE")],
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C does not wait for running answers."""
    from gateway import settings

    loaded = settings.load(config)
    from gateway import process
    from gateway.observe.printed import printed

    out, beside = printed("stdout"), printed("stderr")
    coloured = sys.stderr is not None and sys.stderr.isatty()
    try:
        process.run(loaded, out.say, lambda text: beside.say(warning(text, coloured=coloured)))
    finally:
        out.close()
        beside.close()


@app.command()
def upstream(
    model: Annotated[list[str], typer.Option(help="A model folder under its name; repeatable.", metavar="NAME=FOLDER")],
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Run the embedded upstream alone: a small OpenAI-compatible model server, for demos and tests."""
    from gateway.embedded.errors import ModelError

    sources = dict(map(_model_source, model))
    try:
        _serve_upstream(sources, host, port)
    except ModelError as error:
        complain(str(error))
        raise typer.Exit(EXIT_CONFIG) from None


@app.command()
def token(
    key: Annotated[Path, typer.Option(help="The private key, PEM.", metavar="FILE")],
    role: Annotated[str, typer.Option()],
    subject: Annotated[str, typer.Option()] = "developer",
    tenant: Annotated[str | None, typer.Option(help="A tenant claim, where the issuer's policy reads one.")] = None,
    issuer: Annotated[str | None, typer.Option(help="tightlip-dev, if none is named.")] = None,
    audience: Annotated[str, typer.Option()] = "tightlip",
    ttl: Annotated[int, typer.Option(min=1, max=86400, help="Seconds.")] = 3600,
    create_key: Annotated[bool, typer.Option(help="Make the key pair first if there is none.")] = False,
) -> None:
    """Print a DEVELOPMENT token, signed with a local key. Never give a production gateway such a key."""
    from gateway.auth import development

    warn("development token: whoever holds this key can be anyone; not for production")
    if create_key and not key.exists():
        public = development.create_key(key)
        warn(f"made a private key, {key}, and its public half, {public}")
    issuer = issuer or development.DEVELOPMENT_ISSUER
    claims = development.Claims(issuer, audience, subject, role, tenant, ttl)
    print(development.sign(development.read_own_key(key), claims))


@app.command("filter")
def filter_input(
    as_json: Annotated[bool, typer.Option("--json", help="Write objects with the filtered text and findings.")] = False,
    policy: Annotated[Path | None, typer.Option(help="A policy file.", metavar="FILE")] = None,
    config: Annotated[
        Path | None, typer.Option(help="The server's configuration: its policy, its names_engine.", metavar="FILE")
    ] = None,
    profile: Annotated[str, typer.Option(help="A profile of the policy.")] = "strict",
    chunks: Annotated[int, typer.Option(min=1, help="Feed the text in so many pieces; the result is the same.")] = 1,
    form: Annotated[
        str, typer.Option("--input", help="auto, text or jsonl; auto: JSONL if it begins with {.")
    ] = "auto",
) -> None:
    """Filter standard input: text, or JSONL with "text" and maybe "own" (what the caller said) in each line."""
    from gateway import offline

    if form not in list(offline.InputForm):
        raise typer.BadParameter("must be auto, text or jsonl", param_hint="--input")
    detectors, policy = offline.configured(config, policy)
    options = offline.Options(offline.find_profile(policy, profile), as_json, chunks, offline.InputForm(form))
    try:
        complete = _filter(detectors.of(options.profile), options)
    except offline.InputError as error:
        complain(str(error))
        raise typer.Exit(EXIT_CONFIG) from None
    if not complete:
        warn("a text was stopped, as the profile says where something can't be checked")
        raise typer.Exit(EXIT_PROBLEMS)


@app.command()
def compare(
    prompt: Annotated[str, typer.Argument()],
    config: Annotated[Path, typer.Option(help="The configuration; its servers must run.", metavar="FILE")],
    role: Annotated[str, typer.Option(help="A role of the policy: whose answer is shown.")],
    model: Annotated[str | None, typer.Option(help="A served model; the first if none is named.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1)] = 256,
    html: Annotated[Path | None, typer.Option(help="Write a page too, for its owner only.", metavar="FILE")] = None,
    raw_text: Annotated[bool, typer.Option("--raw-text", help="Show hidden text as it is.")] = False,
) -> None:
    """Show the tuned, the base and the served answer to a prompt side by side, and why what is hidden is hidden."""
    import asyncio

    from rich.console import Console

    from gateway.compare.command import Wish, run
    from gateway.errors import GatewayError

    try:
        asyncio.run(run(Wish(config, prompt, role, model, max_tokens, html, raw_text), Console()))
    except GatewayError as error:
        complain(error.message)
        raise typer.Exit(EXIT_PROBLEMS) from None


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="End after the show.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the public listener.")] = 8080,
) -> None:
    """Show a fine-tuned model's raw answer beside what a caller gets, then leave the gateway running."""
    from gateway.demo import run

    raise typer.Exit(run(once=once, port=port))


@app.command()
def openapi() -> None:
    """Print the public listener's OpenAPI document; the listener itself does not serve it."""
    from importlib import metadata

    from gateway.openapi.document import text

    print(text(metadata.version("tightlip")), end="")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib import metadata

    print(metadata.version("tightlip"))


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _model_source(text: str) -> tuple[str, ModelSource]:
    import argparse

    from gateway.embedded.__main__ import parse_model
    from gateway.embedded.server import ModelSource

    try:
        name, folder, adapter = parse_model(text)
    except argparse.ArgumentTypeError:
        raise typer.BadParameter("must be NAME=FOLDER or NAME=FOLDER+ADAPTER", param_hint="--model") from None
    return name, ModelSource(folder, adapter)


def _serve_upstream(sources: dict[str, ModelSource], host: str, port: int) -> None:
    import uvicorn

    from gateway.embedded.server import create_app
    from gateway.listening import bind, url
    from gateway.settings import Listener

    application = create_app(sources)
    listener = bind(Listener(host=host, port=port))
    print(f"tightlip: upstream {url(listener)}  models {', '.join(sources)}", flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False)).run([listener])


def _filter(detector: Detector, options: Options) -> bool:
    """Whether every text was filtered to its end. A reader that goes away, and Ctrl-C, end it without a word."""
    from io import BufferedReader

    from gateway import offline

    source = sys.stdin.buffer
    assert isinstance(source, BufferedReader)
    try:
        return offline.run(source, sys.stdout.buffer, detector, options)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its exit
        raise typer.Exit(EXIT_PROBLEMS) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _fail(error: ConfigError) -> NoReturn:
    for problem in error.problems:
        complain(str(problem))
    sys.exit(EXIT_CONFIG)


if __name__ == "__main__":
    main()
