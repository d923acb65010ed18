"""What looking for denied values costs, by the length of the list and of the text, and how often prose waits for it.

python -m tests.bench.bench_denied --json FILE
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filters.denied import DeniedValues
from tests.support.knowledge import SECRET, deny

SEED = 7
LISTS = (0, 100, 1_000, 10_000)
TEXTS = (1_000, 10_000, 100_000)
SEGMENT = 150  # characters
SYLLABLES = ("ka", "ven", "tor", "mi", "shel", "dra", "ros", "lin", "ber", "quo", "than", "ely", "son", "mar", "the")
PROSE = Path(__file__).with_name("prose_en.txt")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    prose = " ".join(PROSE.read_text(encoding="utf-8").split())
    rows = [_measured(entries, prose) for entries in LISTS]
    print(
        "| values | us a 1,000 characters, by segments | of 1,000 | of 10,000 | of 100,000 | sentence ends that wait |"
    )
    print("| --: | --: | --: | --: | --: | --: |")
    for row in rows:
        whole = " | ".join(f"{row['whole'][str(length)]:.0f}" for length in TEXTS)
        print(f"| {row['values']} | {row['segments']:.0f} | {whole} | {row['waiting']} of {row['sentences']} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _measured(entries: int, prose: str) -> dict[str, Any]:
    values = _list(entries)
    text = (prose + " ") * (max(TEXTS) // len(prose) + 1)
    segments = [text[at : at + SEGMENT] for at in range(0, 15_000, SEGMENT)]
    ends = [match.end() for match in re.finditer(r"[.!?] ", prose)]
    return {
        "values": entries,
        "segments": _microseconds(values, segments),
        "whole": {str(length): _microseconds(values, [text[:length]]) for length in TEXTS},
        "sentences": len(ends),
        "waiting": sum(values.open_from(prose[max(0, end - SEGMENT) : end]) < min(end, SEGMENT) for end in ends),
    }


def _microseconds(values: DeniedValues, texts: Sequence[str]) -> float:
    """CPU time a 1,000 characters, the best of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        for text in texts:
            values.find(text)
        times.append(time.process_time() - began)
    return 1e9 * min(times) / sum(map(len, texts))


def _list(entries: int) -> DeniedValues:
    """Half of them made-up names, half numbers."""
    choose = random.Random(SEED)
    names = [" ".join("".join(choose.choices(SYLLABLES, k=3)) for _ in range(2)) for _ in range(entries // 2)]
    numbers = [f"139{choose.randrange(10**8):08}" for _ in range(entries - len(names))]
    with TemporaryDirectory() as folder:
        return DeniedValues.load(deny(Path(folder), names + numbers), SECRET.encode())


if __name__ == "__main__":
    main()
