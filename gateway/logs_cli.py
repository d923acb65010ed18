"""`tightlip logs`: reading records that are encrypted at rest, and the key pair for that (docs/records.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from gateway.terminal import complain, warn

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from gateway.observe.sealed import Fault

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
    key: Annotated[
        list[Path] | None,
        typer.Option(help="A private key, PEM, for those that are encrypted; may be repeated."),
    ] = None,
) -> None:
    """Print records as they were written, a JSON object in each line, and say on standard error what is missing or
    altered. Exit code 0: nothing is; 1: something is; 2: a file can't be read, and what can be is printed."""
    from gateway.key_files import read_own_x25519

    privates = [read_own_x25519(each) for each in key or ()]
    worst = 0
    try:
        for path in _files(paths):
            worst = max(worst, _print(path, privates))
    except OSError as error:
        _complain(error)
        worst = EXIT_WRONG
    raise typer.Exit(worst)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Raises OSError."""
    from gateway.observe.files import listed

    for path in paths:
        yield from listed(path)


def _print(path: Path, privates: Sequence[X25519PrivateKey]) -> int:
    """The exit code that it deserves. Raises OSError for standard output."""
    try:
        file = path.open("rb")
    except OSError as error:
        _complain(error)
        return EXIT_WRONG
    with file:
        return _print_opened(path, file, privates)


def _print_opened(path: Path, file: BinaryIO, privates: Sequence[X25519PrivateKey]) -> int:
    from gateway.observe.sealed import MAX_LINE_BYTES, NotSealed, WrongKey, is_sealed, opened

    sealed = is_sealed(file.readline(MAX_LINE_BYTES))
    file.seek(0)
    if sealed and not privates:
        complain(f"{path}: is encrypted; name the private key with --key")
        return EXIT_WRONG
    try:
        return _print_lines(path, opened(file, *privates) if sealed else _plain(file))
    except WrongKey as error:
        complain(f"{path}: {error}, or its first line was altered")
    except NotSealed:
        complain(f"{path}: is of a newer version of tightlip, or its first line was altered")
    return EXIT_WRONG


def _print_lines(path: Path, lines: Iterable[bytes | Fault]) -> int:
    from gateway.observe.sealed import Fault

    code = 0
    for each in lines:
        if isinstance(each, Fault):
            (warn if each.note else complain)(f"{path}: {each.text}")
            code = max(code, 0 if each.note else EXIT_PROBLEMS)
        else:
            sys.stdout.buffer.write(each)
    sys.stdout.buffer.flush()
    return code


def _plain(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line if line.endswith(b"\n") else line + b"\n"


def _complain(error: OSError) -> None:
    complain(f"{error.filename or 'standard output'}: {error.strerror}")
