"""Weights from safetensors, one file or many, as float32; a LoRA adapter merged over them where one is given."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from gateway.embedded.errors import ModelError

Array = NDArray[np.float32]
Tensors = dict[str, Array]

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_ADAPTER_NAME = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])\.(?:\w+\.)?weight")


def read_weights(folder: Path, adapter: Path | None = None) -> Tensors:
    """All tensors of a folder by the names transformers gives them.

    Args:
        folder: holds model.safetensors, or model.safetensors.index.json and its shards.
        adapter: a PEFT folder (adapter_config.json, adapter_model.safetensors) whose LoRA matrices are added in.

    Raises:
        ModelError: a file is missing, a type is unknown, or the adapter is more than a sum of matrices can express.
    """
    tensors: Tensors = {}
    for path in _files(folder):
        tensors.update(_read_file(path))
    if adapter is not None:
        _merge(tensors, adapter)
    return tensors


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


def _read_file(path: Path) -> Iterator[tuple[str, Array]]:
    if not path.is_file():
        raise ModelError(f"{path.name} is missing from {path.parent}")
    entries: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    for name, entry in entries:
        yield name, _to_float32(name, entry)


def _to_float32(name: str, entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] == "BF16":  # the upper half of a float32
        raw = np.frombuffer(entry["data"], "<u2").astype(np.uint32) << np.uint32(16)
        return raw.view(np.float32).reshape(entry["shape"])
    if entry["dtype"] not in _DTYPES:
        raise ModelError(f"{name} has the unknown type {entry['dtype']}")
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).astype(np.float32).reshape(entry["shape"])


def _merge(tensors: Tensors, folder: Path) -> None:
    """W + scale · B A for each adapted module (Hu et al. 2021); scale is alpha / r, or alpha / √r for rsLoRA."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    _check_adapter(config)
    pairs: dict[str, dict[str, Array]] = {}
    for name, value in _read_file(folder / "adapter_model.safetensors"):
        found = _ADAPTER_NAME.fullmatch(name)
        if found is None:
            raise ModelError(f"the adapter holds {name}, which is no LoRA matrix")
        pairs.setdefault(found["module"], {})[found["side"]] = value
    for module, pair in pairs.items():
        target = f"{module}.weight"
        if target not in tensors or pair.keys() != {"A", "B"}:
            raise ModelError(f"the adapter does not fit the model at {module}")
        tensors[target] = tensors[target] + _scale(config, module) * (pair["B"] @ pair["A"])


def _check_adapter(config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"unknown adapter type {config.get('peft_type')!r}")
    for name in ("use_dora", "fan_in_fan_out", "modules_to_save", "lora_bias"):
        if config.get(name):
            raise ModelError(f"adapters with {name} are not read")
    if config.get("bias", "none") != "none":
        raise ModelError("adapters with a bias are not read")


def _scale(config: Mapping[str, Any], module: str) -> np.float32:
    rank = _per_module(config.get("rank_pattern") or {}, module, config["r"])
    alpha = _per_module(config.get("alpha_pattern") or {}, module, config["lora_alpha"])
    return np.float32(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _per_module(pattern: Mapping[str, float], module: str, default: float) -> float:
    """The first pattern, a regular expression for the end of a module's name, that fits it; as PEFT matches them."""
    fitting = (value for name, value in pattern.items() if re.fullmatch(rf"(.*\.)?({name})", module))
    return next(fitting, default)
