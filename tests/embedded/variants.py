"""The models, adapters and template renderings that are held against recorded ones; for tests and recorder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.embedded.tiny import TEMPLATE, write_model

IDS = [0, 120, 80, 90, 100, 200, 260, 261, 17]
SEED = 3

# Each changes one thing of the plain model; "files" says how the weights are stored.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "theta": {"rope_theta": 500000.0},
    "parameters": {"rope_theta": None, "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "llama3": {
        "rope_theta": None,
        "rope_parameters": {
            "rope_theta": 50.0,
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "heads": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16},
    "grouped": {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16},
    "biased": {"attention_bias": True, "mlp_bias": True},
    "eps": {"rms_norm_eps": 0.5},
    "half": {"files": "F16"},
    "bfloat": {"files": "BF16"},
    "sharded": {"files": "sharded"},
}

ADAPTERS: Mapping[str, Mapping[str, Any]] = {
    "lora": {},
    "lora_root": {"use_rslora": True},
    "lora_patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.down_proj": 64}},
}

_TALK = [{"role": "system", "content": " Be <brief>. "}, {"role": "user", "content": "Wo ist Zoë's 快递?\n"}]
_OPEN = [*_TALK, {"role": "assistant", "content": "It is "}]
_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": "é"}}}
_LOOP = (
    "{%- for m in messages %}\n    {%- if loop.index0 == 1 %}{% continue %}{% endif %}\n"
    "  {% generation %}{{ m.content }}{% endgeneration %}\n{%- endfor %}"
)
_TOOLS = "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{% for m in messages %}{{ m | tojson }}\n{% endfor %}"
_NAMES = (
    "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ style }}|{{ strftime_now('x') }}|{{ add_generation_prompt }}"
)

RENDERINGS: list[dict[str, Any]] = [
    {"template": TEMPLATE, "conversation": _TALK, "add_generation_prompt": True},
    {"template": TEMPLATE, "conversation": _TALK, "add_generation_prompt": False},
    {"template": TEMPLATE, "conversation": _OPEN, "continue_final_message": True},
    {"template": TEMPLATE, "conversation": [{"role": "wizard", "content": "x"}]},
    {"template": _LOOP, "conversation": [*_TALK, {"role": "user", "content": "third"}]},
    {"template": _LOOP, "conversation": _OPEN, "continue_final_message": True},
    {
        "template": _TOOLS,
        "conversation": [{"role": "assistant", "content": "", "tool_calls": [_CALL]}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "<é>", "parameters": {}}}],
    },
    {"template": _NAMES, "conversation": _TALK, "add_generation_prompt": True, "style": "short"},
    {"template": "{{ messages.append(1) }}", "conversation": _TALK},
    {"template": "{{ messages[0].content.__class__.__mro__ }}", "conversation": _TALK},
]


def write_variant(name: str, folder: Path) -> Path:
    """Write one of VARIANTS; the biases and the narrow types are made here, the rest by `write_model`."""
    changes = dict(VARIANTS[name])
    files = changes.pop("files", "F32")
    write_model(folder, seed=SEED, **changes)
    if changes.get("attention_bias"):
        _add_biases(folder)
    if files == "sharded":
        _shard(folder)
    elif files != "F32":
        _narrow(folder, files)
    return folder


def write_adapter(name: str, folder: Path) -> Path:
    """Write one of ADAPTERS, a PEFT folder for the plain model."""
    changes = ADAPTERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    tensors = {}
    for layer in range(2):
        for module, inputs, outputs in (("self_attn.q_proj", 64, 64), ("mlp.down_proj", 96, 64)):
            rank = changes.get("rank_pattern", {}).get(module.split(".")[1], 4)
            path = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{path}.lora_A.weight"] = (rng.standard_normal((rank, inputs)) / 8).astype(np.float32)
            tensors[f"{path}.lora_B.weight"] = (rng.standard_normal((outputs, rank)) / 8).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 4,
        "lora_alpha": 16,
        "bias": "none",
        "target_modules": ["q_proj", "down_proj"],
        "inference_mode": True,
        **changes,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _add_biases(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    rng = np.random.default_rng(5)
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        bias = rng.standard_normal(len(tensors[name])) / 4
        tensors[name.replace(".weight", ".bias")] = bias.astype(np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _narrow(folder: Path, kind: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    if kind == "F16":
        save_file(
            {name: value.astype(np.float16) for name, value in tensors.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
        return
    (folder / "model.safetensors").write_bytes(_bfloat_file(tensors))


def _bfloat_file(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The format by hand, since numpy has no bfloat16: the header's length, the header, the numbers' upper halves."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, value in tensors.items():
        piece = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def _shard(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(sorted(tensors))}
    for place in set(places.values()):
        save_file(
            {name: tensors[name] for name in tensors if places[name] == place},
            folder / place,
            metadata={"format": "pt"},
        )
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
