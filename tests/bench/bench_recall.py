"""Recall and precision of the detectors in characters, on marked texts that lie outside the repository.

    python -m tests.bench.bench_recall FOLDER [--out figures.json]

FOLDER holds pii_en.jsonl and pii_zh.jsonl: `{"text", "spans": [{"start", "end", "type"}]}`. A marked character is found
when any finding covers it, of whatever type. Intervals are Wilson's, at 95 %, over characters. Beside it, in the same
run, Presidio's own pattern recognizers, called directly, without a language model.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import tldextract
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

from filters.pii.detector import build_detector

FILES = ("pii_en.jsonl", "pii_zh.jsonl")
_Z = 1.96  # 95 %

Find = Callable[[str], set[int]]


@dataclass
class Tally:
    cases: int = 0
    characters: int = 0
    found: int = 0

    def row(self) -> dict[str, Any]:
        low, high = wilson(self.found, self.characters)
        recall = self.found / self.characters if self.characters else 0.0
        return {"cases": self.cases, "characters": self.characters, "recall": recall, "low": low, "high": high}


@dataclass
class Figures:
    types: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    marked: int = 0
    found: int = 0
    right: int = 0
    outside: int = 0  # texts in which something is found outside every marked span

    def f2(self) -> float:
        precision, recall = self.right / max(1, self.found), self.right / max(1, self.marked)
        return 5 * precision * recall / max(1e-9, 4 * precision + recall)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    share, square = hits / total, _Z * _Z / total
    middle = (share + square / 2) / (1 + square)
    half = _Z * sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return middle - half, middle + half


def measure(rows: Iterable[dict[str, Any]], find: Find) -> Figures:
    figures = Figures()
    for row in rows:
        found = find(row["text"])
        marked: set[int] = set()
        for span in row["spans"]:
            place = set(range(span["start"], span["end"]))
            marked |= place
            tally = figures.types[span["type"]]
            tally.cases += 1
            tally.characters += len(place)
            tally.found += len(place & found)
        figures.marked += len(marked)
        figures.found += len(found)
        figures.right += len(found & marked)
        figures.outside += bool(found - marked)
    return figures


def ours() -> Find:
    detector = build_detector()
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
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    for name in FILES:
        rows = [json.loads(line) for line in (arguments.folder / name).read_text(encoding="utf-8").splitlines()]
        for who, find in (("tightlip", ours()), ("presidio patterns", presidio())):
            figures = measure(rows, find)
            report[f"{name}, {who}"] = _print(f"{name}, {who}", figures, len(rows))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


def _print(title: str, figures: Figures, texts: int) -> dict[str, Any]:
    types = {kind: tally.row() for kind, tally in sorted(figures.types.items())}
    precision = figures.right / max(1, figures.found)
    print(f"\n{title}: F2 {figures.f2():.3f}, precision {precision:.3f}, outside in {figures.outside}/{texts} texts")
    for kind, row in types.items():
        interval = f"{row['recall']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        print(f"  {kind:18}{row['cases']:6}{row['characters']:8}  {interval}")
    return {"f2": figures.f2(), "precision": precision, "outside": figures.outside, "texts": texts, "types": types}


if __name__ == "__main__":
    main()
