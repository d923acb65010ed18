"""The models of one server: where each comes from, and each one loaded under its name."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.engine import Engine
from gateway.embedded.errors import ModelError
from gateway.embedded.llama import load_llama
from gateway.embedded.shapes import WIRE_VERSION
from gateway.embedded.tokenizer import TextTokenizer


@dataclass(frozen=True)
class ModelSource:
    """Where a served model comes from.

    Attributes:
        folder: a Llama folder in the Hugging Face layout.
        adapter: a PEFT LoRA folder merged over it; tokenizer and chat template stay the folder's.
        max_model_len: prompt and answer together, in tokens; by default what the configuration allows.
    """

    folder: Path
    adapter: Path | None = None
    max_model_len: int | None = None


@dataclass(frozen=True)
class Served:
    """A loaded model.

    Attributes:
        parent: for an adapter the name under which its base is served, where it is.
        fingerprint: the `system_fingerprint` of its answers.
    """

    name: str
    source: ModelSource
    parent: str | None
    engine: Engine
    fingerprint: str


def load_models(models: Mapping[str, ModelSource]) -> dict[str, Served]:
    """Load each model.

    Raises:
        ModelError: there is none, one cannot be read, or its context is longer than its positions.
    """
    if not models:
        raise ModelError("no model to serve")
    return {name: _load(name, source, models) for name, source in models.items()}


def _load(name: str, source: ModelSource, models: Mapping[str, ModelSource]) -> Served:
    model = load_llama(source.folder, source.adapter)
    length = source.max_model_len or model.config.positions
    if length > model.config.positions:
        raise ModelError(f"{source.folder} has {model.config.positions} positions, less than the {length} asked for")
    engine = Engine(model, TextTokenizer(source.folder), length)
    stamp = hashlib.sha256(repr((str(source.folder), str(source.adapter), length)).encode()).hexdigest()[:8]
    return Served(name, source, _parent(source, models), engine, f"vllm-{WIRE_VERSION}-{stamp}")


def _parent(source: ModelSource, models: Mapping[str, ModelSource]) -> str | None:
    if source.adapter is None:
        return None
    bases = (name for name, other in models.items() if other.adapter is None and other.folder == source.folder)
    return next(bases, None)
