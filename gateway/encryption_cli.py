"""`tightlip encryption`: keys for payload encryption, the gateway's and those of its clients (docs/encryption.md)."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from gateway.config_file import ConfigError, Problem, read_bytes

MOST_BYTES: Final = 64 * 1024

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

    before: list[Any] = _read(file)["keys"] if file.exists() else []
    made = ECKey.generate_key("P-256") if curve == "P-256" else OKPKey.generate_key("X25519")
    text = json.dumps({"keys": [*before, {"kid": kid, **made.as_dict(private=True)}]}, indent=1) + "\n"
    keys = parse_own(text, str(file))
    _replace(file, text)
    typer.echo(json.dumps(keys.public(kid)))


@app.command("public")
def public(file: File) -> None:
    """Print the public halves as a JWKS document, the one to use first; the thumbprints (RFC 7638) go to stderr."""
    from gateway.encryption.keys import parse_own

    keys = parse_own(json.dumps(_read(file)), str(file))
    typer.echo(json.dumps(keys.jwks(), indent=1))
    for kid, key in keys.keys.items():
        typer.echo(f"{kid}: {key.thumbprint()}", err=True)


def _read(file: Path) -> dict[str, Any]:
    """Raises ConfigError."""
    from gateway.encryption.keys import parse_own

    try:
        text = read_bytes(file, MOST_BYTES).decode()
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(file), None, "", "is not text")) from None
    parse_own(text, str(file))
    found: dict[str, Any] = json.loads(text)
    return found


def _replace(file: Path, text: str) -> None:
    """Whole or not at all: a gateway may be reading it. Raises ConfigError."""
    beside = file.with_name(f".{file.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
        beside.replace(file)
    except OSError as error:
        raise ConfigError(Problem(str(file), None, "", f"can't be written ({error.strerror})")) from None
