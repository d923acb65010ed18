"""Recall and precision of the detectors in characters, on marked texts that lie outside the repository.

    python -m tests.bench.bench_recall FOLDER [--json figures.json]

FOLDER holds pii_en.jsonl and pii_zh.jsonl: `{"text", "spans": [{"start", "end", "type"}]}`. A marked character is found
when any finding covers it, of whatever type. In one run: every detector (as a profile with `names: true` has), patterns
only, and Presidio's own pattern recognizers, called directly, without a language model. Characters of one value are
not independent of each other, nor are values of one text: intervals are percentiles of a bootstrap over texts (Efron
1979; 1,000 seeded samples), at 95 %. Where nothing or everything is found that interval is a point; then it is Wilson's
over cases (Wilson 1927). Last come findings per 1,000 words of benign prose: the files beside this one, the texts of
FOLDER in which nothing is marked, and its annotated sentences; words are runs of letters or
one Chinese character.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import regex
import tldextract
from numpy.typing import NDArray
from presidio_analyzer import PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    CryptoRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UrlRecognizer,
    UsLicenseRecognizer,
    UsPassportRecognizer,
    UsSsnRecognizer,
)

from filters.pii.detector import PatternDetector, build_detector
from filters.pii.types import TYPES
from filters.spans import merge

FILES = ("pii_en.jsonl", "pii_zh.jsonl")
SENTENCES = ("en_ewt_dev", "zh_gsdsimp_dev")  # of FOLDER/ner: names in them are findings too
PROSE = ("prose_en.txt", "prose_zh.txt")
POOLED_BELOW = 100  # cases; rarer structured types are told together
UNSTRUCTURED = frozenset({"PERSON", "ADDRESS", "LOCATION", "ORGANIZATION"})
_Z = 1.96  # 95 %
_SAMPLES = 1_000
_SEED = 20261121
_WORD = regex.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+")

Find = Callable[[str], set[int]]


@dataclass
class Tally:
    """One type. `texts`: for each text that has it, characters marked and characters found of them."""

    cases: int = 0
    whole: int = 0  # cases of which every character is found
    texts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, text: int, marked: int, found: int) -> None:
        self.cases += 1
        self.whole += marked == found
        before = self.texts.get(text, (0, 0))
        self.texts[text] = (before[0] + marked, before[1] + found)

    def row(self) -> dict[str, Any]:
        counts = np.array(list(self.texts.values()))
        marked, found = counts.sum(0)
        low, high = interval(counts, lambda sums: sums[:, 1] / sums[:, 0])
        if found in (0, marked):
            low, high = wilson(self.whole, self.cases)
        return {
            "cases": self.cases,
            "whole": self.whole,
            "characters": int(marked),
            "recall": float(found / marked),
            "low": low,
            "high": high,
        }


@dataclass
class Figures:
    types: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    texts: list[tuple[int, int, int]] = field(default_factory=list)  # characters marked, found, found and marked
    outside: int = 0  # texts in which something is found outside every marked span

    def f2(self) -> tuple[float, float, float]:
        """The figure and its interval."""
        counts = np.array(self.texts)
        return (float(f2(counts.sum(0)[None])[0]), *interval(counts, f2))

    def precision(self) -> float:
        _, found, right = np.array(self.texts).sum(0)
        return float(right / max(1, found))


def f2(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """F2 of rows (marked, found, right): recall weighs twice as much as precision."""
    marked, found, right = sums.T
    result: NDArray[np.float64] = 5 * right / np.maximum(1, 4 * marked + found)
    return result


def interval(
    counts: NDArray[np.int64], figure: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> tuple[float, float]:
    """95 % of a figure over texts, by drawing as many texts as there are, again and again."""
    draw = np.random.default_rng(_SEED)
    sums = np.stack([counts[draw.integers(0, len(counts), len(counts))].sum(0) for _ in range(_SAMPLES)])
    low, high = np.quantile(figure(sums), (0.025, 0.975))
    return float(low), float(high)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    rate, square = hits / total, _Z * _Z / total
    middle = (rate + square / 2) / (1 + square)
    half = _Z * sqrt(rate * (1 - rate) / total + square / (4 * total)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: int, total: int) -> str:
    """As a cell of a table, with Wilson's interval."""
    low, high = wilson(hits, total)
    return f"{hits} of {total} ({low:.3f}–{high:.3f})"


def measure(rows: Iterable[dict[str, Any]], find: Find) -> Figures:
    figures = Figures()
    for number, row in enumerate(rows):
        found = find(row["text"])
        marked: set[int] = set()
        for span in row["spans"]:
            place = set(range(span["start"], span["end"]))
            marked |= place
            figures.types[span["type"]].add(number, len(place), len(place & found))
        figures.texts.append((len(marked), len(found), len(found & marked)))
        figures.outside += bool(found - marked)
    return figures


def covered_by(detector: PatternDetector) -> Find:
    return lambda text: {at for span in detector.find(text) for at in range(span.start, span.end)}


def presidio() -> Find:
    """Its pattern recognizers as they come, except that they log nothing (their records may quote the text) and that
    the suffix list is the snapshot in its package, not fetched."""
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # type: ignore[assignment]
    logging.getLogger("presidio-analyzer").addFilter(lambda record: False)
    recognizers: list[Any] = [
        kind()
        for kind in (
            *(CreditCardRecognizer, CryptoRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer),
            *(UrlRecognizer, UsLicenseRecognizer, UsPassportRecognizer, UsSsnRecognizer),
        )
    ]

    def find(text: str) -> set[int]:
        found: set[int] = set()
        for recognizer in recognizers:
            entities = recognizer.supported_entities
            results = (
                recognizer.analyze(text, entities)
                if isinstance(recognizer, PatternRecognizer)
                else recognizer.analyze(text, entities, None)
            )
            found |= {at for result in results if result.score > 0 for at in range(result.start, result.end)}
        return found

    return find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    every, patterns = build_detector(TYPES), build_detector()
    finders = {"every detector": covered_by(every), "patterns only": covered_by(patterns), "presidio": presidio()}
    report: dict[str, Any] = {}
    benign: dict[str, list[str]] = {}
    for name in FILES:
        rows = [json.loads(line) for line in (arguments.folder / name).read_text(encoding="utf-8").splitlines()]
        benign[f"{name}, nothing marked"] = [row["text"] for row in rows if not row["spans"]]
        for who, find in finders.items():
            report[f"{name}, {who}"] = _print(f"{name}, {who}", measure(rows, find), len(rows))
    for name in PROSE:
        path = Path(__file__).with_name(name)
        if path.exists():
            benign[name] = path.read_text(encoding="utf-8").splitlines()
    for name in SENTENCES:
        path = arguments.folder / "ner" / f"{name}.jsonl.gz"
        if path.exists():
            with gzip.open(path, "rt", encoding="utf-8") as file:
                benign[name] = [json.loads(line)["text"] for line in file]
    for name, texts in benign.items():
        for who, detector in (("every detector", every), ("patterns only", patterns)):
            report[f"benign: {name}, {who}"] = _print_benign(f"{name}, {who}", texts, detector)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _print(title: str, figures: Figures, texts: int) -> dict[str, Any]:
    (score, low, high), precision = figures.f2(), figures.precision()
    print(f"\n{title}: F2 {score:.3f} [{low:.3f}, {high:.3f}], precision {precision:.3f}", end="")
    print(f", outside in {figures.outside}/{texts} texts")
    types = {kind: tally.row() for kind, tally in sorted(_pooled(figures.types).items())}
    for kind, row in types.items():
        found = f"{row['recall']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        print(f"  {kind:24}{row['cases']:6} cases {row['whole']:6} whole {row['characters']:7} characters  {found}")
    return {"f2": score, "low": low, "high": high, "precision": precision, "outside": figures.outside, "types": types}


def _pooled(types: dict[str, Tally]) -> dict[str, Tally]:
    """With one more row for all structured types of few cases together."""
    pool = Tally()
    for kind, tally in types.items():
        if tally.cases < POOLED_BELOW and kind not in UNSTRUCTURED:
            pool.cases += tally.cases
            pool.whole += tally.whole
            for text, (marked, found) in tally.texts.items():
                before = pool.texts.get(text, (0, 0))
                pool.texts[text] = (before[0] + marked, before[1] + found)
    return types | ({f"(rarer than {POOLED_BELOW})": pool} if pool.cases else {})


def _print_benign(title: str, texts: list[str], detector: PatternDetector) -> dict[str, float]:
    words = sum(len(_WORD.findall(text)) for text in texts)
    if not words:
        return {}
    kinds = Counter(span.type for text in texts for span in merge(detector.find(text)))
    rates = {kind: 1000 * count / words for kind, count in kinds.most_common()}
    told = ", ".join(f"{kind} {rate:.1f}" for kind, rate in rates.items())
    print(f"benign: {title}: {sum(rates.values()):.1f} findings per 1,000 of {words} words ({told})")
    return rates


if __name__ == "__main__":
    main()
