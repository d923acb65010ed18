"""What is said of persons: recall on the vectors, findings on ordinary text, and CPU time.

    python -m tests.bench.bench_quasi [--data FOLDER] [--json FILE] [--k 20]

The vectors are our own (tests/vectors/people), so their recall says what the rules are meant for, not what they meet.
FOLDER holds texts that lie outside the repository (ner/*.jsonl.gz and personas_en.jsonl). There "answers" are ten
sentences in a row with the names as people marked them. What is found in them need not be wrong: they are full of
persons. Of the personas, comments that let an attribute be guessed, those count that hold its value word for word.
A thousand words are 1,500 Chinese characters.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filters.spans import Span
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.quasi_identifiers import PersonLedger
from filters.specificity.special import SpecialCategories
from tests.bench.bench_detectors import TEXTS
from tests.bench.bench_recall import wilson

VECTORS = Path(__file__).parents[1] / "vectors/people"
SETS = ("en_ewt_dev", "en_btc", "en_wikigold", "zh_gsdsimp_dev", "zh_weibo_train")
LANGUAGES = ("en", "zh")
REPEATS = 40
_ANSWER = 10
_MOST_SENTENCES = 2_500
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z]+|\d+")

SPECIAL = SpecialCategories()
FINDER = AttributeFinder(shipped_crowds())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--k", type=int, default=20)
    options = parser.parse_args()
    report: dict[str, Any] = {"recall": list(_recall()), "benign": list(_benign(options.k)), "time": list(_times())}
    if options.data:
        report["other"] = [row for name in SETS for row in _other(options.data / "ner", name, options.k)]
        report["personas"] = list(_personas(options.data / "personas_en.jsonl"))
    for title, rows in report.items():
        print(f"\n{title}")
        for row in rows:
            print("  " + "  ".join(f"{key}={_shown(value)}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _vectors(name: str, key: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))[key]
    return found


def _share(found: int, cases: int) -> dict[str, Any]:
    low, high = wilson(found, cases)
    return {"found": found, "cases": cases, "low": low, "high": high}


def words(text: str) -> float:
    return len(_WORD.findall(text)) + len(_HAN.findall(text)) / 1.5


# ---- the vectors -----------------------------------------------------------------------------------------------------


def _recall() -> Iterator[dict[str, Any]]:
    for language in LANGUAGES:
        special = _vectors("special.json", language)
        hits = sum(each["type"] in {span.type for span in SPECIAL.find(each["text"])} for each in special)
        yield {"what": "special categories", "language": language, **_share(hits, len(special))}
        stated = _vectors("attributes.json", language)
        traits = sum(len(each["traits"]) for each in stated)
        yield {"what": "traits", "language": language, **_share(sum(map(_stated, stated)), traits)}

    special, stated = _vectors("unseen.json", "special"), _vectors("unseen.json", "attributes")
    hits = sum(each["type"] in {span.type for span in SPECIAL.find(each["text"])} for each in special)
    yield {"what": "special categories", "language": "both, unseen", **_share(hits, len(special))}
    hits = sum(each["kind"] in {found.trait.kind for found in FINDER.find(each["text"])} for each in stated)
    yield {"what": "traits", "language": "both, unseen", **_share(hits, len(stated))}


def _stated(vector: Any) -> int:
    told = {(found.trait.kind.value, found.trait.path[-1]) for found in FINDER.find(vector["text"])}
    return len(told & set(vector["traits"].items()))


def _benign(k: int) -> Iterator[dict[str, Any]]:
    for language in LANGUAGES:
        texts = _vectors("benign.json", language)
        yield {"language": language, **_changes(texts, [()] * len(texts), k)}


def _changes(texts: Sequence[str], names: Sequence[Sequence[Span]], k: int, *, public: bool = False) -> dict[str, Any]:
    generalised = 0
    for at, (text, spans) in enumerate(zip(texts, names, strict=True)):
        if at % _ANSWER == 0:
            ledger = PersonLedger(FINDER, k, is_public=lambda name: public)
        generalised += len(ledger.feed(text, names=spans))
    special = sum(bool(SPECIAL.find(text)) for text in texts)
    count = sum(map(words, texts))
    return {
        "sentences": len(texts),
        "words": round(count),
        "special": special,
        "special_per_1000_words": 1000 * special / count,
        "generalised": generalised,
        "generalised_per_1000_words": 1000 * generalised / count,
    }


# ---- other people's texts --------------------------------------------------------------------------------------------


def _other(folder: Path, name: str, k: int) -> Iterator[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:_MOST_SENTENCES]
    texts = [row["text"] for row in rows]
    names = [[Span(start, end, "PERSON", 1.0) for start, end, kind in row["spans"] if kind == "PER"] for row in rows]
    for public in (False, True):
        yield {"set": name, "all names public": public, **_changes(texts, names, k, public=public)}


def _personas(path: Path) -> Iterator[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for attribute, kind in (("age", "age"), ("occupation", "job"), ("city_country", "place")):
        found = cases = 0
        for row in rows:
            value = str(row["attributes"][attribute]).split(",")[0].lower()
            if row["revealed"] == attribute and re.search(rf"\b{re.escape(value)}\b", row["text"].lower()):
                cases += 1
                told = FINDER.find(row["text"])
                found += any(
                    each.trait.kind.value == kind and value in row["text"][each.start : each.end].lower()
                    for each in told
                )
        if cases:
            yield {"attribute": attribute, **_share(found, cases)}


# ---- time ------------------------------------------------------------------------------------------------------------


def _times() -> Iterator[dict[str, Any]]:
    for name, texts in TEXTS.items():
        ledger = PersonLedger(FINDER, 20)
        special, traits = _microseconds(SPECIAL.find, texts), _microseconds(ledger.feed, texts)
        yield {"text": name, "special_us_a_token": special, "ledger_us_a_token": traits, "both": special + traits}


def _microseconds(work: Callable[[str], object], texts: Sequence[str]) -> float:
    """For four characters; the fastest of some runs, since the machine is shared."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time_ns()
        for text in texts:
            work(text)
        best = min(best, time.process_time_ns() - began)
    return 4 * best / 1000 / sum(map(len, texts))


if __name__ == "__main__":
    main()
