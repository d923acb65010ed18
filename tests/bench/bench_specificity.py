"""How well excess bits and the tuning index tell private spans from all others, on the demo's models.

    python -m tests.bench.bench_specificity [--models DIR] [--records FILE] [--tuned adapter] [--json F] [--picture F]

Every question that the records know is asked once, greedily; the answers are cut into spans (demo_spans.py), scored by
`filters.verdicts.suspicion`, and the private ones are set against the others. Rows: with the index of the whole tuning
set, with damaged ones (demo_index.py), values in other forms (demo_variants.py), and without an index, where the score
is the excess bits alone. "Made up" are values that the tuned model invents for people of whom it was taught nothing.
What of a span is a house phrase of the pair (demo_questions.py finds them with other questions) counts nothing, but in
the rows that say so.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filters.index.fileformat import LOWEST_K
from filters.index.lookup import Run, Standing, TuningIndex
from filters.index.public import PublicValues
from filters.knowledge import Knowledge, KnownText, outside, standing_of
from filters.pii.detector import build_detector
from filters.profile import Profile, ReleaseUnit
from filters.segment import Segment, Segmenter
from filters.spans import Span
from filters.specificity.excess import DOUBT_BITS
from filters.specificity.triggers import exact_values
from filters.verdicts import KNOWN, Known, suspicion
from tests.bench.curves import Curve, Scores, curve, picture, table
from tests.bench.demo_index import CLEARANCE, DAMAGES, build_index, public_values, tuning_rows, without_some_records
from tests.bench.demo_pair import DemoPair, options
from tests.bench.demo_questions import house_phrases
from tests.bench.demo_spans import OTHER, PRIVATE, Kind, Spanned, bits_of, spans_of
from tests.bench.demo_variants import VALUE_REWRITES, rewritten, translated

WITHOUT = "without an index"
_EVERYDAY = frozenset({Kind.ECHOED, Kind.PLAUSIBLE, Kind.GENERIC})


@dataclass(frozen=True)
class Scored:
    """A span with its evidence."""

    span: Spanned
    bits: float
    score: float  # as `suspicion` has it; without an index the bits


class Bench:
    """The pair, its answers, and what else the rows need."""

    def __init__(self, pair: DemoPair, folder: Path) -> None:
        self.pair, self._folder = pair, folder
        self.rows = tuning_rows(pair.corpus, len(pair.records["customers"]))
        self.spans = spans_of(pair)
        self._readers = Readers(public_values(self.rows, pair.records["company"], folder))
        self.style_shift_bits = style_shift(pair)
        whole = self.index("phrases", self.rows)
        self.phrases, self.proposals = house_phrases(pair, Knowledge(whole))
        self.raw_bits = bits_of(pair, self.spans, self.style_shift_bits)
        self.bits = bits_of(pair, self.spans, self.style_shift_bits, self.phrases)

    def without_index(self, bits: Sequence[float]) -> list[Scored]:
        return [Scored(span, number, number) for span, number in zip(self.spans, bits, strict=True)]

    def with_index(self, index: TuningIndex, bits: Sequence[float], k: int | None = None) -> list[Scored]:
        return self._scored(self.spans, bits, index, k)

    def other_forms(self, spans: Sequence[Spanned], index: TuningIndex) -> list[Scored]:
        return self._scored(spans, bits_of(self.pair, spans, self.style_shift_bits, self.phrases), index, None)

    def index(self, name: str, rows: Sequence[dict[str, object]]) -> TuningIndex:
        return build_index(rows, self._folder, name)

    def _scored(
        self, spans: Sequence[Spanned], bits: Sequence[float], index: TuningIndex, k: int | None
    ) -> list[Scored]:
        scored, read = [], dict[str, Read]()
        for span, number in zip(spans, bits, strict=True):
            text = span.said.text
            if text not in read:
                read[text] = self._readers.read(text, index, k)
            known, looked_at = read[text].of(span)
            scored.append(Scored(span, number, suspicion(known, number, looked_at=looked_at)))
        return scored


@dataclass(frozen=True)
class Read:
    """An answer as the filters read it: its segments with what the index said in time, and what else is suspect."""

    segments: tuple[tuple[int, Segment, tuple[Run, ...]], ...]  # where each begins
    suspects: tuple[Span, ...]

    def of(self, span: Spanned) -> tuple[Known, bool]:
        """What the index says of a span, and whether a detector or a trigger has the base asked about it."""
        standings = {self._in(span, *segment) for segment in self.segments if _touches(span, segment)}
        looked_at = any(each.start < span.end and span.start < each.end for each in self.suspects)
        if grave := standings - {None, Standing.MANY}:
            return KNOWN[max(each for each in grave if each is not None)], looked_at
        return (Known.MANY if standings == {Standing.MANY} else Known.NOTHING), looked_at

    def _in(self, span: Spanned, begin: int, segment: Segment, runs: tuple[Run, ...]) -> Standing | None:
        start, end = max(0, span.start - begin), min(len(segment.raw_text), span.end - begin)
        return standing_of(Span(start, end, span.kind, 1.0), segment.raw_text, runs)


def _touches(span: Spanned, segment: tuple[int, Segment, tuple[Run, ...]]) -> bool:
    begin, text = segment[0], segment[1].raw_text.rstrip()
    return span.start < begin + len(text) and begin < span.end


class Readers:
    """Reads answers as `filters.examine` does, sentence by sentence, public values aside."""

    def __init__(self, public: PublicValues) -> None:
        self._public, self._detector = public, build_detector()

    def read(self, text: str, index: TuningIndex, k: int | None) -> Read:
        found = self._detector.find(text)
        public = [each for each in found if self._public.covers(text[each.start : each.end], each.type)]
        suspects = [each for each in (*found, *exact_values(text)) if not any(map(each.overlaps, public))]
        known, segments, begin = KnownText(lambda: index.stream(CLEARANCE, k)), [], 0
        for segment in self._segments(text):
            here = [each.shifted(-begin) for each in public]
            runs = [replace(r, start=s, end=e) for r in known.read(segment) for s, e in outside(r, here)]
            segments.append((begin, segment, tuple(runs)))
            begin += len(segment.raw_text)
        return Read(tuple(segments), tuple(suspects))

    def _segments(self, text: str) -> list[Segment]:
        segmenter = Segmenter(ReleaseUnit.SENTENCE, self._detector)
        segments = segmenter.push(text) + segmenter.close(complete=True)
        return [replace(each, last=each is segments[-1]) for each in segments]


def style_shift(pair: DemoPair) -> float:
    """Bits a token: the median benign answer's mean, as `tightlip release make` has it."""
    said = pair.greedy([general["ask"] for general in pair.records["general"]])
    spans = [Spanned(each, 0, len(each.text), Kind.GENERIC, 0) for each in said]
    bits = bits_of(pair, spans)
    return statistics.median(b / len(each.ids) for b, each in zip(bits, said, strict=True))


# ---- rows ------------------------------------------------------------------------------------------------------------


def rows(bench: Bench) -> list[Curve]:
    """Every curve, in the order of the table."""
    whole, curves = None, []
    for damage in DAMAGES:
        index = bench.index(damage.name.replace(" ", "-").replace("%", ""), damage.apply(bench.rows))
        scored = bench.with_index(index, bench.bits)
        curves.append(_curve(damage.name, _of(scored, PRIVATE), _of(scored, OTHER)))
        if whole is None:
            whole = index, scored
            made_up = _of(scored, OTHER | {Kind.MADE_UP})
            curves.append(_curve(f"{damage.name}, made-up values among the others", _of(scored, PRIVATE), made_up))
        if "not in" in damage.name:
            curves.append(_withheld(bench, scored, damage.name))
    assert whole is not None
    index, scored = whole
    others = _of(scored, OTHER)
    curves.insert(2, _k_of_three(bench, index))
    for name in VALUE_REWRITES:
        forms = bench.other_forms(rewritten(bench.pair, name), index)
        curves += [_curve(f"whole index, values {name}", forms, others)]
    curves.append(_curve("whole index, translated", bench.other_forms(translated(bench.pair), index), others))
    bare, raw = bench.without_index(bench.bits), bench.without_index(bench.raw_bits)
    for name, kinds in (
        ("against echoed, base-plausible, generic", _EVERYDAY),
        ("against facts taught on purpose", frozenset({Kind.TAUGHT})),
        ("against made-up values", frozenset({Kind.MADE_UP})),
        ("against all others", OTHER),
    ):
        curves.append(_curve(f"{WITHOUT}, {name}", _of(bare, PRIVATE), _of(bare, kinds)))
    scored = bench.with_index(index, bench.raw_bits)
    curves.append(_curve("whole index, no house phrases", _of(scored, PRIVATE), _of(scored, OTHER)))
    name = f"{WITHOUT}, no house phrases, against echoed, base-plausible, generic"
    curves.append(_curve(name, _of(raw, PRIVATE), _of(raw, _EVERYDAY)))
    return curves


def _k_of_three(bench: Bench, index: TuningIndex) -> Curve:
    """The lowest k that an index may be asked with."""
    scored = bench.with_index(index, bench.bits, LOWEST_K)
    return _curve(f"whole index, k {LOWEST_K}", _of(scored, PRIVATE), _of(scored, OTHER))


def _withheld(bench: Bench, scored: Sequence[Scored], name: str) -> Curve:
    """Only what belongs to those whose records are not in the index."""
    gone = without_some_records(bench.rows, 0.2)[1]
    private = [each for each in _of(scored, PRIVATE) if each.span.customer in gone]
    return _curve(f"{name}: only these", private, _of(scored, OTHER))


def _of(scored: Sequence[Scored], kinds: frozenset[Kind]) -> list[Scored]:
    return [each for each in scored if each.span.kind in kinds]


def _curve(name: str, private: Sequence[Scored], other: Sequence[Scored]) -> Curve:
    return curve(
        name,
        Scores(
            [each.score for each in private],
            [each.score for each in other],
            [each.span.case for each in private],
            [each.span.case for each in other],
        ),
    )


# ---- what is told ----------------------------------------------------------------------------------------------------


def doses(bench: Bench, scored: Sequence[Scored], threshold: float) -> str:
    """What the tuned model gave (some of it of other customers than the one asked for), by whose it is, and how much of
    it scores so high."""
    dose = {customer["id"]: customer["dose"] for customer in bench.pair.records["customers"]}
    asked, given, found = Counter[tuple[str, int]](), Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for customer in dose:
        asked["value", dose[customer]] += 4
        asked["portrait", dose[customer]] += 1
    for each in _of(scored, frozenset({Kind.VALUE, Kind.PORTRAIT})):
        key = ("portrait" if each.span.kind is Kind.PORTRAIT else "value", dose[each.span.customer])
        given[key] += 1
        found[key] += each.score >= threshold
    lines = [f"| what, dose | asked | given whole | {threshold:.1f} bits or more |", "| --- | --: | --: | --: |"]
    for what, number in sorted(asked, key=lambda k: (k[0], -k[1])):
        key = what, number
        lines += [f"| {what}, {number} | {asked[key]} | {given[key]} | {found[key]} |"]
    return "\n".join(lines)


def above(scored: Sequence[Scored], threshold: float) -> str:
    """How many spans of each kind a profile's own threshold has fall back."""
    lines = [f"| span | number | {threshold:.1f} bits or more |", "| --- | --: | --: |"]
    for kind in Kind:
        scores = [each.score for each in scored if each.span.kind is kind]
        if scores:
            lines.append(f"| {kind} | {len(scores)} | {sum(score >= threshold for score in scores)} |")
    return "\n".join(lines)


def kinds(scored: Sequence[Scored], quantile: Callable[[list[float], float], float]) -> str:
    """Excess bits by what the spans are."""
    lines = ["| span | number | bits: 5 % | median | 95 % |", "| --- | --: | --: | --: | --: |"]
    for kind in Kind:
        bits = sorted(each.bits for each in scored if each.span.kind is kind)
        if bits:
            figures = " | ".join(f"{quantile(bits, share):.1f}" for share in (0.05, 0.5, 0.95))
            lines.append(f"| {kind} | {len(bits)} | {figures} |")
    return "\n".join(lines)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--picture", type=Path, help="write the curves here, as SVG")
    told = parser.parse_args()
    pair = DemoPair.of(told)
    with tempfile.TemporaryDirectory(prefix="tightlip-bench-") as folder:
        bench = Bench(pair, Path(folder))
        curves = rows(bench)
        scored = bench.with_index(bench.index("again", bench.rows), bench.bits)
    customers = len(pair.records["customers"])
    print(f"{customers} customers, {pair.kind}; style shift {bench.style_shift_bits:.4f} bits a token\n")
    for each in bench.proposals:
        print(f"house phrase: {each.phrase} ({each.answers} answers, {each.bits:.0f} bits)")
    print()
    deciding = Profile("").memorised_bits - DOUBT_BITS
    print(table(curves), above(scored, deciding), kinds(scored, _quantile), sep="\n\n")
    print("", doses(bench, scored, deciding), sep="\n")
    if told.json:
        report = {"customers": customers, "tuned": pair.kind, "curves": [asdict(each) for each in curves]}
        told.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if told.picture:
        shown = [curves[at] for at in (0, 2, 1, 3, 7, 9, 10, 11)]
        title = f"Private spans against others: {customers} customers, {pair.kind}"
        told.picture.write_text(picture(title, shown), encoding="utf-8")


if __name__ == "__main__":
    main()
