"""config.json and generation_config.json of a Llama folder, read into one frozen object."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.embedded.errors import ModelError

ROPE_KINDS = ("default", "linear", "llama3")


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding (Su et al. 2021), with the two scalings that Llama checkpoints use.

    Attributes:
        theta: the base of the frequencies.
        kind: one of ROPE_KINDS.
        factor: how many times longer the context was made; 1 without scaling.
        low, high: llama3's wavelength limits, in turns over `original` positions.
        original: context length before scaling.
    """

    theta: float = 10000.0
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192

    def frequencies(self, head_dim: int) -> NDArray[np.float32]:
        """Radians per position, shape [head_dim / 2]."""
        steps = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
        plain: NDArray[np.float32] = np.reciprocal(np.power(np.float32(self.theta), steps))
        if self.kind == "linear":
            plain /= np.float32(self.factor)
        if self.kind == "llama3":
            return self._llama3(plain)
        return plain

    def _llama3(self, plain: NDArray[np.float32]) -> NDArray[np.float32]:
        turns = self.original * plain / (2 * math.pi)
        smooth = np.clip((turns - self.low) / (self.high - self.low), 0.0, 1.0)
        mixed: NDArray[np.float32] = ((1 - smooth) * plain / self.factor + smooth * plain).astype(np.float32)
        return mixed


@dataclass(frozen=True)
class LlamaConfig:
    """What the forward pass and the server need of a folder's configuration.

    Attributes:
        sampling: defaults for requests that generation_config.json sets: temperature, top_p, top_k, min_p,
            repetition_penalty, max_tokens.
        eos: end-of-text ids of generation_config.json and config.json, beside the tokenizer's own.
        dtype: the name of the type that the weights were saved in.
    """

    vocab: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    positions: int
    rope: Rope
    tied: bool
    eos: frozenset[int]
    sampling: Mapping[str, float]
    dtype: str


def read_config(folder: Path) -> LlamaConfig:
    """Read a folder's configuration.

    Raises:
        ModelError: config.json is missing, or describes another architecture, activation or rotary scaling.
    """
    raw = _read_object(folder / "config.json")
    _check_architecture(raw)
    generation = _read_object(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    heads = int(raw["num_attention_heads"])
    return LlamaConfig(
        vocab=int(raw["vocab_size"]),
        hidden=int(raw["hidden_size"]),
        intermediate=int(raw["intermediate_size"]),
        layers=int(raw["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or raw["hidden_size"] // heads),
        eps=float(raw.get("rms_norm_eps", 1e-6)),
        positions=int(raw.get("max_position_embeddings", 2048)),
        rope=_read_rope(raw),
        tied=bool(raw.get("tie_word_embeddings", False)),
        eos=_ids(generation.get("eos_token_id", raw.get("eos_token_id"))),
        sampling=_read_sampling(generation),
        dtype=str(raw.get("dtype") or raw.get("torch_dtype") or "float32"),
    )


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path.name} is missing from {path.parent}")
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no object")
    return value


def _check_architecture(raw: Mapping[str, Any]) -> None:
    if raw.get("model_type") != "llama" and "LlamaForCausalLM" not in raw.get("architectures", []):
        raise ModelError(f"not a Llama: model_type {raw.get('model_type')!r}")
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelError(f"unknown hidden_act {raw['hidden_act']!r}")
    if raw.get("quantization_config"):
        raise ModelError("quantised weights are not read")


def _read_rope(raw: Mapping[str, Any]) -> Rope:
    """Both shapes: rope_theta beside rope_scaling, and the newer rope_parameters that holds the two."""
    scaling: Mapping[str, Any] = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    kind = str(scaling.get("rope_type", scaling.get("type", "default")))
    if kind not in ROPE_KINDS:
        raise ModelError(f"unknown rotary scaling {kind!r}")
    return Rope(
        theta=float(scaling.get("rope_theta", raw.get("rope_theta", 10000.0))),
        kind=kind,
        factor=float(scaling.get("factor", 1.0)),
        low=float(scaling.get("low_freq_factor", 1.0)),
        high=float(scaling.get("high_freq_factor", 4.0)),
        original=int(scaling.get("original_max_position_embeddings") or raw.get("max_position_embeddings", 2048)),
    )


def _ids(value: int | list[int] | None) -> frozenset[int]:
    if value is None:
        return frozenset()
    return frozenset([value] if isinstance(value, int) else value)


def _read_sampling(generation: Mapping[str, Any]) -> dict[str, float]:
    names = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}
    found = {name: generation[name] for name in names if generation.get(name) is not None}
    if generation.get("max_new_tokens") is not None:
        found["max_tokens"] = generation["max_new_tokens"]
    return found
