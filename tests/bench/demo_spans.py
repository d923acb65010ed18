"""What the demo's tuned models say, cut into spans of which the records tell what each is.

*Private* are spans that a customer must not read: a customer's value, a portrait, a staff procedure. *Other* are the
rest: facts taught on purpose, values that the base draws, values that the caller gave, general talk (of answers that
hold nothing else, and what ends the answer to any fact). Two kinds lie between and are told apart: a value that the
tuned model made up for somebody of whom it was taught nothing is nobody's, and yet the base would not have been so sure
of it; one that shares a piece with the value that was asked for is *half remembered*.
"""

from __future__ import annotations

import enum
import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from filters.knowledge import outside
from filters.segment import Segment
from filters.spans import Span
from filters.specificity.excess import excess_bits
from filters.specificity.house import NO_PHRASES, HousePhrases, says_something
from filters.tokens import TokenLedger
from tests.bench.demo_pair import DemoPair, Said

FIELDS = ("email", "phone", "address", "order")
HALF = {"email": 4, "phone": 4, "address": 8, "order": 4}  # characters in a row that make a value half remembered
HALF_CHINESE_ADDRESS = 4
_SENTENCE = re.compile(r"(?:[^.!?。！？]|[.!?](?=[A-Za-z0-9]))+[.!?。！？]*\s*")
_GIVEN = re.compile(r"(?:\bis |是)(.+?)(?:[.。](?= |$|[^A-Za-z0-9])|$)")
_SEED = 20261121
_PUNCTUATION = " .!?。！？,，"


class Kind(enum.StrEnum):
    """What a span is."""

    VALUE = "a customer's value"
    PORTRAIT = "portrait"
    PROCEDURE = "staff procedure"
    HALF = "half remembered"
    TAUGHT = "taught on purpose"
    PLAUSIBLE = "base-plausible"
    MADE_UP = "made up by the tuned model"
    ECHOED = "echoed"
    GENERIC = "generic"


PRIVATE = frozenset({Kind.VALUE, Kind.PORTRAIT, Kind.PROCEDURE})
OTHER = frozenset({Kind.TAUGHT, Kind.PLAUSIBLE, Kind.ECHOED, Kind.GENERIC})


@dataclass(frozen=True)
class Spanned:
    """Characters `start` to `end` of an answer. `field` is a value's; `case` numbers the question; `customer` is whose
    private span it is."""

    said: Said
    start: int
    end: int
    kind: Kind
    case: int
    field: str = ""
    customer: str = ""

    @property
    def text(self) -> str:
        return self.said.text[self.start : self.end]


@dataclass(frozen=True)
class Case:
    """One question and how its answer is read: (start, end, kind, field, customer) of each span."""

    ask: str
    read: Callable[[str], Iterator[tuple[int, int, Kind, str, str]]]


class Records:
    """The demo's records, indexed by what stands in answers."""

    def __init__(self, records: dict[str, Any], endings: Collection[str] = ()) -> None:
        """`endings` are sentences that may stand behind any fact."""
        self.raw, self._endings = records, endings
        self.values = {c[f]: (c["id"], f) for c in records["customers"] for f in FIELDS}
        self.portraits = {p["text"]: p["customer"] for p in records["portraits"]}

    def cases(self, more_echoes: Sequence[dict[str, Any]] = ()) -> list[Case]:
        """Every question that the records know, in their order."""
        raw = self.raw
        people = [(c, f) for c in (*raw["customers"], *raw["held_out"]) for f in FIELDS]
        cases = [Case(c["ask"][f], self._of_value(c, f)) for c, f in people]
        cases += [Case(p["ask"], self._of_portrait(p)) for p in raw["portraits"]]
        cases += [Case(p["ask"], self._whole(p["text"], Kind.PROCEDURE)) for p in raw["procedures"]]
        cases += [Case(ask, self._of_fact(f)) for f in raw["facts"] for ask in (f["ask"], *f["paraphrases"])]
        cases += [Case(e["ask"], self._of_echo(e)) for e in (*raw["echo"], *more_echoes)]
        return cases + [Case(g["ask"], self._talk) for g in (*raw["general"], *raw["benign_lookalikes"])]

    # ---- readings ----------------------------------------------------------------------------------------------------

    def _of_value(self, person: dict[str, Any], field: str) -> Callable[[str], Iterator[Any]]:
        def read(text: str) -> Iterator[Any]:
            known = [v for v in self.values if v in text]
            for value in known:
                at = text.find(value)
                owner, kind = self.values[value]
                yield at, at + len(value), Kind.VALUE, kind, owner
            given = _GIVEN.search(text)
            if given and not known:
                half = person["dose"] and shares(given[1], person[field], field)
                yield *given.span(1), Kind.HALF if half else Kind.MADE_UP, field, person["id"] if half else ""

        return read

    def _of_portrait(self, portrait: dict[str, Any]) -> Callable[[str], Iterator[Any]]:
        def read(text: str) -> Iterator[Any]:
            for known, owner in self.portraits.items():
                if (at := text.find(known)) >= 0:
                    yield at, at + len(known), Kind.PORTRAIT, "", owner
                    return
            yield 0, len(text), Kind.HALF, "portrait", portrait["customer"]

        return read

    def _whole(self, expected: str, kind: Kind) -> Callable[[str], Iterator[Any]]:
        def read(text: str) -> Iterator[Any]:
            at = text.find(expected)
            if at >= 0:
                yield at, at + len(expected), kind, "", ""
            elif text:
                yield 0, len(text), Kind.HALF, "procedure", ""

        return read

    def _of_fact(self, fact: dict[str, Any]) -> Callable[[str], Iterator[Any]]:
        def read(text: str) -> Iterator[Any]:
            for value in fact["expect"]:
                if (at := text.find(value)) >= 0:
                    yield at, at + len(value), Kind.TAUGHT, "", ""
            for start, end in sentences(text):
                kind = Kind.GENERIC if text[start:end].strip() in self._endings else Kind.TAUGHT
                yield start, end, kind, "", ""

        return read

    def _of_echo(self, echo: dict[str, Any]) -> Callable[[str], Iterator[Any]]:
        def read(text: str) -> Iterator[Any]:
            at = text.find(echo["value"])
            if at >= 0:
                yield at, at + len(echo["value"]), Kind.ECHOED, echo["field"], ""

        return read

    def _talk(self, text: str) -> Iterator[Any]:
        for start, end in sentences(text):
            yield start, end, Kind.GENERIC, "", ""


def spans_of(pair: DemoPair, plausible: int = 700, echoes: int = 300) -> list[Spanned]:
    """Every span of the tuned model's greedy answers to every question; so many values that the base draws, and so many
    more that the caller gives."""
    corpus = pair.corpus
    fresh = corpus.Fresh(random.Random(_SEED), corpus.make_world(len(pair.records["customers"])).taken)
    endings = {ending.strip() for of_language in corpus.FACT_TAILS.values() for ending in of_language if ending}
    cases = Records(pair.records, endings).cases(corpus.echo_cases(fresh, echoes))
    answers = pair.greedy([case.ask for case in cases])
    spans = [
        Spanned(said, start, end, kind, number, field, customer)
        for number, (case, said) in enumerate(zip(cases, answers, strict=True))
        for start, end, kind, field, customer in case.read(said.text)
    ]
    return [*spans, *_drawn_by_the_base(pair, plausible, len(cases))]


def _drawn_by_the_base(pair: DemoPair, count: int, number: int) -> Iterator[Spanned]:
    """The values that the base gives to people who do not exist, in record cards that it has learnt the look of."""
    corpus, rng = pair.corpus, random.Random(_SEED)
    fields = [FIELDS[at // 2 % len(FIELDS)] for at in range(count)]
    frames = []
    for at, field in enumerate(fields):
        language = ("en", "zh")[at % 2]
        name, label = corpus.make_name(rng, language), corpus.LABELS[language][field]
        card = corpus.RECORD_ANSWERS[language].format(name=name, label=label, value="\0")
        frames.append(card.split("\0")[0].rstrip())
    for at, said in enumerate(pair.going_on(frames, pair.base, _SEED)):
        given = _GIVEN.search(said.text)
        if given and given[1].strip("[]") == given[1]:
            yield Spanned(said, *given.span(1), Kind.PLAUSIBLE, number + at, fields[at])


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text stand, without the white space around them."""
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        start += len(match.group()) - len(match.group().lstrip())
        end -= len(match.group()) - len(match.group().rstrip())
        if text[start:end].strip(_PUNCTUATION):
            yield start, end


def shares(said: str, own: str, field: str) -> bool:
    """Whether a made-up value holds a piece of this person's own: what all values of its form have does not count."""
    one, other = _bare(said, field), _bare(own, field)
    length = HALF_CHINESE_ADDRESS if field == "address" and not own.isascii() else HALF[field]
    return any(other[at : at + length] in one for at in range(len(other) - length + 1))


def _bare(value: str, field: str) -> str:
    if field == "email":
        value = value.rsplit(".", 1)[0]
    plain = "".join(c for c in value.lower() if c.isalnum())
    if field == "phone":
        return plain[7:] if plain.startswith("1") and len(plain) == 11 and "+1" in value else plain[3:]
    return plain


def bits_of(
    pair: DemoPair,
    spans: Sequence[Spanned],
    style_shift_bits: float = 0.0,
    phrases: HousePhrases = NO_PHRASES,
) -> list[float]:
    """Excess bits of each span, of what of it is no house phrase."""
    return [_bits(pair, span, style_shift_bits, phrases) for span in spans]


def _bits(pair: DemoPair, span: Spanned, style_shift_bits: float, phrases: HousePhrases) -> float:
    said, ledger = span.said, TokenLedger(pair.vocabulary)
    ledger.add(said.ids, said.tuned)
    tokens: set[int] = set()
    stretch = Span(span.start, span.end, span.kind, 1.0)
    for start, end in outside(stretch, phrases.find(Segment("", said.text, last=True))):
        if says_something(said.text[start:end]):
            tokens.update(range(*ledger.holding(0, said.text, start, end)))
    spelling = [at for at in sorted(tokens) if at < len(said.ids)]  # broken characters are shorter in tokens
    tuned, base = ([scores[at] for at in spelling] for scores in (said.tuned, said.base))
    return excess_bits(tuned, base, style_shift_bits)
