"""Special categories of personal data, tied to a person: health, religion, politics and the like, English and Chinese.

Rules:

1. A word of a category (special_terms.py) counts only where the same sentence ties it to one person: "she has
   diabetes", "Ms Tamber's overdraft", "the customer is a Buddhist", 该客户患有糖尿病. A disease in general, people in
   the plural and a person who is only imagined ("a customer who has …", "if you have …", 糖尿病患者应…) don't.
2. One person is: he, she, I and theirs; a word for a person with "the", "this", "our", 该, 这位 before it; a relative
   with an owner; a title with a name; words in capitals where a name stands; what a name model found.
3. What a label says is tied by the record that it stands in: "Religion: …", 病史：…; an act only right behind it, since
   a note may be of anything ("Note: the parcel is at the harbour").
4. Whether the person is the caller himself and gave it himself is not asked here (grounding).

The cost: one look at each word (lexicon.py). Only behind a hit do patterns run, over a bounded piece of its sentence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from filters import numerals
from filters.evidence import Detector
from filters.normalise import normalise
from filters.pii.view import View, scan, search
from filters.spans import Span
from filters.specificity.crowd_tables import Kind, shipped_crowds
from filters.specificity.lexicon import Hit, Lexicon
from filters.specificity.persons import sentences
from filters.specificity.special_rules import (
    AS_BEFORE,
    ASKED,
    BARE_ROLE_ZH,
    BEFORE_PERSON,
    BESIDE_BEHIND,
    CHILD_EN,
    CHILD_WORDS,
    CHILD_WORDS_ZH,
    CHILD_ZH,
    ETHNIC_BEHIND_ZH,
    GENERIC,
    GENERIC_ZH,
    HAS,
    HAS_ZH,
    IS,
    IS_ZH,
    LABEL_BEFORE,
    NAME_BEFORE,
    NO_NAMES,
    OBJECT_OF_ACT,
    ONE,
    ONE_BEHIND,
    ONE_ZH,
    OPEN_ACTS,
    OWNER,
    OWNER_BEHIND,
    STRICT_GENERIC_ZH,
    THE,
    THEIRS,
    TOPIC_BEHIND_ZH,
)
from filters.specificity.special_terms import ACT, BESIDE, CHILD, ETHNICITY, HEALTH, KINDS, PERSON, TOPIC, terms

__all__ = ["KINDS", "SpecialCategories"]

SCORE = 1.0  # where a name and a category overlap ("a Labour Party member") the category decides
NAME = "PERSON"
_REACH = 160  # characters of a sentence before a word that are read; longer ones are seldom one statement
_CHILD_UNDER = 14  # PIPL Art. 28
_NEAR = 12  # characters before a word that tell its language
_LAST_LATIN = "\u024f"
_LABEL_ENDS = tuple(":：=\"'*")


class SpecialCategories:
    """Fulfils `filters.evidence.Detector`: spans of the types in KINDS."""

    def __init__(self, names: Detector | None = None) -> None:
        """`names` finds PERSON spans; it is asked only about sentences that hold a word of a category and no person."""
        self._names = names
        self._lexicon = Lexicon(_entries())

    def find(self, raw_text: str) -> list[Span]:
        """Spans in offsets of `raw_text`, sorted. Raises DetectorError."""
        plain = normalise(raw_text)
        view = View(plain.text)
        hits = list(self._lexicon.find(view.lower))
        if not hits:
            return []
        found = set(self._in_sentences(view, hits))
        return sorted(Span(*plain.raw_span(start, end), kind, SCORE) for start, end, kind in found)

    def _in_sentences(self, view: View, hits: Sequence[Hit[_Tie]]) -> Iterator[tuple[int, int, str]]:
        starts = [hit.start for hit in hits]
        for start, end in sentences(view.text):
            inside = hits[bisect_left(starts, start) : bisect_left(starts, end)]
            if inside:
                yield from self._in_sentence(view, start, end, inside)

    def _in_sentence(
        self, view: View, start: int, end: int, hits: Sequence[Hit[_Tie]]
    ) -> Iterator[tuple[int, int, str]]:
        sentence = _Sentence(view, start, end, self._names)
        for hit in hits:
            if hit.entry != _MAY_TELL_A_CHILD and sentence.ties(hit):
                yield (*_extent(view.text, hit, end), hit.entry[0])
        if any(hit.entry == _MAY_TELL_A_CHILD for hit in hits):
            yield from ((start + at, start + to, CHILD) for at, to in sentence.children())


_Tie = tuple[str, str]
_MAY_TELL_A_CHILD: _Tie = (CHILD, "gate")


class _Sentence:
    """One sentence, and whether it ties a word in it to a person."""

    def __init__(self, view: View, start: int, end: int, names: Detector | None) -> None:
        self._start = start
        self._text, self._lower = view.text[start:end], view.lower[start:end]
        self._names = names

    def ties(self, hit: Hit[_Tie]) -> bool:
        at, end = hit.start - self._start, hit.end - self._start
        before, after = self._lower[max(0, at - _REACH) : at], self._lower[end : end + _REACH]
        if search(LABEL_BEFORE, before) and (
            hit.entry[1] not in (ACT, BESIDE) or before.rstrip().endswith(_LABEL_ENDS)
        ):
            return True
        if self._lower[at] <= _LAST_LATIN and _is_english(before):
            return self._ties_english(hit.entry, before, after, at, end)
        return self._ties_chinese(hit.entry, before, self._lower[at:end], after)

    # ---- English -----------------------------------------------------------------------------------------------------

    def _ties_english(self, tie: _Tie, before: str, after: str, at: int, end: int) -> bool:
        category, how = tie
        if how in (TOPIC, PERSON) and search(OWNER, before) and not search(GENERIC, before[-40:]):
            return True
        if how == BESIDE:
            return BESIDE_BEHIND[category].match(self._text, end) is not None and self._is_one(before, at)
        if how == ACT:
            return self._is_one(before, at)
        if how == PERSON and search(AS_BEFORE, before) and ONE_BEHIND.match(after):
            return True
        if how == PERSON and search(ASKED, before):
            return True
        if how == TOPIC and OWNER_BEHIND.match(after):
            return True
        if how == TOPIC:
            verb = _last(HAS[category], before)
            return verb is not None and self._is_one(before[:verb], at - len(before) + verb)
        if search(THE, before) and BEFORE_PERSON.match(after):
            return True
        verb = _last(IS, before)
        return verb is not None and self._is_one(before[:verb], at - len(before) + verb)

    def _is_one(self, before: str, at: int) -> bool:
        """Whether what stands before `at` speaks of one person, and not after that of people in general."""
        ones = [match.end() for match in scan(ONE, before)]
        if ones:
            return search(GENERIC, before[ones[-1] :]) is None
        name = search(NAME_BEFORE, self._text[max(0, at - len(before)) : at])
        if name and name["n"].split()[0].lower() not in NO_NAMES:
            return True
        return self._has_name(at)

    def _has_name(self, at: int) -> bool:
        if self._names is None:
            return False
        return any(span.type == NAME and span.start < at for span in self._names.find(self._text))

    # ---- Chinese -----------------------------------------------------------------------------------------------------

    def _ties_chinese(self, tie: _Tie, before: str, word: str, after: str) -> bool:
        category, how = tie
        one = self._one_in_chinese(before, word, after)
        if one is None:
            return False
        rest = before[one:]
        if how == ACT:
            return True
        if category == ETHNICITY:
            return bool(IS_ZH.search(rest)) and ETHNIC_BEHIND_ZH.match(after) is not None
        if how == PERSON:
            return search(IS_ZH, rest) is not None
        return search(HAS_ZH[category], rest) is not None or not rest or TOPIC_BEHIND_ZH.match(after) is not None

    def _one_in_chinese(self, before: str, word: str, after: str) -> int | None:
        """Where the last mention of one person ends, or None where the sentence speaks of people in general."""
        # A name is told by the character behind it, which may be the word's first.
        ones: list[int] = [match.end() for match in scan(ONE_ZH, before + word[:2]) if match.end() <= len(before)]
        if ones:
            return None if search(STRICT_GENERIC_ZH, before[ones[-1] :]) else ones[-1]
        bare: list[int] = [match.end() for match in scan(BARE_ROLE_ZH, before)]
        if bare and not search(GENERIC_ZH, before + after[:40]):
            return bare[-1]
        return len(before) if self._has_name(len(self._text)) else None

    # ---- children ----------------------------------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[int, int]]:
        """Where the sentence tells of a person under fourteen."""
        for pattern, one in ((CHILD_EN, ONE), (CHILD_ZH, ONE_ZH)):
            for match in list(scan(pattern, self._text)):  # the clock of `scan` must not run on below
                written = match["n"]
                years = numerals.number(written) if written else 0
                if years is not None and years < _CHILD_UNDER and self._is_about_one(one, match):
                    yield match.span("v")

    def _is_about_one(self, one: Any, match: Any) -> bool:
        before = self._lower[: match.start("v")]
        if search(GENERIC, before) or search(STRICT_GENERIC_ZH, before):
            return False
        if search(THEIRS, before):
            return True
        return search(one, self._lower) is not None or self._is_named(before) or self._has_name(len(self._text))

    def _is_named(self, before: str) -> bool:
        name = search(NAME_BEFORE, self._text[: len(before)])
        return name is not None and name["n"].split()[0].lower() not in NO_NAMES


def _extent(text: str, hit: Hit[_Tie], end: int) -> tuple[int, int]:
    """An act that names its object ("was diagnosed with") reaches over it."""
    if hit.entry[1] != ACT or not text[hit.start : hit.end].endswith(OPEN_ACTS):
        return hit.start, hit.end
    rest = OBJECT_OF_ACT.match(text[:end], hit.end)
    return hit.start, rest.end() if rest else hit.end


def _last(pattern: Any, before: str) -> int | None:
    match = search(pattern, before)
    return int(match.start()) if match else None


def _is_english(before: str) -> bool:
    letters = [char for char in before[-_NEAR:] if char.isalpha()]
    return not letters or letters[-1] <= _LAST_LATIN


def _entries() -> dict[str, _Tie]:
    """The categories' words, and the illnesses and ethnic groups of the shipped tables."""
    crowds = shipped_crowds()
    gates = [*CHILD_WORDS.replace("s?", "").split("|"), "twins", "year", "years", *CHILD_WORDS_ZH.split("|")]
    gates += ["岁", "幼儿园", "托儿所", "小学", "年级"]
    entries: dict[str, _Tie] = dict.fromkeys(gates, _MAY_TELL_A_CHILD)
    for word, path in crowds.words(Kind.ILLNESS):
        if len(path) > 1:
            entries[word] = (HEALTH, TOPIC)
    for word, _ in crowds.words(Kind.ETHNICITY):
        entries[word] = (ETHNICITY, PERSON)
    return entries | terms()
