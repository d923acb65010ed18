"""The parts of a build as tasks of Dask, for sets that are larger than one machine: `tightlip[index-dask]`.

The workers need this package, the source and the working folder under the same paths (a shared file system). What they
hand back is small; n-grams go through the folder, as they do between local processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class DaskWorkers:
    """Fulfils `filters.index.workers.Workers`.

    `scheduler` is the address of a running cluster ("tcp://host:8786"), or one of Dask's own on this machine:
    "processes", "threads", "synchronous".
    """

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        if "://" in self._scheduler:
            yield from self._on_cluster(work, items)
            return
        import dask

        yield from dask.compute(*[dask.delayed(work)(item) for item in items], scheduler=self._scheduler)

    def _on_cluster(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        from dask.distributed import Client

        with Client(self._scheduler) as client:
            yield from client.gather(client.map(work, items, pure=False))
