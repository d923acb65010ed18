"""The tiny model and a server of it, for the tests here; lets them import the builders beside them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the recordings were made with."""
    from record_frames import SEED
    from tiny import write_model

    return write_model(tmp_path_factory.mktemp("models") / "tiny", seed=SEED)


@pytest.fixture(scope="session")
def server(tiny_folder: Path) -> Iterator[str]:
    """A running server's base URL, with that model as `tiny`."""
    from gateway.embedded.server import ModelSource, running

    with running({"tiny": ModelSource(tiny_folder, max_model_len=256)}) as base:
        yield base
