"""The tiny model and a server of it, for the tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.embedded.server import ModelSource, running
from tests.embedded.record_frames import SEED
from tests.embedded.tiny import write_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the recordings were made with."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny", seed=SEED)


@pytest.fixture(scope="session")
def server(tiny_folder: Path) -> Iterator[str]:
    """A running server's base URL, with that model as `tiny`."""
    with running({"tiny": ModelSource(tiny_folder, max_model_len=256)}) as base:
        yield base
