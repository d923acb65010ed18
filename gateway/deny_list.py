"""The deny list in force: read again when its file changes, so that running answers hide what is denied now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filters.denied import DeniedValues
from filters.index.public import ListError
from filters.spans import Span
from gateway.file_state import state_of
from gateway.release.manifest import DenyListPin

EVERY: Final = 1.0  # seconds between two looks at the file


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A list has changed on disk: how many values are denied now, and why it is still those of the one before."""

    entries: int
    refused: str | None = None


class DenyList:
    """Fulfils `filters.evidence.Denied`; each look is one at the list of that moment."""

    def __init__(self, path: Path, secret: bytes, pinned: DenyListPin | None, tell: Callable[[Reloaded], None]) -> None:
        """`pinned`: what the release says of it. What does not hold to that is not taken over later.

        Raises ListError; ValueError for a short key.
        """
        self._path, self._secret, self._pinned, self._tell = path, secret, pinned, tell
        self._seen = state_of(path)
        self._values = DeniedValues.load(path, secret)

    def __len__(self) -> int:
        return len(self._values)

    def find(self, raw_text: str, since: int = 0) -> list[Span]:
        """As `DeniedValues.find`."""
        return self._values.find(raw_text, since)

    def open_from(self, raw_text: str) -> int:
        """As `DeniedValues.open_from`."""
        return self._values.open_from(raw_text)

    @property
    def is_released(self) -> bool:
        """Whether this is the list of the release, or what it has grown to since."""
        return self._holds(self._values)

    def pin(self) -> DenyListPin:
        """What a release that is made now keeps of it."""
        return DenyListPin(entries=len(self), sha256=self._values.sha256)

    def refresh(self) -> None:
        """Take over a list that has changed. One that can't be used changes nothing, and is told of once."""
        state = state_of(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            values = DeniedValues.load(self._path, self._secret)
            if not self._holds(values):
                raise ListError(self._path, "does not begin with what the release was made with")
        except ListError as error:
            self._tell(Reloaded(len(self), str(error)))
            return
        self._values = values
        self._tell(Reloaded(len(self)))

    async def watch(self) -> None:
        """Refresh for ever. The file is read beside the event loop, so that streams go on."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.refresh)

    def _holds(self, values: DeniedValues) -> bool:
        return self._pinned is None or values.begins_with(self._pinned.entries, self._pinned.sha256)
