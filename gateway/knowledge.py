"""What is known of a pair's fine-tuning set, loaded at start: the tuning index, the public values, the deny list, and
the house phrases of its release.

What is configured and can't be used stops the start; nothing is served without it. What checks out and is not the
release's is a fault of the pair, which is then not served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filters.index.fileformat import IndexFileError
from filters.index.lookup import TuningIndex
from filters.index.public import ListError, PublicValues
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.specificity.house import NO_PHRASES, HousePhrases
from gateway.config_file import ConfigError, Problem
from gateway.deny_list import DenyList, Reloaded
from gateway.index_key import read_index_key
from gateway.release.check import Fault, faults_of_index
from gateway.release.manifest import Manifest, read
from gateway.settings import ReleaseSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The knowledge of one pair, and what its release says. `deny_list` is what finds its denied values."""

    released: Manifest | None = None
    knowledge: Knowledge = NOTHING_KNOWN
    index_sha256: str | None = None
    deny_list: DenyList | None = None

    @property
    def audiences(self) -> Sequence[str]:
        """Those of the index, the lowest first; none without one."""
        return self.knowledge.index.header.audiences if self.knowledge.index else ()

    def faults(self) -> Iterator[Fault]:
        """Where the files are not what the release says. A deny list that none has seen can only hide."""
        manifest = self.released
        if manifest is None:
            return
        yield from faults_of_index(manifest, self.index_sha256)
        if manifest.deny_list is not None and self.deny_list is None:
            yield Fault.NO_DENY_LIST
        if self.deny_list is not None and not self.deny_list.is_released:
            yield Fault.OTHER_DENY_LIST


def load(model: ReleaseSettings, tell: Callable[[Reloaded], None]) -> Loaded:
    """Raises ConfigError: a file is missing, broken, of another key or version. `tell` hears, in a thread of its own,
    of a deny list that changes later."""
    released = read(model.release, model.release_key) if model.release and model.release_key else None
    phrases = HousePhrases(released.house_phrases) if released and released.house_phrases else NO_PHRASES
    if model.index_key is None:
        return Loaded(released, Knowledge(phrases=phrases))
    secret = read_index_key(model.index_key)
    pinned = released.deny_list if released else None
    index = _usable(model.index, lambda path: TuningIndex.load(path, secret))
    public = _usable(model.public_values, lambda path: PublicValues.load(path, secret))
    deny_list = _usable(model.deny_list, lambda path: DenyList(path, secret, pinned, tell))
    return Loaded(released, Knowledge(index, public, deny_list, phrases), index.sha256() if index else None, deny_list)


def _usable(path: Path | None, load_file: Callable[[Path], T]) -> T | None:
    try:
        return load_file(path) if path else None
    except IndexFileError as error:
        raise ConfigError(Problem(str(path), None, "", error.problem)) from None
    except ListError as error:
        raise ConfigError(Problem(str(path), error.line, "", error.text)) from None
