"""Who does the parts of a build: this process, some of this machine, or Dask's (on_dask.py). Same bytes from all."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """`work` and items can be pickled; the folder that `work` names is the same one for all workers."""

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results in the order of the items. What `work` raises is raised, the first first."""
        ...


class ThisProcess:
    """One after the other."""

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        return map(work, items)


class Processes:
    """`count` processes of this machine. New ones, not forks: DuckDB has threads."""

    def __init__(self, count: int) -> None:
        self._count = count

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        executor = ProcessPoolExecutor(min(self._count, len(items)), multiprocessing.get_context("spawn"))
        try:
            yield from executor.map(work, items)
        finally:
            executor.shutdown(cancel_futures=True)


def workers(processes: int, pieces: int) -> Workers:
    """A pool only where there is work for it: starting it takes as long as reading a few megabytes."""
    return Processes(processes) if processes > 1 and pieces > 1 else ThisProcess()
