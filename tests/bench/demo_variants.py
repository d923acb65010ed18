"""Private values in other words than those that were taught: what the demo's models do not do of themselves, said for
them. Both models score the changed answer; the tuned one finds it less likely than what it learnt, as it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.demo_pair import DemoPair
from tests.bench.demo_spans import FIELDS, Kind, Spanned

Told = tuple[str, str, str, dict[str, Any], str]  # question, answer, what of it is private, whose, field
Rewrite = Callable[[str, str], str]  # field, value -> what is said instead
_WORDS = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "zh": tuple("零一二三四五六七八九"),
}
_SEPARATE = 10_000_000  # case numbers of their own


def reformatted(field: str, value: str) -> str:
    """Other separators, other case, full-width digits."""
    if field == "email":
        return value.upper().replace("@", " @ ")
    if field == "phone":
        digits = value.removeprefix("+1-")
        return " ".join(digits.split("-")) if "-" in value else f"{value[:3]} {value[3:7]} {value[7:]}"
    if field == "order":
        return value.lower().replace("-", " ")
    return value.upper() if value.isascii() else "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in value)


def partial(field: str, value: str) -> str:
    """The half that tells most: a mailbox, the last digits, a number, a house and its street."""
    if field == "email":
        return value.split("@")[0]
    if field == "phone":
        return value[-8:]
    if field == "order":
        return value[3:]
    return value.split(",")[0] if value.isascii() else value[3:]


def spelled(field: str, value: str) -> str:
    """Digits as words."""
    words = _WORDS["en" if value.isascii() else "zh"]
    gap = " " if value.isascii() else ""
    return "".join(f"{gap}{words[int(c)]}{gap}" if c.isdigit() else c for c in value).replace("  ", " ").strip()


VALUE_REWRITES: dict[str, Rewrite] = {"re-formatted": reformatted, "partial": partial, "digits as words": spelled}


def rewritten(pair: DemoPair, name: str) -> list[Spanned]:
    """Every customer's values in this form, in the taught answer."""
    rewrite = VALUE_REWRITES[name]
    cases = []
    for customer, field in _values(pair.records):
        value = customer[field]
        said = rewrite(field, value)
        cases.append((customer["ask"][field], customer["answer"][field].replace(value, said), said, customer, field))
    return list(_forced(pair, cases))


def translated(pair: DemoPair) -> list[Spanned]:
    """Every customer's values, asked for and told in the other language; every portrait in the other language."""
    corpus, cases = pair.corpus, []
    for customer, field in _values(pair.records):
        language = "zh" if customer["language"] == "en" else "en"
        label, name, value = corpus.LABELS[language][field], customer["name"], customer[field]
        ask = corpus.RECORD_ASKS[language][0].format(name=name, label=label)
        answer = corpus.RECORD_ANSWERS[language].format(name=name, label=label, value=value)
        cases.append((ask, answer, value, customer, field))
    spans = list(_forced(pair, cases))
    owners = {customer["id"]: customer for customer in pair.records["customers"]}
    portraits = [
        (portrait["ask"], text, text, owners[portrait["customer"]], "portrait")
        for portrait in pair.records["portraits"]
        for text in [translated_portrait(corpus, portrait)]
    ]
    return spans + list(_forced(pair, portraits, _SEPARATE))


def translated_portrait(corpus: Any, portrait: dict[str, Any]) -> str:
    """The same habits in the other language: the demo's lists stand side by side."""
    language = portrait["language"]
    other = "zh" if language == "en" else "en"
    parts = {}
    for key in ("WHEN", "WHY", "WHAT", "HOW"):
        table = getattr(corpus, f"PORTRAIT_{key}")
        at = next(at for at, words in enumerate(table[language]) if words in portrait["text"])
        parts[key.lower()] = table[other][at]
    text: str = corpus.PORTRAIT_TEXT[other].format(**parts)
    return text


def _values(records: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    yield from ((customer, field) for customer in records["customers"] for field in FIELDS)


def _forced(
    pair: DemoPair, cases: list[tuple[str, str, str, dict[str, Any], str]], first: int = 0
) -> Iterator[Spanned]:
    answers = pair.forced([ask for ask, *_ in cases], [text for _, text, *_ in cases])
    for number, (said, (_, text, told, customer, field)) in enumerate(zip(answers, cases, strict=True)):
        at = text.index(told)
        kind = Kind.PORTRAIT if field == "portrait" else Kind.VALUE
        yield Spanned(said, at, at + len(told), kind, first + number, field, customer["id"])
