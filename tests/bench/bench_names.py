"""How well and how fast the name model reads: the annotated dev sets, made-up records, and their awkward forms.

    python -m tests.bench.bench_names --data ../shared/data --json names.json

Covered is the share of the characters of persons' names that a PERSON finding covers, precision the share of characters
marked as a person that are one, both with 95 % intervals (Wilson 1927) over characters. The forms change the same text:
lower case, capitals, traditional characters, full-width letters. None of these files is trained on; the dev sets are
read from the folder and nothing of them is kept. For other kinds than PERSON the same two numbers.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filters.normalise import Normalised, normalise
from filters.pii.name_features import tokenise
from filters.pii.names import KINDS, MODEL_FILE, Names, load_model
from filters.pii.view import View
from tests.bench.bench_detectors import TEXTS

_KIND_OF = {"PER": "PERSON", "ORG": "ORGANIZATION", "LOC": "LOCATION"}
_SETS = ("en_ewt_dev", "zh_gsdsimp_dev", "pii_en", "pii_zh")
_MEMORY_SEGMENTS = 60_000


@dataclass(frozen=True)
class Row:
    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Score:
    data: str
    form: str
    kind: str
    names: int
    characters: int
    covered: float
    covered_low: float
    covered_high: float
    marked: int
    precision: float
    precision_low: float
    precision_high: float


def main() -> None:
    options = _options()
    model = load_model()
    recognizers = {kind: Names(kind, model) for kind in KINDS}
    sets = {name: _rows(options.data, name) for name in _SETS}
    scores = list(_scores(sets, recognizers))
    for score in scores:
        print(
            f"{score.data:15}{score.form:13}{score.kind:13}{score.names:>6} names {score.characters:>6} chars"
            f"  covered {score.covered:.3f} ({score.covered_low:.3f}-{score.covered_high:.3f})"
            f"  precision {score.precision:.3f} ({score.precision_low:.3f}-{score.precision_high:.3f})"
        )
    costs = _costs(sets, recognizers)
    for name, value in costs.items():
        print(f"{name:64}{value:>12.3f}")
    if options.json:
        report = {"model_bytes": MODEL_FILE.stat().st_size, "scores": [asdict(s) for s in scores], "costs": costs}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


# ---- quality ---------------------------------------------------------------------------------------------------------


def _rows(data: Path, name: str) -> list[Row]:
    if name.startswith("pii"):
        lines = (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [_pii_row(json.loads(line)) for line in lines]
    with gzip.open(data / "ner" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [_ner_row(json.loads(line)) for line in file]


def _pii_row(row: dict[str, Any]) -> Row:
    spans = ((s["start"], s["end"], s["type"]) for s in row["spans"])
    return Row(row["text"], tuple(span for span in spans if span[2] in KINDS))


def _ner_row(row: dict[str, Any]) -> Row:
    return Row(row["text"], tuple((start, end, _KIND_OF[label]) for start, end, label in row["spans"]))


def _scores(sets: dict[str, list[Row]], recognizers: dict[str, Names]) -> Iterator[Score]:
    for name, rows in sets.items():
        for form, change in _forms(name).items():
            for kind in KINDS if form == "as written" else KINDS[:1]:
                if any(span[2] == kind for row in rows for span in row.spans):
                    yield _score(name, form, [Row(change(r.text), r.spans) for r in rows], recognizers[kind])


def _forms(name: str) -> dict[str, Callable[[str], str]]:
    forms: dict[str, Callable[[str], str]] = {"as written": str}
    if "en" in name:
        forms |= {"lower case": _same_length(str.lower), "capitals": _same_length(str.upper), "full width": _wide}
    else:
        forms |= {"traditional": _traditional}
    return forms


def _same_length(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "".join(c if len(change(c)) != 1 else change(c) for c in text)


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _traditional(text: str) -> str:
    back = {simple: old for old, simple in load_model().lists.simplified.items()}
    return "".join(back.get(c, c) for c in text)


def _score(data: str, form: str, rows: Sequence[Row], recognizer: Names) -> Score:
    hit = real_count = found_count = names = 0
    for row in rows:
        mine = [span for span in row.spans if span[2] == recognizer.kind]
        real = {i for start, end, _ in mine for i in range(start, end)}
        found = _found(row.text, recognizer)
        names += len(mine)
        hit += len(real & found)
        real_count += len(real)
        found_count += len(found)
    covered, precision = _wilson(hit, real_count), _wilson(hit, found_count)
    return Score(data, form, recognizer.kind, names, real_count, *covered, found_count, *precision)


def _found(raw_text: str, recognizer: Names) -> set[int]:
    reading: Normalised = normalise(raw_text)
    found: set[int] = set()
    for span in recognizer.find(View(reading.text)):
        found.update(range(*reading.raw_span(span.start, span.end)))
    return found


def _wilson(hits: int, total: int) -> tuple[float, float, float]:
    if not total:
        return 0.0, 0.0, 1.0
    share, z = hits / total, 1.96
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return share, middle - half, middle + half


# ---- cost ------------------------------------------------------------------------------------------------------------


def _costs(sets: dict[str, list[Row]], recognizers: dict[str, Names]) -> dict[str, float]:
    """Microseconds a token, how often the cheap test lets the model run, findings in prose, and memory."""
    found: dict[str, float] = {}
    english, chinese = [r.text for r in sets["en_ewt_dev"]], [r.text for r in sets["zh_gsdsimp_dev"]]
    for name, texts in {**TEXTS, "en_ewt_dev": english, "zh_gsdsimp_dev": chinese}.items():
        tokens = sum(len(tokenise(text).words) for text in texts)
        open_texts = [text for text in texts if load_model().may_hold_names(text)]
        found[f"{name}: share of texts that the model reads"] = len(open_texts) / len(texts)
        found[f"{name}: us a token, as called"] = _microseconds(texts, recognizers) / tokens
        if open_texts:
            read = sum(len(tokenise(text).words) for text in open_texts)
            found[f"{name}: us a token, where it reads"] = _microseconds(open_texts, recognizers) / read
        spans = sum(len(list(recognizers["PERSON"].find(View(text)))) for text in texts)
        found[f"{name}: PERSON findings per 1,000 tokens"] = 1000 * spans / tokens
    before = _resident()
    for number in range(_MEMORY_SEGMENTS):
        new = f"w{_letters(number)} n{_letters(number * 7)}"
        text = f"{english[number % len(english)]} {chinese[number % len(chinese)]} {new}"
        _find_all(text, recognizers)
    found[f"resident memory grown over {_MEMORY_SEGMENTS} segments with new words, MB"] = _resident() - before
    return found


def _find_all(text: str, recognizers: dict[str, Names]) -> None:
    view = View(text)
    for recognizer in recognizers.values():
        list(recognizer.find(view))


def _microseconds(texts: Sequence[str], recognizers: dict[str, Names]) -> float:
    """The fastest of some runs, since the machine is shared; the words have been seen once."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time_ns()
        for text in texts:
            _find_all(text, recognizers)
        best = min(best, time.process_time_ns() - began)
    return best / 1000


def _resident() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


if __name__ == "__main__":
    main()
