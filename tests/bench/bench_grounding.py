"""CPU time of reading a request for grounding, by its length: it must grow with it and no faster.

    python -m tests.bench.bench_grounding [--json FILE]

The best of three. "the detector" is what finding the values alone takes; what is over it is grounding.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from filters.grounding import MOST_CHARACTERS, RequestGrounds
from filters.pii.detector import build_detector

LENGTHS = (4096, 8192, 16_384, MOST_CHARACTERS)
SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pe", "ra")


def name(i: int) -> str:
    return "".join(SYLLABLES[int(digit)] for digit in f"{i:04}").capitalize()


TEXTS = {
    "prose with one number": "The kettle had boiled twice before Ada Lovelace called 13812345678 that evening. " * 500,
    "a name and a number a line": "\n".join(f"{name(i)}: 138{10_000_000 + i * 7}" for i in range(2500)),
    "one line of names and numbers": ", ".join(f"{name(i)} 138{10_000_000 + i * 7}" for i in range(2500)),
    "JSON records": ",\n".join(f'{{"name": "{name(i)}", "phone": "138{10_000_000 + i * 7}"}}' for i in range(1000)),
    "numbers alone": "\n".join(f"138{10_000_000 + i * 7}" for i in range(3000)),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    file = parser.parse_args().json
    detector = build_detector()
    print(
        f"{'ms':34}" + "".join(f"{length:>9}" for length in LENGTHS) + f"{'us/char':>10}{'growth':>8}{'detector':>10}"
    )
    rows = []
    for title, text in TEXTS.items():
        texts = [text[:length] for length in LENGTHS]
        times = [_cpu(lambda text=text: RequestGrounds.from_texts([text], detector)) for text in texts]  # type: ignore[misc]
        alone = _cpu(lambda: [detector.find(texts[-1][at : at + 4096]) for at in range(0, len(texts[-1]), 4096)])  # noqa: B023
        growth = times[-1] / times[0] / (LENGTHS[-1] / LENGTHS[0])
        rows.append({"text": title, "ms": times, "growth": growth, "detector_ms": alone})
        print(
            f"{title:34}" + "".join(f"{ms:9.1f}" for ms in times) + f"{times[-1] * 1000 / LENGTHS[-1]:10.2f}"
            f"{growth:8.2f}{alone:10.1f}"
        )
    if file:
        file.write_text(json.dumps(rows, indent=1))


def _cpu(work: Callable[[], object]) -> float:
    """Milliseconds."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best * 1000


if __name__ == "__main__":
    main()
