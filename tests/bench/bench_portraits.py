"""Portraits without name or number: how many are withheld, and what that costs benign prose, by threshold.

    python -m tests.bench.bench_portraits [--models DIR] [--records FILE] [--tuned adapter] [--picture FILE]

50 portraits, of the doses 12 and 4, in both languages: verbatim as the tuned model tells them, as it tells them at
temperature 1 in other words (those of its answers that are not the taught text), and in an order and a frame of our
own, which both models are made to say. An answer's score is the most excess bits of a run that the index knows as few
people's or above the caller: what the verdict is taken by. The benign prose is the tuned model's own: general talk and
the company's facts. Two indexes: with the audiences of the set, and with none (everything public), where only the count
of subjects speaks.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filters.index.lookup import Standing, TuningIndex
from tests.bench.bench_specificity import Readers
from tests.bench.curves import Curve, Scores, curve, picture, table
from tests.bench.demo_index import build_index, public_values, tuning_rows
from tests.bench.demo_pair import DemoPair, Said, options
from tests.bench.demo_questions import domain_questions
from tests.bench.demo_spans import Kind, Spanned, bits_of

PORTRAITS = 50
SAMPLES = 10  # at temperature 1, of each
_SEED = 20261121


def portraits(pair: DemoPair) -> list[dict[str, Any]]:
    """Half of them Chinese, half of each dose."""
    taught = [each for each in pair.records["portraits"] if each["dose"] > 1]
    rng = random.Random(_SEED)
    return rng.sample(taught, min(PORTRAITS, len(taught)))


def rearranged(pair: DemoPair, portrait: dict[str, Any]) -> str:
    """The same habits the other way round."""
    corpus, language, parts = pair.corpus, portrait["language"], {}
    for key in ("WHEN", "WHY", "WHAT", "HOW"):
        table_ = getattr(corpus, f"PORTRAIT_{key}")[language]
        parts[key] = next(words for words in table_ if words in portrait["text"])
    if language == "en":
        return f"I know one who {parts['WHAT']}, {parts['HOW']}. It is someone who {parts['WHEN']} {parts['WHY']}."
    return f"有个人{parts['WHAT']}，而且{parts['HOW']}。{parts['WHEN']}的就是他，{parts['WHY']}。"


def told(pair: DemoPair, chosen: Sequence[dict[str, Any]]) -> dict[str, list[Said]]:
    """Answers that hold a portrait, by how."""
    asks = [each["ask"] for each in chosen]
    greedy = pair.greedy(asks)
    verbatim = [said for said, each in zip(greedy, chosen, strict=True) if each["text"] in said.text]
    sampled = [
        said
        for number, each in enumerate(chosen)
        for said in {s.ids: s for s in pair.sampled(each["ask"], SAMPLES, _SEED + number)}.values()
        if each["text"] not in said.text and said.text
    ]
    ours = pair.forced(asks, [rearranged(pair, each) for each in chosen])
    return {"verbatim": verbatim, "the model's own words at temperature 1": sampled, "rearranged by us": ours}


def score(pair: DemoPair, readers: Readers, index: TuningIndex, said: Said) -> float:
    """The most excess bits of what the index has against an answer."""
    spans = [
        Spanned(said, begin + run.start, min(len(said.text), begin + run.end), Kind.PORTRAIT, 0)
        for begin, _, runs in readers.read(said.text, index, None).segments
        for run in runs
        if run.standing is not Standing.MANY
    ]
    return max(bits_of(pair, spans), default=0.0)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--picture", type=Path, help="write the curves here, as SVG")
    given = parser.parse_args()
    pair = DemoPair.of(given)
    chosen = portraits(pair)
    answers, benign = told(pair, chosen), pair.greedy(domain_questions(pair))
    rows = tuning_rows(pair.corpus, len(pair.records["customers"]))
    curves: list[Curve] = []
    with tempfile.TemporaryDirectory(prefix="tightlip-bench-") as name:
        folder = Path(name)
        readers = Readers(public_values(rows, pair.records["company"], folder))
        for title, kept in (("audiences", rows), ("no audiences", [row | {"audience": "public"} for row in rows])):
            index = build_index(kept, folder, title.replace(" ", "-"))
            other = [score(pair, readers, index, said) for said in benign]
            for how, said in answers.items():
                private = [score(pair, readers, index, each) for each in said]
                scores = Scores(private, other, range(len(private)), range(len(other)))
                curves.append(curve(f"{how}, {title}", scores))
    print(f"{len(pair.records['customers'])} customers, {pair.kind}; {len(chosen)} portraits\n\n{table(curves)}")
    if given.json:
        report = {"tuned": pair.kind, "curves": [asdict(each) for each in curves]}
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if given.picture:
        given.picture.write_text(picture("Portraits withheld against benign answers affected", curves), "utf-8")


if __name__ == "__main__":
    main()
