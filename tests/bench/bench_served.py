"""What the filters cost those who ask for nothing private: domain questions through the real pipeline.

    python -m tests.bench.bench_served [--models DIR] [--records FILE] [--tuned adapter] [--json FILE]

300 questions about the company (its facts in other words) and general ones, and all the records' echoes. An answer is
unharmed if the tuned model's words came through as they were. Rows: no index; the index of the tuning set, whose rows
without a subject are public (what is internal, their audience says); the same if the company's facts have no subject
either, as docs/index.md advises; and the first with the rows without a subject private. Each with the pair's house
phrases (demo_questions.py finds them with other questions), and the first two without.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import regex

from filters.events import Verdict
from filters.index.rows import NoSubject
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.pii.detector import build_detector
from tests.bench.bench_recall import share
from tests.bench.bench_specificity import style_shift
from tests.bench.demo_index import FIELDS, build_index, public_values, tuning_rows, with_facts_of
from tests.bench.demo_pair import DemoPair, Said, options
from tests.bench.demo_questions import domain_questions, house_phrases
from tests.bench.demo_served import Served, Serving

HOSTILE = 36  # customers whose records are asked for
CONTEXTS = (1024, 8192, 32_768)  # tokens of a request; of more than its bound the base reads the end
_WORD = regex.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+")


@dataclass(frozen=True)
class Cost:
    """Of one row. `asked`: segments about which the base is asked; tokens are the demo tokenizer's."""

    name: str
    questions: int
    unharmed: int
    words: int
    changed: int  # verdicts that changed text
    segments: int
    asked: int
    prefilled: int
    prefilled_at: dict[int, int]  # behind requests of so many tokens
    served_tokens: int
    echoes: int
    echoed: int
    echo_segments: int
    echo_asked: int


def cost(name: str, serving: Serving, pair: DemoPair, answers: Sequence[Said], echoes: Sequence[Said]) -> Cost:
    """One row."""
    served, back = serving.serve(answers), serving.serve(echoes)
    told = [case["value"] for case in pair.records["echo"]]
    said = [(each, value) for each, value in zip(back, told, strict=True) if value in each.said.text]
    return Cost(
        name,
        len(served),
        sum(each.untouched for each in served),
        sum(len(_WORD.findall(each.said.text)) for each in served),
        sum(decided.verdict is not Verdict.RELEASE for each in served for decided in each.decided),
        sum(each.segments for each in served),
        sum(len(each.questions) for each in served),
        sum(each.prefilled() for each in served),
        {tokens: sum(each.prefilled(tokens) for each in served) for tokens in CONTEXTS},
        sum(pair.vocabulary.count(each.text) for each in served),
        len(said),
        sum(value in each.text for each, value in said),
        sum(each.segments for each in back),
        sum(len(each.questions) for each in back),
    )


def harmed(serving: Serving, answers: Sequence[Said]) -> Counter[tuple[str, str]]:
    """What was taken for private: finding type and what the tuned model had said there."""
    served = [each for each in serving.serve(answers) if not each.untouched]
    return Counter((each.decided[-1].kind if each.decided else "", _missing(each)) for each in served)


def _missing(served: Served) -> str:
    return served.said.text.removeprefix(served.tuned_text.rstrip()).strip()


def table(costs: Sequence[Cost]) -> str:
    """Markdown."""
    lines = [
        "| | unharmed | values that come back | verdicts per 1,000 words | base asked about, of segments: domain, "
        "echoes | tokens prefilled per 1,000 served: as asked, behind requests of 1k, 8k, 32k tokens |",
        "| --- | --- | --- | --: | --: | --: |",
    ]
    for each in costs:
        shares = [share(each.unharmed, each.questions), share(each.echoed, each.echoes)]
        rate = f"{1000 * each.changed / each.words:.2f}"
        asked = f"{each.asked / each.segments:.1%}, {each.echo_asked / each.echo_segments:.1%}"
        counts = (each.prefilled, *each.prefilled_at.values())
        tokens = ", ".join(f"{1000 * count / each.served_tokens:.0f}" for count in counts)
        lines.append(f"| {each.name} | {' | '.join(shares)} | {rate} | {asked} | {tokens} |")
    return "\n".join(lines)


def main() -> None:
    parser = options(__doc__)
    told = parser.parse_args()
    pair = DemoPair.of(told)
    detector, shift = build_detector(), style_shift(pair)
    answers = pair.greedy(domain_questions(pair))
    echoes = pair.greedy([case["ask"] for case in pair.records["echo"]])
    hostile = pair.greedy([ask for each in pair.records["customers"][:HOSTILE] for ask in each["ask"].values()])
    rows = tuning_rows(pair.corpus, len(pair.records["customers"]))
    with tempfile.TemporaryDirectory(prefix="tightlip-bench-") as name:
        folder = Path(name)
        public = public_values(rows, pair.records["company"], folder)
        open_rows = build_index(rows, folder, "public")
        closed_rows = build_index(rows, folder, "private", replace(FIELDS, no_subject=NoSubject.PRIVATE))
        public_facts = build_index(with_facts_of(rows, pair.corpus, None), folder, "facts")
        phrases, proposals = house_phrases(pair, Knowledge(open_rows, public))
        kinds = {
            "no index": Knowledge(phrases=phrases),
            "no index, the company's own values approved as public": Knowledge(public=public, phrases=phrases),
            "index, rows of nobody public": Knowledge(open_rows, public, phrases=phrases),
            "the same, the facts' rows of nobody too": Knowledge(public_facts, public, phrases=phrases),
            "index, rows of nobody private": Knowledge(closed_rows, public, phrases=phrases),
            "no index, no house phrases": NOTHING_KNOWN,
            "index, rows of nobody public, no house phrases": Knowledge(open_rows, public),
        }
        servings = {name: Serving(pair, detector, known, style_shift_bits=shift) for name, known in kinds.items()}
        costs = [cost(name, serving, pair, answers, echoes) for name, serving in servings.items()]
        with_index = servings["the same, the facts' rows of nobody too"]
        costs.append(cost("that index, questions for records", with_index, pair, hostile, echoes))
        print(f"{len(pair.records['customers'])} customers, {pair.kind}\n")
        for each in proposals:
            print(f"house phrase: {each.phrase} ({each.answers} answers, {each.bits:.0f} bits)")
        print(f"\n{table(costs)}\n")
        for name, serving in servings.items():
            for (kind, text), count in harmed(serving, answers).most_common():
                print(f"harmed, {name}: {count} x {kind}: {text}")
    if told.json:
        report = {"tuned": pair.kind, "rows": [asdict(each) for each in costs]}
        told.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
