"""What counting what is said of persons changes and costs where it is served: in the pipeline.

    python -m tests.bench.bench_described [--json FILE] [--k 5] [--repeats 5]

Benign: prose_en.txt and prose_zh.txt beside this file in answers of ten sentences, and the demo's facts and general
talk, each an answer. A change is a decision about a trait or a special category, with nobody to ask. A thousand words
are 1,500 Chinese characters. The facts are short, so they stand for few words.

Cost: CPU microseconds for four characters of the same prose in pieces of four, with `persons` and without, in turns;
and for a character of a conversation that is read before the answer. Turns: five answers about one person, sent back;
the smallest crowd that a reader of all of them has.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.demo.corpus import FACT_TABLE, KNOWLEDGE, LANGUAGES, SMALL_TALK
from filters.detectors import ProfileDetectors
from filters.events import Channel, Decided, Ending, Event, Field, RawText, Released
from filters.grounding import RequestGrounds
from filters.pii.types import OF_PERSONS
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.specificity.attributes import AttributeFinder
from filters.specificity.crowd_tables import shipped_crowds
from filters.specificity.described import Describing, Speaker, Turn
from filters.specificity.persons import sentences
from filters.specificity.quasi_identifiers import FEWEST, PersonLedger
from tests.bench.bench_quasi import words

FOLDER = Path(__file__).parent
PROSE = {"en": "prose_en.txt", "zh": "prose_zh.txt"}
PORTRAITS = {
    "en": (
        "She lives in Leeds.",
        "She is a beekeeper at Plimsol Hives.",
        "She is 34; her birthday is on 12 March.",
        "She is divorced and has three children.",
        "She holds a PhD and married in 2014.",
    ),
    "zh": (
        "该客户住在杭州市西湖区。",
        "她在浦林索医院工作，是一名护士。",
        "她今年三十四岁，出生于1991年3月12日。",
        "她离异，育有三个孩子。",
        "她博士毕业于青禾大学。",
    ),
}
CROWDS = (5, 20, 1000)
_SENTENCES = 10
_PIECE = 4
_READ = 100_000  # characters of a conversation
_CHANNEL = Channel(0, Field.CONTENT)
_GROUNDS = RequestGrounds()
_WITH = Profile("with", compare=False, evidence=False)
_WITHOUT = Profile("without", compare=False, evidence=False, persons=False)


class Bench:
    """One policy's filters."""

    def __init__(self, k: int) -> None:
        self._detectors = ProfileDetectors()
        self._describing = Describing(AttributeFinder(shipped_crowds()), self._detectors.names, k)

    def read(self, turns: Sequence[Turn]) -> None:
        self._describing.begin(turns)

    def answer(self, profile: Profile, text: str, turns: Sequence[Turn] = (), piece: int = 0) -> list[Event]:
        described = self._describing.begin(turns) if profile.persons else None
        evidence = RequestEvidence(_GROUNDS, described=described)
        pipeline = Pipeline(profile, evidence, self._detectors.of(profile))
        size = piece or len(text)
        events = [
            event
            for at in range(0, len(text), size)
            for event in pipeline.feed([RawText(_CHANNEL, text[at : at + size])])
        ]
        return events + pipeline.finish(0, Ending.STOP)


def benign(language: str) -> Iterator[tuple[str, list[str]]]:
    text = (FOLDER / PROSE[language]).read_text(encoding="utf-8")
    said = [text[start:end] for start, end in sentences(text)]
    yield "prose", ["".join(said[at : at + _SENTENCES]) for at in range(0, len(said), _SENTENCES)]
    yield "facts", [answer for answer, *_ in FACT_TABLE[language]]
    yield "general talk", [answer for _, answer in (*SMALL_TALK[language], *KNOWLEDGE[language])]


def changes(bench: Bench) -> Iterator[dict[str, Any]]:
    for language in LANGUAGES:
        for name, answers in benign(language):
            events = [event for text in answers for event in bench.answer(_WITH, text)]
            kinds = [event.kind for event in events if isinstance(event, Decided) and event.kind in OF_PERSONS]
            count = sum(map(words, answers))
            yield {
                "text": name,
                "language": language,
                "answers": len(answers),
                "words": round(count),
                "changed": len(kinds),
                "changed_per_1000_words": 1000 * len(kinds) / count,
                "kinds": sorted(set(kinds)),
            }


def costs(bench: Bench, repeats: int) -> Iterator[dict[str, Any]]:
    for language, name in PROSE.items():
        text = (FOLDER / name).read_text(encoding="utf-8")
        best = dict.fromkeys((_WITH, _WITHOUT), float("inf"))
        for _ in range(repeats):
            for profile in best:
                began = time.process_time_ns()
                bench.answer(profile, text, piece=_PIECE)
                best[profile] = min(best[profile], time.process_time_ns() - began)
        with_us, without_us = (_PIECE * best[profile] / 1000 / len(text) for profile in (_WITH, _WITHOUT))
        yield {
            "language": language,
            "with_us_a_token": with_us,
            "without_us_a_token": without_us,
            "ratio": with_us / without_us,
            "read_us_a_character": _reading(bench, text),
        }


def _reading(bench: Bench, text: str) -> float:
    conversation = (text * (_READ // len(text) + 1))[:_READ]
    began = time.process_time_ns()
    bench.read([Turn(Speaker.MODEL, conversation)])
    return (time.process_time_ns() - began) / 1000 / _READ


def turns() -> Iterator[dict[str, Any]]:
    for k in CROWDS:
        bench = Bench(k)
        for language, portrait in PORTRAITS.items():
            told: list[Turn] = []
            for text in portrait:
                asked = [*told, Turn(Speaker.CALLER, "And what else?")]
                events = bench.answer(_WITH, text, asked)
                left = "".join(event.text for event in events if isinstance(event, Released))
                told = [*asked, Turn(Speaker.MODEL, left)]
            raw, left_to_read = (_crowd(texts) for texts in (portrait, [turn.raw_text for turn in told]))
            yield {"k": k, "language": language, "raw_crowd": raw, "crowd": left_to_read, "holds": left_to_read >= k}


def _crowd(texts: Sequence[str]) -> float:
    reader = PersonLedger(AttributeFinder(shipped_crowds()), FEWEST)
    for text in texts:
        reader.prime(text)
    return reader.smallest_crowd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    bench = Bench(options.k)
    report = {
        "benign": list(changes(bench)),
        "turns": list(turns()),
        "cost": list(costs(bench, options.repeats)),
    }
    for title, rows in report.items():
        print(f"\n{title}")
        for row in rows:
            print("  " + "  ".join(f"{key}={_shown(value)}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
