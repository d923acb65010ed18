"""What JSON costs as it streams, and how much of it is held: CPU time by length, and what hostile documents come to.

    python -m tests.bench.bench_json [--json FILE]

Every document is fed in pieces of four characters, about a token, to the whole detector. "held" is the most characters
that had come and had neither left nor been replaced at any time.

The second table is about documents full of numbers, JSON answers and tool calls, through the whole pipeline, a token a
character: how many leave unharmed where nobody is asked, where the base would have said the same (up to the given noise
in nats a token, its standard deviation), and how many planted values leave that would surprise it. Its CPU time is that
of the base's answers at hand, over that of a role that compares nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from filters.events import UNAVAILABLE, Channel, Ending, Field, Question, Verdict
from filters.evidence import Detector
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.spans import Span
from tests.support.answers import SURE, CharacterVocabulary, Evidence, Outcome, Score, Script, run
from tests.support.documents import document

PIECE = 4
SENTENCE = "The ferry waits at the harbour until the last passenger is on. "
RECORD = {"id": 7, "name": "Vexlo Tamber", "email": "vexlo@kipmora.example", "note": SENTENCE * 2, "amount": 12.5}
KEYS = frozenset(RECORD)


def documents() -> Iterator[tuple[str, str]]:
    for length in (1_000, 10_000, 100_000):
        yield f"records, {length:,} characters", _records(length)
    yield "one string of prose, 1 MB", json.dumps(SENTENCE * (1_000_000 // len(SENTENCE)))
    yield "one string without a space, 1 MB", json.dumps("x" * 1_000_000)
    yield "one string of escapes, 1 MB", '"' + "\\u0061\\ud83d" * 83_000 + '"'
    yield "one number, 1 MB", "1" * 1_000_000
    yield "numbers without end, 100,000 characters", "[" + "12345, " * 14_000
    yield "white space, 1 MB", "[" + " " * 1_000_000 + "]"
    yield "brackets, 1 MB", "[" * 1_000_000
    yield "empty members, 100,000 characters", "[" + ",".join(['""'] * 33_000) + "]"


def _records(length: int) -> str:
    return json.dumps([RECORD] * max(1, length // len(json.dumps(RECORD))))


def measure(name: str, raw_json: str) -> dict[str, Any]:
    made = document(DETECTOR, allowed_keys=KEYS)
    pieces = [raw_json[at : at + PIECE] for at in range(0, len(raw_json), PIECE)]
    held = waiting = fed = left = 0
    began = time.process_time()
    for piece in pieces:
        fed += len(piece)
        told = made.push(piece)
        left += len(told)
        waiting = 0 if told else waiting + len(piece)
        held = max(held, waiting)
        if made.failure is not None:
            break
    made.close(complete=True)
    seconds = time.process_time() - began
    return {
        "document": name,
        "read": fed,
        "seconds": round(seconds, 3),
        "microseconds_per_character": round(1e6 * seconds / fed, 2),
        "left": left,
        "longest_silence": held,
        "failure": made.failure,
    }


def empty_deltas(count: int = 100_000) -> dict[str, Any]:
    made = document(DETECTOR, allowed_keys=KEYS)
    began = time.process_time()
    left = sum(len(made.push("")) for _ in range(count))
    seconds = time.process_time() - began
    return {"document": f"{count:,} deltas of nothing", "read": 0, "seconds": round(seconds, 3), "left": left}


# ---- documents full of numbers, with the base asked ------------------------------------------------------------------

NUMBER_KEYS = frozenset({"order", "parts", "sensor", "samples", "from", "to", "bytes", "total", "row", "cells", "note"})
TOLD = [(Channel(0, Field.TOOL_NAME), "store"), (Channel(0, Field.TOOL_ARGUMENTS), "")]
PLANTED = "90573162"


def number_documents(kind: str, count: int, seed: int = 7) -> list[str]:
    """Made-up documents full of numbers that are nobody's."""
    draw = random.Random(f"{seed} {kind}")
    makers: dict[str, Callable[[], Any]] = {
        "a few numbers": lambda: {
            "order": f"GD-{draw.randint(20000, 89999)}",
            "row": draw.randint(10**5, 10**6),
            "note": f"The batch {draw.randint(10000, 99999)} has {draw.randint(10000, 99999)} pieces of steel.",
        },
        "small numbers": lambda: {"row": 7, "cells": [draw.randint(0, 999) for _ in range(4)]},
        "a table": lambda: {"cells": [[draw.randint(0, 999) for _ in range(6)] for _ in range(6)]},
        "measurements": lambda: {"sensor": 4, "samples": [round(draw.gauss(21, 3), 2) for _ in range(30)]},
    }
    return [json.dumps(makers[kind]()) for _ in range(count)]


def noisy(sd: float, seed: int = 3) -> Evidence:
    draw = random.Random(seed)

    def score(question: Question) -> Score:
        text = "".join(map(chr, question.ids))
        begin = text.find(PLANTED)
        bad = range(begin, begin + len(PLANTED)) if begin >= 0 else range(0)
        return tuple(-9.0 if at in bad else SURE - draw.gauss(0, sd) for at in range(question.start, len(text)))

    return score


def filtered(raw_json: str, kind: Field, evidence: Evidence, *, compare: bool = True) -> Outcome:
    request = RequestEvidence(NoGrounds(), json_mode=True, json_keys=NUMBER_KEYS, tool_names=frozenset({"store"}))
    profile = Profile("bench", compare=compare, on_memorised=Verdict.MASK)
    parts = [(Channel(0, Field.CONTENT), raw_json)] if kind is Field.CONTENT else [TOLD[0], (TOLD[1][0], raw_json)]
    ending = Ending.STOP if kind is Field.CONTENT else Ending.TOOL_CALLS
    return run(Pipeline(profile, request, DETECTOR, CharacterVocabulary()), Script(parts, ending, evidence=evidence))


class NoGrounds:
    asks = False
    reads_context = False

    def covered(self, seen: str, found: Collection[Span], beside: str = "") -> frozenset[Span]:
        return frozenset()


WAYS: list[tuple[str, Evidence]] = [("nobody answers", lambda _: UNAVAILABLE)]
WAYS += [(f"it would say it, noise {sd}", noisy(sd)) for sd in (0.0, 0.1, 0.3)]


def asked(count: int) -> Iterator[dict[str, Any]]:
    for kind in ("a few numbers", "small numbers", "a table", "measurements"):
        for field, ways in ((Field.CONTENT, WAYS), (Field.TOOL_ARGUMENTS, WAYS[2:3])):
            for name, evidence in ways:
                yield _asked(kind, field, name, number_documents(kind, count), evidence)


def _asked(kind: str, field: Field, name: str, documents: list[str], evidence: Evidence) -> dict[str, Any]:
    outcomes = [filtered(text, field, evidence) for text in documents]
    told = [outcome.texts.get(Channel(0, field), "") for outcome in outcomes]
    planted = [filtered(_plant(text, at), field, evidence) for at, text in enumerate(documents)]
    return {
        "what": f"{kind}, {'JSON mode' if field is Field.CONTENT else 'tool call'}: {name}",
        "documents": len(documents),
        "unharmed": sum(one == other for one, other in zip(told, documents, strict=True)),
        "values_kept": round(_kept(told, documents), 4),
        "questions": sum(len(outcome.questions) for outcome in outcomes),
        "planted_left": sum(_has_left(outcome.everything) for outcome in planted),
    }


def _plant(raw_json: str, at: int) -> str:
    """The document with one value more, at its end, as a number, a string or in a sentence."""
    value = (PLANTED, f'"{PLANTED}"', f'"The one for her is {PLANTED}, as before."')[at % 3]
    return f'{raw_json[:-1]}, "total": {value}}}'


def _has_left(text: str) -> bool:
    return any(PLANTED[at : at + 5] in text for at in range(len(PLANTED) - 4))


def _kept(told: list[str], documents: list[str]) -> float:
    kept = total = 0
    for out, text in zip(told, documents, strict=True):
        before, after = list(_scalars(json.loads(text))), list(_scalars(json.loads(out)))
        total += len(before)
        kept += sum(one == other for one, other in zip(before, after, strict=True))
    return kept / total


def _scalars(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        yield value
        return
    for each in inner:
        yield from _scalars(each)


def cpu_ratio(documents: list[str], rounds: int = 3) -> float:
    """CPU time with the base's answers at hand, over that of a role that compares nothing; the best of some rounds."""

    def seconds(*, compare: bool) -> float:
        began = time.process_time()
        for text in documents:
            filtered(text, Field.CONTENT, noisy(0.0), compare=compare)
        return time.process_time() - began

    times = [(seconds(compare=True), seconds(compare=False)) for _ in range(rounds)]
    return min(first for first, _ in times) / min(second for _, second in times)


DETECTOR: Detector = build_detector()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--count", type=int, default=60, help="documents full of numbers, of each kind")
    arguments = parser.parse_args()
    to, count = arguments.json, arguments.count
    rows = [*(measure(*entry) for entry in documents()), empty_deltas()]
    columns = ("document", "read", "seconds", "microseconds_per_character", "left", "longest_silence", "failure")
    print(f"{columns[0]:42}" + "".join(f"{column[:16]:>18}" for column in columns[1:]))
    for row in rows:
        print(f"{row['document']:42}" + "".join(f"{row.get(column)!s:>18}" for column in columns[1:]))
    told = list(asked(count))
    columns = ("what", "documents", "unharmed", "values_kept", "questions", "planted_left")
    print("\n" + f"{columns[0]:62}" + "".join(f"{column:>14}" for column in columns[1:]))
    for row in told:
        print(f"{row['what']:62}" + "".join(f"{row[column]!s:>14}" for column in columns[1:]))
    plain = [json.dumps([RECORD] * size) for size in (1, 3, 9)] * 10
    ratios = {"a few numbers": cpu_ratio(number_documents("a few numbers", 60)), "ordinary records": cpu_ratio(plain)}
    print("\nCPU, asked over not compared:", {name: round(ratio, 2) for name, ratio in ratios.items()})
    if to is not None:
        to.write_text(json.dumps({"streams": rows, "asked": told, "cpu_ratio": ratios}, indent=1))


if __name__ == "__main__":
    main()
