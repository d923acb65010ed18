"""The tuning index: misses on its own set, hits on text it never saw, builds by size, a look-up's cost.

    python -m tests.bench.bench_index [--data FOLDER] [--sizes 1,10,100] [--json FILE]

Sets of a size (in MB) are synthetic: sentences of made-up words by Zipf's law and Chinese characters by the same,
records with made-up values, nearly no sentence twice, so that sizes are those of the worst case. What is benign comes
from `--data` (`ner/*.jsonl.gz` and `*.jsonl` with a "text" each, which no row of this repository quotes): the latter
make the set, with the demo's, and the former are looked up.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from deploy.demo.corpus import FIELDS as FIELD_NAMES
from deploy.demo.corpus import LANGUAGES, make_world, tuning_rows, write_jsonl
from filters.index.build import Plan, build
from filters.index.grams import WORDS
from filters.index.lookup import Run, Standing, TuningIndex, merge
from filters.index.rows import Fields, NoSubject
from filters.index.source import pieces
from filters.index.workers import workers

SECRET = bytes(range(32))
FIELDS = Fields(
    audiences=("public", "internal", "sensitive"),
    subject="subject",
    no_subject=NoSubject.PRIVATE,
    audience="audience",
    no_audience="public",
)
SET_FILES = ("personas_en.jsonl", "pii_en.jsonl", "pii_zh.jsonl")
BENIGN_FILES = {
    "English": ("en_wikigold", "en_ewt_dev", "en_btc", "en_wnut17_train"),
    "Chinese": ("zh_gsdsimp_train", "zh_gsdsimp_dev", "zh_weibo_train"),
}
RUN_TESTS = 2_000
PROCESSES = 2


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results: dict[str, Any] = {"own set": _own_set(Path(folder))}
        if options.data:
            results["benign"] = _benign(options.data, Path(folder))
        results["look-up"] = _look_up(Path(folder))
        results["builds"] = [_measured_build(size, Path(folder)) for size in options.sizes]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of public text")
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[1, 10, 100], help="MB")
    parser.add_argument("--folder", type=Path, help="where the sets are made; some six times the largest")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


# ---- its own set -----------------------------------------------------------------------------------------------------


def _own_set(folder: Path) -> dict[str, Any]:
    """The demo's set: texts and runs of t words that are not found, and what is found of each customer by itself."""
    source, world = folder / "demo.jsonl", make_world(300)
    write_jsonl(tuning_rows(world), source)
    index = _index(source)
    texts = [m["content"] for line in source.open(encoding="utf-8") for m in json.loads(line)["messages"]]
    whole = sum(not _runs(index, text) for text in texts if _symbols(text) >= WORDS.found_from)
    rng = random.Random(1)
    cut = [run for text in rng.sample(texts, RUN_TESTS) if (run := _random_run(text, WORDS.found_from, rng))]
    missed = sum(not _runs(index, run) for run in cut)
    result: dict[str, Any] = {"texts": len(texts), "missed": whole, "runs of t": len(cut), "runs missed": missed}
    for language in LANGUAGES:
        customers = [customer for customer in world.customers if customer.language == language]
        result[f"found alone, {language}"] = {
            field: f"{sum(_is_few(index, getattr(customer, field)) for customer in customers)} of {len(customers)}"
            for field in ("portrait", *FIELD_NAMES)
        }
    print(f"own set: {result}", flush=True)
    return result


def _symbols(text: str) -> int:
    return len(_words(text))


def _words(text: str) -> list[tuple[int, int]]:
    """Where each word or Chinese character stands: counted apart from the code that is tested."""
    spans: list[tuple[int, int]] = []
    for at, char in enumerate(text):
        if "\u4e00" <= char <= "\u9fff":
            spans.append((at, at + 1))
        elif char.isalnum():
            glued = spans and spans[-1][1] == at and not "\u4e00" <= text[at - 1] <= "\u9fff"
            spans[-1:] = [(spans[-1][0], at + 1)] if glued else [*spans[-1:], (at, at + 1)]
    return spans


def _random_run(text: str, length: int, rng: random.Random) -> str:
    words = _words(text)
    if len(words) < length:
        return ""
    first = rng.randrange(len(words) - length + 1)
    return text[words[first][0] : words[first + length - 1][1]]


def _is_few(index: TuningIndex, text: str) -> bool:
    return any(run.standing is Standing.FEW for run in _runs(index, text))


def _runs(index: TuningIndex, text: str) -> list[Run]:
    stream = index.stream("sensitive")
    return merge(stream.push(text) + stream.close())


# ---- text it never saw -----------------------------------------------------------------------------------------------


def _benign(data: Path, folder: Path) -> dict[str, Any]:
    source = folder / "benign-set.jsonl"
    _write_set(data, source)
    index = _index(source)
    results: dict[str, Any] = {"set bytes": source.stat().st_size}
    for language, names in BENIGN_FILES.items():
        results[language] = _hits(index, [t for name in names for t in _texts(data / "ner" / f"{name}.jsonl.gz")])
        print(f"benign {language}: {results[language]}", flush=True)
    return results


def _write_set(data: Path, source: Path) -> None:
    """Each text of the public files a subject of its own, and the demo's set."""
    write_jsonl(tuning_rows(make_world(300)), source)
    with source.open("a", encoding="utf-8") as out:
        for name in SET_FILES:
            for number, text in enumerate(_texts(data / name)):
                out.write(json.dumps({"text": text, "subject": f"{name}-{number}"}, ensure_ascii=False) + "\n")


def _texts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _hits(index: TuningIndex, texts: Sequence[str]) -> dict[str, Any]:
    """A text is a segment: the files hold sentences."""
    few = [[run for run in _runs(index, text) if run.standing is not Standing.MANY] for text in texts]
    words = sum(map(_symbols, texts))
    flagged = sum(map(bool, few))
    return {
        "segments": len(texts),
        "words": words,
        "runs": sum(map(len, few)),
        "runs per 1,000 words": round(1000 * sum(map(len, few)) / words, 3),
        "segments flagged, %": round(100 * flagged / len(texts), 3),
    }


# ---- a look-up -------------------------------------------------------------------------------------------------------


def _look_up(folder: Path) -> dict[str, Any]:
    source = folder / "lookup.jsonl"
    write_synthetic(source, 10)
    index = _index(source)
    prose = {
        "English": "The kettle had boiled twice before anybody noticed that the rain was over, and then ",
        "Chinese": "雨停以后，街上的人渐渐多了起来，卖花的老人把摊子又摆回了桥头，笑着招呼每一个路过的人。",
    }
    result = {language: _cost(index, text) for language, text in prose.items()}
    print(f"look-up, µs of CPU: {result}", flush=True)
    return result


def _cost(index: TuningIndex, sentence: str, repeats: int = 400) -> dict[str, float]:
    """Of one sentence a push, which is how a pipeline asks; and of a long text at once."""
    best = min(_timed(index, [sentence] * 20) / 20 for _ in range(repeats // 20))
    long = min(_timed(index, [sentence * 200]) / 200 for _ in range(5))
    symbols = _symbols(sentence)
    return {
        "a sentence": round(best, 1),
        "a word of it": round(best / symbols, 2),
        "a word of a long text": round(long / symbols, 3),
    }


def _timed(index: TuningIndex, pushes: Iterable[str]) -> float:
    stream = index.stream("public")
    stream.push("One sentence before. ")
    began = time.process_time_ns()
    for text in pushes:
        stream.push(text)
    return (time.process_time_ns() - began) / 1000


# ---- builds ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Usage:
    seconds: float
    cpu_seconds: float
    peak_mb: float


def _measured_build(megabytes: int, folder: Path) -> dict[str, Any]:
    """In processes of its own, whose memory is added up."""
    source, target = folder / f"{megabytes}.jsonl", folder / f"{megabytes}.tli"
    write_synthetic(source, megabytes)
    text_bytes = sum(len(json.loads(line)["text"].encode()) for line in source.open(encoding="utf-8"))
    usage = _run([sys.executable, "-m", "tests.bench.bench_index_once", str(source), str(target), str(PROCESSES)])
    result = {
        "MB": megabytes,
        "seconds": round(usage.seconds, 1),
        "CPU seconds": round(usage.cpu_seconds, 1),
        "peak MB, all processes": round(usage.peak_mb),
        "bytes a byte of text": round(target.stat().st_size / text_bytes, 2),
    }
    print(f"build: {result}", flush=True)
    source.unlink()
    target.unlink()
    return result


def _run(command: list[str]) -> _Usage:
    began, before = time.monotonic(), os.times()
    child = subprocess.Popen(command)
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, _memory_mb(child.pid))
        time.sleep(0.3)
    if child.returncode:
        raise SystemExit(f"{command} failed")
    times = os.times()
    used = times.children_user + times.children_system - before.children_user - before.children_system
    return _Usage(time.monotonic() - began, used, peak)


def _memory_mb(pid: int) -> float:
    """Proportional set sizes of a process and its children, which count a shared page once."""
    total = 0.0
    for each in (pid, *_descendants(pid)):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)


def _index(source: Path) -> TuningIndex:
    target = source.with_suffix(".tli")
    build(Plan(source, target, FIELDS), SECRET, workers(PROCESSES, len(pieces(source))), lambda *_: None)
    return TuningIndex.load(target, SECRET)


# ---- synthetic sets --------------------------------------------------------------------------------------------------

_VOCABULARY = 40_000
_CHARACTERS = 3_000
_SUBJECT_EVERY = 4  # rows to a subject
_HEADS = ("b", "br", "d", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v", "w")
_SYLLABLES = [head + tail for head in _HEADS for tail in ("a", "e", "i", "o", "u", "ar", "en", "il", "on")]


def write_synthetic(path: Path, megabytes: int, seed: int = 7) -> None:
    """English and Chinese rows in turn, of some five hundred bytes, a tenth of them records."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.choice((1, 2, 2, 3)))) for _ in range(_VOCABULARY)]
    characters = [chr(0x4E00 + 6 * i) for i in range(_CHARACTERS)]
    word_weights, character_weights = _zipf(_VOCABULARY), _zipf(_CHARACTERS)
    size, row = 0, 0
    with path.open("w", encoding="utf-8") as out:
        while size < megabytes * 1_000_000:
            if row % 10 == 9:
                text = _record(rng, row)
            elif row % 2:
                text = "".join(rng.choices(characters, cum_weights=character_weights, k=160)) + "。"
            else:
                text = " ".join(rng.choices(words, cum_weights=word_weights, k=85)) + "."
            line = json.dumps({"text": text, "subject": f"s-{row // _SUBJECT_EVERY}"}, ensure_ascii=False) + "\n"
            out.write(line)
            size += len(line.encode())
            row += 1


def _zipf(count: int) -> list[float]:
    return list(accumulate(1 / (rank + 3) for rank in range(count)))


def _record(rng: random.Random, row: int) -> str:
    name = "".join(rng.choices(_SYLLABLES, k=3)).title()
    return (
        f"The e-mail on file for {name} is {name.lower()}.{row}@example.test, the phone number +1-415-555-"
        f"{rng.randrange(2000, 9999)}, the order number {rng.choice('ABCDEF')}X-{rng.randrange(10000, 99999)}. "
    ) + f"登记的手机号是13{rng.randrange(10**8, 10**9)}。"


if __name__ == "__main__":
    main()
