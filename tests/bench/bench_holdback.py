"""How long prose is held back, and what the filters cost as an answer grows.

    python -m tests.bench.bench_holdback [--json FILE] [--growth]

Hold-back of a character: the tokens that came after its own before it was decided, at one token a chunk. The prose is
prose_en.txt and prose_zh.txt beside this file, the tokens are the demo tokenizer's. It has 2,048 pieces, so that its
tokens are shorter than a large model's (the table says how many characters they have); the same is therefore given in
characters.

The CPU column is the whole pipeline's on that prose, in microseconds a token, with nobody to ask (`compare: false`).
Growth: microseconds a character of answers from 1,000 to 100,000 characters, four characters a chunk, patterns only.
"""

from __future__ import annotations

import argparse
import codecs
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from filters.events import Channel, Ending, Field, RawText
from filters.grounding import RequestGrounds
from filters.pii.detector import detector_of
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit
from filters.spans import Span
from gateway.upstream.vocabulary import TokenizerVocabulary

FOLDER = Path(__file__).parent
MODEL = FOLDER.parents[1] / "deploy/demo/models/base"
PROSE = {"English": "prose_en.txt", "Chinese": "prose_zh.txt"}
ASKED = {0.5: 12, 0.99: 48}  # tokens, of clause release
LENGTHS = (1_000, 3_000, 10_000, 30_000, 100_000)
CHUNK = 4
ANSWERS = 20  # of the shorter lengths, from different parts of the longest
_CHANNEL = Channel(0, Field.CONTENT)
_GROUNDS = RequestGrounds(frozenset())


def profile(release: ReleaseUnit = ReleaseUnit.CLAUSE, *, names: bool = False) -> Profile:
    return Profile("bench", compare=False, evidence=False, release=release, names=names)


class Feed:
    """A pipeline of one answer that counts the characters it has decided."""

    def __init__(self, rules: Profile) -> None:
        self.decided = 0
        self._pipeline = Pipeline(rules, RequestEvidence(_GROUNDS), detector_of(rules), watch=self._watch)

    def push(self, raw_text: str) -> None:
        self._pipeline.feed([RawText(_CHANNEL, raw_text)])

    def close(self) -> None:
        self._pipeline.finish(0, Ending.STOP)

    def _watch(self, raw_text: str, hidden: Sequence[Span]) -> None:
        self.decided += len(raw_text)


# ---- hold-back -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HoldBack:
    language: str
    release: str
    names: bool
    tokens: int
    characters_a_token: float
    median_tokens: float
    p99_tokens: float
    largest_tokens: float
    median_characters: float
    p99_characters: float
    cpu_us_a_token: float


def deltas(text: str) -> list[str]:
    """What each token of the text adds, as an engine sends it: a character comes with its last byte."""
    ids = Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    vocabulary = TokenizerVocabulary(MODEL)
    decoder = codecs.getincrementaldecoder("utf-8")()
    told = [decoder.decode(vocabulary.spell(token)) for token in ids]
    if "".join(told) != text:
        raise ValueError("the tokens do not spell the text")
    return told


def measure(language: str, release: ReleaseUnit, *, names: bool) -> HoldBack:
    text = (FOLDER / PROSE[language]).read_text(encoding="utf-8")
    told = deltas(text)
    rules = profile(release, names=names)
    tokens, characters = _waits(Feed(rules), told)
    return HoldBack(
        language,
        release.value,
        names,
        len(told),
        len(text) / len(told),
        statistics.median(tokens),
        _quantile(tokens, 0.99),
        max(tokens),
        statistics.median(characters),
        _quantile(characters, 0.99),
        min(_cpu_us(rules, told) for _ in range(3)) / len(told),
    )


def _waits(feed: Feed, told: Sequence[str]) -> tuple[list[int], list[int]]:
    """Of every character: the tokens, and the characters, that came after its own token before it was decided."""
    came: list[tuple[int, int]] = []  # by character: its token, and the characters up to that token's end
    tokens: list[int] = []
    characters: list[int] = []
    seen = 0
    for at, delta in enumerate([*told, None]):
        if delta is None:
            feed.close()
        else:
            seen += len(delta)
            came += [(at, seen)] * len(delta)
            feed.push(delta)
        now = min(at, len(told) - 1)
        for token, so_far in came[len(tokens) : feed.decided]:
            tokens.append(now - token)
            characters.append(seen - so_far)
    return tokens, characters


def _quantile(values: Sequence[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _cpu_us(rules: Profile, told: Sequence[str]) -> float:
    feed = Feed(rules)
    began = time.process_time_ns()
    for delta in told:
        feed.push(delta)
    feed.close()
    return (time.process_time_ns() - began) / 1000


# ---- growth ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Growth:
    text: str
    us_a_character: dict[int, float]  # by the answer's length in characters
    ratio: float  # the longest answer's to the shortest's


def kinds_of_text() -> dict[str, Callable[[int], str]]:
    """By name: a text of a length, in which nothing that is long comes twice the same way where it matters."""
    english = (FOLDER / PROSE["English"]).read_text(encoding="utf-8")
    chinese = (FOLDER / PROSE["Chinese"]).read_text(encoding="utf-8")
    return {
        "English prose": lambda n: _repeated(english, n),
        "Chinese prose": lambda n: _repeated(chinese, n),
        "dense values": lambda n: _joined(_values(), n),
        "one character a line": lambda n: _repeated("\n".join(english.replace("\n", "")), n),
        "no spaces": lambda n: _repeated("".join(filter(str.isalnum, english)), n),
        "JSON as prose": lambda n: _joined(_records(), n),
        "digits apart": lambda n: _joined((f"The next one is {i * 7 % 10}, and then " for i in range(10**9)), n),
        "words without stops": lambda n: _repeated("".join(c for c in english if c.isalpha() or c == " "), n),
    }


def _repeated(text: str, length: int) -> str:
    return (text * (length // len(text) + 1))[:length]


def _joined(parts: Iterator[str], length: int) -> str:
    text = ""
    while len(text) < length:
        text += next(parts)
    return text[:length]


def _values() -> Iterator[str]:
    """All different, so that what an answer has hidden grows with it."""
    for i in range(10**9):
        yield f"Write to vexlo.{i}@example.com or call +1 415 555 {i % 10_000:04}; "
        yield f"她的手机号是138{i % 10**8:08}，账号 {622848_0000_0000_000 + i}。"


def _records() -> Iterator[str]:
    for i in range(10**9):
        yield f'{{"id": {i}, "name": "item {i}", "tags": ["a", "b{i}"], "price": {i % 97}.50, "note": null}},\n'


def grow(name: str, make: Callable[[int], str]) -> Growth:
    rules, text = profile(), make(LENGTHS[-1])
    costs = {length: _cost(rules, text, length) for length in LENGTHS}
    return Growth(name, costs, costs[LENGTHS[-1]] / costs[LENGTHS[0]])


def _cost(rules: Profile, text: str, length: int) -> float:
    """Over answers of this length from all parts of the same text, so that only the length differs."""
    number = min(len(text) // length, ANSWERS)
    step = len(text) // number
    answers = [text[at : at + length] for at in range(0, number * step, step)]
    total = sum(_cpu_us(rules, [text[at : at + CHUNK] for at in range(0, length, CHUNK)]) for text in answers)
    return total / (number * length)


# ---- the table -------------------------------------------------------------------------------------------------------


def main() -> None:
    options = _options()
    held = [
        measure(language, release, names=names)
        for language in PROSE
        for release in ReleaseUnit
        for names in (False, True)
    ]
    _print_holdback(held)
    grown = [grow(name, make) for name, make in kinds_of_text().items()] if options.growth else []
    _print_growth(grown)
    if options.json:
        rows: dict[str, Any] = {"hold_back": list(map(asdict, held)), "growth": list(map(asdict, grown))}
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold-back over prose, and growth with the answer's length.")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--growth", action="store_true", help="measure growth from 1,000 to 100,000 characters as well")
    return parser.parse_args()


def _print_holdback(rows: Sequence[HoldBack]) -> None:
    print(f"asked of clause release: at most {ASKED[0.5]} tokens at the median, {ASKED[0.99]} at p99")
    print(
        f"{'':30}{'tokens:':>8}{'median':>8}{'p99':>6}{'most':>6}{'characters:':>13}{'median':>8}{'p99':>6}{'us/token':>10}"
    )
    for row in rows:
        name = f"{row.language}, {row.release}{', names' if row.names else ''}"
        print(
            f"{name:30}{row.tokens:>8}{row.median_tokens:>8.0f}{row.p99_tokens:>6.0f}{row.largest_tokens:>6.0f}"
            f"{row.characters_a_token:>13.2f}{row.median_characters:>8.0f}{row.p99_characters:>6.0f}"
            f"{row.cpu_us_a_token:>10.1f}"
        )


def _print_growth(rows: Sequence[Growth]) -> None:
    if not rows:
        return
    print(f"\n{'us a character, answer of':26}" + "".join(f"{length:>10,}" for length in LENGTHS) + f"{'ratio':>8}")
    for row in rows:
        costs = "".join(f"{row.us_a_character[length]:>10.2f}" for length in LENGTHS)
        print(f"{row.text:26}{costs}{row.ratio:>8.2f}")


if __name__ == "__main__":
    main()
