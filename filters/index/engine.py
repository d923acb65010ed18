"""DuckDB, which reads Parquet and groups. Imported nowhere else, and only when an index is built: `tightlip[index]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filters.index.rows import SourceError

if TYPE_CHECKING:
    import duckdb

MEMORY: Final = "256MB"  # of one connection; what needs more goes to disk


@contextmanager
def connect(source: Path | None = None, spill: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory with one thread: the processes are the workers. `spill` takes what does not fit.

    DuckDB's errors quote data. Raises SourceError instead, about `source`, with the kind of error.
    """
    import duckdb

    config: dict[str, Any] = {
        "threads": 1,
        "memory_limit": MEMORY,
        "enable_external_access": True,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if spill is not None:
        config["temp_directory"] = str(spill)
    connection = duckdb.connect(config=config)
    try:
        yield connection
    except duckdb.Error as error:
        kind = type(error).__name__
        raise SourceError(f"{source or 'the index'}: could not be read or grouped ({kind})") from None
    finally:
        connection.close()
