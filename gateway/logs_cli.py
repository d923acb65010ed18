"""`tightlip logs`: reading records that are encrypted at rest, and the key pair for that (docs/records.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from gateway.terminal import complain, warn

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

EXIT_PROBLEMS: Final = 1  # something is not as it was written
EXIT_WRONG: Final = 2  # it can't be read

app = typer.Typer(help="Records that are encrypted at rest.", no_args_is_help=True)


@app.command("create-key")
def create_key(file: Annotated[Path, typer.Argument(help="The private key, PEM.", metavar="FILE")]) -> None:
    """Make an X25519 key pair: the private half in FILE, for its owner's eyes only, the public half beside it. The
    gateway gets the public one (`log.encrypt_to`); the private one is kept where no gateway is."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from gateway.key_files import write_pair

    typer.echo(write_pair(file, X25519PrivateKey.generate()))


@app.command()
def read(
    paths: Annotated[list[Path], typer.Argument(help="Files of records, or directories of them.", metavar="PATH...")],
    key: Annotated[Path | None, typer.Option(help="The private key, PEM, for those that are encrypted.")] = None,
) -> None:
    """Print records as they were written, a JSON object in each line, and say on standard error what is missing or
    altered. Exit code 0: nothing is; 1: something is; 2: a file can't be read."""
    from gateway.key_files import read_own_x25519

    private = read_own_x25519(key) if key is not None else None
    faults = 0
    try:
        for path in _files(paths):
            faults += _print(path, private)
    except OSError as error:
        _fail(f"{error.filename or 'standard output'}: {error.strerror}")
    if faults:
        raise typer.Exit(EXIT_PROBLEMS)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Raises OSError."""
    from gateway.observe.files import listed

    for path in paths:
        yield from listed(path)


def _print(path: Path, private: X25519PrivateKey | None) -> int:
    """How much is wrong with it. Raises OSError."""
    from gateway.observe.sealed import MAX_LINE_BYTES, Fault, NotSealed, WrongKey, is_sealed, opened

    faults = 0
    with path.open("rb") as file:
        sealed = is_sealed(file.readline(MAX_LINE_BYTES))
        file.seek(0)
        if sealed and private is None:
            _fail(f"{path}: is encrypted; name the private key with --key")
        try:
            for each in opened(file, private) if sealed and private is not None else _plain(file):
                if isinstance(each, Fault):
                    (warn if each.note else complain)(f"{path}: {each.text}")
                    faults += not each.note
                else:
                    sys.stdout.buffer.write(each)
        except WrongKey as error:
            _fail(f"{path}: {error}, or its first line was altered")
        except NotSealed:
            _fail(f"{path}: is of a newer version of tightlip, or its first line was altered")
        finally:
            sys.stdout.buffer.flush()
    return faults


def _plain(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line if line.endswith(b"\n") else line + b"\n"


def _fail(text: str) -> NoReturn:
    complain(text)
    raise typer.Exit(EXIT_WRONG)
