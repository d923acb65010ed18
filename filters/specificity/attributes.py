"""Finds what is said of persons that narrows down who they are: spans with the trait that they state.

A trait is found by a pattern (attribute_rules.py) or by a word of the tables (a job, an illness, a place). The words
count only where a person is spoken of: "nurse" alone says nothing of anybody. Which person it is, is not asked here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from filters.normalise import normalise
from filters.pii.view import View, scan, search
from filters.specificity.attribute_rules import (
    DIGIT,
    DISTRICT_BEHIND_PLACE,
    EMPLOYER_BEHIND_JOB,
    HOME_BEFORE,
    HOME_BEHIND,
    LABELLED,
    RULES,
    Rule,
)
from filters.specificity.crowd_tables import Crowds, Kind, Trait, TraitPath
from filters.specificity.lexicon import Hit, Lexicon
from filters.specificity.persons import has_title, hits
from filters.specificity.wordings import NOTHING

_LISTED = (Kind.JOB, Kind.ILLNESS, Kind.ETHNICITY, Kind.EDUCATION, Kind.CHILDREN, Kind.MARITAL, Kind.GENDER)
_ARTICLE = regex.compile(
    r"\b(?:an?|the|our) (?:(?!(?:of|and|or|who|that|is|was|as|for|with|to|by|in|at|on|from) )[a-z-]+ ){0,2}$"
)
_ARTICLE_REACH = 40
_SHORT_NAME = 3  # "US" is a country, "us" is not
_PLACE_BEFORE = regex.compile(r"\b(?:in|from|of|near|to|at) $")
_HOME_REACH = 64
_BESIDE = 24
_UNLISTED = "~"


@dataclass(frozen=True, slots=True)
class Attribute:
    """`text[start:end]` states `trait` of a person."""

    start: int
    end: int
    trait: Trait


@dataclass(frozen=True, slots=True)
class _Clue:
    """What a word of the lexicon may be: the gate of some rules, a value of some kinds."""

    rules: tuple[Rule, ...] = ()
    values: tuple[Trait, ...] = ()


class AttributeFinder:
    """Finds attributes with the words of one set of tables. Holds no state."""

    def __init__(self, crowds: Crowds) -> None:
        self.crowds = crowds
        self._lexicon = Lexicon(_clues(crowds))
        listed = [(kind, word, path) for kind in _LISTED for word, path in crowds.words(kind)]
        self._paths = {(kind, word): path for kind, word, path in listed}
        self._general = _general_wordings(crowds)
        self._digit_rules = tuple(rule for rule in RULES if DIGIT in rule.gates)

    def find(self, raw_text: str, *, names: bool = False) -> list[Attribute]:
        """Attributes in offsets of `raw_text`, sorted, none overlapping. Raises DetectorError.

        `names`: a name model found a person in the text, so that the tables' words count. Linear in the text's length.
        """
        plain = normalise(raw_text)
        view = View(plain.text)
        clues = list(self._lexicon.find(view.lower))
        stated = [found for rule in self._open_rules(view, clues) for found in self._by_rule(rule, view.text)]
        worded = [hit for hit in clues if hit.entry.values]
        if worded and (names or stated or _tells_of_anybody(view, worded)):
            for hit in worded:
                stated += self._by_word(view, hit, stated)
        return [
            Attribute(*plain.raw_span(found.start, found.end), found.trait)
            for found in _apart(stated)
            if found.trait.path
        ]

    def _open_rules(self, view: View, clues: Sequence[Hit[_Clue]]) -> list[Rule]:
        rules = dict.fromkeys(rule for hit in clues for rule in hit.entry.rules)
        if view.digits:
            rules |= dict.fromkeys(self._digit_rules)
        if ":" in view.text or "：" in view.text or "=" in view.text:
            rules |= dict.fromkeys(LABELLED)
        return list(rules)

    def _by_rule(self, rule: Rule, text: str) -> Iterator[Attribute]:
        for match in scan(rule.pattern, text):
            path = self._path(rule, match)
            if path:
                yield _stated(match, Trait(rule.kind, path))

    def _path(self, rule: Rule, match: Any) -> TraitPath | None:
        general = self._general.get((rule.kind, match["v"].lower()))
        if general is not None:
            return general
        written = _number(match) or match["v"]
        if rule.read is not None:
            return rule.read(written)
        return self._path_of_word(rule.kind, written)

    def _path_of_word(self, kind: Kind, written: str) -> TraitPath:
        """The tables' path of what a pattern found, else one of its own, to which the default share belongs."""
        word = written.strip().lower()
        if kind is Kind.PLACE:
            place = self.crowds.places.get(word) or self.crowds.places.get(word.rstrip("市省"))
            return place or (_UNLISTED + word,)
        bare = regex.sub(r"^(?:an?|the|our|their) ", "", word)
        return self._paths.get((kind, word)) or self._paths.get((kind, bare)) or self.crowds.unlisted(kind, bare)

    def _by_word(self, view: View, hit: Hit[_Clue], stated: Sequence[Attribute]) -> list[Attribute]:
        return [found for trait in hit.entry.values for found in self._by_value(view, hit, trait, stated)]

    def _by_value(self, view: View, hit: Hit[_Clue], trait: Trait, stated: Sequence[Attribute]) -> Iterator[Attribute]:
        if trait.kind is Kind.PLACE:
            if _is_home(view.text, hit, stated):
                yield from self._place(view, hit, trait)
        elif trait.kind is Kind.JOB:
            yield from self._job(view.text, hit, trait)
        else:
            yield Attribute(hit.start, hit.end, trait)

    def _place(self, view: View, hit: Hit[_Clue], trait: Trait) -> Iterator[Attribute]:
        written = view.text[hit.start : hit.end]
        small = written == written.lower() and written.isascii()
        if small and (len(written) <= _SHORT_NAME or not _PLACE_BEFORE.search(view.lower[: hit.start][-6:])):
            return
        yield Attribute(hit.start, hit.end, trait)
        district = DISTRICT_BEHIND_PLACE.match(view.text, hit.end)
        if district and not written.isascii():
            yield _stated(district, Trait(Kind.PLACE, (_UNLISTED + district["v"],)))

    def _job(self, text: str, hit: Hit[_Clue], trait: Trait) -> Iterator[Attribute]:
        """With the article before it, so that what stands in for it reads well."""
        before = text[max(0, hit.start - _ARTICLE_REACH) : hit.start]
        article = _ARTICLE.search(before)
        start = hit.start - len(before) + article.start() if article else hit.start
        yield Attribute(start, hit.end, trait)
        employer = EMPLOYER_BEHIND_JOB.match(text, hit.end)
        if employer and employer["v"].lower() not in self.crowds.places:
            yield _stated(employer, Trait(Kind.EMPLOYER, (employer["v"].lower(),)))


def _tells_of_anybody(view: View, worded: Sequence[Hit[_Clue]]) -> bool:
    """Whether a person is spoken of otherwise than by a word for a job: "the manager approves refunds" tells of none.
    Raises DetectorError."""
    jobs = {hit.start for hit in worded if any(trait.kind is Kind.JOB for trait in hit.entry.values)}
    return has_title(view.text) or any(hit.start not in jobs for hit in hits(view.lower))


def _general_wordings(crowds: Crowds) -> dict[tuple[Kind, str], TraitPath]:
    """What stands for a trait in an earlier answer says what it says, and no more."""
    found: dict[tuple[Kind, str], TraitPath] = {
        (kind, said.lower()): () for kind, wordings in NOTHING.items() for said in wordings
    }
    words = ((kind, word, path) for kind in _LISTED for word, path in crowds.words(kind))
    return found | {(kind, word): path for kind, word, path in words if crowds.group(kind, path[-1])}


def _is_home(text: str, hit: Hit[_Clue], stated: Sequence[Attribute]) -> bool:
    """Whether a place is where somebody belongs: behind a word for that, or right behind another trait."""
    before = text[max(0, hit.start - _HOME_REACH) : hit.start]
    if search(HOME_BEFORE, before) or HOME_BEHIND.match(text, hit.end):
        return True
    return any(0 <= hit.start - each.end <= _BESIDE for each in stated)


def _stated(match: Any, trait: Trait) -> Attribute:
    start, end = match.span("v")
    return Attribute(start, end, trait)


def _number(match: Any) -> str:
    return match.groupdict().get("n") or ""


def _clues(crowds: Crowds) -> dict[str, _Clue]:
    rules: dict[str, tuple[Rule, ...]] = {}
    for rule in RULES:
        for gate in rule.gates:
            if gate != DIGIT:
                rules[gate] = (*rules.get(gate, ()), rule)
    values: dict[str, tuple[Trait, ...]] = {}
    for kind in _LISTED:
        for word, path in crowds.words(kind):
            values[word] = (*values.get(word, ()), Trait(kind, path))
    for word, path in crowds.places.items():
        values[word] = (*values.get(word, ()), Trait(Kind.PLACE, path))
    return {word: _Clue(rules.get(word, ()), values.get(word, ())) for word in rules.keys() | values.keys()}


def _apart(found: Sequence[Attribute]) -> list[Attribute]:
    """Of those that overlap the listed before the unlisted, the longer before the shorter."""
    kept: list[Attribute] = []  # sorted
    for attribute in sorted(set(found), key=_weight):
        at = bisect_left(kept, attribute.start, key=_start)
        if (at == 0 or kept[at - 1].end <= attribute.start) and (at == len(kept) or attribute.end <= kept[at].start):
            kept.insert(at, attribute)
    return kept


def _start(attribute: Attribute) -> int:
    return attribute.start


def _weight(attribute: Attribute) -> tuple[bool, int, int, str, TraitPath]:
    trait = attribute.trait
    unlisted = trait.path[:1] and trait.path[0].startswith(_UNLISTED)
    return (bool(unlisted), attribute.start - attribute.end, attribute.start, trait.kind, trait.path)
