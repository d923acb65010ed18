"""What JSON costs as it streams, and how much of it is held: CPU time by length, and what hostile documents come to.

    python -m tests.bench.bench_json [--json FILE]

Every document is fed in pieces of four characters, about a token, to the whole detector. "held" is the most characters
that had come and had neither left nor been replaced at any time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filters.pii.detector import build_detector
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


DETECTOR = build_detector()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    to = parser.parse_args().json
    rows = [*(measure(*entry) for entry in documents()), empty_deltas()]
    columns = ("document", "read", "seconds", "microseconds_per_character", "left", "longest_silence", "failure")
    print(f"{columns[0]:42}" + "".join(f"{column[:16]:>18}" for column in columns[1:]))
    for row in rows:
        print(f"{row['document']:42}" + "".join(f"{row.get(column)!s:>18}" for column in columns[1:]))
    if to is not None:
        to.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
