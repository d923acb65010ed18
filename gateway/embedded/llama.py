"""A Llama forward pass in numpy, float32 throughout: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

After Touvron et al. 2023 and transformers' LlamaForCausalLM, whose weight names and layout it reads; the tests hold its
logits against recorded ones. One sequence at a time: a model of this size is bound by reading its weights per token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.embedded.config import LlamaConfig, read_config
from gateway.embedded.errors import ModelError
from gateway.embedded.weights import Array, Tensors, read_weights

# Rows of a prompt that go through the layers at once: one pass for an ordinary prompt. Bounds the attention scores of a
# long one: 8 heads, 1,024 rows and 8,192 positions of 4 bytes are 256 MiB.
PREFILL_ROWS = 1024
FIRST_CAPACITY = 128


class KvCache:
    """Keys and values of one sequence, each [layers, kv_heads, capacity, head_dim]; `length` positions are filled."""

    def __init__(self, config: LlamaConfig, capacity: int = FIRST_CAPACITY) -> None:
        shape = (config.layers, config.kv_heads, capacity, config.head_dim)
        self.keys: Array = np.empty(shape, np.float32)
        self.values: Array = np.empty(shape, np.float32)
        self.length = 0

    def reserve(self, rows: int) -> None:
        """Make room for so many more positions, at least doubling what has to grow."""
        needed = self.length + rows
        if needed > self.keys.shape[2]:
            capacity = max(needed, 2 * self.keys.shape[2])
            self.keys, self.values = self._grown(self.keys, capacity), self._grown(self.values, capacity)

    def fork(self) -> "KvCache":
        """A copy that grows by itself."""
        other = object.__new__(KvCache)
        other.keys, other.values, other.length = self.keys.copy(), self.values.copy(), self.length
        return other

    def _grown(self, old: Array, capacity: int) -> Array:
        new = np.empty((*old.shape[:2], capacity, old.shape[3]), np.float32)
        new[:, :, : self.length] = old[:, :, : self.length]
        return new


@dataclass(frozen=True)
class Layer:
    """One block's matrices, each [outputs, inputs]; those that share an input are stacked into one."""

    attention_norm: Array
    qkv: Array
    qkv_bias: Array | None
    out: Array
    out_bias: Array | None
    mlp_norm: Array
    gate_up: Array
    gate_up_bias: Array | None
    down: Array
    down_bias: Array | None


class Llama:
    """A loaded model; holds no state between calls and may be shared by any number of caches.

    Attributes:
        config: the folder's configuration.
    """

    def __init__(self, config: LlamaConfig, tensors: Tensors) -> None:
        self.config = config
        self._embedding = _take(tensors, "model.embed_tokens.weight", (config.vocab, config.hidden))
        self._norm = _take(tensors, "model.norm.weight", (config.hidden,))
        self._head = self._embedding if config.tied else _take(tensors, "lm_head.weight", (config.vocab, config.hidden))
        self._layers = [_take_layer(config, tensors, number) for number in range(config.layers)]
        angles = np.arange(config.positions, dtype=np.float32)[:, None] * config.rope.frequencies(config.head_dim)
        self._cos: Array = np.cos(angles)[:, None, :]
        self._sin: Array = np.sin(angles)[:, None, :]

    def forward(self, tokens: NDArray[np.int64], cache: KvCache) -> Array:
        """Append tokens to a sequence.

        Args:
            tokens: ids, shape [T], 0 < T; the cache's length plus T may not exceed `config.positions`.
            cache: the sequence so far; grows by T.

        Returns:
            The normed last hidden states, shape [T, hidden], for `logits`.

        Raises:
            ValueError: no tokens, or more than there are positions.
        """
        if not 0 < len(tokens) <= self.config.positions - cache.length:
            raise ValueError(f"{len(tokens)} tokens after {cache.length} of {self.config.positions}")
        parts = [self._pass(tokens[i : i + PREFILL_ROWS], cache) for i in range(0, len(tokens), PREFILL_ROWS)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def logits(self, hidden: Array) -> Array:
        """Scores over the vocabulary, shape [T, vocab], of hidden states [T, hidden]."""
        return _project(hidden, self._head, None)

    def _pass(self, tokens: NDArray[np.int64], cache: KvCache) -> Array:
        cache.reserve(len(tokens))
        start, end = cache.length, cache.length + len(tokens)
        cos, sin = self._cos[start:end], self._sin[start:end]
        x: Array = self._embedding[tokens]
        for number, layer in enumerate(self._layers):
            keys, values = cache.keys[number, :, :end], cache.values[number, :, :end]
            x = x + self._attend(layer, _rms_norm(x, layer.attention_norm, self.config.eps), keys, values, cos, sin)
            x = x + _swiglu(layer, _rms_norm(x, layer.mlp_norm, self.config.eps))
        cache.length = end
        return _rms_norm(x, self._norm, self.config.eps)

    def _attend(self, layer: Layer, x: Array, keys: Array, values: Array, cos: Array, sin: Array) -> Array:
        """Self-attention of T rows; writes their keys and values to the end of the views [kv_heads, S, head_dim]."""
        config, rows = self.config, len(x)
        mixed = _project(x, layer.qkv, layer.qkv_bias).reshape(rows, -1, config.head_dim)
        turned = _rotate(mixed[:, : config.heads + config.kv_heads], cos, sin)
        keys[:, -rows:] = turned[:, config.heads :].transpose(1, 0, 2)
        values[:, -rows:] = mixed[:, config.heads + config.kv_heads :].transpose(1, 0, 2)
        queries = turned[:, : config.heads].transpose(1, 0, 2).reshape(config.kv_heads, -1, config.head_dim)
        scores = queries @ keys.transpose(0, 2, 1)
        scores *= np.float32(config.head_dim**-0.5)
        if rows > 1:
            _hide_later(scores.reshape(config.heads, rows, -1))
        mixed = (_softmax(scores) @ values).reshape(config.heads, rows, config.head_dim)
        return _project(mixed.transpose(1, 0, 2).reshape(rows, -1), layer.out, layer.out_bias)


def load_llama(folder: Path, adapter: Path | None = None) -> Llama:
    """Read a model folder, with a LoRA adapter merged in where one is given.

    Raises:
        ModelError: a file is missing, malformed, or asks for what is not built.
    """
    return Llama(read_config(folder), read_weights(folder, adapter))


def _project(x: Array, weight: Array, bias: Array | None) -> Array:
    y: Array = x @ weight.T
    return y if bias is None else y + bias


def _rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Zhang & Sennrich 2019, over the last axis."""
    mean = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[-1])
    scaled: Array = x / np.sqrt(mean + np.float32(eps))
    return scaled * weight


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Turn each pair (i, i + head_dim / 2) of [T, heads, head_dim] by its position's angle, [T, 1, head_dim / 2]."""
    half = x.shape[-1] // 2
    left, right = x[..., :half], x[..., half:]
    out = np.empty_like(x)
    np.subtract(left * cos, right * sin, out=out[..., :half])
    np.add(right * cos, left * sin, out=out[..., half:])
    return out


def _hide_later(scores: Array) -> None:
    """Row i of the last T of S positions may look at positions up to its own: [heads, T, S], in place."""
    rows, total = scores.shape[-2:]
    later = np.arange(total)[None, :] > np.arange(total - rows, total)[:, None]
    scores[:, later] = -np.inf


def _softmax(scores: Array) -> Array:
    """Over the last axis, in place."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _swiglu(layer: Layer, x: Array) -> Array:
    """Shazeer 2020: down(silu(gate) · up)."""
    both = _project(x, layer.gate_up, layer.gate_up_bias)
    half = both.shape[-1] // 2
    gate, up = both[:, :half], both[:, half:]
    with np.errstate(over="ignore"):  # exp of a very negative gate is inf, and its silu 0, as it should be
        gate = gate / (1 + np.exp(-gate))
    return _project(gate * up, layer.down, layer.down_bias)


def _take_layer(config: LlamaConfig, tensors: Tensors, number: int) -> Layer:
    prefix = f"model.layers.{number}."
    wide, narrow = config.heads * config.head_dim, config.kv_heads * config.head_dim
    shapes = {
        "self_attn.q_proj": (wide, config.hidden),
        "self_attn.k_proj": (narrow, config.hidden),
        "self_attn.v_proj": (narrow, config.hidden),
        "self_attn.o_proj": (config.hidden, wide),
        "mlp.gate_proj": (config.intermediate, config.hidden),
        "mlp.up_proj": (config.intermediate, config.hidden),
        "mlp.down_proj": (config.hidden, config.intermediate),
    }
    matrices = {name: _take(tensors, f"{prefix}{name}.weight", shape) for name, shape in shapes.items()}
    biases = {name: tensors.get(f"{prefix}{name}.bias") for name in shapes}
    qkv = [f"self_attn.{letter}_proj" for letter in "qkv"]
    gate_up = ["mlp.gate_proj", "mlp.up_proj"]
    return Layer(
        attention_norm=_take(tensors, f"{prefix}input_layernorm.weight", (config.hidden,)),
        qkv=np.concatenate([matrices[name] for name in qkv]),
        qkv_bias=_joined(biases, qkv),
        out=matrices["self_attn.o_proj"],
        out_bias=biases["self_attn.o_proj"],
        mlp_norm=_take(tensors, f"{prefix}post_attention_layernorm.weight", (config.hidden,)),
        gate_up=np.concatenate([matrices[name] for name in gate_up]),
        gate_up_bias=_joined(biases, gate_up),
        down=matrices["mlp.down_proj"],
        down_bias=biases["mlp.down_proj"],
    )


def _take(tensors: Tensors, name: str, shape: tuple[int, ...]) -> Array:
    if name not in tensors:
        raise ModelError(f"the weights lack {name}")
    if tensors[name].shape != shape:
        raise ModelError(f"{name} has the shape {tensors[name].shape}, not {shape}")
    return tensors[name]


def _joined(biases: Mapping[str, Array | None], names: list[str]) -> Array | None:
    parts = [bias for bias in (biases[name] for name in names) if bias is not None]
    return np.concatenate(parts) if parts else None
