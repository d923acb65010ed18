"""The embedded upstream's models, many answers at a time: a benchmark asks thousands of questions.

One sequence at a time is bound by reading the weights once a token; here prompts of one length go through the layers
together. The arithmetic is that of `gateway.embedded.llama` (its matrices, its functions where a row is a row), so that
log-probabilities differ from the server's in the sixth digit (tests/embedded/test_batched.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.embedded import llama
from gateway.embedded.llama import Llama
from gateway.embedded.sampling import log_softmax
from gateway.embedded.weights import Array

BATCH = 64
_COMPACT = 0.6  # when fewer of a batch are still speaking, the others leave it

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """Token ids, the end token too where the model ended by itself, and their natural log-probabilities at
    temperature 1."""

    ids: Ids
    logprobs: tuple[float, ...]


class Batched:
    """One model. `eos` ends an answer."""

    def __init__(self, model: Llama, eos: int) -> None:
        self._model, self._eos = model, eos

    def greedy(self, prompts: Sequence[Ids], max_tokens: int) -> list[Answer]:
        """The likeliest token at each step."""
        return self._generate(prompts, max_tokens, None)

    def sampled(self, prompts: Sequence[Ids], max_tokens: int, seed: int) -> list[Answer]:
        """Drawn at temperature 1; the same for the same prompts and seed."""
        return self._generate(prompts, max_tokens, np.random.default_rng(seed))

    def scored(self, texts: Sequence[tuple[Ids, Ids]]) -> list[tuple[float, ...]]:
        """Natural log-probabilities of each answer's tokens after its prompt."""
        scores: list[tuple[float, ...]] = [()] * len(texts)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at][0]) + len(texts[at][1]))
        for start in range(0, len(order), BATCH):
            picked = order[start : start + BATCH]
            for at, row in zip(picked, self._scored([texts[at] for at in picked]), strict=True):
                scores[at] = row
        return scores

    # ---- generating --------------------------------------------------------------------------------------------------

    def _generate(self, prompts: Sequence[Ids], max_tokens: int, rng: np.random.Generator | None) -> list[Answer]:
        answers = [Answer((), ())] * len(prompts)
        for picked in _of_one_length(prompts):
            lanes = _Lanes(self._model, np.array([prompts[at] for at in picked]), self._eos)
            for at, answer in zip(picked, lanes.run(max_tokens, rng), strict=True):
                answers[at] = answer
        return answers

    # ---- scoring -----------------------------------------------------------------------------------------------------

    def _scored(self, texts: Sequence[tuple[Ids, Ids]]) -> Iterator[tuple[float, ...]]:
        """Padding on the right is never looked at: a position sees what stands before it."""
        longest = max(len(prompt) + len(answer) for prompt, answer in texts)
        rows = np.zeros((len(texts), longest), np.int64)
        for row, (prompt, answer) in zip(rows, texts, strict=True):
            row[: len(prompt) + len(answer)] = (*prompt, *answer)
        hidden = _forward(self._model, rows, _cache(self._model, len(texts), longest), 0)
        for row, (prompt, answer), states in zip(rows, texts, hidden, strict=True):
            first, last = len(prompt), len(prompt) + len(answer)
            table = log_softmax(self._model.logits(states[first - 1 : last - 1]))
            yield tuple(map(float, table[np.arange(last - first), row[first:last]]))


class _Lanes:
    """Answers to prompts of one length, all at the same position."""

    def __init__(self, model: Llama, prompts: np.ndarray, eos: int) -> None:
        self._model, self._prompts, self._eos = model, prompts, eos
        self._alive = np.arange(len(prompts))
        self._ids: list[list[int]] = [[] for _ in prompts]
        self._logprobs: list[list[float]] = [[] for _ in prompts]

    def run(self, max_tokens: int, rng: np.random.Generator | None) -> list[Answer]:
        length = self._prompts.shape[1]
        cache = _cache(self._model, len(self._prompts), length + max_tokens)
        states = _forward(self._model, self._prompts, cache, 0)[:, -1]
        for step in range(max_tokens):
            tokens = self._choose(states, rng)
            going = tokens != self._eos
            if not going.any():
                break
            if going.mean() < _COMPACT or not going.all():
                self._alive, tokens = self._alive[going], tokens[going]
                cache = cache.only(going)
            if step + 1 < max_tokens:
                states = _forward(self._model, tokens[:, None], cache, length + step)[:, -1]
        return [Answer(tuple(i), tuple(p)) for i, p in zip(self._ids, self._logprobs, strict=True)]

    def _choose(self, states: Array, rng: np.random.Generator | None) -> np.ndarray:
        table = log_softmax(self._model.logits(states))
        noisy = table if rng is None else table + rng.gumbel(size=table.shape)  # Gumbel-max: a draw from softmax
        tokens = noisy.argmax(axis=1)
        for at, token, logprob in zip(self._alive, tokens, table[np.arange(len(tokens)), tokens], strict=True):
            self._ids[at].append(int(token))
            self._logprobs[at].append(float(logprob))
        return tokens


# ---- layers ----------------------------------------------------------------------------------------------------------


@dataclass
class _Cache:
    """Keys and values, each [layers, batch, kv_heads, capacity, head_dim]."""

    keys: Array
    values: Array

    def only(self, rows: np.ndarray) -> _Cache:
        return _Cache(self.keys[:, rows], self.values[:, rows])


def _cache(model: Llama, batch: int, capacity: int) -> _Cache:
    config = model.config
    shape = (config.layers, batch, config.kv_heads, capacity, config.head_dim)
    return _Cache(np.empty(shape, np.float32), np.empty(shape, np.float32))


def _forward(model: Llama, tokens: np.ndarray, cache: _Cache, start: int) -> Array:
    """Normed hidden states, [batch, T, hidden], of tokens [batch, T] at positions `start` on."""
    batch, count = tokens.shape
    eps = model.config.eps
    cos = np.tile(model._cos[start : start + count], (batch, 1, 1))
    sin = np.tile(model._sin[start : start + count], (batch, 1, 1))
    x = model._embedding[tokens.ravel()]
    for number, layer in enumerate(model._layers):
        normed = llama._rms_norm(x, layer.attention_norm, eps)
        x = x + _attend(model, layer, normed, cache, number, (batch, start, cos, sin))
        x = x + llama._swiglu(layer, llama._rms_norm(x, layer.mlp_norm, eps))
    return llama._rms_norm(x, model._norm, eps).reshape(batch, count, -1)


def _attend(
    model: Llama, layer: llama.Layer, x: Array, cache: _Cache, number: int, place: tuple[int, int, Array, Array]
) -> Array:
    config, (batch, start, cos, sin) = model.config, place
    count = len(x) // batch
    mixed = llama._project(x, layer.qkv, layer.qkv_bias).reshape(len(x), -1, config.head_dim)
    turned = llama._rotate(mixed[:, : config.heads + config.kv_heads], cos, sin)
    end = start + count
    apart = (batch, count, -1, config.head_dim)
    keys, values = cache.keys[number, :, :, :end], cache.values[number, :, :, :end]
    keys[:, :, start:] = turned[:, config.heads :].reshape(apart).transpose(0, 2, 1, 3)
    values[:, :, start:] = mixed[:, config.heads + config.kv_heads :].reshape(apart).transpose(0, 2, 1, 3)
    queries = turned[:, : config.heads].reshape(apart).transpose(0, 2, 1, 3)
    queries = queries.reshape(batch, config.kv_heads, -1, config.head_dim)
    scores = (queries @ keys.transpose(0, 1, 3, 2)) * np.float32(config.head_dim**-0.5)
    if count > 1:
        llama._hide_later(scores.reshape(-1, count, end))
    mixed = (llama._softmax(scores) @ values).reshape(batch, config.heads, count, config.head_dim)
    return llama._project(mixed.transpose(0, 2, 1, 3).reshape(len(x), -1), layer.out, layer.out_bias)


def _of_one_length(prompts: Sequence[Ids]) -> Iterator[list[int]]:
    """Indices, in batches of prompts of one length."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for at, prompt in enumerate(prompts):
        by_length[len(prompt)].append(at)
    for places in by_length.values():
        yield from (places[at : at + BATCH] for at in range(0, len(places), BATCH))
