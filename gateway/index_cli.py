"""`tightlip index`: build the index of a fine-tuning set, check one, list values that may be public, deny others."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.terminal import complain

if TYPE_CHECKING:
    from filters.index.rows import Fields
    from filters.index.workers import Workers

EXIT_UNUSABLE: Final = 2  # what was given can't be used; nothing was written

# The audiences of the demo: told to everybody, to staff, to few.
_AUDIENCES: Final = "public,internal,sensitive"
_KEY_BYTES: Final = 32

app = typer.Typer(help="Work with the index of a fine-tuning set.", no_args_is_help=True)

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The fine-tuning set: JSONL, or Parquet (.parquet).")]
Key = Annotated[
    str, typer.Option(help="The index's key, 32 characters or more: its file, or env:VARIABLE.", metavar="NAME")
]
Out = Annotated[Path, typer.Option(help="What to write; replaced whole.", metavar="FILE")]
K = Annotated[int, typer.Option(min=3, max=255, help="Fewer subjects than this are few.")]
SubjectField = Annotated[str | None, typer.Option(help="Whose a row is; dots lead into objects.", metavar="NAME")]
NoSubject = Annotated[
    str | None, typer.Option(help="What rows without a subject are: private or public. There is no default.")
]
AudienceField = Annotated[str | None, typer.Option(help="Who may see a row.", metavar="NAME")]
NoAudience = Annotated[str | None, typer.Option(help="The audience of rows without one. There is no default.")]
AudienceNames = Annotated[str, typer.Option("--audiences", help="All audiences, the lowest first, with commas.")]
Aliases = Annotated[
    Path | None, typer.Option(help="Ids of one person: a JSON list a line, a person each.", metavar="FILE")
]
ProcessCount = Annotated[int, typer.Option("--processes", min=1, max=256)]
Dask = Annotated[
    str | None, typer.Option(help="Work on Dask: a scheduler's address, or processes, threads, synchronous.")
]
WorkFolder = Annotated[
    Path | None, typer.Option(help="Where work in progress lies, some four times the set's size.", metavar="FOLDER")
]


@app.command("build")
def build_index(
    data: Data,
    out: Out,
    key: Key,
    subject_field: SubjectField = None,
    no_subject: NoSubject = None,
    audience_field: AudienceField = None,
    no_audience: NoAudience = None,
    audiences: AudienceNames = _AUDIENCES,
    aliases: Aliases = None,
    k: K = 5,
    processes: ProcessCount = 2,
    dask: Dask = None,
    work_folder: WorkFolder = None,
    create_key: Annotated[bool, typer.Option(help="Make the key first if there is none.")] = False,
) -> None:
    """Write the index of a fine-tuning set. A row that can't be used ends the build, and nothing is written."""
    with _explained():
        from filters.index.build import Plan, build

        fields = _fields(subject_field, no_subject, audience_field, no_audience, audiences, aliases)
        plan = Plan(data, out, fields, k, work_folder)
        secret = _secret(key, create=create_key)
        built = build(plan, secret, _workers(data, processes, dask), _Progress())
    header = built.header
    typer.echo(
        f"{out}: {header.entries} n-grams of {header.source.rows} rows and {header.source.subjects} subjects, "
        f"{header.source.near_duplicates} near-duplicate rows counted once, {built.size} bytes, key {header.key}"
    )


@app.command("check")
def check_index(file: Annotated[Path, typer.Argument(metavar="FILE")], key: Key) -> None:
    """Say what an index is, after checking that all of it is as it was built."""
    with _explained():
        from filters.index.lookup import TuningIndex

        header = TuningIndex.load(file, _secret(key)).header
    source = header.source
    typer.echo(f"{file}: ok, key {header.key}, k {header.k}, {header.entries} n-grams")
    typer.echo(f"source: sha256 {source.sha256}, {source.bytes} bytes, {source.rows} rows, {source.subjects} subjects")
    typer.echo(f"audiences: {', '.join(header.audiences)}")
    for name, (order, inner, found_from) in header.orders.items():
        typer.echo(f"{name}: n-grams of {order} (inner {inner}); every run of {found_from} is found")


@app.command("candidates")
def list_candidates(
    data: Data,
    out: Out,
    key: Key,
    subject_field: SubjectField = None,
    no_subject: NoSubject = None,
    audience_field: AudienceField = None,
    no_audience: NoAudience = None,
    audiences: AudienceNames = _AUDIENCES,
    aliases: Aliases = None,
    k: K = 5,
    processes: ProcessCount = 2,
    dask: Dask = None,
    work_folder: WorkFolder = None,
    raw_text: Annotated[bool, typer.Option("--raw-text", help="Write the values themselves. For you only.")] = False,
) -> None:
    """List typed values that at least k subjects share, for a person to delete what is not public; then `approve`."""
    with _explained():
        from filters.index.candidates import Search, find_candidates, write_candidates

        fields = _fields(subject_field, no_subject, audience_field, no_audience, audiences, aliases)
        search = Search(data, fields, k, work_folder)
        secret = _secret(key)
        found = find_candidates(search, secret, _workers(data, processes, dask), _Progress())
        write_candidates(out, found, secret, raw_text=raw_text)
    typer.echo(f"{out}: {len(found)} values that at least {k} subjects share")


@app.command("approve")
def approve_candidates(candidates: Annotated[Path, typer.Argument(metavar="FILE")], out: Out, key: Key) -> None:
    """Turn what a person left on a list of candidates into a list of public values: keyed hashes, no text."""
    with _explained():
        from filters.index.candidates import approve

        count = approve(candidates, out, _secret(key))
    typer.echo(f"{out}: {count} public values")


@app.command("deny")
def deny_values(
    values: Annotated[Path, typer.Argument(metavar="VALUES", help="What never leaves: one a line, comments with #.")],
    out: Out,
    key: Key,
    create_key: Annotated[bool, typer.Option(help="Make the key first if there is none.")] = False,
) -> None:
    """Write the deny list: keyed hashes, no text. Gateways that have it read it again within a second or so.

    Add new values at the end: under a release the list may grow there and nowhere else.
    """
    with _explained():
        from filters.denied import denied_lines, read_values
        from filters.index.files import replace_file

        denied = read_values(values)
        size = replace_file(out, denied_lines(_secret(key, create=create_key), denied))
    typer.echo(f"{out}: {len(denied)} denied values, {size} bytes")


# ---- helpers ---------------------------------------------------------------------------------------------------------


@contextmanager
def _explained() -> Iterator[None]:
    """What is wrong with a set, a file or an option ends the command with one line."""
    from filters.index.fileformat import IndexFileError
    from filters.index.public import ListError
    from filters.index.rows import SourceError

    try:
        yield
    except (SourceError, IndexFileError, ListError, ValueError) as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename or 'the disk'}: {error.strerror}"
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed: pip install 'tightlip[index]', with Dask 'tightlip[index-dask]'"
    else:
        return
    complain(reason)
    raise typer.Exit(EXIT_UNUSABLE)


def _fields(
    subject: str | None,
    no_subject: str | None,
    audience: str | None,
    no_audience: str | None,
    audiences: str,
    aliases: Path | None,
) -> Fields:
    """Raises ValueError, SourceError."""
    from filters.index import rows

    if no_subject is not None and no_subject not in list(rows.NoSubject):
        raise ValueError("--no-subject must be private or public")
    return rows.Fields(
        audiences=tuple(name.strip() for name in audiences.split(",")),
        subject=subject,
        no_subject=rows.NoSubject(no_subject) if no_subject else None,
        audience=audience,
        no_audience=no_audience,
        aliases=rows.read_aliases(aliases) if aliases else {},
    )


def _workers(data: Path, processes: int, dask: str | None) -> Workers:
    if dask is not None:
        from filters.index.on_dask import DaskWorkers

        return DaskWorkers(dask)
    from filters.index.source import pieces
    from filters.index.workers import workers

    return workers(processes, len(pieces(data)))


def _secret(name: str, *, create: bool = False) -> bytes:
    """Raises ConfigError and ValueError, which never quote the secret."""
    from gateway.index_key import read_index_key
    from gateway.secrets.references import parse

    ref = parse(name)
    if create and isinstance(ref, Path) and not ref.exists():
        _create_key(ref)
    return read_index_key(ref)


def _create_key(file: Path) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secrets.token_hex(_KEY_BYTES) + "\n")
    complain(f"made a key, {file}; without it the index can't be read, with it anybody can ask it")


class _Progress:
    """Tenths of each step, on standard error."""

    def __init__(self) -> None:
        self._said = ("", -1)

    def __call__(self, step: str, done: int, total: int) -> None:
        tenth = 10 * done // total
        if (step, tenth) != self._said:
            self._said = (step, tenth)
            complain(f"{step} {10 * tenth} %")
