"""`tightlip encryption`: keys for payload encryption, the gateway's and those of its clients (docs/encryption.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.config_file import ConfigError, Problem

app = typer.Typer(help="Keys for payload encryption.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A JWKS document with private keys.", metavar="FILE")]


@app.command("create-key")
def create_key(
    file: File,
    kid: Annotated[str, typer.Option(help="The key's id; a date will do.")],
    curve: Annotated[Literal["P-256", "X25519"], typer.Option()] = "P-256",
) -> None:
    """Make a key: the first of a new file, or the last of one that is there, which is then known and not yet used. The
    file is for its owner's eyes only. Prints the public half."""
    from joserfc.jwk import ECKey, OKPKey

    from gateway.encryption.keys import parse_own

    before = _entries(file) if file.exists() else []
    made = ECKey.generate_key("P-256") if curve == "P-256" else OKPKey.generate_key("X25519")
    text = json.dumps({"keys": [*before, {"kid": kid, **made.as_dict(private=True)}]}, indent=1) + "\n"
    keys = parse_own(text, str(file))
    _replace(file, text)
    typer.echo(json.dumps(keys.public(kid)))


@app.command("public")
def public(file: File) -> None:
    """Print the public halves as a JWKS document, the one to use first; the thumbprints (RFC 7638) go to stderr."""
    from gateway.encryption.keys import parse_own, read_own

    keys = parse_own(read_own(file), str(file))
    typer.echo(json.dumps(keys.jwks(), indent=1))
    for kid, key in keys.keys.items():
        typer.echo(f"{kid}: {key.thumbprint()}", err=True)


def _entries(file: Path) -> list[Any]:
    """The keys, all of which can be used, as they stand there. Raises ConfigError."""
    from gateway.encryption.keys import parse_own, read_own

    text = read_own(file)
    parse_own(text, str(file))
    found: list[Any] = json.loads(text)["keys"]
    return found


def _replace(file: Path, text: str) -> None:
    """Whole or not at all: a gateway may be reading it. Raises ConfigError."""
    from filters.index.files import replace_file

    try:
        replace_file(file, [text.encode()])
    except OSError as error:
        raise ConfigError(Problem(str(file), None, "", f"can't be written ({error.strerror})")) from None
