"""Builds tiny random Llama folders in the Hugging Face layout, from numpy alone.

The weights are drawn wide enough that the first and second choices at each step are mostly tenths of a nat apart, so
that two correct float32 implementations pick the same greedy tokens. The tokenizer is byte-level with a handful of
merges: random text then holds many halves of multi-byte characters, which is what the detokenisation tests want.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

SPECIALS = ("<s>", "</s>", "<|role|>", "<|end|>")
MERGES = ("t h", "th e", "Ġ a", "Ġ the", "i n", "e r", "o n", "Ġ w", "r e", "Ġ s")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] not in ['system', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('unknown role') }}{% endif %}"
    "<|role|>{{ m['role'] }}\n{{ m['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}\n{% endif %}"
    "{% if add_generation_prompt %}<|role|>assistant\n{% endif %}"
)
CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "torch_dtype": "float32",
}


def write_model(folder: Path, *, seed: int = 0, template_file: bool = False, **overrides: Any) -> Path:
    """Write a whole model folder and return it.

    Args:
        folder: where to write; made if missing.
        seed: of the weights.
        template_file: the chat template as chat_template.jinja instead of inside tokenizer_config.json.
        overrides: entries of config.json; None removes one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        k: v for k, v in {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), **overrides}.items() if v is not None
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(None if template_file else TEMPLATE))
    if template_file:
        (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    save_file(random_weights(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def byte_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer: 4 special tokens, 256 bytes, ten merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(merge.split(" ")[0], merge.split(" ")[1]) for merge in MERGES]
    pieces = [*SPECIALS, *alphabet, *(left + right for left, right in pairs)]
    tokenizer = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def random_weights(config: Mapping[str, Any], seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights of the names and shapes that transformers writes for LlamaForCausalLM."""
    rng = np.random.default_rng(seed)
    d, f, v, h = config["hidden_size"], config["intermediate_size"], config["vocab_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * h, config["num_key_value_heads"] * h

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    out = {"model.embed_tokens.weight": normal(v, d), "model.norm.weight": 1 + normal(d, scale=0.1)}
    for i in range(config["num_hidden_layers"]):
        shapes = {
            "self_attn.q_proj": (q, d),
            "self_attn.k_proj": (kv, d),
            "self_attn.v_proj": (kv, d),
            "self_attn.o_proj": (d, q),
            "mlp.gate_proj": (f, d),
            "mlp.up_proj": (f, d),
            "mlp.down_proj": (d, f),
        }
        for name, shape in shapes.items():
            out[f"model.layers.{i}.{name}.weight"] = normal(*shape, scale=2 / np.sqrt(shape[1]))
        for name in ("input_layernorm", "post_attention_layernorm"):
            out[f"model.layers.{i}.{name}.weight"] = 1 + normal(d, scale=0.1)
    if not config["tie_word_embeddings"]:
        out["lm_head.weight"] = normal(v, d, scale=3 / np.sqrt(d))
    return out


def _tokenizer_config(template: str | None) -> dict[str, Any]:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 256,
    }
    return config if template is None else {**config, "chat_template": template}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
