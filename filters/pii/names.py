"""Persons, organisations and places: the embedded name model, English and Chinese.

One small convolutional network over tokens (name_features.py) in numpy, 4.2 MB, float32 at run time: what each token is
by itself, projected once and kept; the space before it, the case of the text and the Chinese lexicon added; three
residual convolutions of width 128 over three tokens 1, 2 and 3 apart, so that a token sees six on either side
(Collobert et al. 2011; dilations as in Strubell et al. 2017); seven labels. Trained by deploy/names.

Decided by measuring on the development sets that training never sees, persons, characters covered / precision:

|                                                          | English web | Chinese wiki | us a token |
| -------------------------------------------------------- | ----------- | ------------ | ---------- |
| linear-chain CRF (python-crfsuite), annotated text alone  | .685 / .62  | .732 / .58   | 6-20       |
| the network, made-up text too, after 5 of 12 epochs       | .952 / .61  | .871 / .64   | 8-12       |
| with pairs of characters, more made-up contexts (chosen)  | .953 / .67  | .890 / .67   | 8-12       |

The first two rows are at a threshold read off the same sets, the last at its own, chosen on held-out training text.
The word pieces are those of a sentence encoder (MiniLM, Wang et al. 2020), their vectors cut to 64 axes; started from
random vectors instead, the network covers .91 rather than .956 in English at a precision of .6 (both after five
epochs). A recurrent network or onnxruntime was not needed for the target, so that numpy is the only dependency. Recall
comes before precision: grounding and the comparison with the base model give it back.

Two thresholds a kind and script: a token that makes a finding, and a lower one that joins it (hysteresis): names that
are found are found whole. Lower case, capitals and traditional characters are learnt or mapped; full-width letters
and hidden characters are the normaliser's. The cheap test closes on English text of plain words only: 17 of 100
sentences of web text; Chinese text is always read. Figures: deploy/names/README.md and tests/bench/bench_names.py.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from filters.pii.name_features import (
    TOKEN,
    Floats,
    Lists,
    Tokens,
    bigram_rows,
    case_of,
    codes_of,
    lexicon_features,
    spaces_before,
    tokenise,
)
from filters.pii.view import View
from filters.spans import Span

__all__ = ["KINDS", "NameModel", "Names", "load_model"]

MODEL_FILE = Path(__file__).parent / "models" / "names.npz"

# Finding types, in the order of the model's outputs: 0 is "no name", then two for each (first token, further token).
KINDS = ("PERSON", "ORGANIZATION", "LOCATION")

# Vectors of words seen last are kept; when the store is full it is emptied, so that memory does not grow.
KEPT_WORDS = 16_384

CONTEXT_TOKENS = 6  # what one token sees on either side

# A letter of any script and what follows it: a Chinese run counts as one word, which no plain word is.
_WORD = re.compile(r"[^\W\d_]+")

Marked: TypeAlias = tuple[Tokens, Floats]

# For words and for Chinese characters: the score that makes a finding, and the one that joins a finding.
Thresholds: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution over three tokens `dilation` apart: weights (3 * width, width)."""

    weights: Floats
    bias: Floats
    dilation: int


class NameModel:
    """The network, in numpy. One object serves all threads."""

    def __init__(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        self.lists = _lists(arrays)
        self._tables = {name: _floats(arrays, name) for name in ("pieces", "affixes", "shapes", "gazetteer", "chars")}
        self._project = _floats(arrays, "project")
        self._project_bias = _floats(arrays, "project_bias")
        self._spaces = _floats(arrays, "spaces")
        self._cases = _floats(arrays, "cases")
        self._lexicon = _floats(arrays, "lexicon")
        self._bigrams = _floats(arrays, "bigrams")
        self._pairs = _floats(arrays, "pairs")
        dilations = [int(d) for d in arrays["dilations"]]
        self._layers = [
            Layer(_floats(arrays, f"conv{i}"), _floats(arrays, f"conv{i}_bias"), d) for i, d in enumerate(dilations)
        ]
        self._output = _floats(arrays, "output")
        self._output_bias = _floats(arrays, "output_bias")
        self.thresholds = _thresholds(arrays["thresholds"])
        self._plain = frozenset(_text(arrays, "plain_words").split("\n")) if "plain_words" in arrays else frozenset()
        self._store = _Store(self._vector, len(self._project_bias))
        self._read: WeakKeyDictionary[View, Marked | None] = WeakKeyDictionary()

    def of_view(self, view: View) -> Marked | None:
        """What `read` gives, once for each view; None where no name can be."""
        if view not in self._read:
            self._read[view] = self._read_view(view)
        return self._read[view]

    def _read_view(self, view: View) -> Marked | None:
        if view.backwards:
            return None  # what has been turned round is no name, and the rest has been read
        start = _context_start(view)
        context, text = view.text[start : view.since], view.text[view.since :]
        # Capitals of the context were judged with it; its words still announce.
        if not (self.may_hold_names(text) or self.may_hold_names(context.lower())):
            return None
        tokens, labels = self.read(view.text[start:])
        return tokens.shifted(start), labels

    def may_hold_names(self, text: str) -> bool:
        """The cheap test: False where there is no word, or nothing but words that neither are names nor announce one.

        A capital counts as a sign of a name, unless it begins the text or all is in capitals.
        """
        words = _WORD.findall(text.lower() if text.isupper() else text)
        if not words:
            return False
        words[0] = words[0].lower()
        return not self._plain.issuperset(words)

    def read(self, text: str) -> Marked:
        """The tokens of `text` and, for each, the probabilities of the seven labels: shape (tokens, 7)."""
        tokens = tokenise(text)
        if not tokens.words:
            return tokens, np.zeros((0, 1 + 2 * len(KINDS)), np.float32)
        return tokens, _softmax(_times(self._hidden(text, tokens), self._output) + self._output_bias)

    def _hidden(self, text: str, tokens: Tokens) -> Floats:
        x = self._store.rows(tokens.words)
        x += self._spaces[spaces_before(text, tokens)]
        x += self._cases[case_of(text)]
        codes = codes_of(tokens.words, self.lists.simplified)
        if codes.any():
            x += _times(lexicon_features(codes, self.lists), self._lexicon)
            before, after = bigram_rows(codes)
            x += _times(np.concatenate((self._bigrams[before], self._bigrams[after]), 1), self._pairs)
        h = np.maximum(x, 0, out=x)
        for layer in self._layers:
            h = h + _convolve(h, layer)
        return h

    def _vector(self, word: str) -> Floats:
        """What a token adds by itself."""
        kind = self.lists.type_of(word)
        tables = self._tables
        pieces = tables["pieces"][list(kind.pieces)].mean(0) if kind.pieces else tables["pieces"][0]
        parts = (
            pieces,
            tables["affixes"][kind.prefix],
            tables["affixes"][kind.suffix],
            tables["shapes"][kind.shape],
            tables["gazetteer"][kind.gazetteer],
            tables["chars"][kind.char],
        )
        vector: Floats = np.concatenate(parts) @ self._project + self._project_bias
        return vector


def _context_start(view: View) -> int:
    """Where the context begins that the first token after it is read with."""
    starts = [match.start() for match in TOKEN.finditer(view.text, 0, view.since)]
    return starts[-CONTEXT_TOKENS:][0] if starts else 0


def _convolve(h: Floats, layer: Layer) -> Floats:
    n, width = h.shape
    d = layer.dilation
    around = np.zeros((n, 3 * width), np.float32)
    around[d:, :width] = h[: max(0, n - d)]
    around[:, width : 2 * width] = h
    around[: max(0, n - d), 2 * width :] = h[d:]
    out = _times(around, layer.weights)
    out += layer.bias
    return np.maximum(out, 0, out=out)


# Multiplications up to which OpenBLAS has kernels that neither copy the weights nor wake threads. Its threads spin:
# beside other work a larger product costs three to ten times the processor time, on a free machine a third more.
_SMALL_PRODUCT = 1_000_000


def _times(x: Floats, weights: Floats) -> Floats:
    """`x @ weights`, some rows at a time."""
    rows = max(1, _SMALL_PRODUCT // weights.size)
    if len(x) <= rows:
        whole: Floats = x @ weights
        return whole
    out = np.empty((len(x), weights.shape[1]), np.float32)
    for at in range(0, len(x), rows):
        np.matmul(x[at : at + rows], weights, out=out[at : at + rows])
    return out


def _softmax(scores: Floats) -> Floats:
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores


class _Store:
    """Vectors of words, computed once while they are kept."""

    def __init__(self, vector: Callable[[str], Floats], width: int) -> None:
        self._vector = vector
        self._rows = np.zeros((KEPT_WORDS, width), np.float32)
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()

    def rows(self, words: Sequence[str]) -> Floats:
        with self._lock:
            places = self._places
            try:
                found = [places[word] for word in words]
            except KeyError:
                return self._with_new(words)
            taken: Floats = self._rows[found]
            return taken

    def _with_new(self, words: Sequence[str]) -> Floats:
        vectors = np.empty((len(words), self._rows.shape[1]), np.float32)
        for i, word in enumerate(words):
            place = self._places.get(word)
            if place is None:
                place = self._add(word)
            vectors[i] = self._rows[place]
        return vectors

    def _add(self, word: str) -> int:
        if len(self._places) == KEPT_WORDS:
            self._places.clear()
        place = len(self._places)
        self._rows[place] = self._vector(word)
        self._places[word] = place
        return place


# ---- the file --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def load_model() -> NameModel:
    """The shipped model, read once. Raises OSError where the file is missing, ValueError where it is broken."""
    return read_model(MODEL_FILE)


def read_model(path: Path) -> NameModel:
    with np.load(path, allow_pickle=False) as file:
        return NameModel({name: file[name] for name in file.files})


def _floats(arrays: dict[str, NDArray[np.generic]], name: str) -> Floats:
    """A table as it was trained: 8-bit rows with a scale each, or 16-bit floats."""
    values = arrays[name].astype(np.float32, order="C")  # `_times` needs rows that lie together
    scale = arrays.get(f"{name}_scale")
    return values if scale is None else values * scale.astype(np.float32)[:, None]


def _thresholds(values: NDArray[np.generic]) -> dict[str, Thresholds]:
    """By kind; the file's axes are language (spaced, Chinese), kind, and (to be found, to be added to one found)."""
    spaced, chinese = values.tolist()
    return {kind: (tuple(spaced[i]), tuple(chinese[i])) for i, kind in enumerate(KINDS)}


def _text(arrays: dict[str, NDArray[np.generic]], name: str) -> str:
    return bytes(arrays[name].astype(np.uint8)).decode()


def _lists(arrays: dict[str, NDArray[np.generic]]) -> Lists:
    pieces = _text(arrays, "piece_names").split("\n")
    chars = _text(arrays, "char_names")
    keys, bits = arrays["gazetteer_keys"], arrays["gazetteer_bits"]
    return Lists(
        pieces={piece: i + 1 for i, piece in enumerate(pieces)},
        chars={char: i + 2 for i, char in enumerate(chars)},
        simplified=dict(zip(_text(arrays, "traditional"), _text(arrays, "simplified"), strict=True)),
        gazetteer=dict(zip(keys.tolist(), bits.tolist(), strict=True)),
        lexicon=arrays["lexicon_table"].astype(np.uint16),
    )


# ---- findings --------------------------------------------------------------------------------------------------------


class Names:
    """Fulfils `filters.pii.recognizers.Recognizer` for one of KINDS. The three of them share the reading of a text."""

    digits = digit_run = 0

    def __init__(self, kind: str, model: NameModel | None = None) -> None:
        if kind not in KINDS:
            raise ValueError("no such kind of name")
        self._kind = kind
        self._model = model or load_model()

    @property
    def kind(self) -> str:
        return self._kind

    def find(self, view: View) -> Iterator[Span]:
        """Spans in offsets of `view.text`, sorted, apart from each other."""
        marked = self._model.of_view(view)
        if marked is not None:
            yield from find_spans(*marked, self._kind, self._model.thresholds[self._kind])


def find_spans(tokens: Tokens, labels: Floats, kind: str, thresholds: Thresholds) -> list[Span]:
    """Runs of tokens that reach the lower threshold of their script, if one of them reaches the higher.

    A run ends where the next token is more likely the first of a name than a further one. Signs at its ends fall off.
    """
    column = 1 + 2 * KINDS.index(kind)
    scores = labels[:, column] + labels[:, column + 1]
    if not len(scores) or scores.max() < min(seed for seed, _ in thresholds):
        return []
    script = np.array([word[0] > _LAST_SPACED for word in tokens.words], np.int64)
    seeds, lows = np.array(thresholds, np.float32).T
    found = scores >= seeds[script]
    spans: list[Span] = []
    run: list[int] = []
    for i in np.flatnonzero(scores >= lows[script]).tolist():
        if run and (i != run[-1] + 1 or labels[i, column] > labels[i, column + 1]):
            spans += _span(tokens, run, scores, found, kind)
            run = []
        run.append(i)
    return spans + _span(tokens, run, scores, found, kind)


# Letters above this are written without spaces between words: they have thresholds of their own.
_LAST_SPACED = "\u2e7f"


def _span(tokens: Tokens, run: list[int], scores: Floats, found: NDArray[np.bool_], kind: str) -> list[Span]:
    while run and not tokens.words[run[-1]][-1].isalnum():
        run = run[:-1]
    while run and not tokens.words[run[0]][0].isalnum():
        run = run[1:]
    if not run or not found[run].any():
        return []
    score = min(1.0, round(float(scores[run].max()), 3))
    return [Span(tokens.starts[run[0]], tokens.ends[run[-1]], kind, score)]
